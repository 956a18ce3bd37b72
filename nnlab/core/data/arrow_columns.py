"""Values of a Series kept in Arrow memory, without Python objects or pandas between: text, floats, dates, durations."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

TEXT = ("string", "large_string", "string_view")
MANY = 1000  # cells that pay for another way, and that tell whether cells repeat
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST, LAST = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31", "D")  # what Python's dates can tell
Found = tuple[Literal["text", "number", "date"], np.ndarray, list[str]]


def arrow_values(series: "pd.Series") -> Found | None:
    """The kind of column, its data and its levels; None for a Series kept otherwise, and for types that are rare.

    data: codes of levels in the order in which they come (-1 missing), float64 or datetime64[us] in UTC. All are what
    pandas gives for the same cells.
    """
    if not hasattr(series.array, "__arrow_array__") or str(series.dtype).startswith("category"):
        return None
    dtype = str(series.dtype)
    if dtype.endswith("[pyarrow]") or getattr(series.dtype, "storage", "") == "pyarrow":
        import pyarrow

        return _values(pyarrow.array(series.array))
    return None


def without_nesting(series: "pd.Series") -> "pd.Series":
    """Lists, structs and maps of Arrow as the objects that pandas' own tables hold; any other Series as it is."""
    if not str(series.dtype).endswith("[pyarrow]"):
        return series
    import pandas as pd
    import pyarrow

    array = pyarrow.array(series.array)
    return pd.Series(array.to_pylist(), series.index, object) if pyarrow.types.is_nested(array.type) else series


def _values(array: Any) -> Found | None:
    written = str(array.type).partition("[")[0]
    if written in TEXT:
        return _text(array)
    if written == "double":
        return "number", _numpy(array), []
    if written == "duration":
        return "number", in_seconds(_numpy(array)), []
    if written in ("timestamp", "date32", "date64"):
        dates = _dates(_numpy(array), written)
        return None if dates is None else ("date", dates, [])
    return None


def in_seconds(spans: np.ndarray) -> np.ndarray:
    """timedelta64 of any unit as float64 seconds, NaN for NaT; by its own unit: nanoseconds end after 292 years."""
    return np.where(np.isnat(spans), np.nan, spans.astype(np.int64) / PER_SECOND[np.datetime_data(spans.dtype)[0]])


def _text(array: Any) -> Found:
    encoded = array.dictionary_encode()
    if hasattr(encoded, "chunks"):
        encoded = encoded.combine_chunks()  # all chunks have one dictionary
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return "text", codes, encoded.dictionary.to_pylist()


def object_texts(objects: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
    """Codes and levels of str objects, None among them -1; None where most differ or Arrow cannot hold them."""
    some = objects[:: max(1, len(objects) // MANY)]
    if len(objects) < MANY or 2 * len(set(some)) > len(some):
        return None
    try:
        import pyarrow

        encoded = pyarrow.array(objects, pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), from_pandas=True)
    except (ImportError, ValueError, TypeError):  # half of a surrogate pair is no text for Arrow
        return None
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _numpy(array: Any) -> np.ndarray:
    """NaN or NaT for nulls; shares the memory where there are none and the chunks are one."""
    if hasattr(array, "chunks"):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    found: np.ndarray = array.to_numpy(zero_copy_only=False)
    return found


def _dates(found: np.ndarray, written: str) -> np.ndarray | None:
    """datetime64[us], None where some lie beyond what Python's dates can tell."""
    if written == "date64":
        found = found.astype("datetime64[D]")  # a day counts in milliseconds, and they may be no whole days
    there = found[~np.isnat(found)]
    if len(there) and (there.min() < FIRST or there.max() > LAST):
        return None
    return found.astype("datetime64[us]")
