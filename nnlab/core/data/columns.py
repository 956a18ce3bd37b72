"""One representation for a column of any source: numbers, codes of text levels, or dates; and the ways between them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nnlab.core.data.arrow_columns import Found, arrow_values, in_seconds, object_texts, without_nesting
from nnlab.core.errors import DataError
from nnlab.core.wording import agreeing, counted

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "#n/a", "<na>", "nat"})
MISSING_NUMBER = MISSING | {"none", "-", "--", "."}  # words that may be a level of a category, but never a number
LONGEST_MISSING = max(map(len, MISSING))
LARGEST = float(np.finfo(np.float32).max)
SHOWN = 5
SHARING = 1000  # cells that tell whether a column's cells share their objects


@dataclass(frozen=True, eq=False)
class Column:
    """A column as read.

    data: numbers (NaN missing), int codes into levels (-1 missing) or datetime64[us] in UTC (NaT missing).
    """

    name: str
    kind: Literal["number", "bool", "text", "date"]
    data: np.ndarray
    levels: np.ndarray  # of str, for bool and text; bool has False before True
    aware: bool | None = None  # of dates: whether they had a time zone; None for not known

    @property
    def whole(self) -> bool:
        """Whether the numbers are of an integer type."""
        return self.kind == "number" and self.data.dtype.kind in "iu"

    def missing(self) -> np.ndarray:
        """A flag for each row."""
        if self.kind == "number":
            return np.isnan(self.data) if self.data.dtype.kind == "f" else np.zeros(len(self.data), bool)
        return np.isnat(self.data) if self.kind == "date" else self.data < 0


NO_LEVELS = np.empty(0, object)
Parse = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def column_of(name: str, series: "pd.Series | Column") -> Column:
    """The column of a pandas Series of any type, numbers without a copy where that is possible."""
    import pandas as pd
    from pandas.api import types

    if isinstance(series, Column):
        return series
    series = without_nesting(series)
    dtype = series.dtype
    if found := arrow_values(series):
        return _arrow_column(name, series, found)
    if types.is_bool_dtype(dtype):
        return _bool_column(name, series)
    if isinstance(dtype, pd.CategoricalDtype):
        return _levels_column(name, series.cat.codes.to_numpy(), series.cat.categories.to_series())
    if types.is_complex_dtype(dtype):
        raise _complex(name)
    if types.is_numeric_dtype(dtype):
        return Column(name, "number", _numbers(series), NO_LEVELS)
    if _is_date(dtype):
        return Column(name, "date", _dates(series), NO_LEVELS, _is_aware(series))
    if types.is_timedelta64_dtype(dtype):
        return Column(name, "number", in_seconds(series.to_numpy()), NO_LEVELS)
    if types.is_object_dtype(dtype):
        return _any_objects(name, series)
    codes, levels = series.factorize()
    return _levels_column(name, codes, pd.Series(levels))


def _complex(name: str) -> DataError:
    way = f"give their real and imaginary part as two columns, or {option('drop', name)}"
    return DataError(f"column {name!r} holds complex numbers; {way}")


def _arrow_column(name: str, series: "pd.Series", found: Found) -> Column:
    kind, data, texts = found
    if kind == "text":
        return _text_column(name, data, texts)
    return Column(name, kind, data, NO_LEVELS, _is_aware(series) if kind == "date" else None)


def _numbers(series: "pd.Series") -> np.ndarray:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
        return series.to_numpy()
    if series.dtype.kind in "iu" and not series.hasnans:
        return series.to_numpy(np.int64)
    return series.to_numpy(np.float64, na_value=np.nan)


def _is_date(dtype: Any) -> bool:
    import pandas as pd
    from pandas.api import types

    named = str(dtype).startswith(("timestamp", "date32", "date64"))
    return types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype) or named


def _is_aware(series: "pd.Series") -> bool:
    return getattr(series.dtype, "tz", None) is not None or "tz=" in str(series.dtype)


def _dates(series: "pd.Series") -> np.ndarray:
    import pandas as pd

    if isinstance(series.dtype, pd.PeriodDtype):
        series = series.dt.to_timestamp()
    elif not isinstance(series.dtype, np.dtype | pd.DatetimeTZDtype):
        series = pd.to_datetime(series.astype(object), utc=True)
    if getattr(series.dt, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    return series.to_numpy().astype("datetime64[us]")


def _bool_column(name: str, series: "pd.Series") -> Column:
    codes = series.astype("boolean").astype("Int8").fillna(-1).to_numpy(np.int8)
    return Column(name, "bool", codes, np.array(["False", "True"], object))


def _any_objects(name: str, series: "pd.Series") -> Column:
    """A column of Python objects; DataError where one cannot be looked at."""
    try:
        return _object_column(name, series)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever the methods of such an object raise
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        way = f"make text or numbers of them, or {option('drop', name)}"
        raise DataError(f"column {name!r} holds objects that cannot be read ({what}); {way}") from None


def _object_column(name: str, series: "pd.Series") -> Column:
    """A column of Python objects; where cells share them, each object is looked at once."""
    shared = _shared(np.ascontiguousarray(series.to_numpy()))
    if shared is None:
        return _column_of_objects(name, series)
    codes, first = shared
    column = _column_of_objects(name, series.iloc[first])
    return replace(column, data=column.data[codes])


def _shared(objects: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The number of each cell's object and where each object comes first; None where few cells share theirs.

    The array holds addresses; numbers of 64 bits are told apart several times faster than texts.
    """
    import pandas as pd

    addresses = np.frombuffer(objects, np.intp) if len(objects) >= 2 * SHARING else np.empty(0, np.intp)
    some = addresses[:: max(1, len(addresses) // SHARING)]
    if 2 * len(np.unique(some)) > len(some) or not len(some):
        return None
    codes, found = pd.factorize(addresses)
    return codes, np.searchsorted(np.maximum.accumulate(codes), np.arange(len(found)))


def _column_of_objects(name: str, series: "pd.Series") -> Column:
    """A column of Python objects, by what they are; a mixture becomes text."""
    import pandas as pd
    from pandas.api import types

    found = types.infer_dtype(series, skipna=True)
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        numbers = _object_numbers(name, series, found == "integer")
        return Column(name, "number", numbers, NO_LEVELS) if numbers is not None else _digits_column(name, series)
    if found == "boolean":
        return _bool_column(name, series)
    if found in ("datetime64", "datetime", "date"):
        return Column(name, "date", _dates(pd.to_datetime(series, utc=True)), NO_LEVELS, _aware_objects(name, series))
    if found == "complex":
        raise _complex(name)
    if found != "string":
        series = series.map(str, na_action="ignore")
    elif texts := object_texts(series.to_numpy()):
        return _text_column(name, *texts)
    codes, levels = series.factorize()
    return _levels_column(name, codes, pd.Series(levels, dtype=object))


def _object_numbers(name: str, series: "pd.Series", whole: bool) -> np.ndarray | None:
    """Numbers of Python; None for whole ones that 64 bits do not hold."""
    gaps = series.isna().to_numpy()
    if whole:
        numbers = _whole_numbers(series[~gaps] if gaps.any() else series)
        if numbers is None or not gaps.any():
            return numbers
    try:
        return series.where(~gaps, np.nan).to_numpy(np.float64)
    except OverflowError:
        way = f"{option('drop', name)} leaves the column out"
        raise DataError(f"column {name!r} holds numbers that are too large; {way}") from None


def _whole_numbers(series: "pd.Series") -> np.ndarray | None:
    for kind in (np.int64, np.uint64):
        try:
            return series.to_numpy(kind)
        except OverflowError:
            continue
    return None


def _digits_column(name: str, series: "pd.Series") -> Column:
    """Whole numbers as the text of their digits, of which floats would lose some."""
    import pandas as pd

    codes, levels = series.factorize()
    return _levels_column(name, codes, pd.Series([str(int(level)) for level in levels], dtype=object))


def _aware_objects(name: str, series: "pd.Series") -> bool:
    """Whether the dates have a time zone; DataError where only some have."""
    aware = np.array([getattr(cell, "tzinfo", None) is not None for cell in series])
    there = series.notna().to_numpy()
    some, other = np.flatnonzero(aware & there), np.flatnonzero(~aware & there)
    if len(some) and len(other):
        raise DataError(
            f"column {name!r} has {len(some)} dates with a time zone and {len(other)} without (row {shown(other)}); "
            f"use tz_localize of pandas so that all are alike, or {option('drop', name)}"
        )
    return bool(len(some))


def _levels_column(name: str, codes: np.ndarray, levels: "pd.Series") -> Column:
    """Codes and levels with blanks stripped, missing words taken out and equal levels made one."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(levels.dtype):
        return _text_column(name, codes, [number_text(value) for value in levels.to_numpy()])
    texts = levels.tolist()
    return _text_column(name, codes, texts if all(type(text) is str for text in texts) else levels.astype(str).tolist())


def _text_column(name: str, codes: np.ndarray, levels: list[str]) -> Column:
    if not levels:
        return Column(name, "number", np.full(len(codes), np.nan), NO_LEVELS)
    places: dict[str, int] = {}
    table = np.full(len(levels) + 1, -1, np.int32)  # code -1 reads the last entry
    for i, level in enumerate(levels):
        text = level.strip()
        if len(text) > LONGEST_MISSING or text.lower() not in MISSING:
            table[i] = places.setdefault(text, len(places))
    return Column(name, "text", table.take(codes), np.array(list(places), object))


def number_text(value: Any) -> str:
    """A number as a level: 3 and 3.0 are both '3'."""
    return str(int(value)) if float(value).is_integer() else str(value)


def as_text(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Codes (-1 missing) and their levels of any column."""
    import pandas as pd

    if column.kind in ("text", "bool"):
        return column.data, column.levels
    codes, found = pd.factorize(column.data)
    write = number_text if column.kind == "number" else str
    return codes, np.array([write(value) for value in found], dtype=object)


def parse_numbers(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each level (NaN: none) and a flag for each that is neither a number nor a word for missing."""
    import pandas as pd

    text = pd.Series(levels, dtype=object)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    junk = np.isnan(numbers)
    junk[junk] = [level.lower() not in MISSING_NUMBER for level in levels[junk]]
    return numbers, junk


def as_number(column: Column, advice: str | None = None, parse: Parse = parse_numbers) -> Column:
    """The column as numbers; DataError for cells that are none, for dates, and for infinite or too large numbers.

    advice: what the error tells to do, where the column is no feature that options could treat otherwise. parse: what
    `parse_numbers` does, for another way to write numbers.
    """
    if column.kind == "date":
        raise DataError(
            f"column {column.name!r} holds dates, not numbers; {option('date', column.name)} reads it as dates"
        )
    if column.kind == "bool":
        numbers = np.array([0.0, 1.0, np.nan])[column.data]
        return Column(column.name, "number", numbers, NO_LEVELS)
    if column.kind == "text":
        column = _parsed(column, advice, parse)
    low, high = (float(ends.reduce(column.data, initial=0)) for ends in (np.fmin, np.fmax))
    if low < -LARGEST or high > LARGEST:
        bad = np.flatnonzero(~(np.abs(column.data) <= LARGEST) & ~np.isnan(column.data))
        way = f"--inf missing takes them as missing, {option('drop', column.name)} leaves the column out"
        raise DataError(
            f"column {column.name!r} holds {counted(len(bad), 'infinite or too large number')} "
            f"(row {shown(bad)}); {advice or way}"
        )
    return column


def _parsed(column: Column, advice: str | None, parse: Parse) -> Column:
    numbers, junk = parse(column.levels)
    bad = np.flatnonzero(np.append(junk, False)[column.data])
    if len(bad):
        first = shown(dict.fromkeys(column.levels[column.data[bad]]))
        usual = f"mend them, or {option('coerce', column.name)} (what is no number is missing), "
        usual += f"{option('categorical', column.name)} or {option('drop', column.name)}"
        raise DataError(
            f"column {column.name!r} has {counted(len(bad), 'cell')} of {len(column.data):,} that "
            f"{agreeing(len(bad), 'is no number', 'are no numbers')}: {first}; "
            f"{advice or usual}"
        )
    return Column(column.name, "number", np.append(numbers, np.nan)[column.data], NO_LEVELS)


def option(word: str, *names: str) -> str:
    """The option that names columns, as it is typed: --drop "my column",age."""
    return f"--{word} {','.join(map(_typed, names))}"


def part_option(step: str, name: str, part: str) -> str:
    """The option that chooses a part for one column, as it is typed: --text."my column" tfidf."""
    return f"--{step}.{_typed(name)} {part}"


def _typed(name: str) -> str:
    """A name as it is typed, in quotes where it needs them; $ and { stand for variables in double ones."""
    quote = "" if re.fullmatch(r"[\w.]+", name) else "'" if re.search(r'["${]', name) else '"'
    return f"{quote}{name}{quote}"


def shown(items: Any) -> str:
    """The first few items in words, shortened."""
    items = list(items)
    words = [repr(i if len(i) <= 40 else i[:39] + "…") if isinstance(i, str) else str(i) for i in items[:SHOWN]]
    return ", ".join(words) + (", …" if len(items) > SHOWN else "")
