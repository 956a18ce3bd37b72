"""New numbers out of several columns and the steps on the matrix, against scikit-learn."""

import json
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.feature_selection import VarianceThreshold, mutual_info_classif, mutual_info_regression
from sklearn.linear_model import Lasso
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from nnlab.core.data.steps import CROSSES, FLAGS, REDUCERS, SELECTORS, State
from nnlab.core.data.steps.flags import outlier_scores
from nnlab.core.data.steps.registries import Array
from nnlab.core.errors import DataError
from nnlab.core.params import Within
from nnlab.core.registry import Registry

STEPS = [(registry, name) for registry in (CROSSES, FLAGS, SELECTORS, REDUCERS) for name in registry]
IDS = [f"{registry.kind}-{name}" for registry, name in STEPS]


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def crossed(kind: str, matrix: Array, other: Array | None = None, **values: object) -> Mapping[str, Array]:
    names = tuple("abcdefghijkl"[: matrix.shape[1]])
    facts = CROSSES[kind].facts
    state = CROSSES[kind].make(names, matrix, draw(), **values)
    found = facts["apply"](dict(zip(names, (matrix if other is None else other).T, strict=True)), state)
    return dict(zip(facts["labels"](state), found.T, strict=True))


def fitted(
    registry: Registry, name: str, x: Array, y: Array | None = None, classes: int = 0, **values: object
) -> State:
    return registry[name].make(x, np.zeros(len(x)) if y is None else y, classes, draw(), **values)


def applied(registry: Registry, name: str, x: Array, state: State) -> Array:
    return registry[name].facts["apply"](x, state)


def some(rows: int = 400, features: int = 6) -> Array:
    return draw(1).normal(size=(rows, features)).astype(np.float32)


@pytest.mark.parametrize(("registry", "name"), STEPS, ids=IDS)
def test_every_parameter_says_what_it_is_and_what_is_allowed(registry: Registry, name: str) -> None:
    for param in registry[name].params.values():
        assert param.help and isinstance(param.domain, Within)


@pytest.mark.parametrize(("registry", "name"), STEPS, ids=IDS)
def test_states_are_json_values_and_numeric_arrays(registry: Registry, name: str) -> None:
    x = some()
    state = (
        registry[name].make(tuple("abcdef"), x.astype(np.float64), draw())
        if registry is CROSSES
        else fitted(registry, name, x, (x[:, 0] > 0).astype(np.int64), 2)
    )
    json.dumps({key: value for key, value in state.items() if not isinstance(value, np.ndarray)})
    assert all(value.dtype.kind in "if" for value in state.values() if isinstance(value, np.ndarray))


@pytest.mark.parametrize(("kind", "only_products"), [("polynomial", False), ("interactions", True)])
def test_products_equal_scikit_learn(kind: str, only_products: bool) -> None:
    x, other = draw(1).normal(size=(50, 5)), draw(2).normal(size=(30, 5))
    reference = PolynomialFeatures(2, interaction_only=only_products, include_bias=False).fit(x)
    labels = [name.replace(" ", "*") for name in reference.get_feature_names_out(tuple("abcde"))]
    expected = dict(zip(labels[5:], reference.transform(other).T[5:], strict=True))
    found = crossed(kind, x, other)
    assert found.keys() == expected.keys()
    for label, values in expected.items():
        np.testing.assert_allclose(found[label], values, rtol=1e-12)


def test_ratios_divide_only_by_what_stays_away_from_zero() -> None:
    x = draw(1).normal(size=(100, 4))
    x[:, 1] = np.abs(x[:, 1]) + 1
    x[:, 2] = -np.abs(x[:, 2]) - 1
    x[:, 3] = np.abs(x[:, 3])
    x[7, 3] = 1e-9
    found = crossed("ratios", x)
    assert set(found) == {"a/b", "c/b", "d/b", "a/c", "b/c", "d/c"}
    np.testing.assert_allclose(found["d/c"], x[:, 3] / x[:, 2], rtol=1e-12)


def test_a_denominator_of_zero_in_new_rows_gives_a_number() -> None:
    found = crossed("ratios", draw(1).random((9, 2)) + 1, np.zeros((4, 2)))
    assert all(np.array_equal(values, np.zeros(4)) for values in found.values())


@pytest.mark.parametrize("kind", ["polynomial", "interactions", "ratios"])
def test_beyond_the_cap_the_state_says_how_many_there_were(kind: str) -> None:
    names, x = tuple("abcdefgh"), draw(1).random((60, 8)) + 1
    every = CROSSES[kind].make(names, x, draw(), most=1000)
    state = CROSSES[kind].make(names, x, draw(), most=5)
    assert "note" not in every
    assert state["recipes"] == every["recipes"][:5]
    assert f"5 of {len(every['recipes'])} " in state["note"]


@given(st.integers(0, 12), st.integers(1, 200))
def test_number_of_interactions(columns: int, most: int) -> None:
    names = tuple("abcdefghijkl"[:columns])
    state = CROSSES["interactions"].make(names, draw().random((4, columns)), draw(), most=most)
    assert len(state["recipes"]) == min(most, len(list(combinations(names, 2))))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_isolation_forest_equals_scikit_learn(share: float) -> None:
    x, other = some(), 3 * some(200)
    state = fitted(FLAGS, "isolation_forest", x, share=share)
    reference = IsolationForest(contamination=share, random_state=int(draw().integers(2**31))).fit(x)
    for rows in (x, other):
        np.testing.assert_allclose(outlier_scores(rows, state), reference.score_samples(rows), atol=1e-6)
        marked = applied(FLAGS, "isolation_forest", rows, state)
        assert np.array_equal(marked[:, :-1], rows) and marked.dtype == np.float32
        assert np.array_equal(marked[:, -1] == 1, reference.predict(rows) == -1)


def test_isolation_forest_names_its_feature_and_marks_no_equal_rows() -> None:
    facts = FLAGS["isolation_forest"].facts
    assert facts["labels"](("a", "b"), {}) == ("a", "b", "<outlier>")
    same = np.ones((50, 2), np.float32)
    assert not applied(FLAGS, "isolation_forest", same, fitted(FLAGS, "isolation_forest", same))[:, -1].any()


@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0])
def test_variance_equals_scikit_learn(threshold: float) -> None:
    x = some() * np.array([0, 0.1, 0.5, 1, 2, 3], np.float32)
    expected = VarianceThreshold(threshold).fit(x.astype(np.float64)).get_support(indices=True)
    assert np.array_equal(fitted(SELECTORS, "variance", x, threshold=threshold)["keep"], expected)


@pytest.mark.parametrize("classes", [0, 3])
def test_mutual_information_equals_scikit_learn(classes: int) -> None:
    x = some()
    target = x[:, 1] ** 2 + x[:, 4]
    y = np.digitize(target, np.quantile(target, [0.3, 0.7])) if classes else target.astype(np.float64)
    measure = mutual_info_classif if classes else mutual_info_regression
    told = measure(x, y, random_state=int(draw().integers(2**31)))
    state = fitted(SELECTORS, "mutual_info", x, y, classes, keep=2)
    assert set(state["keep"]) == set(np.argsort(-told)[:2]) == {1, 4}


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.4])
def test_l1_keeps_the_weights_of_lasso(strength: float) -> None:
    x = some() * np.array([0.1, 1, 1, 10, 1, 1], np.float32)
    y = (x @ np.array([30, 0, 0, 0.1, 0, 0.3]) + 7).astype(np.float64)
    inputs = StandardScaler().fit_transform(x.astype(np.float64))
    expected = np.flatnonzero(Lasso(alpha=strength).fit(inputs, (y - y.mean()) / y.std()).coef_)
    assert np.array_equal(fitted(SELECTORS, "l1", x, y, strength=strength)["keep"], expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_l1_of_classes_keeps_what_tells_them_apart(classes: int) -> None:
    x = some()
    target = x[:, 1] - x[:, 4]
    y = np.digitize(target, np.quantile(target, np.linspace(0, 1, classes + 1)[1:-1]))
    assert list(fitted(SELECTORS, "l1", x, y, classes, strength=0.1)["keep"]) == [1, 4]


@pytest.mark.parametrize(
    ("name", "values"), [("variance", {"threshold": 1e6}), ("mutual_info", {"keep": 1}), ("l1", {"strength": 1e3})]
)
def test_one_feature_always_stays(name: str, values: dict[str, float]) -> None:
    x = some()
    state = fitted(SELECTORS, name, x, x[:, 2].astype(np.float64), **values)
    assert state["keep"].dtype == np.int64 and len(state["keep"]) == 1
    assert np.array_equal(applied(SELECTORS, name, x, state), x[:, state["keep"]])
    assert SELECTORS[name].facts["labels"](tuple("abcdef"), state) == ("abcdef"[state["keep"][0]],)


@pytest.mark.parametrize("values", [{"components": 3}, {"components": 6}, {"share": 0.7}, {"share": 0.95}])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_pca_equals_scikit_learn(values: dict[str, float], offset: float) -> None:
    x = (some() * np.array([5, 3, 2, 1, 0.5, 0.1]) @ draw(3).normal(size=(6, 6)) + offset).astype(np.float32)
    state = fitted(REDUCERS, "pca", x, **values)
    reference = PCA(*values.values()).fit(x.astype(np.float64))
    assert len(state["components"]) == reference.n_components_
    signs = np.sign((state["components"] * reference.components_).sum(1))
    found = applied(REDUCERS, "pca", x, state)
    assert found.dtype == np.float32
    np.testing.assert_allclose(state["components"] * signs[:, None], reference.components_, atol=1e-5)
    np.testing.assert_allclose(found * signs, reference.transform(x.astype(np.float64)), atol=2e-4)


def test_components_are_named_and_point_the_same_way_however_rows_are_ordered() -> None:
    x = some()
    state, other = fitted(REDUCERS, "pca", x, components=2), fitted(REDUCERS, "pca", x[::-1], components=2)
    assert REDUCERS["pca"].facts["labels"](tuple("abcdef"), state) == ("pca 1", "pca 2")
    np.testing.assert_allclose(state["components"], other["components"], atol=1e-5)
    assert all(row[np.abs(row).argmax()] > 0 for row in state["components"])


@pytest.mark.parametrize("kind", ["polynomial", "interactions", "ratios"])
def test_huge_numbers_and_no_columns(kind: str) -> None:
    huge = np.array([[1e300, 1e-300], [-1e300, 2.0]])
    found = crossed(kind, np.ones((3, 2)) + draw().random((3, 2)), huge)
    assert all(np.isfinite(values.astype(np.float32)).all() for values in found.values())
    assert crossed(kind, np.zeros((3, 0))) == {}


def test_degree_three_adds_cubes() -> None:
    x = draw(1).normal(size=(40, 3))
    found = crossed("polynomial", x, degree=3)
    assert set(found) == {"a^2", "b^2", "c^2", "a*b", "a*c", "b*c", "a^3", "b^3", "c^3"}
    np.testing.assert_allclose(found["b^3"], x[:, 1] ** 3, rtol=1e-12)


def test_one_row_is_no_outlier() -> None:
    x = some(1)
    assert applied(FLAGS, "isolation_forest", x, fitted(FLAGS, "isolation_forest", x))[0, -1] == 0


@pytest.mark.parametrize(
    ("name", "y", "classes"), [("mutual_info", [0, 1], 2), ("mutual_info", [1, 2, 3], 0), ("l1", [0, 0], 2)]
)
def test_selectors_say_which_rows_they_lack(name: str, y: list[int], classes: int) -> None:
    with pytest.raises(DataError, match=f"select={name} needs"):
        fitted(SELECTORS, name, some(len(y)), np.array(y), classes)


def test_pca_of_more_features_than_rows_has_no_components_of_rounding() -> None:
    x = some(5, 40)
    state = fitted(REDUCERS, "pca", x, components=30)
    reference = PCA(4).fit(x.astype(np.float64))
    assert state["components"].shape == (4, 40)
    np.testing.assert_allclose(np.abs(state["components"]), np.abs(reference.components_), atol=1e-5)
    assert fitted(REDUCERS, "pca", np.ones((9, 3), np.float32))["components"].shape == (1, 3)


def test_all_components_lead_back_to_the_features() -> None:
    x = some()
    state = fitted(REDUCERS, "pca", x, components=6)
    back = REDUCERS["pca"].facts["inverse"](applied(REDUCERS, "pca", x, state), state)
    np.testing.assert_allclose(back, x, atol=1e-5)
