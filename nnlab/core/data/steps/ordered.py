"""Imputers along an order: a gap takes what earlier or later rows of its group hold."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import IMPUTERS, Array, State
from nnlab.core.params import Within

Limit = Annotated[int | None, Within(1, 1_000_000_000, log=True), "most gaps in a row that are filled; auto: all"]


@dataclass(frozen=True, eq=False)
class Series:
    """Rows by group, then by time. All (n,): times float64, ascending in a group; first, last: the places of the ends
    of each row's group; later: whether the row may give its value to earlier ones (to later ones every row may)."""

    times: Array
    first: Array
    last: Array
    later: Array

    def before(self, column: Array) -> Array:
        """The place of the nearest value up to each row, -1 where its group has none."""
        places = np.where(np.isnan(column), -1, np.arange(len(column)))
        found = np.maximum.accumulate(places) if len(places) else places
        return np.where(found >= self.first, found, -1)

    def after(self, column: Array) -> Array:
        """The place of the nearest value from each row on that may be given to earlier ones, -1 where there is none."""
        places = np.where(np.isnan(column) | ~self.later, len(column), np.arange(len(column)))
        found = np.minimum.accumulate(places[::-1])[::-1] if len(places) else places
        return np.where(found <= self.last, found, -1)


def _taken(column: Array, places: Array, limit: int | None) -> Array:
    """The column with each gap filled from a place (-1: from none) that is at most so many rows away."""
    near = places >= 0
    if limit is not None:
        near &= np.abs(np.arange(len(column)) - places) <= limit
    return np.where(np.isnan(column) & near, column[places], column) if len(column) else column


def _forward(column: Array, series: Series, state: State) -> Array:
    return _taken(column, series.before(column), state["limit"])


@IMPUTERS.add(scope="order", apply=_forward, ahead=False)
def ffill(limit: Limit = None) -> State:
    """The last value before, in the order of time within the group (ffill of pandas)."""
    return {"limit": limit}


def _backward(column: Array, series: Series, state: State) -> Array:
    return _taken(column, series.after(column), state["limit"])


@IMPUTERS.add(scope="order", apply=_backward, ahead=True)
def bfill(limit: Limit = None) -> State:
    """The next value, in the order of time within the group (bfill of pandas); it uses the future."""
    return {"limit": limit}


def _between(column: Array, series: Series, state: State) -> Array:
    before, after = series.before(column), series.after(column)
    both = (before >= 0) & (after >= 0)
    start, end = np.where(both, before, 0), np.where(both, after, 0)
    if not len(column):
        return column
    span = series.times[end] - series.times[start]
    share = np.divide(series.times - series.times[start], span, out=np.zeros(len(column)), where=both & (span > 0))
    line = column[start] * (1.0 - share) + column[end] * share
    near = both if state["limit"] is None else both & (np.arange(len(column)) - before <= state["limit"])
    filled = np.where(np.isnan(column) & near, line, column)
    return np.where(both, filled, _taken(column, before, state["limit"]))


@IMPUTERS.add(scope="order", apply=_between, ahead=True)
def interpolate(limit: Limit = None) -> State:
    """On the line in time between the values around it, after the last one that (interpolate of pandas by index)."""
    return {"limit": limit}
