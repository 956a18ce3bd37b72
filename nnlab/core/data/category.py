"""A column of levels, fitted: codes of levels become features."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, as_text, shown
from nnlab.core.data.spelling import rewritten
from nnlab.core.data.steps.encoders import MISSING_LEVEL, Encoding, Levels, hashed
from nnlab.core.data.steps.registries import ENCODERS
from nnlab.core.data.target import match
from nnlab.core.registry import Part
from nnlab.core.spec import make
from nnlab.core.wording import counted


@dataclass(frozen=True, eq=False)
class Category:
    """Levels and what each writes into the features. fill: the level that missing cells take, None: they stay so.

    complete: the training rows had no gaps; None for a pipeline of an older version. usual: how levels that differ
    only in their spelling are written, by their plain form; None: each spelling is a level. kind: what the column held.
    """

    name: str
    levels: tuple[str, ...]
    encoding: Encoding
    fill: str | None = None
    complete: bool | None = None
    usual: Mapping[str, str] | None = None
    kind: str = "text"

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={label}" if label else self.name for label in self.encoding.labels)

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """Codes (of the smallest type) of levels, then missing, then unseen; and the number of unseen cells."""
        codes, levels = as_text(column)
        if self.usual is not None:
            levels = rewritten(levels, self.usual)
        table, missing = self._codes(levels), len(self.encoding.slots) - 2
        unseen = int(np.count_nonzero(np.append(table < 0, False).take(codes))) if (table < 0).any() else 0
        table = np.append(table, missing if self.fill is None else self._codes(np.array([self.fill], object)))
        table[table < 0] = missing + 1
        return table.astype(np.min_scalar_type(missing + 1)).take(codes), unseen

    def _codes(self, levels: np.ndarray) -> np.ndarray:
        """The code of each level, -1 unseen."""
        if self.encoding.buckets:
            return hashed(levels, self.encoding.buckets)
        return match(levels, {level: code for code, level in enumerate(self.levels)})[:-1]

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """The features of codes into out (rows, features), float32 zeros."""
        if self.encoding.table is not None:
            out[:] = self.encoding.table[values]
            return
        if not out.shape[1]:
            return
        nowhere = (
            self.encoding.slots < 0
        )  # a 0 into the first feature, which is 0 anyway, is faster than to choose rows
        slots = np.where(nowhere, 0, self.encoding.slots)
        out[np.arange(len(out)), slots[values]] = np.where(nowhere, np.float32(0), self.encoding.values)[values]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        own = self.encoding
        plain: dict[str, Any] = {
            "kind": "category",
            "name": self.name,
            "levels": list(self.levels),
            "labels": list(own.labels),
        }
        plain |= {"done": own.done, "cardinality": own.cardinality, "buckets": own.buckets, "fill": self.fill}
        plain |= {"width": own.width, "complete": self.complete, "column": self.kind}
        plain |= {} if self.usual is None else {"usual": dict(self.usual)}
        arrays = {"slots": own.slots, "values": own.values}
        return plain, arrays if own.table is None else arrays | {"table": own.table}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Category":
        """The category that `state` wrote, of this version or of one that knew one-hot only."""
        labels = tuple(state["labels"])
        usual = "as -1 and 1" if arrays["values"].min(initial=0) < 0 else "one-hot"
        encoding = Encoding(
            labels,
            arrays["slots"],
            arrays["values"],
            state.get("done", usual),
            arrays.get("table"),
            cardinality=state.get("cardinality", 0),
            buckets=state.get("buckets", 0),
            width=state.get("width", 0),
        )
        own = (state.get("fill"), state.get("complete"), state.get("usual"), state.get("column", "text"))
        return cls(state["name"], tuple(state["levels"]), encoding, *own)

    @property
    def done(self) -> str:
        """What was done, in words."""
        word = self.encoding.done
        if self.encoding.buckets:
            return word
        return f"{counted(len(self.levels), 'level')}{' ' if word.startswith('as ') else ', '}{word}"

    @property
    def detail(self) -> str:
        """The levels, and which of them missing cells take."""
        parts = [shown(self.levels)] if self.levels else []
        return "; ".join(parts + ([] if self.fill is None else [f"missing becomes {self.fill!r}"]))

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """The levels that gave these features (n, k), as numbers or booleans where the column held such.

        None where they were missing, unseen, or several gave the same; hashed levels are all None.
        """
        own, n = self.encoding, len(self.levels)
        if own.buckets or not n or not features.shape[1]:
            return np.full(len(features), None, object)
        if own.table is not None:
            both = np.concatenate([own.table, features.astype(np.float32)])
            same = np.unique(both, axis=0, return_inverse=True)[1].ravel()
        else:
            both = np.concatenate([_keys(own.slots, own.values), _written(features)])
            same = np.unique(both, return_inverse=True)[1]
        known, found = same[: n + 2], same[n + 2 :]
        owner = np.full(same.max() + 1, -1)
        owner[known[:n]] = np.arange(n)
        owner[np.bincount(known, minlength=len(owner)) > 1] = -1
        names = [None if level == self.fill == MISSING_LEVEL else self._raw(level) for level in self.levels]
        back = np.array([*names, None], object)[owner[found]]
        plain = self.kind in ("bool", "number") and (owner[found] >= 0).all()
        return np.array(back.tolist()) if plain else back

    def _raw(self, level: str) -> Any:
        """What the column held for a level."""
        if self.kind == "bool":
            return level == "True"
        if self.kind == "number":
            return int(level) if level.lstrip("-").isdigit() else float(level)
        return level


def _keys(slots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One integer for a slot and a value."""
    bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: -0 is 0
    return (slots.astype(np.int64) << 32) | bits


def _written(features: np.ndarray) -> np.ndarray:
    """The key of the one feature of each row that is not 0 (of the first where all are), -2 where several are not 0."""
    slots = np.argmax(features != 0, axis=1)
    keys = _keys(slots, features[np.arange(len(features)), slots])
    return np.where(np.count_nonzero(features, axis=1) > 1, -2, keys)


def fit_category(  # noqa: PLR0913 (a column, its target and two of its options)
    column: Column,
    rows: np.ndarray,
    encode: Part,
    y: np.ndarray | None = None,
    classes: int = 0,
    rng: np.random.Generator | None = None,
    impute: Part | None = None,
) -> Category:
    """Levels of the training rows in order, numbers by size and text by the alphabet, encoded.

    rows: the training rows' codes. y: their target, as `Levels` tells. impute: most_frequent gives missing cells the
    most frequent level, constant makes missing a level; any other leaves them to the encoder. DataError where the
    encoder needs what is not there.
    """
    present = np.bincount(rows + 1, minlength=len(column.levels) + 1)
    used = np.flatnonzero(present[1:])
    keys = _sort_keys(column.levels[used])
    order = used[sorted(range(len(used)), key=keys.__getitem__)]
    names, counts, fill = _filled(tuple(column.levels[order]), np.append(present[1:][order], present[0]), impute)
    place = np.full(len(column.levels) + 1, -1 if fill is None else names.index(fill))  # code -1 reads the last entry
    place[order] = np.arange(len(order))
    rng = rng or np.random.default_rng(0)
    encoding = make(ENCODERS, encode, Levels(names, counts, lambda: place.take(rows), y, classes, rng))
    levels = names if encoding.levels is None else encoding.levels
    return Category(column.name, levels, encoding, fill, not present[0])


def _filled(
    names: tuple[str, ...], counts: np.ndarray, impute: Part | None
) -> tuple[tuple[str, ...], np.ndarray, str | None]:
    """Levels, rows of each and then of missing cells, and the level of missing cells, after the imputer."""
    kind, gaps = impute.name if impute else "", counts[-1]
    if kind == "most_frequent" and names:
        fill = names[int(counts[:-1].argmax())]  # the first of equals
    elif kind == "constant" and gaps:
        fill = MISSING_LEVEL
        if fill not in names:
            names, counts = (*names, fill), np.append(counts[:-1], [0, gaps])
    else:
        return names, counts, None
    counts = counts.copy()
    counts[names.index(fill)] += gaps
    counts[-1] = 0
    return names, counts, fill


def _sort_keys(levels: np.ndarray) -> list[Any]:
    """By size if all levels are numbers, else by the alphabet; equal numbers (1 and 1.0) by their text."""
    try:
        numbers = [float(level) for level in levels]
    except ValueError:
        return list(levels)
    return list(levels) if any(map(math.isnan, numbers)) else list(zip(numbers, levels, strict=True))
