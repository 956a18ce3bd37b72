"""Prepared data as a scikit-learn transformer."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from nnlab.core.data.prepare import prepare
from nnlab.core.data.table_transformer import TableTransformer
from nnlab.core.options import resolve
from nnlab.core.spec import PrepareSpec


def frame(rows: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame({"age": draw.normal(40, 9, rows), "kind": draw.choice(["a", "b", "c"], rows)})
    found.loc[::9, "age"] = np.nan
    chance = 1 / (1 + np.exp(-(found["age"].fillna(40) - 40) / 5 - (found["kind"] == "a")))
    return found.assign(y=np.where(draw.random(rows) < chance, "yes", "no"))


def test_it_is_the_same_preparation_to_the_bit() -> None:
    table = frame()
    data = prepare(table, "y")
    made = data.to_sklearn()
    assert np.array_equal(made.transform(table), data.transform(table))
    assert tuple(made.get_feature_names_out()) == data.feature_names
    assert list(made.feature_names_in_) == ["age", "kind"] and made.n_features_in_ == 2
    pd.testing.assert_frame_equal(made.inverse_transform(data.train.x), data.inverse(data.train.x))
    model = make_pipeline(made, LogisticRegression())
    assert model.steps[0][1] is made
    alone = LogisticRegression().fit(data.train.x, data.train.y)
    assert alone.score(made.transform(table), (table["y"] == "yes").astype(int)) > 0.7


def test_a_clone_is_fitted_on_all_rows() -> None:
    table = frame()
    made = clone(prepare(table, "y", scale="standard").to_sklearn())
    with pytest.raises(NotFittedError):
        made.transform(table)
    x = made.fit(table[["age", "kind"]], table["y"]).transform(table)
    age = table["age"].fillna(table["age"].median())
    np.testing.assert_allclose(x[:, 0], (age - age.mean()) / age.std(ddof=0), atol=1e-6)
    assert np.array_equal(made.fit_transform(table[["age", "kind"]], table["y"]), x)


def test_targets_are_cross_fitted_in_fit_transform_alone() -> None:
    table = frame()
    made = TableTransformer(resolve(PrepareSpec, {"encode": "target"}, PrepareSpec("")))
    seen = made.fit_transform(table[["age", "kind"]], table["y"])
    assert not np.array_equal(seen, made.transform(table[["age", "kind"]]))


def test_it_works_in_searches_and_with_arrays() -> None:
    table = frame()
    model = make_pipeline(TableTransformer(), LogisticRegression())
    assert cross_val_score(model, table[["age", "kind"]], table["y"], cv=3).mean() > 0.65
    specs = [resolve(PrepareSpec, {"scale": name}, PrepareSpec("")) for name in ("standard", "quantile")]
    search = GridSearchCV(model, {"tabletransformer__spec": specs}, cv=2).fit(table[["age", "kind"]], table["y"])
    assert search.best_params_["tabletransformer__spec"] in specs
    x = np.random.default_rng(0).normal(size=(90, 3))
    array = TableTransformer().fit(x, x[:, 0] > 0)
    assert array.transform(x).shape == (90, 3)
    array.set_output(transform="pandas")
    assert list(array.transform(x).columns) == ["x0", "x1", "x2"]
