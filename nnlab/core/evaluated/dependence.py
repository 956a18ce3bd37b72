"""What a run predicts when one column, or two, take each value in turn and all others stay as they are."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

GRID, GRID_OF_TWO = 25, 12
ENDS = (0.05, 0.95)  # quantiles between which numbers go
BAND = (0.1, 0.9)  # quantiles of the single rows' curves
LEVELS = 12  # the most frequent of a category
ROWS = 300

Predict = Callable[["pd.DataFrame"], np.ndarray]  # rows of the table -> (n, outputs)


def grid_of(column: "pd.Series", size: int = GRID) -> np.ndarray:
    """The values that a column takes in turn: of numbers and dates equal steps from their 5% to their 95% quantile, or
    all values where these are few (scikit-learn's grid); of levels the most frequent. Missing ones are left out."""
    import pandas as pd

    there = column.dropna()
    levels = there.value_counts(sort=True)
    numeric = pd.api.types.is_numeric_dtype(there.dtype) and not pd.api.types.is_bool_dtype(there.dtype)
    if not (numeric or pd.api.types.is_datetime64_any_dtype(there.dtype)):
        return np.array([*levels.index[:LEVELS]], dtype=object)
    if len(levels) <= size:
        return np.asarray(levels.index.sort_values())
    if numeric:
        from scipy.stats.mstats import mquantiles

        low, high = mquantiles(there.to_numpy(float), prob=ENDS)
        return np.linspace(float(low), float(high), size)
    first, last = (pd.Timestamp(there.quantile(end)) for end in ENDS)  # type: ignore[arg-type]  # it holds dates
    return np.asarray(pd.date_range(first, last, periods=size))


def curves(table: "pd.DataFrame", names: Sequence[str], predict: Predict) -> tuple[list[np.ndarray], np.ndarray]:
    """The grid of each column and what is predicted there: (outputs, rows, points of the first[, of the second])."""
    grids = [grid_of(table[name], GRID if len(names) == 1 else GRID_OF_TWO) for name in names]
    mesh = [axis.ravel() for axis in np.meshgrid(*(np.arange(len(grid)) for grid in grids), indexing="ij")]
    points = len(mesh[0])
    many = table.iloc[np.repeat(np.arange(len(table)), points)].reset_index(drop=True)
    for name, grid, places in zip(names, grids, mesh, strict=True):
        many[name] = _as_column(np.tile(grid[places], len(table)), table[name])
    found = predict(many).reshape(len(table), *(len(grid) for grid in grids), -1)
    return grids, np.moveaxis(found, -1, 0)


def _as_column(values: np.ndarray, like: "pd.Series") -> Any:
    """Values in the column's own dtype; whole numbers may become fractions on the way from one to the next."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(like.dtype) and not pd.api.types.is_bool_dtype(like.dtype):
        return values.astype(float)
    return pd.Series(values, dtype=like.dtype)


def summary(grids: Sequence[np.ndarray], found: np.ndarray, names: Sequence[str], labels: Sequence[Any]) -> Any:
    """One row for each point, and for each class where there are labels: mean, and where 80% of the rows lie."""
    import pandas as pd

    mesh = [axis.ravel() for axis in np.meshgrid(*(np.arange(len(grid)) for grid in grids), indexing="ij")]
    parts = []
    for output, label in zip(found, labels, strict=True):
        rows = output.reshape(output.shape[0], -1)
        part = {name: grid[places] for name, grid, places in zip(names, grids, mesh, strict=True)}
        low, high = np.quantile(rows, BAND, axis=0)
        own = {} if label is None else {"class": [label] * rows.shape[1]}
        parts.append(pd.DataFrame(part | own | {"mean": rows.mean(0), "low": low, "high": high}))
    return pd.concat(parts, ignore_index=True)
