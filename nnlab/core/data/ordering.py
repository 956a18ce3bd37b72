"""Gaps filled from earlier or later rows of the same group; what a row may take depends on its part of the split.

Training rows take from training rows. Rows of validation and test take earlier values of their own part and of the
parts before it, which are known when predicting, and later values of their own part only. At prediction the frame is
one part: history that shall count must be in it, nothing is kept of the training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, as_number, as_text, shown
from nnlab.core.data.dates import as_date, date_format
from nnlab.core.data.numbers import Step
from nnlab.core.data.roles import Typed
from nnlab.core.data.split import Split
from nnlab.core.data.steps import IMPUTERS
from nnlab.core.data.steps.ordered import Series
from nnlab.core.errors import SpecError
from nnlab.core.spec import PrepareSpec, make

SCOPE = "order"


@dataclass(frozen=True, eq=False)
class Order:
    """Fitted imputers along an order: one step for each column, numbers and categories by name.

    time, group: the columns that order and part the rows, None: by their place, all in one group. written: the format
    of the times, None for numbers and real dates.
    """

    steps: Mapping[str, Step]
    time: str | None = None
    group: str | None = None
    written: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that a frame must have for its order."""
        return tuple(name for name in (self.time, self.group) if name is not None)

    @property
    def done(self) -> tuple[str, ...]:
        """What is done, in words, a line for each imputer."""
        way = f"by {self.time!r}" if self.time else "by the order of the rows"
        within = f" within {self.group!r}" if self.group else ""
        return tuple(f"impute {name}: {shown(names)} {way}{within}" for name, names in self._names().items())

    @property
    def notes(self) -> tuple[str, ...]:
        """What should be known of it: that the future is used, and that no column tells the order."""
        names = self._names()
        ahead = [name for name in names if IMPUTERS[name].facts["ahead"]]
        found = [f"impute {n} uses the future (columns {shown(names[n])}): gaps take later rows' values" for n in ahead]
        if self.time is None:
            found.append(f"impute {shown(names)} goes by the order of the rows; --time COLUMN names what orders them")
        return tuple(found)

    def _names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for column, step in self.steps.items():
            names.setdefault(step.name, []).append(column)
        return names

    def keys(self, columns: Mapping[str, Column]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Codes of the groups (-1: none) and times (float64, NaN: none) of all rows, None where no column tells."""
        groups = None if self.group is None else np.asarray(as_text(columns[self.group])[0], np.int64)
        return groups, None if self.time is None else _as_times(columns[self.time], self.written)

    def filled(
        self, columns: Mapping[str, Column], part: np.ndarray
    ) -> tuple[dict[str, Column], dict[str, np.ndarray]]:
        """Categories with their gaps filled, and the values (float64, datetime64) of numbers and dates with theirs.

        part: 0, 1, 2 for the rows of training, validation and test, -1 for rows of none, which neither give nor take.
        What no row gives a value for stays a gap.
        """
        given = {}
        gaps = {name: columns[name].missing() for name in self.steps if name in columns}
        wanted = {name: _plain(columns[name]) for name in gaps if gaps[name].any()}
        if wanted:
            groups, times = self.keys(columns)
            given = {name: values.copy() for name, values in wanted.items()}
            for code in np.unique(part[part >= 0]):
                rows, series = _series(groups, times, part, int(code))
                take = part[rows] == code
                for name, values in wanted.items():
                    step = self.steps[name]
                    result = IMPUTERS[step.name].facts["apply"](values[rows], series, step.state)
                    given[name][rows[take]] = result[take]
        levels = {name: _recoded(columns[name], given.pop(name)) for name in list(given) if _is_coded(columns[name])}
        dates = {name: _dated(columns[name], given[name]) for name in given if columns[name].kind == "date"}
        return levels, given | dates

    def state(self) -> dict[str, Any]:
        """As JSON values; `order_from` takes them back."""
        steps = {name: step.split()[0] for name, step in self.steps.items()}
        return {"steps": steps, "time": self.time, "group": self.group, "written": self.written}


def order_from(state: Mapping[str, Any]) -> Order:
    """The order that `state` wrote."""
    steps = {name: Step.joined(step, {}) for name, step in state["steps"].items()}
    return Order(steps, state["time"], state["group"], state["written"])


def fit_order(typed: list[Typed], columns: list[Column], spec: PrepareSpec) -> Order | None:
    """The order of all columns whose imputer goes along one, None where there is none.

    typed: the features; columns: of the whole frame. SpecError for a column that the imputer chosen for it cannot fill.
    """
    steps = {}
    for column in typed:
        own = spec.overrides.get("impute", {})
        chosen = own.get(column.name) or own.get(column.role)
        part = chosen or spec.impute
        if column.column is None or IMPUTERS[part.name].facts.get("scope") != SCOPE:
            continue
        if column.as_category and part.name == "interpolate":
            if chosen:
                raise SpecError(_cannot(column, part.name, chosen is own.get(column.name)))
        elif chosen or not column.as_category:
            steps[column.name] = Step(part.name, make(IMPUTERS, part))
    if not steps:
        return None
    named = {column.name: column for column in columns}
    return Order(steps, spec.time, spec.group, _format(named[spec.time]) if spec.time else None)


def _cannot(column: Typed, name: str, own: bool) -> str:
    word = column.name if own else column.role
    instead = "most_frequent, constant, ffill or bfill"
    return f"impute.{word} {name}: column {column.name!r} holds a category, {name} fills numbers; take {instead}"


def with_levels(typed: Typed, column: Column, train: np.ndarray) -> Typed:
    """A category whose gaps were filled along an order."""
    assert typed.column is not None
    return replace(typed, column=column, had_gaps=bool(typed.column.missing()[train].any()))


def parts_of(split: Split, rows: int) -> np.ndarray:
    """0, 1, 2 for the rows of training, validation and test, -1 for rows of none."""
    part = np.full(rows, -1)
    for code, own in enumerate((split.train, split.valid, split.test)):
        part[own] = code
    return part


def _format(column: Column) -> str | None:
    return date_format(as_text(column)[1], forced=True) if column.kind in ("text", "bool") else None


def _as_times(column: Column, written: str | None) -> np.ndarray:
    if column.kind == "number":
        return as_number(column).data.astype(np.float64)
    dates = as_date(column, written).data
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64).astype(np.float64))


def _is_coded(column: Column) -> bool:
    return column.kind in ("text", "bool")


def _plain(column: Column) -> np.ndarray:
    """Numbers, codes or microseconds since the first date as float64, NaN for gaps."""
    if column.kind == "date":
        us = column.data.astype(np.int64)
        return np.where(np.isnat(column.data), np.nan, (us - _first(column)).astype(np.float64))
    numbers = column.data.astype(np.float64)
    return np.where(numbers < 0, np.nan, numbers) if _is_coded(column) else numbers


def _first(column: Column) -> int:
    """The first date in microseconds since 1970: distances to it are small enough for float64 to hold them."""
    present = column.data[~np.isnat(column.data)]
    return int(present.min().astype(np.int64)) if len(present) else 0


def _dated(column: Column, values: np.ndarray) -> np.ndarray:
    """The dates, those of gaps by what fills them."""
    taken = np.isnat(column.data) & ~np.isnan(values)
    us = np.rint(np.where(taken, values, 0.0)).astype(np.int64) + _first(column)
    return np.where(taken, us.astype("datetime64[us]"), column.data)


def _recoded(column: Column, values: np.ndarray) -> Column:
    codes = np.where(np.isnan(values), -1, values).astype(column.data.dtype)
    return Column(column.name, column.kind, codes, column.levels)


def _series(
    groups: np.ndarray | None, times: np.ndarray | None, part: np.ndarray, code: int
) -> tuple[np.ndarray, Series]:
    """The rows that the rows of a part see, by group and time, and their series; rows without either are not seen."""
    seen = (part >= 0) & (part <= code)
    if times is not None:
        seen &= ~np.isnan(times)
    if groups is not None:
        seen &= groups >= 0
    rows = np.flatnonzero(seen)
    when = rows.astype(np.float64) if times is None else times[rows]
    own = np.zeros(len(rows), np.int64) if groups is None else groups[rows]
    order = np.lexsort((when, own))  # stable: equal times stay in the order of the rows
    rows, when, own = rows[order], when[order], own[order]
    first = np.searchsorted(own, own, side="left")
    last = np.searchsorted(own, own, side="right") - 1
    return rows, Series(when, first, last, part[rows] == code)
