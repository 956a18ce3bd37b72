"""Fitted columns: each knows how a raw column becomes some columns of the float32 matrix, and is plain state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nnlab.core.data.columns import Column, as_date, as_number, as_text
from nnlab.core.data.roles import Typed
from nnlab.core.data.steps import ENCODERS, IMPUTERS, SCALERS, Encoding, State
from nnlab.core.data.target import match
from nnlab.core.errors import DataError
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, make

Arrays = dict[str, np.ndarray]
DAY_US = 86_400_000_000
PARTS = ("year", "month", "day", "weekday", "hour", "elapsed")


class Feature(Protocol):
    """A fitted column. `values` makes plain numbers of a whole raw column, `write` makes features of rows of them."""

    @property
    def name(self) -> str:
        """The column's."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the features."""
        ...

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """The column as numbers, codes or dates, and the number of cells that training never saw."""
        ...

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """Rows of values into out: (rows, features) of zeros, float32."""
        ...

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON values and arrays; `feature_from` takes them back."""
        ...


@dataclass(frozen=True, eq=False)
class Number:
    """A number: gaps filled, then scaled; with a 0/1 feature for the gaps where training rows had some."""

    name: str
    fill: float
    indicator: bool
    scaler: str
    scaling: State

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} <missing>") if self.indicator else (self.name,)

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        return as_number(column, "mend them: in training the column held numbers").data, 0

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        numbers = values.astype(np.float64)
        gaps = np.isnan(numbers)
        numbers[gaps] = self.fill
        if self.indicator:
            out[:, 1] = gaps
        limit = np.finfo(np.float32).max
        with np.errstate(over="ignore"):
            scaled = SCALERS[self.scaler].facts["apply"](numbers, self.scaling)
        out[:, 0] = np.clip(scaled, -limit, limit)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        plain = {key: value for key, value in self.scaling.items() if not isinstance(value, np.ndarray)}
        arrays = {key: value for key, value in self.scaling.items() if isinstance(value, np.ndarray)}
        own = {"fill": self.fill, "indicator": self.indicator, "scaler": self.scaler, "scaling": plain}
        return {"kind": "number", "name": self.name} | own, arrays


@dataclass(frozen=True, eq=False)
class Category:
    """Levels, each of which puts one value into one feature."""

    name: str
    levels: tuple[str, ...]
    encoding: Encoding

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={label}" for label in self.encoding.labels)

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """Codes: levels, then missing, then unseen."""
        codes, levels = as_text(column)
        n = len(self.levels)
        table = match(levels, {level: code for code, level in enumerate(self.levels)})
        unseen = np.bincount(codes[codes >= 0], minlength=len(levels))[: len(levels)][table[:-1] < 0].sum()
        table[table < 0] = n + 1
        table[-1] = n
        return table[codes], int(unseen)

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        slots = self.encoding.slots[values]
        rows = np.flatnonzero(slots >= 0)
        out[rows, slots[rows]] = self.encoding.values[values[rows]]

    def state(self) -> tuple[dict[str, Any], Arrays]:
        own = {"levels": list(self.levels), "labels": list(self.encoding.labels)}
        return {"kind": "category", "name": self.name} | own, {
            "slots": self.encoding.slots,
            "values": self.encoding.values,
        }


@dataclass(frozen=True, eq=False)
class Date:
    """A date: the parts that vary in training, and days since the first date, each as a number."""

    name: str
    written: str | None
    first: int  # microseconds since 1970
    parts: tuple[tuple[str, Number], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for _, number in self.parts for label in number.labels)

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        return as_date(column, self.written).data, 0

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        start = 0
        for part, number in self.parts:
            width = len(number.labels)
            number.write(date_part(values, part, self.first), out[:, start : start + width])
            start += width

    def state(self) -> tuple[dict[str, Any], Arrays]:
        states = [(part, *number.state()) for part, number in self.parts]
        own = {"written": self.written, "first": self.first, "parts": [[part, plain] for part, plain, _ in states]}
        arrays = {f"{part}.{key}": value for part, _, found in states for key, value in found.items()}
        return {"kind": "date", "name": self.name} | own, arrays


def date_part(dates: np.ndarray, part: str, first: int) -> np.ndarray:
    """A part of datetime64[us] dates as float64, NaN for NaT; weekday 0 is Monday, elapsed in days since `first`."""
    gaps = np.isnat(dates)
    us = np.where(gaps, 0, dates.astype(np.int64))
    days = us // DAY_US
    if part == "elapsed":
        found = (us - first) / DAY_US
    elif part == "hour":
        found = (us - days * DAY_US) // 3_600_000_000
    elif part == "weekday":
        found = (days + 3) % 7  # 1970-01-01 was a Thursday
    else:
        found = _calendar(days, part)
    return np.where(gaps, np.nan, found.astype(np.float64))


def _calendar(days: np.ndarray, part: str) -> np.ndarray:
    day = days.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    if part == "year":
        return day.astype("datetime64[Y]").astype(np.int64) + 1970
    if part == "month":
        return month.astype(np.int64) % 12 + 1
    return (day - month.astype("datetime64[D]")).astype(np.int64) + 1


def fit_feature(typed: Typed, train: np.ndarray, spec: PrepareSpec, seed: int) -> Feature:
    """The fitted column. train: positions of the training rows; seed: the column's own."""
    assert typed.column is not None
    rows = typed.column.data[train]
    rng = np.random.default_rng([spec.seed, seed])
    if typed.as_category:
        return _fit_category(typed.column, rows, spec.encode)
    if typed.role == "date":
        return _fit_date(typed, rows, spec, rng)
    return fit_number(typed.name, rows.astype(np.float64), spec, spec.indicators, rng)


def fit_number(name: str, rows: np.ndarray, spec: PrepareSpec, indicators: bool, rng: np.random.Generator) -> Number:
    """The fitted number column of float64 rows."""
    gaps = np.isnan(rows)
    present = rows[~gaps]
    fill = make(IMPUTERS, spec.impute, present) if len(present) else 0.0
    scaling = make(SCALERS, spec.scale, np.where(gaps, fill, rows), rng)
    return Number(name, fill, bool(indicators and gaps.any()), spec.scale.name, scaling)


def _fit_category(column: Column, rows: np.ndarray, encode: Part) -> Category:
    """Levels of the training rows in order, numbers by size and text by the alphabet."""
    counts = np.bincount(rows.astype(np.int64) + 1, minlength=len(column.levels) + 1)
    used = np.flatnonzero(counts[1:])
    levels = column.levels[used]
    order = sorted(range(len(used)), key=_sort_keys(levels).__getitem__)
    names = tuple(levels[i] for i in order)
    encoding = make(ENCODERS, encode, names, np.append(counts[1:][used[order]], counts[0]))
    return Category(column.name, names, encoding)


def _sort_keys(levels: np.ndarray) -> list[Any]:
    try:
        return [float(level) for level in levels]
    except ValueError:
        return list(levels)


def _fit_date(typed: Typed, rows: np.ndarray, spec: PrepareSpec, rng: np.random.Generator) -> Date:
    first = int(rows[~np.isnat(rows)].min().astype(np.int64))
    parts: list[tuple[str, Number]] = []
    for part in PARTS:
        numbers = date_part(rows, part, first)
        if np.nanmin(numbers) < np.nanmax(numbers):
            flag = spec.indicators and not parts  # one flag for all parts
            parts.append((part, fit_number(f"{typed.name} {part}", numbers, spec, flag, rng)))
    return Date(typed.name, typed.date_format, first, tuple(parts))


def feature_from(state: Mapping[str, Any], arrays: Arrays) -> Feature:
    """The feature that `state` wrote; DataError for a kind that this version does not know."""
    name = state["name"]
    if state["kind"] == "number":
        scaling = dict(state["scaling"]) | arrays
        return Number(name, state["fill"], state["indicator"], SCALERS[state["scaler"]].name, scaling)
    if state["kind"] == "category":
        encoding = Encoding(tuple(state["labels"]), arrays["slots"], arrays["values"])
        return Category(name, tuple(state["levels"]), encoding)
    if state["kind"] == "date":
        parts = tuple((part, _part_number(part, plain, arrays)) for part, plain in state["parts"])
        return Date(name, state["written"], state["first"], parts)
    raise DataError(f"column {name!r} was stored as {state['kind']!r}, which this version of nnlab does not know")


def _part_number(part: str, plain: Mapping[str, Any], arrays: Arrays) -> Number:
    own = {key.removeprefix(f"{part}."): value for key, value in arrays.items() if key.startswith(f"{part}.")}
    number = feature_from(plain, own)
    assert isinstance(number, Number)
    return number
