"""What new rows hold that the training rows did not: levels never seen, numbers out of range, new gaps."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from nnlab.core.errors import DataWarning

NAMED = 4  # columns that a warning names


@dataclass(frozen=True)
class Count:
    """What is unfamiliar in one column. unseen: cells with a level that training never saw; unread: with no number where
    numbers are; outside: with a number or date beyond those of training, from low to high; gaps: missing ones where
    training had none."""

    unseen: int = 0
    unread: int = 0
    outside: int = 0
    gaps: int = 0
    low: float | None = None
    high: float | None = None

    def __bool__(self) -> bool:
        return bool(self.unseen or self.unread or self.outside or self.gaps)

    def __str__(self) -> str:
        words = []
        if self.unseen:
            words.append(f"{self.unseen} with a level that training did not see")
        if self.unread:
            words.append(f"{self.unread} that are no numbers, taken as missing")
        if self.outside:
            ends = "" if self.low is None else f" {self.low:g} to {self.high:g}"
            words.append(f"{self.outside} outside of training's{ends}")
        if self.gaps:
            words.append(f"{self.gaps} missing where training had none")
        return ", ".join(words)


@dataclass(frozen=True)
class Unfamiliar:
    """What is unfamiliar in new rows. rows: how many were looked at; trained: how many training had; columns: the
    counts by column, of those that have any."""

    rows: int
    trained: int
    columns: Mapping[str, Count] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def __str__(self) -> str:
        if not self.columns:
            return f"{self.rows} rows, all as in training"
        found = [f"{name!r} has {count}" for name, count in self.columns.items()]
        more = f"; and {len(found) - NAMED} more columns" if len(found) > NAMED else ""
        return f"of {self.rows} rows {'; '.join(found[:NAMED])}{more}"

    @property
    def notable(self) -> "Unfamiliar":
        """Without what chance gives: of m new rows about 2 m / n are beyond the ends of n training rows."""
        chance = 2.0 * self.rows / max(self.trained, 1)
        kept = {}
        for name, count in self.columns.items():
            often = count.outside > 3 + chance + 3 * chance**0.5
            if found := (count if often else Count(count.unseen, count.unread, 0, count.gaps)):
                kept[name] = found
        return Unfamiliar(self.rows, self.trained, kept)

    def warn(self, stacklevel: int = 2) -> None:
        """A DataWarning where something is notable."""
        if found := self.notable:
            warnings.warn(str(found), DataWarning, stacklevel=stacklevel + 1)
