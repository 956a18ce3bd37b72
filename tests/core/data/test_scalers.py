"""Scalers against scikit-learn and closed forms, and back: what `inverse` gives is what `apply` got."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, PowerTransformer

from nnlab.core.data.steps import SCALERS, State
from nnlab.core.data.steps.registries import Array
from nnlab.core.errors import SpecError

LARGEST = float(np.finfo(np.float32).max)  # larger numbers are refused when a table is read


def columns() -> dict[str, Array]:
    draw = np.random.default_rng(1)
    return {
        "normal": draw.normal(5, 3, 2000),
        "heavy": np.exp(draw.normal(0, 2, 2000)),
        "prices": draw.lognormal(13, 0.6, 2000),
        "people": draw.lognormal(18, 1.5, 2000),
        "debts": -draw.lognormal(15, 1, 2000),
        "few": draw.integers(0, 4, 2000).astype(float),
        "years": draw.integers(1990, 2020, 500).astype(float),
        "years, skewed": np.array([2003.0, 1950.0, 1997.0, 2000.0, 2009.0]),
        "signed": draw.standard_t(3, 500) * 1e4,
        "short": draw.normal(size=7),
        "huge": draw.normal(0, 1e37, 500),
        "constant": np.full(50, 3.0),
        "zeros": np.zeros(9),
    }


def fitted(name: str, column: Array, **values: object) -> State:
    state: State = SCALERS[name].make(column, np.random.default_rng(0), **values)
    return state


def there(name: str, column: Array, state: State) -> Array:
    return np.asarray(SCALERS[name].facts["apply"](column, state))


def back(name: str, column: Array, state: State) -> Array:
    return np.asarray(SCALERS[name].facts["inverse"](column, state))


def test_every_scaler_has_its_inverse() -> None:
    assert set(SCALERS) >= {"none", "standard", "minmax", "robust", "quantile", "power", "log1p"}
    for entry in SCALERS.values():
        assert callable(entry.facts["apply"])
        assert callable(entry.facts["inverse"])


@pytest.mark.parametrize("column", columns())
@pytest.mark.parametrize("name", ["none", "standard", "minmax", "robust", "power", "log1p"])
def test_inverse_gives_the_column_back(name: str, column: str) -> None:
    x = columns()[column]
    state = fitted(name, x)
    np.testing.assert_allclose(back(name, there(name, x, state), state), x, rtol=1e-6, atol=1e-6 * (np.ptp(x) or 1.0))


@pytest.mark.parametrize("name", [name for name in columns() if name not in ("constant", "zeros")])
def test_inverse_of_ranks_gives_the_column_back(name: str) -> None:
    x = columns()[name]
    state = fitted("quantile", x, noise=0.0)
    np.testing.assert_allclose(back("quantile", there("quantile", x, state), state), x, rtol=0, atol=1e-5 * np.ptp(x))


@pytest.mark.parametrize("name", ["standard", "minmax", "robust", "power", "log1p", "quantile"])
def test_states_are_json_values_and_arrays(name: str) -> None:
    state = fitted(name, columns()["heavy"])
    plain = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 5.0)])
def test_minmax_equals_scikit_learn(bounds: tuple[float, float], clip: bool) -> None:
    x = columns()["normal"]
    other = np.concatenate([x, [x.min() - 4, x.max() + 4]])
    state = fitted("minmax", x, low=bounds[0], high=bounds[1], clip=clip)
    reference = MinMaxScaler(bounds, clip=clip).fit(x[:, None])
    np.testing.assert_allclose(there("minmax", other, state), reference.transform(other[:, None])[:, 0], atol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, -2.0)])
def test_minmax_refuses_empty_bounds(low: float, high: float) -> None:
    with pytest.raises(SpecError, match="must be below high"):
        fitted("minmax", columns()["short"], low=low, high=high)


def test_robust_is_median_quartiles_and_a_smooth_clip() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0])
    low, middle, high = np.percentile(x, [25, 50, 75])
    z = (x - middle) / (high - low)
    np.testing.assert_allclose(there("robust", x, fitted("robust", x)), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-12)
    np.testing.assert_allclose(there("robust", x, fitted("robust", x, smooth_clip=False)), z, rtol=1e-12)


def test_robust_without_quartiles() -> None:
    x = np.array([0.0] * 9 + [8.0])  # the quartiles are equal: 2 / (max - min) is the factor
    np.testing.assert_allclose(there("robust", x, fitted("robust", x, smooth_clip=False)), x / 4)
    noisy = np.array([0.0] * 5 + [5e-17] * 4 + [8.0])  # a distance of rounding alone is none
    np.testing.assert_allclose(there("robust", noisy, fitted("robust", noisy, smooth_clip=False)), noisy / 4, atol=1e-9)
    constant = np.full(5, 7.0)
    assert not there("robust", constant, fitted("robust", constant)).any()


def test_robust_keeps_outliers_of_training_apart() -> None:
    x = np.concatenate([np.linspace(-1, 1, 1000), [2e4, 3e4]])
    state = fitted("robust", x)
    np.testing.assert_allclose(back("robust", there("robust", x, state), state), x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["robust", "power"])
def test_inverse_of_anything_stays_near_the_training(name: str) -> None:
    x = columns()["heavy"]
    wild = np.array([-1e30, -50.0, -3.0, 3.0, 3.5, 50.0, 1e30])
    found = back(name, wild, fitted(name, x))
    assert np.abs(found).max() <= 21 * x.max()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("name", columns())
def test_power_equals_scikit_learn(name: str) -> None:
    x = columns()[name]
    other = np.concatenate([x, (x[:-1] + x[1:]) / 2])
    reference = PowerTransformer(standardize=True).fit(x[:, None]).transform(other[:, None])[:, 0]
    np.testing.assert_allclose(there("power", other, fitted("power", x)), reference, rtol=0, atol=1e-6)


def test_power_of_unseen_signs_equals_scikit_learn() -> None:
    x = columns()["heavy"]
    other = np.array([-30.0, -1.0, -1e-9, 0.0, 1e-9, 1.0])
    for sign in (1, -1):
        reference = PowerTransformer().fit(sign * x[:, None]).transform(sign * other[:, None])[:, 0]
        np.testing.assert_allclose(there("power", sign * other, fitted("power", sign * x)), reference, rtol=1e-6)


@pytest.mark.parametrize("start", [1.7e9, -1.7e9])
def test_power_keeps_time_stamps_apart(start: float) -> None:
    x = start + np.random.default_rng(1).exponential(1e6, 500)  # f itself rounds all of them to one number
    scaled = there("power", x, fitted("power", x))
    assert abs(scaled.mean()) < 1e-9
    assert abs(scaled.std() - 1) < 1e-9
    assert len(np.unique(scaled)) == len(np.unique(x))
    assert (np.argsort(scaled) == np.argsort(x)).all()


@pytest.mark.parametrize("start", [0.0, 1e6, 1.7e9])
def test_power_treats_both_signs_alike(start: float) -> None:
    x = start + np.random.default_rng(1).exponential(max(start, 1.0) ** 0.6, 500)
    up, down = fitted("power", x), fitted("power", -x)
    np.testing.assert_allclose(there("power", -x, down), -there("power", x, up), rtol=0, atol=1e-9)


@pytest.mark.parametrize("x", [1e9 + 1e-7 * np.arange(50), np.arange(50) * 1e-300, np.array([4.0]), np.zeros(3)])
def test_power_leaves_columns_that_do_not_vary(x: Array) -> None:
    state = fitted("power", x)
    assert state["power"] == 1.0
    np.testing.assert_allclose(there("power", x + 2, state) - there("power", x, state), 2.0, rtol=1e-4)


@pytest.mark.parametrize("size", [1e6, 1e30, 1e100, 1e200, 1e300])
def test_power_does_not_overflow(size: float) -> None:
    draw = np.random.default_rng(0)
    for x in (draw.normal(size=300) * size, draw.lognormal(size=300) * size, -draw.random(300) * size):
        state = fitted("power", x)
        scaled = there("power", x, state)
        assert abs(scaled.mean()) < 1e-6
        assert abs(scaled.std() - 1) < 1e-6
        assert np.isfinite(there("power", np.array([-1.7e308, 1.7e308]), state)).all()


@pytest.mark.parametrize("name", [name for name in columns() if name not in ("constant", "zeros")])
def test_log1p_has_mean_0_and_deviation_1(name: str) -> None:
    x = columns()[name]
    logs = np.sign(x) * np.log1p(np.abs(x))
    scaled = there("log1p", x, fitted("log1p", x))
    np.testing.assert_allclose(scaled, (logs - logs.mean()) / logs.std(), rtol=1e-9, atol=1e-9)


def test_log1p_does_not_blow_up_rounding() -> None:
    x = 1e9 + 1e-7 * np.random.default_rng(0).random(50)
    assert np.abs(there("log1p", x, fitted("log1p", x))).max() < 1e-6


Numbers = arrays(np.float64, st.integers(1, 30), elements=st.floats(-LARGEST, LARGEST))


@given(x=Numbers, other=Numbers)
@pytest.mark.parametrize("name", list(SCALERS))
def test_whatever_the_numbers_no_nan_and_the_order_stays(name: str, x: Array, other: Array) -> None:
    state = fitted(name, x)
    both = np.sort(np.concatenate([x, other]))
    with np.errstate(over="ignore"):  # far beyond the training range; what becomes a feature is limited afterwards
        scaled = there(name, both, state)
        returned = back(name, scaled, state)
    assert not np.isnan(scaled).any()
    assert not np.isnan(returned).any()
    slack = 1e-9 * np.abs(scaled[np.isfinite(scaled)]).max(initial=1.0)
    finite = np.clip(scaled, -LARGEST * 1e10, LARGEST * 1e10)
    assert (np.diff(finite) >= -slack).all()
