"""Fitted columns: each knows how a raw column becomes some columns of the float32 matrix, and is plain state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nnlab.core.data.category import Category, fit_category
from nnlab.core.data.columns import Column
from nnlab.core.data.dates import as_date
from nnlab.core.data.free_text import FreeText, fit_text
from nnlab.core.data.numbers import Arrays, Number, fit_number
from nnlab.core.data.roles import Typed
from nnlab.core.data.rounding import unit_of
from nnlab.core.errors import DataError
from nnlab.core.spec import PrepareSpec

DAY_US = 86_400_000_000
CYCLES = {"month": 12, "day": 31, "weekday": 7, "hour": 24}
FROM_ONE = ("month", "day")
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

    @property
    def complete(self) -> bool | None:
        """Whether the training rows had no gaps; None where that is not known."""
        ...

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """The column as numbers, codes or dates, and the number of cells that training never saw."""
        ...

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """Rows of values into out: (rows, features) of zeros, float32."""
        ...

    @property
    def done(self) -> str:
        """What was done to the column, in words."""
        ...

    @property
    def detail(self) -> str:
        """What else there is to know of it: what fills gaps, which levels there are."""
        ...

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """The raw column again from its features."""
        ...

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON values and arrays; `feature_from` takes them back."""
        ...


@dataclass(frozen=True, eq=False)
class Date:
    """A date: the parts that vary in training, and days since the first date, each as a number."""

    name: str
    written: str | None
    first: int  # microseconds since 1970
    parts: tuple[tuple[str, Number], ...]
    cycles: tuple[str, ...] = ()  # parts that are there as sine and cosine, too
    aware: bool | None = None  # whether dates of training had a time zone
    unit: int = 1  # microseconds: the largest of a day, hour, minute, ... that parts the dates of training

    @property
    def labels(self) -> tuple[str, ...]:
        own = tuple(label for _, number in self.parts for label in number.labels)
        return own + tuple(f"{self.name} {part} {wave}" for part in self.cycles for wave in ("sin", "cos"))

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """The dates. DataError where a time zone is there that training had not, or the other way round."""
        if None not in (self.aware, column.aware) and self.aware != column.aware:
            here, there = ("no time zone", "one") if self.aware else ("a time zone", "none")
            raise DataError(
                f"column {self.name!r} has dates with {here}, in training they had {there}; "
                f"use {'tz_localize' if self.aware else 'tz_localize(None)'} of pandas so that both are alike"
            )
        return as_date(column, self.written).data, 0

    @property
    def complete(self) -> bool | None:
        """Whether the training rows had no gaps; None for a pipeline of an older version."""
        return self.parts[0][1].complete if self.parts else None

    def outside(self, values: np.ndarray) -> int:
        """How many dates lie before the first or after the last one of the training rows."""
        elapsed = dict(self.parts).get("elapsed")
        return elapsed.outside(date_part(values, "elapsed", self.first))[0] if elapsed else 0

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        self._write(values, out, flags=True)

    def write_filled(self, values: np.ndarray, out: np.ndarray) -> None:
        """Dates whose gaps were filled over those that came; flags of gaps stay as they are."""
        self._write(values, out, flags=False)

    def _write(self, values: np.ndarray, out: np.ndarray, flags: bool) -> None:
        start = 0
        for part, number in self.parts:
            width, numbers = len(number.labels), date_part(values, part, self.first)
            own = out[:, start : start + width]
            if flags:
                number.write(numbers, own)
            else:
                number.write_filled(number.filled(numbers)[0], own)
            start += width
        for part in self.cycles:
            angle = 2.0 * np.pi * (date_part(values, part, 0) - (part in FROM_ONE)) / CYCLES[part]
            out[:, start] = np.nan_to_num(np.sin(angle))
            out[:, start + 1] = np.nan_to_num(np.cos(angle))
            start += 2

    def state(self) -> tuple[dict[str, Any], Arrays]:
        states = [(part, *number.state()) for part, number in self.parts]
        own: dict[str, Any] = {
            "written": self.written,
            "first": self.first,
            "parts": [[part, plain] for part, plain, _ in states],
        }
        own |= {"cycles": list(self.cycles), "aware": self.aware, "unit": self.unit}
        arrays = {f"{part}.{key}": value for part, _, found in states for key, value in found.items()}
        return {"kind": "date", "name": self.name} | own, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Arrays) -> "Date":
        """The date that `state` wrote."""
        parts = tuple((part, _part_number(part, plain, arrays)) for part, plain in state["parts"])
        more = tuple(state.get("cycles", ())), state.get("aware"), state.get("unit", 1)
        return cls(state["name"], state["written"], state["first"], parts, *more)

    @property
    def done(self) -> str:
        """What was done, in words."""
        waves = f"; cycles of {', '.join(self.cycles)}" if self.cycles else ""
        return "parts: " + ", ".join(part for part, _ in self.parts) + waves

    @property
    def detail(self) -> str:
        """Nothing more to say."""
        return ""

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """The dates that gave these features, by the days since the first, to the unit that training dates had.

        NaT where those days are no feature. A float32 tells days apart over 40,000 years and seconds over half a year.
        """
        start = 0
        for part, number in self.parts:
            if part == "elapsed":
                if not number.goes_back:
                    break
                units = np.rint(number.unscaled(features[:, start].astype(np.float64)) * (DAY_US / self.unit))
                known = np.abs(units) < np.iinfo(np.int64).max / self.unit
                us = np.where(known, units, 0).astype(np.int64) * self.unit + self.first
                return np.where(known, us.astype("datetime64[us]"), np.datetime64("NaT"))
            start += len(number.labels)
        return np.full(len(features), np.datetime64("NaT", "us"))


def _part_number(part: str, plain: Mapping[str, Any], arrays: Arrays) -> Number:
    own = {key.removeprefix(f"{part}."): value for key, value in arrays.items() if key.startswith(f"{part}.")}
    return Number.from_state(plain, own)


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


def fit_feature(typed: Typed, train: np.ndarray, spec: PrepareSpec, seed: int, y: np.ndarray, classes: int) -> Feature:
    """The fitted column. train: positions of the training rows; y: their targets; seed: the column's own."""
    assert typed.column is not None
    rows = typed.column.data[train]
    rng = np.random.default_rng([spec.seed, seed])
    if typed.as_category:
        part = spec.part_of("encode", typed.name, typed.role)
        own = spec.overrides.get("impute", {})
        impute = own.get(typed.name) or own.get(typed.role)
        found = fit_category(typed.column, rows, part, y, classes, rng, impute)
        complete = found.complete and not typed.had_gaps
        return replace(found, usual=typed.usual, complete=complete, kind=typed.levels_of)
    if typed.role == "date":
        return _fit_date(typed, rows, spec, rng)
    if typed.role == "text":
        return fit_text(typed.column, train, spec.part_of("text", typed.name, typed.role), rng)
    number = fit_number(typed.name, rows.astype(np.float64, copy=False), spec, rng, typed.role)
    return replace(number, reading=typed.reading, whole=typed.column.whole)


def _fit_date(typed: Typed, rows: np.ndarray, spec: PrepareSpec, rng: np.random.Generator) -> Date:
    us = rows[~np.isnat(rows)].astype(np.int64)
    first = int(us.min())
    parts: list[tuple[str, Number]] = []
    for part in PARTS:
        numbers = date_part(rows, part, first)
        if np.nanmin(numbers) < np.nanmax(numbers):
            number = fit_number(f"{typed.name} {part}", numbers, spec, rng, "date", typed.name)
            if parts and number.indicator:
                number = replace(number, indicator=False)  # one flag for all parts
            parts.append((part, number))
    cycles = tuple(part for part, _ in parts if part in CYCLES) if spec.cycles else ()
    aware = typed.column.aware if typed.column else None
    return Date(typed.name, typed.date_format, first, tuple(parts), cycles, aware, unit_of(us - first))


def feature_from(state: Mapping[str, Any], arrays: Arrays) -> Feature:
    """The feature that `state` wrote; DataError for a kind that this version does not know."""
    kinds: dict[str, Any] = {"number": Number, "category": Category, "date": Date, "text": FreeText}
    if state["kind"] not in kinds:
        raise DataError(
            f"column {state['name']!r} was stored as {state['kind']!r}, which this version of nnlab does not know"
        )
    found: Feature = kinds[state["kind"]].from_state(state, arrays)
    return found
