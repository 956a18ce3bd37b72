"""The steps against scikit-learn, and what one more step takes."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from nnlab.core.data.prepare import prepare
from nnlab.core.data.steps import ENCODERS, IMPUTERS, SCALERS, SELECTORS, State
from nnlab.core.data.steps.registries import Array
from nnlab.core.data.steps.scalers import quantile as fit_quantile
from nnlab.core.data.steps.scalers import to_normal
from nnlab.core.errors import SpecError


def columns() -> dict[str, Array]:
    draw = np.random.default_rng(1)
    return {
        "normal": draw.normal(5, 3, 3000),
        "heavy": np.exp(draw.normal(0, 3, 3000)),
        "few": draw.integers(0, 4, 3000).astype(float),
        "mostly zero": draw.exponential(1, 3000) * (draw.random(3000) < 0.1),
        "short": draw.normal(size=7),
        "constant": np.full(50, 3.0),
        "nearly constant": 1e9 + 1e-7 * draw.random(50),
    }


def scaled(name: str, fitted_on: Array, other: Array, **values: object) -> Array:
    entry = SCALERS[name]
    state = entry.make(fitted_on, np.random.default_rng(0), **values)
    return entry.facts["apply"](other, state)


@pytest.mark.parametrize("name", columns())
@pytest.mark.parametrize(("scaler", "reference"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_affine_scalers_equal_scikit_learn(scaler: str, reference: StandardScaler, name: str) -> None:
    x = columns()[name]
    other = np.concatenate([x, [x.min() - 1, x.max() + 2]])
    expected = reference.fit(x[:, None]).transform(other[:, None])[:, 0]
    np.testing.assert_allclose(scaled(scaler, x, other), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in columns() if name != "nearly constant"])
@pytest.mark.parametrize("knots", [10, 100, 1000])
def test_quantile_equals_scikit_learn(name: str, knots: int) -> None:
    x = columns()[name]
    other = np.concatenate([x, x[:-1] + np.diff(x) / 3, [x.min() - 1, x.max() + 2]])
    unit = x.std() or 1.0  # both work in units of the column's spread, since the bounds of ranks are absolute
    reference = QuantileTransformer(n_quantiles=min(knots, len(x)), output_distribution="normal", subsample=None)
    expected = reference.fit(x[:, None] / unit).transform(other[:, None] / unit)[:, 0]
    np.testing.assert_allclose(scaled("quantile", x, other, knots=knots, noise=0.0), expected, rtol=0, atol=1e-7)


def test_quantile_noise_is_seeded_and_in_the_fit_only() -> None:
    x = columns()["few"]
    first = fit_quantile(x, np.random.default_rng(3))
    again = fit_quantile(x, np.random.default_rng(3))
    other = fit_quantile(x, np.random.default_rng(4))
    assert np.array_equal(first["quantiles"], again["quantiles"])
    assert not np.array_equal(first["quantiles"], other["quantiles"])
    values = np.unique(to_normal(x, first))
    assert len(values) == 4  # equal values stay equal
    assert np.abs(values).max() < 3  # and the ends of a column of few values are not thrown to the ends of the scale


def test_quantile_does_not_see_the_unit() -> None:
    x = columns()["normal"]
    np.testing.assert_allclose(scaled("quantile", x * 1e-9, x * 1e-9), scaled("quantile", x, x), atol=1e-6)


def test_imputers() -> None:
    x = np.array([1.0, 2.0, 4.0, 100.0])
    assert IMPUTERS["median"].make(x) == 3.0
    assert IMPUTERS["mean"].make(x) == 26.75


def test_one_more_scaler_is_one_decorated_function() -> None:
    try:

        @SCALERS.add(apply=lambda column, state: column / state["largest"])
        def largest(column: Array, rng: np.random.Generator) -> State:
            """Divided by the largest absolute value."""
            return {"largest": float(np.abs(column).max())}

        x = np.random.default_rng(0).normal(size=(60, 2))
        data = prepare((x, x.sum(1)), scale="largest")
        assert np.abs(data.train.x).max(0).tolist() == [1.0, 1.0]
    finally:
        SCALERS.pop("largest")


def test_a_step_that_lacks_what_its_place_asks_for_is_refused_where_it_is_written() -> None:
    def halved(column: Array, rng: np.random.Generator) -> State:
        """Half of it."""
        return {}

    with pytest.raises(SpecError, match=r"scaler halved lacks apply; it is registered with \.add\(apply=\.\.\.\)"):
        SCALERS.add(halved)
    with pytest.raises(SpecError, match=r"selector halved lacks labels"):
        SELECTORS.add(apply=lambda x, state: x)(halved)
    assert "halved" not in {*SCALERS, *SELECTORS}
    try:
        SCALERS.add(apply=lambda column, state: column / 2)(halved)
        x = np.random.default_rng(0).normal(size=(60, 2))
        assert np.abs(prepare((x, x.sum(1)), scale="halved").train.x).max() < np.abs(x).max()
        with pytest.raises(SpecError, match=r"scale_target=halved: this scaler has no inverse"):
            prepare((x, x.sum(1)), scale_target="halved")
    finally:
        SCALERS.pop("halved", None)


def test_every_step_says_what_it_does() -> None:
    for registry in (SCALERS, IMPUTERS, ENCODERS):
        for entry in registry.values():
            assert entry.summary.endswith(".")
            for param in entry.params.values():
                assert param.read(param.default) == param.default


def test_help_needs_no_heavy_package() -> None:
    code = "import sys, nnlab.core.data.steps; print({'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
