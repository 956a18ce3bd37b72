"""What new rows hold that the training rows did not: levels never seen, numbers out of range, new gaps."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.data.features import Date, Feature
from nnlab.core.data.numbers import Number
from nnlab.core.errors import DataWarning
from nnlab.core.wording import agreeing, counted

PACKAGE = str(Path(__file__).parents[2])
NAMED = 4  # columns that a warning names


@dataclass(frozen=True)
class Count:
    """What is unfamiliar in one column.

    unseen: cells with a level that training never saw; unread: with no number where numbers are; outside: with a number
    or date beyond those of training, which were low to high; gaps: missing ones where training had none; far: how many
    of those outside are farther off than training reaches from low to high.
    """

    unseen: int = 0
    unread: int = 0
    outside: int = 0
    gaps: int = 0
    low: float | None = None
    high: float | None = None
    far: int = 0

    def __bool__(self) -> bool:
        return bool(self.unseen or self.unread or self.outside or self.gaps)

    def __str__(self) -> str:
        words = []
        if self.unseen:
            words.append(f"{self.unseen} with a level that training did not see")
        if self.unread:
            words.append(
                f"{self.unread} that {agreeing(self.unread, 'is no number', 'are no numbers')}, taken as missing"
            )
        if self.outside:
            ends = "dates" if self.low is None else f"{self.low:g} to {self.high:g}"
            words.append(f"{self.outside} outside of training's {ends}")
        if self.gaps:
            words.append(f"{self.gaps} missing where training had none")
        return ", ".join(words)


@dataclass(frozen=True, repr=False)
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
            return f"{counted(self.rows, 'row')}, all as in training"
        found = [f"{name!r} has {count}" for name, count in self.columns.items()]
        more = f"; and {counted(len(found) - NAMED, 'more column')}" if len(found) > NAMED else ""
        return f"of {counted(self.rows, 'row')} {'; '.join(found[:NAMED])}{more}"

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def notable(self) -> "Unfamiliar":
        """Without what chance gives (of m new rows about 2 m / n are beyond the ends of n training rows, or a gap in a
        column that had none; numbers that are far off count all the same) and without dates, of which new ones are
        later as a rule."""
        chance = 2.0 * self.rows / max(self.trained, 1)
        most = 3 + chance + 3 * chance**0.5
        kept = {}
        for name, count in self.columns.items():
            often = count.low is not None and (count.outside > most or count.far)
            outside, gaps = count.outside if often else 0, count.gaps if count.gaps > most else 0
            if found := replace(count, outside=outside, gaps=gaps):
                kept[name] = found
        return Unfamiliar(self.rows, self.trained, kept)

    def warn(self) -> None:
        """A DataWarning, at the line outside of nnlab that asked, where something is notable."""
        if found := self.notable:
            level, frame = 1, sys._getframe()
            while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
                level, frame = level + 1, frame.f_back
            warnings.warn(str(found), DataWarning, stacklevel=level)


def count_of(feature: Feature, values: np.ndarray, strange: int, raw: Column) -> Count:
    """What is unfamiliar in one column, its values and the cells as they came. strange: those unknown to it."""
    if isinstance(feature, Number):
        gaps = int(np.isnan(values).sum()) - strange if feature.complete and values.dtype.kind == "f" else 0
        outside, far = feature.outside(values)
        return Count(0, strange, outside, gaps, feature.low, feature.high, far)
    gaps = int(np.count_nonzero(raw.missing())) if feature.complete else 0
    return Count(strange, 0, feature.outside(values) if isinstance(feature, Date) else 0, gaps)
