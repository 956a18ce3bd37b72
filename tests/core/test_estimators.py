"""The estimators by scikit-learn's own checks, within its tools, and against nnlab.fit."""

import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import nnlab
from nnlab.core.models import MODELS
from nnlab.core.spec import TrainSpec

SMALL: dict[str, Any] = {"hidden": (16,), "epochs": 20, "random_state": 0}
WEIGHTS = {f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")}
ESTIMATORS = ["NNClassifier", "NNRegressor"]
X, Y = load_iris(return_X_y=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learns_own_checks(name: str) -> None:
    """In float64 all; in float32 all but equal weights and repeated rows to a ten-millionth."""
    make = getattr(nnlab, name)
    found = check_estimator(make(precision="float64", hidden=(32,), epochs=40), on_skip=None)
    assert len(found) >= 55
    assert {check["status"] for check in found} <= {"passed", "skipped"}
    assert {check["check_name"] for check in found if check["status"] == "skipped"} <= {"check_array_api_input"}
    found = check_estimator(make(hidden=(32,), epochs=40), on_fail=None, on_skip=None)
    assert {check["check_name"] for check in found if check["status"] == "failed"} <= WEIGHTS


@pytest.mark.parametrize("name", ESTIMATORS)
def test_parameters_are_those_of_a_run(name: str) -> None:
    made = getattr(nnlab, name)()
    wanted = {field.name for field in fields(TrainSpec)} - {"seed", "class_weight"}
    assert wanted <= made.get_params().keys()
    assert ("class_weight" in made.get_params()) is (name == "NNClassifier")
    options = {"dropout": 0.3, "optimizer": nnlab.Part("sgd", {"momentum": 0.5}), "options": {"l1": 0.1}}
    assert clone(made.set_params(**options)).get_params() == made.get_params()
    with pytest.raises(TypeError, match=r"has no parameter 'drop_out'; did you mean 'dropout'\?"):
        getattr(nnlab, name)(drop_out=0.1)


@pytest.mark.parametrize(
    ("name", "data"), [("NNClassifier", (X, Y)), ("NNRegressor", load_diabetes(return_X_y=True))], ids=ESTIMATORS
)
def test_an_array_gives_the_run_that_fit_gives(name: str, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    options = {"hidden": (16,), "epochs": 8, "lr": 0.02, "batch_size": 32, "optimizer": "adam"}
    made = getattr(nnlab, name)(**options, options={"l2": 1e-3}, dropout=0.1, random_state=3).fit(x, y)
    whole = nnlab.prepare((x, y), test=0, valid=0, scale="standard", numeric=[f"x{i}" for i in range(x.shape[1])])
    run = nnlab.fit(whole, **options, l2=1e-3, dropout=0.1, seed=3, store=False)
    assert made.loss_curve_ == pytest.approx(run.history.train_loss.tolist(), rel=1e-4)
    assert np.allclose(made.predict(x), run.predict(x), rtol=1e-3)
    assert np.array_equal(made.run_.predict(x), made.predict(x)) or name == "NNRegressor"


def test_search_pipeline_and_frames_of_pandas() -> None:
    steps = make_pipeline(StandardScaler(), nnlab.NNClassifier(**SMALL | {"epochs": 80}, lr=0.03)).set_output(
        transform="pandas"
    )
    grid = {"nnclassifier__dropout": [0.0, 0.9], "nnclassifier__options": [None, {"label_smoothing": 0.1}]}
    search = GridSearchCV(steps, grid, cv=2).fit(*load_iris(return_X_y=True, as_frame=True))
    assert search.best_params_["nnclassifier__dropout"] == 0.0
    assert search.best_score_ > 0.9
    assert list(search.best_estimator_[-1].feature_names_in_) == load_iris().feature_names
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_cross_validation_is_the_loop_by_hand() -> None:
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(nnlab.NNClassifier(**SMALL, dropout=0.2), X, Y, cv=folds)
    by_hand = []
    for train, test in folds.split(X, Y):
        made = nnlab.NNClassifier(**SMALL, dropout=0.2).fit(X[train], Y[train])
        by_hand.append(accuracy_score(Y[test], made.predict(X[test])))
    assert scores.tolist() == by_hand


def _mixed(rows: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"size": draw.normal(size=rows), "kind": draw.choice(["red", "green", "blue"], rows)})
    words = np.where((frame["kind"] == "red") ^ (frame["size"] > 0), "10", "9")
    frame.loc[::17, "size"] = np.nan
    return frame, words


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_with_categories_and_gaps_are_prepared(library: str) -> None:
    frame, words = _mixed()
    given = frame if library == "pandas" else pl.from_pandas(frame)
    made = nnlab.NNClassifier(**SMALL | {"epochs": 60}, validation_fraction=0.2, lr=0.03).fit(given, words)
    assert made.classes_.tolist() == ["10", "9"]
    assert made.score(given, words) > 0.85
    assert made.predict_proba(given).shape == (300, 2)
    assert made.run_.predict(frame).tolist() == made.predict(given).tolist()
    assert "valid_loss" in made.history_
    assert len(made.run_.started.metrics)
    with pytest.raises(ValueError, match="feature names should match"):
        made.predict(given[["kind", "size"]])


def test_options_of_the_preparation() -> None:
    frame, words = _mixed()
    numbers = pd.DataFrame({"a": frame["size"].fillna(0.0), "b": np.arange(300) % 3})
    made = nnlab.NNClassifier(**SMALL, prepare={"scale": "quantile", "categorical": "b"}).fit(numbers, words)
    assert made.run_.pipeline.feature_names == ("a", "b=0", "b=1", "b=2")
    array = nnlab.NNClassifier(**SMALL, prepare={"scale": "minmax"}).fit(X, Y)
    assert array.run_.pipeline.features[0].scaler == "minmax"
    assert array.predict(X[:3]).tolist() == array.predict(X)[:3].tolist()
    target = frame["size"].fillna(0.0) * 5 + 100
    regressor = nnlab.NNRegressor(**SMALL, validation_fraction=0.1).fit(frame, target)
    assert 90 < regressor.predict(frame).mean() < 110


def test_weights_of_rows_and_classes() -> None:
    weight = np.arange(150) % 3 * 1.0
    made = nnlab.NNClassifier(**SMALL)
    weighted = clone(made).fit(X, Y, sample_weight=weight).predict_proba(X)
    absent = clone(made).fit(X[weight > 0], Y[weight > 0], sample_weight=weight[weight > 0])
    assert np.array_equal(weighted, absent.predict_proba(X))
    rare = np.r_[0:50, 50:60, 100:150]
    balanced = clone(made).set_params(class_weight="balanced").fit(X[rare], Y[rare])
    by_class = compute_sample_weight("balanced", Y[rare])
    data = balanced.run_.facts.summary["rows"]["train"]
    assert data == 110
    plain = clone(made).fit(X[rare], Y[rare])
    assert balanced.loss_curve_ != plain.loss_curve_
    first = clone(made).set_params(class_weight=dict(enumerate(by_class[[0, 50, 109]]))).fit(X[rare], Y[rare])
    assert first.loss_curve_ == balanced.loss_curve_
    for wrong, words in (([-1.0] * 150, "150 negative"), ([0.0] * 150, "(?i)zero|0 for every row")):
        with pytest.raises(ValueError, match=words):
            made.fit(X, Y, sample_weight=wrong)


def test_weights_go_through_a_search_by_metadata_routing() -> None:
    weight = np.arange(150) % 2 * 1.0
    with config_context(enable_metadata_routing=True):
        asking = nnlab.NNClassifier(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = GridSearchCV(asking, {"lr": [0.05]}, cv=2).fit(X, Y, sample_weight=weight)
    assert search.best_estimator_.run_.facts.summary["rows"]["train"] == 75


def test_sparse_rows_are_read() -> None:
    made = nnlab.NNClassifier(**SMALL)
    thick = np.where(X > 3, X, 0)
    assert np.array_equal(
        clone(made).fit(sparse.csr_array(thick), Y).predict_proba(sparse.csc_matrix(thick)),
        clone(made).fit(thick, Y).predict_proba(thick),
    )


class Own(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out))

    def forward(self, x: Any) -> Any:
        return self.layers(x.float())


class Lost(Own):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * float("nan")


def test_own_networks_and_pickles() -> None:
    labels = np.array(["setosa", "versicolor", "virginica"])[Y]
    made = clone(nnlab.NNClassifier(model=Own, epochs=30, lr=0.05, random_state=1)).fit(X, labels)
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.predict_proba(X), made.predict_proba(X))
    assert set(again.predict(X)) == set(labels)
    assert again.score(X, labels) > 0.9
    assert again.n_iter_ == len(again.loss_curve_) == 30


@pytest.mark.parametrize("model", MODELS)
def test_every_network_predicts_and_comes_back_from_a_pickle(model: str) -> None:
    made = nnlab.NNClassifier(model=model, epochs=1, dropout=None, random_state=0).fit(X, Y)
    assert np.array_equal(pickle.loads(pickle.dumps(made)).predict_proba(X), made.predict_proba(X))


def test_random_state() -> None:
    made = nnlab.NNRegressor(hidden=(8,), epochs=2)
    x, y = load_diabetes(return_X_y=True)
    np.random.seed(0)
    states = [5, 5, 6, np.random.RandomState(1), np.random.RandomState(1), None, None]
    found = [clone(made).set_params(random_state=state).fit(x, y).predict(x[:1])[0] for state in states]
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4]
    assert found[5] != found[6]


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(NotFittedError):
        nnlab.NNClassifier().predict(X)
    with pytest.raises(ValueError, match="one class only, 1"):
        nnlab.NNClassifier().fit(X, np.ones(150, int))
    with pytest.raises(ValueError, match="NaN"):
        nnlab.NNRegressor().fit(np.where(X > 7, np.nan, X), X[:, 0])
    with pytest.raises(nnlab.SpecError, match="no option 'labelsmoothing'"):
        nnlab.NNClassifier(options={"labelsmoothing": 0.1}).fit(X, Y)
    with pytest.raises(nnlab.RunError, match="no epoch had a finite loss"):
        nnlab.NNClassifier(model=Lost, epochs=2).fit(X, Y)
