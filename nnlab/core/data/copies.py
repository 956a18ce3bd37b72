"""Columns that are the target itself."""

import numpy as np

from nnlab.core.data.columns import Column, option
from nnlab.core.data.roles import Typed
from nnlab.core.errors import DataError


def check_copies(typed: list[Typed], target: Column) -> None:
    """DataError for a feature that is the target itself, which would make every score worthless."""
    for column in typed:
        if column.column is not None and _same(column.column, target):
            raise DataError(
                f"target {target.name!r} is among the features: column {column.name!r} is a copy of it; "
                f"{option('drop', column.name)} leaves it out"
            )


def _same(column: Column, target: Column) -> bool:
    if column.kind == "number" and target.kind == "number":
        return bool(column.data[0] == target.data[0]) and np.array_equal(column.data, target.data)
    if column.kind == "number" or target.kind not in ("text", "bool"):
        return False
    if len(column.levels) != len(target.levels) or column.levels[column.data[0]] != target.levels[target.data[0]]:
        return False
    return np.array_equal(column.levels[column.data], target.levels[target.data]) and not (column.data < 0).any()
