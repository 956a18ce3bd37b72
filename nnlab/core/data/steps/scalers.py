"""How numbers are scaled."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import SCALERS, Array, State
from nnlab.core.errors import SpecError
from nnlab.core.params import Within

EPS = float(np.finfo(np.float64).eps)
BOUND = 1e-7  # how near to the ends of the quantiles a value is taken as an end; the same as scikit-learn's


def shift_and_divide(column: Array, state: State) -> Array:
    """(column - shift) / scale."""
    return (column - state["shift"]) / state["scale"]


def multiply_and_shift(column: Array, state: State) -> Array:
    """column * scale + shift."""
    return column * state["scale"] + state["shift"]


@SCALERS.add(apply=shift_and_divide, inverse=multiply_and_shift)
def standard(column: Array, rng: np.random.Generator) -> State:
    """Mean 0 and standard deviation 1."""
    average, variance, n = column.mean(), column.var(), len(column)
    rounding = n * np.finfo(np.float64).eps * variance + (n * average * np.finfo(np.float64).eps) ** 2
    return {"shift": float(average), "scale": float(np.sqrt(variance)) if variance > rounding else 1.0}


def into_bounds(column: Array, state: State) -> Array:
    """From low to high by the training range, clipped where the state says so."""
    scaled = shift_and_divide(column, state) * (state["high"] - state["low"]) + state["low"]
    return np.clip(scaled, state["low"], state["high"]) if state["clip"] else scaled


def from_bounds(column: Array, state: State) -> Array:
    """The column before `into_bounds`."""
    return multiply_and_shift((column - state["low"]) / (state["high"] - state["low"]), state)


@SCALERS.add(apply=into_bounds, inverse=from_bounds)
def minmax(
    column: Array,
    rng: np.random.Generator,
    low: Annotated[float, Within(-1e6, 1e6), "smallest value"] = 0.0,
    high: Annotated[float, Within(-1e6, 1e6), "largest value"] = 1.0,
    clip: Annotated[bool, "values beyond the training range are put at its ends"] = False,
) -> State:
    """From low to high (MinMaxScaler of scikit-learn)."""
    if low >= high:
        raise SpecError(f"scale minmax: low={low:g} must be below high={high:g}")
    first, last = float(column.min()), float(column.max())
    return {"shift": first, "scale": last - first or 1.0, "low": low, "high": high, "clip": clip}


def smooth_clipped(column: Array, state: State) -> Array:
    """(column - shift) / scale, and z / sqrt(1 + (z / 3)^2) of it where the state says so."""
    z = shift_and_divide(column, state)
    return z / np.sqrt(1 + (z / 3) ** 2) if state["smooth_clip"] else z


def smooth_unclipped(column: Array, state: State) -> Array:
    """The column before `smooth_clipped`; what is at the ends comes back as very large numbers."""
    if state["smooth_clip"]:
        inside = np.clip(column, -3 + 1e-6, 3 - 1e-6)
        column = inside / np.sqrt(1 - (inside / 3) ** 2)
    return multiply_and_shift(column, state)


@SCALERS.add(apply=smooth_clipped, inverse=smooth_unclipped)
def robust(
    column: Array,
    rng: np.random.Generator,
    smooth_clip: Annotated[bool, "outliers are drawn in smoothly, to at most 3"] = True,
) -> State:
    """Median 0, distance of the quartiles 1, outliers drawn in (RealMLP of pytabkit; Holzmueller et al. 2024)."""
    low, middle, high = np.percentile(column, [25.0, 50.0, 75.0])
    spread = float(high - low) or float(column.max() - column.min()) / 2  # zero-inflated columns have no quartiles
    return {"shift": float(middle), "scale": spread or 1.0, "smooth_clip": smooth_clip}


def yeo_johnson(column: Array, power: float) -> Array:
    """The transform of Yeo and Johnson (2000)."""
    out = np.empty_like(column)
    up = column >= 0
    with np.errstate(over="ignore"):
        out[up] = np.log1p(column[up]) if abs(power) < EPS else np.expm1(power * np.log1p(column[up])) / power
        other = 2 - power
        down = np.log1p(-column[~up])
        out[~up] = -down if abs(other) < EPS else -np.expm1(other * down) / other
    limit = np.finfo(np.float64).max ** 0.25
    return np.clip(out, -limit, limit)


def powered(column: Array, state: State) -> Array:
    """Yeo-Johnson of the column, then (value - shift) / scale."""
    return shift_and_divide(yeo_johnson(column / state["unit"], state["power"]), state)


def unpowered(column: Array, state: State) -> Array:
    """The column before `powered`."""
    values, power = multiply_and_shift(column, state), state["power"]
    out = np.empty_like(values)
    up = values >= 0
    tiny = np.finfo(np.float64).tiny
    out[up] = np.expm1(values[up] if abs(power) < EPS else np.log(np.maximum(values[up] * power + 1, tiny)) / power)
    other, down = 2 - power, values[~up]
    out[~up] = -np.expm1(-down if abs(other) < EPS else np.log(np.maximum(1 - down * other, tiny)) / other)
    return out * state["unit"]


@SCALERS.add(apply=powered, inverse=unpowered)
def power(column: Array, rng: np.random.Generator) -> State:
    """Nearest to normal by a power (Yeo-Johnson, PowerTransformer of scikit-learn), then mean 0 and deviation 1."""
    from scipy.optimize import brent

    largest = float(np.abs(column).max())
    unit = largest / 1e6 if largest > 1e6 else 1.0  # powers of huge numbers would overflow
    values = column / unit
    if values.min() == values.max():
        return {"unit": unit, "power": 1.0, "shift": float(values[0]), "scale": 1.0}
    bend = float((np.sign(values) * np.log1p(np.abs(values))).sum())

    def loss(exponent: float) -> float:
        spread = yeo_johnson(values, exponent).var()
        if not np.isfinite(spread) or spread < np.finfo(np.float64).tiny:
            return np.inf
        return float(len(values) / 2 * np.log(spread) - (exponent - 1) * bend)

    best = float(brent(loss, brack=(-2, 2)))
    bent = yeo_johnson(values, best)
    return {"unit": unit, "power": best, "shift": float(bent.mean()), "scale": float(bent.std()) or 1.0}


def logged(column: Array, state: State) -> Array:
    """sign(x) log(1 + |x|), then (value - shift) / scale."""
    return shift_and_divide(np.sign(column) * np.log1p(np.abs(column)), state)


def unlogged(column: Array, state: State) -> Array:
    """The column before `logged`."""
    values = multiply_and_shift(column, state)
    return np.sign(values) * np.expm1(np.minimum(np.abs(values), 700.0))


@SCALERS.add(apply=logged, inverse=unlogged)
def log1p(column: Array, rng: np.random.Generator) -> State:
    """sign(x) log(1 + |x|), then mean 0 and standard deviation 1."""
    values = np.sign(column) * np.log1p(np.abs(column))
    return {"shift": float(values.mean()), "scale": float(values.std()) or 1.0}


def unchanged(column: Array, state: State) -> Array:
    """The column."""
    return column


@SCALERS.add(apply=unchanged, inverse=unchanged)
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


def from_normal(column: Array, state: State) -> Array:
    """The column before `to_normal`, between the smallest and the largest fitted quantile."""
    from scipy.special import ndtr

    knots = np.asarray(state["quantiles"])
    return np.interp(ndtr(column), np.linspace(0.0, 1.0, len(knots)), knots) * state["unit"]


@SCALERS.add(apply=to_normal, inverse=from_normal)
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
