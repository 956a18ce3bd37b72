"""Numbers that no float32 holds, taken as missing where the user says so."""

import numpy as np

from nnlab.core.data.columns import LARGEST, NO_LEVELS, Column
from nnlab.core.data.place import Place
from nnlab.core.wording import agreeing, counted


def finite(column: Column) -> Column:
    """The column with NaN in place of infinite and too large numbers; itself where there are none."""
    if column.kind != "number" or column.data.dtype.kind != "f":
        return column
    low, high = np.fmin.reduce(column.data, initial=0), np.fmax.reduce(column.data, initial=0)
    if low >= -LARGEST and high <= LARGEST:
        return column
    return Column(column.name, "number", np.where(np.abs(column.data) <= LARGEST, column.data, np.nan), NO_LEVELS)


def all_finite(columns: list[Column], target: str, place: Place) -> tuple[list[Column], list[str]]:
    """All columns but the target's made finite, and what was done."""
    found, notes = [], []
    for column in columns:
        mended = column if column.name == target else finite(column)
        if mended is not column:
            count = int(np.isnan(mended.data).sum() - np.isnan(column.data).sum())
            mended = place.keep(mended)
            numbers = f"{counted(count, 'infinite or too large number')} {agreeing(count, 'counts', 'count')}"
            notes.append(f"column {column.name!r}: {numbers} as missing")
        found.append(mended)
    return found, notes
