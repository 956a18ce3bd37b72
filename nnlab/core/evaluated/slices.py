"""Rows parted by what a column says of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 12  # of a category, the most frequent ones; all others are one slice
PARTS = 4  # of numbers and dates, equally many rows each
FEW = 10  # different numbers up to which each is a slice
MISSING, OTHERS = "missing", "others"


def slices(column: "pd.Series", parts: int = PARTS) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each slice of a column and its rows, bool (n,); empty slices are left out."""
    import pandas as pd

    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    there = column.notna().to_numpy()
    named: Iterator[tuple[str, np.ndarray]]
    if (numeric or pd.api.types.is_datetime64_any_dtype(column.dtype)) and column.nunique() > FEW:
        cut = pd.qcut(column, parts, duplicates="drop")
        named = ((_interval(place), (cut == place).to_numpy()) for place in cut.cat.categories)
    else:
        present = column[there].sort_values() if numeric else column[there]
        words = _level if numeric and present.map(_level).nunique() == present.nunique() else str
        named_rows = present.map(words)
        counts = named_rows.value_counts()
        order = list(dict.fromkeys(named_rows)) if numeric else sorted(counts.index)
        names = list(counts.index[:LEVELS]) if len(counts) > LEVELS else order
        text = column.map(words, na_action="ignore").to_numpy()
        chosen = [(name, there & (text == name)) for name in names]
        rest = there & ~np.isin(text, names)
        named = iter([*chosen, (OTHERS, rest)])
    yield from ((name, rows) for name, rows in named if rows.any())
    if not there.all():
        yield MISSING, ~there


def _interval(place: "pd.Interval") -> str:
    return f"{_short(place.left)} to {_short(place.right)}"


def _level(value: float) -> str:
    """A number as it is read: 0.05068, 2021."""
    return str(int(value)) if value % 1 == 0 else f"{value:.4g}"


def _short(end: object) -> str:
    return f"{end:.4g}" if isinstance(end, int | float) else str(end).partition(" ")[0]
