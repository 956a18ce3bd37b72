"""SMOTE of a matrix in which some columns are categories: one-hot groups, flags, codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.data.steps.registries import Array
from nnlab.core.errors import DataError

NEEDS_IMBALANCE = 'balance=smote needs imbalanced-learn; run: pip install "nnlab[imbalance]"'
MOST_CELLS = 500_000_000  # that imbalanced-learn holds at a time
ADVICE = "take a smaller ratio, or balance=oversample"

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Collapsed:
    """Each group of columns as one code. numbers: the columns of no group; patterns: what a code writes into a group.

    table: float64 (n, numbers and then groups).
    """

    table: Array
    numbers: Array
    groups: Groups
    patterns: tuple[Array, ...]

    def expanded(self, table: Array) -> Array:
        """Rows of such a table as float32 features again; codes are among those of the rows."""
        x = np.empty((len(table), len(self.numbers) + sum(map(len, self.groups))), np.float32)
        x[:, self.numbers] = table[:, : len(self.numbers)]
        for j, (group, patterns) in enumerate(zip(self.groups, self.patterns, strict=True), len(self.numbers)):
            x[:, group] = patterns[table[:, j].astype(np.int64)]
        return x


def check_installed() -> None:
    """DataError where imbalanced-learn is not installed."""
    try:
        import imblearn.over_sampling  # noqa: F401
    except ImportError:
        raise DataError(NEEDS_IMBALANCE) from None


def collapse(x: Array, groups: Groups) -> Collapsed:
    """The matrix with a code for each group, and for each other column that has two values at most."""
    within = {column for group in groups for column in group}
    others = [column for column in range(x.shape[1]) if column not in within]
    few = [column for column in others if len(x) and _two_valued(x[:, column])]
    numbers = np.array([column for column in others if column not in few], np.int64)
    kept = (*groups, *((column,) for column in few))
    codes, patterns = [], []
    for group in kept:
        part = x[:, group]
        # the first column before the second, as levels are ordered; one column from low to high
        order = -part if len(group) > 1 else part
        _, first, found = np.unique(order, axis=0, return_index=True, return_inverse=True)
        codes.append(found.ravel())
        patterns.append(part[first])
    table = np.column_stack([x[:, numbers].astype(np.float64), *codes])
    return Collapsed(table, numbers, kept, tuple(patterns))


def _two_valued(column: Array) -> bool:
    return bool(((column == column.min()) | (column == column.max())).all())


def more_rows(
    x: Array, y: Array, groups: Groups | None, sizes: dict[int, int], near: int, seed: int
) -> tuple[Array, Array]:
    """New rows x float32 (m, f) and y int64 (m,). groups: see `Classed`. sizes: rows of each class afterwards.

    DataError where imbalanced-learn would need more memory than is sensible.
    """
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    how: dict[str, Any] = {"sampling_strategy": sizes, "k_neighbors": near, "random_state": seed}
    mixed = None if groups is None else collapse(x, groups)
    if mixed is None or not mixed.groups:
        all_x, all_y = SMOTE(**how).fit_resample(x, y)
        return all_x[len(x) :].astype(np.float32), all_y[len(x) :].astype(np.int64)
    _check_size(x, y, mixed, sizes, near)
    if len(mixed.numbers):
        places = list(range(len(mixed.numbers), mixed.table.shape[1]))
        all_x, all_y = SMOTENC(places, **how).fit_resample(mixed.table, y)
    else:
        all_x, all_y = SMOTEN(**how).fit_resample(mixed.table, y)
    return mixed.expanded(all_x[len(x) :]), all_y[len(x) :].astype(np.int64)


def _check_size(x: Array, y: Array, mixed: Collapsed, sizes: dict[int, int], near: int) -> None:
    """SMOTE-N compares all rows of a class with each other; SMOTE-NC holds the near rows of all new rows of a class."""
    width = len(mixed.numbers) + sum(map(len, mixed.patterns))
    for code, size in sizes.items():
        rows = int((y == code).sum())
        cells = (size - rows) * near * width if len(mixed.numbers) else rows * rows
        if cells > MOST_CELLS:
            raise DataError(
                f"balance=smote would hold {cells} cells for {size - rows} new rows of one class; "
                f"{MOST_CELLS} are allowed: {ADVICE}"
            )
