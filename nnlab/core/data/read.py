"""What the user has, as named pandas Series: frames, dicts, arrays, files and databases. Nothing is changed."""

import os
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.data.files import first_line, read_file
from nnlab.core.data.sources import dense, is_source, is_sparse, read_source
from nnlab.core.errors import DataError
from nnlab.core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target"  # the name of y in a pair of arrays
KINDS = (
    "a pandas or polars DataFrame, a pyarrow Table, a dict of columns, a list of rows, a scipy sparse matrix, a file "
    "path, "
    "book.xlsx::sheet, sqlite:///file.db::table, sklearn:iris, or a pair (X, y)"
)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name. name: what it is called in texts; target: the name of y where a pair was given.

    positional: the columns come from an array, where code that reads them counts places (an image, a signal).
    """

    name: str
    columns: Mapping[str, "pd.Series | Column"]
    rows: int
    target: str | None = None
    warnings: tuple[str, ...] = ()
    positional: bool = False


def read(frame: Any) -> Table:
    """The table of anything that can be prepared or predicted; DataError where it cannot be read."""
    if isinstance(frame, Table):
        return frame
    if isinstance(frame, str) and is_source(frame):
        source = read_source(frame)
        return replace(_table(source.name, source.frame, source.target), positional=source.positional)
    if isinstance(frame, str | Path):
        content, warnings = read_file(Path(os.path.expanduser(frame)))
        return replace(table_of(str(frame), content), warnings=warnings)
    if isinstance(frame, tuple) and len(frame) == 2:
        return _read_pair(*frame)
    return table_of(type(frame).__name__, frame)


def names_column(target: Any, frame: Any) -> bool:
    """Whether target is a column's name that is no text: a whole number, a date, a tuple of a MultiIndex."""
    labels = getattr(frame, "columns", ())
    return hasattr(labels, "get_loc") and isinstance(target, Hashable) and target in list(labels)


def table_of(name: str, frame: Any) -> Table:
    """The table of a frame of any kind. name: what it is called in texts."""
    return _table(name, _to_pandas(frame))


def _table(name: str, frame: "pd.DataFrame", target: str | None = None, warnings: tuple[str, ...] = ()) -> Table:
    names = [str(column) for column in frame.columns]
    twice = [column for column, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{name} has several columns of the same name: {', '.join(map(repr, twice[:5]))}; rename them")
    columns = {column: frame.iloc[:, i] for i, column in enumerate(names)}
    return Table(name, columns, len(frame), target, warnings)


def _to_pandas(frame: Any) -> "pd.DataFrame":
    """Any frame as a pandas one that shares its memory where it can."""
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame
    if isinstance(frame, pd.Series):
        return frame.to_frame(frame.name if frame.name is not None else "x0")
    if is_sparse(frame):  # before dicts: scipy's dictionary of keys is one
        return _from_array(dense(frame, f"the {type(frame).__name__}"))
    if isinstance(frame, dict):
        return _from_dict(frame)
    if isinstance(frame, np.ndarray):
        return _from_array(frame)
    if isinstance(frame, list):
        return _from_rows(frame)
    kind = f"{type(frame).__module__}.{type(frame).__name__}"
    if kind.startswith("polars."):
        return _from_polars(frame)
    if kind.startswith("pyarrow.") and hasattr(frame, "column_names"):
        return _from_arrow(frame)
    raise DataError(f"a {type(frame).__name__} cannot be read as a table; give {KINDS}")


def _from_dict(columns: dict[Any, Any]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.DataFrame(columns)
    except (ValueError, TypeError) as error:
        raise DataError(f"the dict is no table: {error}; each value must be a column, all of one length") from None


def _from_rows(rows: list[Any]) -> "pd.DataFrame":
    """Rows as dicts by column, or as lists of equally many values."""
    import pandas as pd

    if rows and all(isinstance(row, dict) for row in rows):
        return pd.DataFrame(rows)
    widths = {len(row) if isinstance(row, list | tuple | np.ndarray) and np.ndim(row) < 2 else -1 for row in rows}
    if len(widths) != 1 or -1 in widths:
        raise DataError("the list is no table; each of its items must be a dict, or a row of as many values")
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(widths.pop())])


def _from_array(array: np.ndarray) -> "pd.DataFrame":
    import pandas as pd

    if array.dtype.names:
        return pd.DataFrame({name: array[name] for name in array.dtype.names})
    if isinstance(array, np.ma.MaskedArray):
        array = _unmasked(array)
    if array.ndim not in (1, 2):
        raise DataError(f"an array of shape {array.shape} is no table; expected rows x columns")
    if array.ndim == 1:
        array = array[:, None]
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _from_polars(frame: Any) -> "pd.DataFrame":
    import pandas as pd

    if hasattr(frame, "collect"):
        try:
            frame = frame.collect()
        except Exception as error:  # of many kinds: a file is gone, a column is not there
            raise DataError(f"the {type(frame).__name__} cannot be collected: {first_line(error)}") from None
    if not hasattr(frame, "get_columns"):
        frame = frame.to_frame()
    try:
        return _from_arrow(_polars_in_arrow(frame))
    except ImportError:
        return pd.DataFrame({column.name: column.to_list() for column in frame.get_columns()})


def _polars_in_arrow(frame: Any) -> Any:
    """A polars DataFrame as an Arrow table, text in polars' own layout where Arrow can read it: without a copy."""
    import polars
    import pyarrow

    texts = frame.select(polars.col(polars.String)) if _reads_views() else frame.select()
    own = texts.to_arrow(compat_level=polars.CompatLevel.newest())
    names = set(texts.columns)
    rest = frame.drop(names).to_arrow()
    return pyarrow.table({name: (own if name in names else rest).column(name) for name in frame.columns})


@cache
def _reads_views() -> bool:
    """Whether this pyarrow finds the levels of texts in the layout of views."""
    import pyarrow

    try:
        return bool(pyarrow.array(["a"], pyarrow.string_view()).dictionary_encode())
    except (AttributeError, NotImplementedError):
        return False


def _from_arrow(table: Any) -> "pd.DataFrame":
    import pandas as pd

    names = [str(name) for name in table.column_names]
    columns = [_arrow_series(table.column(i), pd) for i in range(len(names))]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(table.num_rows))
    frame.columns = pd.Index(names)
    return frame


def _arrow_series(column: Any, pd: Any) -> "pd.Series":
    if str(column.type).startswith("dictionary"):
        column = column.cast(column.type.value_type)
    return column.to_pandas(types_mapper=pd.ArrowDtype)


def _read_pair(x: Any, y: Any) -> Table:
    """A pair (X, y): y becomes the last column, named as the series it is or 'target'."""
    import pandas as pd

    named = hasattr(x, "columns") or (isinstance(x, dict) and not is_sparse(x)) or are_dicts(x)
    frame = _to_pandas(x if named or isinstance(x, list) else _array(x, "X"))
    name = str(getattr(y, "name", None) or TARGET)
    values = _aligned(frame, y) if isinstance(y, pd.Series | pd.DataFrame) else _array(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"y has the shape {values.shape}; expected one value a row")
    if len(values) != len(frame):
        raise DataError(f"X has {counted(len(frame), 'row')} and y has {len(values):,}; both must have the same")
    if name in map(str, frame.columns):
        raise DataError(f"target {name!r} is among the features X; leave it out of X or rename it")
    target = pd.Series(values, index=frame.index, name=name)
    return replace(_table("(X, y)", pd.concat([frame, target], axis=1), name), positional=not named)


def are_dicts(rows: Any) -> bool:
    """Whether it is a list of rows with the names of their columns."""
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict)


def _array(values: Any, what: str) -> np.ndarray:
    if is_sparse(values):
        return dense(values, what)
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values)
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{what} cannot be read as an array: {error}") from None


def _unmasked(values: Any) -> np.ndarray:
    """A masked array with its masked cells missing."""
    if not np.ma.getmaskarray(values).any():
        return np.asarray(values.data)
    kind = np.result_type(values.dtype, np.float32) if values.dtype.kind in "iuf" else object
    return np.asarray(values.astype(kind).filled(np.nan if kind is not object else None))


def _aligned(frame: "pd.DataFrame", y: Any) -> np.ndarray:
    """y in the order of the frame's labels; DataError where labels do not pair."""
    if len(y) == len(frame) and not frame.index.equals(y.index):
        if not (frame.index.is_unique and y.index.is_unique and frame.index.isin(y.index).all()):
            raise DataError("X and y have different row labels; give both the same index, or y.to_numpy()")
        y = y.loc[frame.index]
    return np.asarray(y.to_numpy())
