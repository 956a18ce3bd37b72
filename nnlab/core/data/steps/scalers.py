"""How numbers are scaled."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import SCALERS, Array, State
from nnlab.core.errors import SpecError
from nnlab.core.params import Within

EPS = float(np.finfo(np.float64).eps)
LARGEST = 1e150  # of powers; the sum of the squares of many does not overflow
LARGEST_LOG = float(np.log(LARGEST))
FAR = 20.0  # inverses give at most this many times the farthest value of training; a step further is infinity
BOUND = 1e-7  # how near to the ends of the quantiles a value is taken as an end; the same as scikit-learn's


def shift_and_divide(column: Array, state: State) -> Array:
    """(column - shift) / scale."""
    return (column - state["shift"]) / state["scale"]


def multiply_and_shift(column: Array, state: State) -> Array:
    """column * scale + shift."""
    return column * state["scale"] + state["shift"]


def deviation(values: Array) -> float:
    """The standard deviation, 0 where it is rounding alone (the rule of scikit-learn)."""
    average, variance, n = float(values.mean()), float(values.var()), len(values)
    rounding = n * EPS * variance + (n * average * EPS) ** 2
    return float(np.sqrt(variance)) if variance > rounding else 0.0


def mean_and_deviation(values: Array) -> State:
    """The shift and the scale to mean 0 and standard deviation 1; constants keep scale 1."""
    return {"shift": float(values.mean()), "scale": deviation(values) or 1.0}


@SCALERS.add(apply=shift_and_divide, inverse=multiply_and_shift)
def standard(column: Array, rng: np.random.Generator) -> State:
    """Mean 0 and standard deviation 1."""
    return mean_and_deviation(column)


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
    if not state["smooth_clip"]:
        return z
    z = np.clip(z, -LARGEST, LARGEST)
    return z / np.hypot(1.0, z / 3)


def smooth_unclipped(column: Array, state: State) -> Array:
    """The column before `smooth_clipped`, at most FAR times as far from the median as training rows were."""
    if state["smooth_clip"]:
        farthest = FAR * state["reach"]
        end = farthest / np.hypot(1.0, farthest / 3)
        inside = np.clip(column, -end, end)
        column = np.clip(inside / np.sqrt(1 - (inside / 3) ** 2), -farthest, farthest)
    return multiply_and_shift(column, state)


@SCALERS.add(apply=smooth_clipped, inverse=smooth_unclipped)
def robust(
    column: Array,
    rng: np.random.Generator,
    smooth_clip: Annotated[bool, "outliers are drawn in smoothly, to at most 3"] = True,
) -> State:
    """Median 0, distance of the quartiles 1, outliers drawn in (RealMLP of pytabkit; Holzmueller et al. 2024)."""
    low, middle, high = np.percentile(column, [25.0, 50.0, 75.0])
    extent = float(column.max() - column.min())
    spread = float(high - low)
    # Zero-inflated columns have no distance of the quartiles, or one of rounding alone.
    scale = spread if spread > EPS * extent else extent / 2 or 1.0
    # Beyond 1e5 the smooth clip leaves too few digits of a float64 to tell one value from the next.
    reach = float(np.clip(np.abs(column - middle).max() / scale, 1.0, 1e5))
    return {"shift": float(middle), "scale": scale, "reach": reach, "smooth_clip": smooth_clip}


def bent(logs: Array, exponent: float) -> Array:
    """(exp(exponent * logs) - 1) / exponent, and its limit at 0."""
    return logs if abs(exponent) < EPS else np.expm1(exponent * logs) / exponent


def straight(values: Array, exponent: float) -> Array:
    """The logs before `bent`; values that it never gives come back as the nearest that it does."""
    if abs(exponent) < EPS:
        return values
    return np.log1p(np.maximum(values * exponent, EPS - 1)) / exponent


def yeo_johnson(column: Array, power: float, center: float) -> Array:
    """The transform f of Yeo and Johnson (2000), as exp(-power * center) f + a constant that makes it 0 at the center.

    Scaled to mean 0 and deviation 1 that is the same as f, but f itself loses all digits of a column like years or
    time stamps, whose numbers are large and near to each other. center: a typical log(1 + x), or 0 for f itself.
    """
    out = np.empty_like(column)
    up = column >= 0
    with np.errstate(over="ignore"):
        out[up] = bent(np.log1p(column[up]) - center, power)
        below = bent(np.log1p(-column[~up]), 2 - power)
        out[~up] = bent(np.array(-center), power) - np.exp(min(-power * center, LARGEST_LOG)) * below
    return np.clip(out, -LARGEST, LARGEST)


def powered(column: Array, state: State) -> Array:
    """Yeo-Johnson of the column, then (value - shift) / scale."""
    return shift_and_divide(yeo_johnson(column / state["unit"], state["power"], state["center"]), state)


def unpowered(column: Array, state: State) -> Array:
    """The column before `powered`, at most FAR times as large as the largest of training."""
    values, power, center = multiply_and_shift(column, state), state["power"], state["center"]
    farthest = np.log1p(FAR * state["largest"])
    with np.errstate(over="ignore"):
        zero = bent(np.array(-center), power)
        up = values >= zero
        below = (zero - values[~up]) / np.exp(np.clip(-power * center, -LARGEST_LOG, LARGEST_LOG))
    out = np.empty_like(values)
    out[up] = np.expm1(np.clip(straight(values[up], power) + center, 0.0, farthest))
    out[~up] = -np.expm1(np.clip(straight(below, 2 - power), 0.0, farthest))
    return out * state["unit"]


@SCALERS.add(apply=powered, inverse=unpowered)
def power(column: Array, rng: np.random.Generator) -> State:
    """Nearest to normal by a power (Yeo-Johnson, PowerTransformer of scikit-learn), then mean 0 and deviation 1."""
    from scipy.stats import yeojohnson_normmax

    unit = max(float(np.abs(column).max()) / 1e100, 1.0)  # powers of larger numbers overflow
    unit = -unit if column.max() <= 0 else unit  # f of a power is -f(-x) of 2 - power: only one sign needs a center
    values = column / unit
    varies = deviation(values) > 0
    with np.errstate(all="ignore"):  # for tiny numbers the powers that are tried are huge
        exponent = float(yeojohnson_normmax(values)) if varies else 1.0
    center = float(np.log1p(values).mean()) if varies and values.min() >= 0 else 0.0
    found = mean_and_deviation(yeo_johnson(values, exponent, center))
    found["scale"] = float(np.copysign(found["scale"], unit))
    return {"unit": unit, "power": exponent, "center": center, "largest": float(np.abs(values).max())} | found


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
    return mean_and_deviation(np.sign(column) * np.log1p(np.abs(column)))


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
