"""Several features out of one number: against scikit-learn, and for hostile columns."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import KBinsDiscretizer, SplineTransformer

from nnlab.core.data.steps import EXPANDERS, State
from nnlab.core.data.steps.registries import Array
from nnlab.core.errors import SpecError


def fitted(name: str, column: Array, **values: object) -> State:
    state: State = EXPANDERS[name].make(column, np.random.default_rng(0), **values)
    return state


def features(name: str, column: Array, state: State) -> Array:
    return np.asarray(EXPANDERS[name].facts["apply"](column, state))


def normal() -> Array:
    return np.random.default_rng(1).normal(5, 3, 1000)


def beyond(x: Array) -> Array:
    return np.concatenate([x, [x.min() - 5, x.max() + 5, -1e30, 1e30]])


def test_none_is_the_column() -> None:
    x = normal()
    state = fitted("none", x)
    assert state == {}
    np.testing.assert_array_equal(features("none", x, state), x[:, None])
    assert EXPANDERS["none"].facts["labels"]("age", state) == ("age",)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize("knots", [2, 3, 5, 12])
def test_splines_equal_scikit_learn(knots: int, degree: int) -> None:
    x = normal()
    reference = SplineTransformer(n_knots=knots, degree=degree, knots="quantile", extrapolation="constant")
    expected = reference.fit(x[:, None]).transform(beyond(x)[:, None])
    found = features("splines", beyond(x), fitted("splines", x, knots=knots, degree=degree))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("widths", ["quantile", "uniform"])
@pytest.mark.parametrize("count", [2, 5, 8, 40])
def test_bins_equal_scikit_learn(count: int, widths: str) -> None:
    x = normal()
    method = {"quantile_method": "linear"} if widths == "quantile" else {}
    reference = KBinsDiscretizer(count, encode="onehot-dense", strategy=widths, subsample=None, **method)
    expected = reference.fit(x[:, None]).transform(beyond(x)[:, None])
    np.testing.assert_array_equal(features("bins", beyond(x), fitted("bins", x, count=count, widths=widths)), expected)


@pytest.mark.filterwarnings("ignore:Bins whose width:UserWarning")
@pytest.mark.parametrize("widths", ["quantile", "uniform"])
def test_bins_of_few_values_equal_scikit_learn(widths: str) -> None:
    x = np.random.default_rng(0).integers(0, 4, 500).astype(float)
    method = {"quantile_method": "linear"} if widths == "quantile" else {}
    reference = KBinsDiscretizer(8, encode="onehot-dense", strategy=widths, subsample=None, **method)
    expected = reference.fit(x[:, None]).transform(x[:, None])
    np.testing.assert_array_equal(features("bins", x, fitted("bins", x, count=8, widths=widths)), expected)


@pytest.mark.parametrize(
    ("name", "values"),
    [("splines", {"knots": 1}), ("splines", {"degree": 0}), ("bins", {"count": 1}), ("bins", {"widths": "kmeans"})],
)
def test_values_that_make_no_sense_are_refused(name: str, values: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        EXPANDERS[name].read(values)


Numbers = arrays(np.float64, st.integers(1, 25), elements=st.floats(-3e38, 3e38))


@given(x=Numbers, other=Numbers)
@pytest.mark.parametrize("name", ["splines", "bins"])
def test_whatever_the_numbers_features_are_shares_of_one(name: str, x: Array, other: Array) -> None:
    state = json.loads(json.dumps({key: np.asarray(value).tolist() for key, value in fitted(name, x).items()}))
    found = features(name, np.concatenate([x, other]), state)
    labels = EXPANDERS[name].facts["labels"]("a", state)
    assert found.shape == (len(x) + len(other), len(labels))
    assert len(set(labels)) == len(labels)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-9)


@pytest.mark.parametrize("name", ["splines", "bins"])
@pytest.mark.parametrize("x", [np.array([3.0]), np.full(9, -1e30), np.array([1e17] * 5), np.arange(9) * 1e-300])
def test_columns_without_width(name: str, x: Array) -> None:
    found = features(name, x, fitted(name, x))
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-9)
