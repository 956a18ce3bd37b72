"""Where columns and matrices are put while a table is prepared: in memory, or in files that are mapped (spool.py)."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nnlab.core.data.columns import Column

if TYPE_CHECKING:
    from nnlab.core.data.features import Feature


class Cells(Protocol):
    """The values of a column, of which some rows are taken at a time: an array, or what reads them from a file."""

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """The values of these rows."""
        ...


class Place(Protocol):
    """What keeps columns, their values and matrices."""

    def keep(self, column: Column) -> Column:
        """The same column, its data where they shall stay."""
        ...

    def values(self, feature: "Feature", column: Column) -> Cells:
        """What the feature's `values` gives for the column."""
        ...

    def hold(self, feature: "Feature", column: Column, values: np.ndarray) -> Cells:
        """What the feature's `values` gave for the column, where it shall stay."""
        ...

    def zeros(self, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """A matrix of zeros that can be written."""
        ...


class Memory:
    """Everything as arrays of numpy."""

    def keep(self, column: Column) -> Column:
        """The column as it is."""
        return column

    def values(self, feature: "Feature", column: Column) -> Any:
        """The values of all rows."""
        return feature.values(column)[0]

    def hold(self, feature: "Feature", column: Column, values: np.ndarray) -> Any:
        """The values as they are."""
        return values

    def zeros(self, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """A new array."""
        return np.zeros(shape, dtype)


MEMORY = Memory()


def stretch(rows: np.ndarray) -> np.ndarray | slice:
    """Ascending rows without a hole as a slice, which takes them without a copy."""
    whole = len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all()
    return slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows
