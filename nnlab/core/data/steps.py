"""What can be done to a column: one decorated function each.

An imputer gives the number that stands in for missing ones. A scaler gives its fitted state, floats and float64 arrays
by name, which is all that is stored; its `apply` fact is the function (column, state) -> column that uses the state,
written once for all scalers that share it. An encoder gives an `Encoding`. All see training rows only, without NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from nnlab.core.params import Within
from nnlab.core.registry import Registry

SCALERS = Registry("scaler")
IMPUTERS = Registry("imputer")
ENCODERS = Registry("encoder")

Array = np.ndarray
State = dict[str, float | Array]

BOUND = 1e-7  # how near to the ends of the quantiles a value is taken as an end; the same as scikit-learn's


@IMPUTERS.add
def median(present: Array) -> float:
    """The median of the column."""
    return float(np.median(present))


@IMPUTERS.add
def mean(present: Array) -> float:
    """The mean of the column."""
    return float(present.mean())


def shift_and_divide(column: Array, state: State) -> Array:
    """(column - shift) / scale."""
    return (column - state["shift"]) / state["scale"]


@SCALERS.add(apply=shift_and_divide)
def standard(column: Array, rng: np.random.Generator) -> State:
    """Mean 0 and standard deviation 1."""
    average, variance, n = column.mean(), column.var(), len(column)
    rounding = n * np.finfo(np.float64).eps * variance + (n * average * np.finfo(np.float64).eps) ** 2
    return {"shift": float(average), "scale": float(np.sqrt(variance)) if variance > rounding else 1.0}


@SCALERS.add(apply=shift_and_divide)
def minmax(column: Array, rng: np.random.Generator) -> State:
    """From 0 to 1."""
    low, high = float(column.min()), float(column.max())
    return {"shift": low, "scale": high - low if high > low else 1.0}


@SCALERS.add(apply=lambda column, state: column)
def none(column: Array, rng: np.random.Generator) -> State:
    """As they are."""
    return {}


def to_normal(column: Array, state: State) -> Array:
    """The standard normal quantile of each value's rank among the fitted quantiles, at most 5.2 from 0."""
    from scipy.special import ndtri

    values, knots = column / state["unit"], np.asarray(state["quantiles"])
    ranks = np.linspace(0.0, 1.0, len(knots))
    # From both sides and averaged: a value that fills several quantiles gets the middle of its ranks.
    share = 0.5 * (np.interp(values, knots, ranks) - np.interp(-values, -knots[::-1], -ranks[::-1]))
    share[values + BOUND > knots[-1]] = 1.0
    share[values - BOUND < knots[0]] = 0.0
    edge = BOUND - np.spacing(1)
    return np.clip(ndtri(share), ndtri(edge), ndtri(1 - edge))


@SCALERS.add(apply=to_normal)
def quantile(
    column: Array,
    rng: np.random.Generator,
    knots: Annotated[int | None, Within(2, 10_000), "number of quantiles; auto: one for 30 rows, 10 to 1000"] = None,
    noise: Annotated[float, Within(0.0, 1.0), "noise of the fit in standard deviations, parts equal values"] = 1e-3,
) -> State:
    """Normal by ranks: any distribution becomes a bell, outliers come near (QuantileTransformer of scikit-learn)."""
    unit = float(column.std()) or 1.0  # ranks do not see it, but BOUND is absolute and columns may be tiny
    values = column / unit
    if noise:
        values = values + noise * rng.standard_normal(len(values))
    n = min(knots or max(min(len(values) // 30, 1000), 10), len(values))
    found = np.percentile(values, np.linspace(0.0, 1.0, n) * 100.0)
    return {"unit": unit, "quantiles": np.maximum.accumulate(found)}


@dataclass(frozen=True, eq=False)
class Encoding:
    """How levels become features: level i writes values[i] into feature slots[i] (-1: nowhere), the others are 0.

    slots (int32) and values (float32) have an entry for each level, then one for missing and one for unseen levels.
    labels: the name of each feature.
    """

    labels: tuple[str, ...]
    slots: Array
    values: Array


OTHER, MISSING_LEVEL = "<other>", "<missing>"


@ENCODERS.add
def one_hot(
    levels: Sequence[str],
    counts: Array,
    max_levels: Annotated[int, Within(2, 100_000, log=True), "most levels; rarer ones share <other>"] = 64,
    min_rows: Annotated[int, Within(1, 1_000_000, log=True), "levels with fewer rows share <other>"] = 1,
) -> Encoding:
    """One 0/1 feature a level, or one of -1/+1 for two. Unseen levels go to <other>, or to zeros where none is rare."""
    if len(levels) == 2 and not counts[-1] and counts.min(initial=min_rows, where=_present(counts)) >= min_rows:
        return Encoding((levels[1],), np.array([0, 0, -1, -1], np.int32), np.array([-1, 1, 0, 0], np.float32))
    rows = counts[:-1]
    often = np.zeros(len(levels), bool)
    often[np.argsort(-rows, kind="stable")[:max_levels]] = True
    often &= rows >= min_rows
    slots = np.full(len(levels) + 2, -1, np.int32)
    slots[:-2][often] = np.arange(often.sum())
    labels = [level for level, own in zip(levels, often, strict=True) if own]
    if counts[-1]:
        slots[-2] = len(labels)
        labels.append(MISSING_LEVEL)
    if not often.all():
        slots[:-2][~often] = slots[-1] = len(labels)
        labels.append(OTHER)
    return Encoding(tuple(labels), slots, (slots >= 0).astype(np.float32))


def _present(counts: Array) -> Array:
    return np.arange(len(counts)) < len(counts) - 1
