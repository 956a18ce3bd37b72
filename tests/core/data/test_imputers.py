"""Imputers of a column and of the whole table, and the rule for extremes, against scikit-learn and closed forms."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (registers the class)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from nnlab.core.data.steps import IMPUTERS, OUTLIERS, State
from nnlab.core.data.steps.registries import Array
from nnlab.core.errors import SpecError
from nnlab.core.registry import Registry

TABLE = [name for name, entry in IMPUTERS.items() if entry.facts["scope"] == "table"]


def table(rows: int = 200, missing: float = 0.15, seed: int = 1) -> Array:
    """Related columns of deviation 1 each, with gaps."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(rows, 5))
    matrix[:, 1] += 2 * matrix[:, 0]
    matrix[:, 3] = matrix[:, 2] - matrix[:, 1] + 0.1 * draw.normal(size=rows)
    matrix[draw.random(matrix.shape) < missing] = np.nan
    return np.asarray(matrix / np.nanstd(matrix, 0))


def fitted(name: str, matrix: Array, seed: int = 0, **values: object) -> State:
    state: State = IMPUTERS[name].make(matrix, np.random.default_rng(seed), **values)
    return state


def filled(name: str, matrix: Array, state: State) -> Array:
    return np.asarray(IMPUTERS[name].facts["apply"](matrix, state))


def test_what_there_is() -> None:
    assert set(IMPUTERS) >= {"median", "mean", "most_frequent", "constant", "knn", "iterative"}
    assert set(TABLE) == {"knn", "iterative"}


@pytest.mark.parametrize("name", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize("x", [[4.0], [3.0, 1.0, 3.0, 1.0, 2.0], [0.5, -2.0, 7.0, 7.0], [1e30, -1e30, 5.0, 6.0]])
def test_column_imputers_equal_scikit_learn(name: str, x: list[float]) -> None:
    found = IMPUTERS[name].make(np.array(x))
    assert type(found) is float
    assert found == pytest.approx(SimpleImputer(strategy=name).fit(np.array(x)[:, None]).statistics_[0])


def test_of_equally_frequent_numbers_the_smallest() -> None:
    assert IMPUTERS["most_frequent"].make(np.array([3.0, 1.0, 3.0, 1.0, 2.0])) == 1.0


def test_constant() -> None:
    assert IMPUTERS["constant"].make(np.array([3.0])) == 0.0
    assert IMPUTERS["constant"].make(np.array([3.0]), value=-1.5) == -1.5
    with pytest.raises(SpecError):
        IMPUTERS["constant"].read({"value": "nan"})


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("neighbors", [1, 5, 500])
def test_knn_equals_scikit_learn(neighbors: int, weights: str) -> None:
    train, other = table(), table(60, 0.3, seed=2)
    reference = KNNImputer(n_neighbors=neighbors, weights=weights).fit(train)
    state = fitted("knn", train, neighbors=neighbors, weights=weights)
    np.testing.assert_allclose(filled("knn", other, state), reference.transform(other), atol=1e-9)


def test_knn_does_not_see_the_units() -> None:
    train, other, units = table(), table(60, 0.3, seed=2), np.array([1e-6, 1.0, 1e6, 1e-3, 30.0])
    plain = filled("knn", other, fitted("knn", train))
    np.testing.assert_allclose(filled("knn", other * units, fitted("knn", train * units)), plain * units, rtol=1e-6)


def test_knn_compares_with_rows_drawn_by_the_seed() -> None:
    train = table(400)
    first, again, other = (fitted("knn", train, seed, most_rows=50)["rows"] for seed in (3, 3, 4))
    assert first.shape == (50, 5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)
    scaled = train / fitted("knn", train)["scale"]
    assert all(any(np.array_equal(row, one, equal_nan=True) for one in scaled) for row in first)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("rounds", [1, 2, 10, 50])
def test_iterative_equals_scikit_learn(rounds: int) -> None:
    train, other = table(), table(60, 0.3, seed=2)
    reference = IterativeImputer(max_iter=rounds, random_state=0).fit(train)
    for matrix in (train, other):
        found = filled("iterative", matrix, fitted("iterative", train, rounds=rounds))
        np.testing.assert_allclose(found, reference.transform(matrix), rtol=0, atol=1e-8)


def test_iterative_finds_the_line() -> None:
    x = np.random.default_rng(0).normal(size=300)
    train = np.stack([x, 3 * x + 1], axis=1)
    train[::7, 1] = np.nan
    found = filled("iterative", np.array([[2.0, np.nan], [np.nan, 2.0]]), fitted("iterative", train))
    assert found[0, 1] == pytest.approx(7.0, abs=1e-3)


def test_iterative_needs_no_scikit_learn_to_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    train, other = table(), table(60, 0.3, seed=2)
    state = fitted("iterative", train)
    for name in ("sklearn", "sklearn.impute", "sklearn.experimental", "scipy"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert not np.isnan(filled("iterative", other, state)).any()


def hostile() -> dict[str, tuple[Array, Array]]:
    train, other = table(), table(40, 0.3, seed=2)
    other[3] = np.nan
    empty = train.copy()
    empty[:, 2] = np.nan
    full = np.random.default_rng(0).normal(size=(50, 5))
    return {
        "a row without values": (train, other),
        "a column without values": (empty, other),
        "no values": (np.full((10, 5), np.nan), other),
        "no gaps in training": (full, other),
        "one row": (full[:1], other),
        "one column": (train[:, :1], other[:, :1]),
        "no rows to fill": (train, other[:0]),
        "constant columns": (np.where(np.isnan(train), np.nan, 3.0), other),
        "tiny": (train * 1e-200, other * 1e-200),
        "huge": (train * 1e37, other * 1e37),
        "far from 0": (train + 1e9, other + 1e9),
        "equal columns": (np.repeat(train[:, :1], 5, axis=1), other),
    }


@pytest.mark.parametrize("case", hostile())
@pytest.mark.parametrize("name", TABLE)
def test_no_gap_is_left_and_no_value_is_changed(name: str, case: str) -> None:
    train, other = hostile()[case]
    before = other.copy()
    found = filled(name, other, fitted(name, train))
    assert found.shape == other.shape
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(other, before)
    np.testing.assert_array_equal(found[~np.isnan(other)], other[~np.isnan(other)])


@pytest.mark.parametrize("name", TABLE)
def test_a_row_is_filled_alike_alone_and_among_others(name: str) -> None:
    train, other = table(), table(30, 0.3, seed=2)
    state = fitted(name, train)
    alone = np.concatenate([filled(name, row[None], state) for row in other])
    np.testing.assert_allclose(filled(name, other, state), alone, atol=1e-9)


@pytest.mark.parametrize(("registry", "name"), [(IMPUTERS, name) for name in TABLE] + [(OUTLIERS, "clip")])
def test_states_are_json_values_and_arrays(registry: Registry, name: str) -> None:
    state = fitted(name, table()) if registry is IMPUTERS else registry[name].make(np.arange(9.0))
    plain = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain
    assert all(value.dtype.kind in "fi" for value in state.values() if isinstance(value, np.ndarray))


def clipped(column: Array, present: Array, **values: object) -> Array:
    entry = OUTLIERS["clip"]
    return np.asarray(entry.facts["apply"](column, entry.make(present, **values)))


def test_clip_equals_quantiles_and_keeps_gaps() -> None:
    x = np.random.default_rng(0).normal(size=500)
    low, high = np.quantile(x, [0.05, 0.9])
    other = np.concatenate([x, [np.nan, -50.0, 50.0]])
    found = clipped(other, x, low=0.05, high=0.9)
    np.testing.assert_array_equal(found, np.clip(other, low, high))
    assert np.isnan(found[500])
    assert found[501] == low
    assert found[502] == high


def test_none_leaves_extremes_and_gaps() -> None:
    x = np.array([1.0, np.nan, 1e30])
    entry = OUTLIERS["none"]
    np.testing.assert_array_equal(entry.facts["apply"](x, entry.make(x[[0, 2]])), x)


def test_clip_of_a_column_without_values_changes_nothing() -> None:
    x = np.array([1.0, np.nan, -1e30])
    np.testing.assert_array_equal(clipped(x, np.empty(0)), x)


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (0.9, 0.1)])
def test_clip_refuses_crossed_quantiles(low: float, high: float) -> None:
    with pytest.raises(SpecError, match="must be below high"):
        clipped(np.arange(5.0), np.arange(5.0), low=low, high=high)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-3e38, 3e38)))
def test_clip_twice_is_clip_once_and_keeps_the_order(x: Array) -> None:
    x = np.sort(x)
    once = clipped(x, x)
    np.testing.assert_array_equal(clipped(once, x), once)
    assert (np.diff(once) >= 0).all()
    assert once.min() >= x.min()
    assert once.max() <= x.max()
