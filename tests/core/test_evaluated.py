"""What is asked of a run's predictions, against scikit-learn's own numbers."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.calibration import calibration_curve
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import accuracy_score, auc, confusion_matrix, f1_score, log_loss, precision_score, recall_score

from nnlab import DataError, Prepared, Run, evaluate, fit, prepare
from nnlab.core.evaluated.evaluated import Evaluated, OneClass
from nnlab.core.evaluated.slices import slices


def table_of(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "my b", "c"])
    frame["city"] = rng.choice(["rome", "oslo", "<b>lima</b>"], rows)
    frame["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 400, rows), unit="D")
    frame["y"] = np.where(frame.a + (frame.city == "rome") + 0.5 * rng.normal(size=rows) > 0.3, "yes", "no")
    frame.loc[::17, "c"] = np.nan
    return frame.set_index(pd.Index(range(1000, 1000 + rows)))  # places are no labels


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table_of(500)


@pytest.fixture(scope="module")
def data(frame: pd.DataFrame) -> Prepared:
    return prepare(frame, target="y")


@pytest.fixture(scope="module")
def run(data: Prepared) -> Run:
    return fit(data, epochs=6, hidden=(16,), store=False, baseline=False)


@pytest.fixture(scope="module")
def found(run: Run, data: Prepared, frame: pd.DataFrame) -> Evaluated:
    return evaluate(run, data, frame=frame)


class Classes(ClassifierMixin, BaseEstimator):
    """A run as scikit-learn knows estimators."""

    def __init__(self, run: Any = None) -> None:
        self.run = run
        self.classes_ = np.array(run.pipeline.target.classes)

    def fit(self, x: Any, y: Any) -> "Classes":
        return self

    def predict(self, x: Any) -> Any:
        return self.run.predict(x)

    def predict_proba(self, x: Any) -> Any:
        return self.run.predict_proba(x)


class Numbers(RegressorMixin, BaseEstimator):
    def __init__(self, run: Any = None) -> None:
        self.run, self.fitted_ = run, True

    def fit(self, x: Any, y: Any) -> "Numbers":
        return self

    def predict(self, x: Any) -> Any:
        return self.run.predict(x)


def test_rows_are_those_of_the_users_table(found: Evaluated, frame: pd.DataFrame, run: Run) -> None:
    worst = found.top_losses(5)
    own = frame.iloc[worst.index]
    columns = ["a", "my b", "c", "city", "when"]
    pd.testing.assert_frame_equal(worst[columns].reset_index(drop=True), own[columns].reset_index(drop=True))
    assert list(worst["true"]) == list(own["y"]) and list(worst["predicted"]) == list(run.predict(own))
    shares = run.predict_proba(own)
    true = shares[np.arange(5), (own["y"] == "yes").to_numpy().astype(int)]
    np.testing.assert_allclose(worst["loss"], -np.log(true), rtol=1e-6)
    assert (np.diff(worst["loss"]) <= 0).all() and worst["loss"].iloc[0] == found.losses.max()


def test_classes_are_counted_as_scikit_learn_counts(found: Evaluated, run: Run, data: Prepared) -> None:
    true, guess = found.true, found.predicted
    assert (found.confusion.to_numpy() == confusion_matrix(true, guess)).all()
    assert len(found.confused("yes", "no")) == found.confusion.loc["yes", "no"]
    assert (found.confused("yes", "no")[["true", "predicted"]] == ["yes", "no"]).all(axis=None)
    assert found.metrics == pytest.approx(dict(run.score(data.valid)))
    one = found.of("yes")
    line = one.thresholds([0.3]).iloc[0]
    taken = np.where(one.shares >= 0.3, "yes", "no")
    assert line["precision"] == pytest.approx(precision_score(true, taken, pos_label="yes"))
    assert line["recall"] == pytest.approx(recall_score(true, taken, pos_label="yes"))
    assert line["accuracy"] == pytest.approx(accuracy_score(true, taken))
    scores = [f1_score(true, np.where(one.shares >= at, "yes", "no"), pos_label="yes") for at in np.unique(one.shares)]
    best = np.where(one.shares >= one.best_threshold, "yes", "no")
    assert f1_score(true, best, pos_label="yes") == pytest.approx(max(scores))
    observed, predicted = calibration_curve(true == "yes", one.shares, n_bins=10)
    curve = one.calibration()
    np.testing.assert_allclose(curve[["observed", "predicted"]], np.stack([observed, predicted], 1))
    assert curve["rows"].sum() == len(found)


def test_curves_of_a_class_end_where_they_must(found: Evaluated) -> None:
    one = found.of("yes")
    assert one.roc.iloc[-1].tolist()[1:] == [1.0, 1.0]
    area = auc(one.roc["false_positive_rate"], one.roc["true_positive_rate"])
    assert area == pytest.approx(found.metrics["roc_auc"], abs=1e-6)
    nothing = OneClass("no", np.zeros(4, bool), np.linspace(0, 1, 4))
    assert nothing.roc.empty and nothing.precision_recall.empty and np.isnan(nothing.best_threshold)
    assert (nothing.calibration()["observed"] == 0).all()


@pytest.mark.parametrize("impute", ["median", "knn"])  # each column by itself, and columns that are prepared together
def test_importance_is_scikit_learns(frame: pd.DataFrame, impute: str) -> None:
    data = prepare(frame, target="y", impute=impute)
    run = fit(data, epochs=3, hidden=(8,), store=False, baseline=False)
    found = evaluate(run, data, frame=frame)
    own = frame.iloc[found.index].reset_index(drop=True)
    columns = list(run.pipeline.columns)

    def scorer(estimator: Any, x: Any, y: Any) -> float:
        return -log_loss(y, estimator.predict_proba(x), labels=["no", "yes"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = permutation_importance(
            Classes(run), own[columns], own["y"], scoring=scorer, n_repeats=3, random_state=7
        )
    got = found.importance(3, metric="log_loss", seed=7)
    np.testing.assert_allclose(got.loc[columns, "importance"], wanted["importances_mean"], atol=2e-6)
    np.testing.assert_allclose(got.loc[columns, "std"], wanted["importances_std"], atol=2e-6)
    half = 4.302652729911275 * wanted["importances"].std(axis=1, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
    np.testing.assert_allclose(got.loc[columns, "high"] - got.loc[columns, "importance"], half, atol=1e-5)


def test_dependence_is_scikit_learns(found: Evaluated, frame: pd.DataFrame, run: Run) -> None:
    own = frame.iloc[found.index].reset_index(drop=True)
    columns = list(run.pipeline.columns)
    how: dict[str, Any] = {"kind": "both", "grid_resolution": 25, "method": "brute", "response_method": "predict_proba"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = partial_dependence(Classes(run), own[columns], ["a"], **how)
    got = found.dependence("a")
    np.testing.assert_allclose(got["a"], wanted["grid_values"][0])
    np.testing.assert_allclose(got["mean"], wanted["average"][0], atol=1e-6)
    np.testing.assert_allclose(got["low"], np.quantile(wanted["individual"][0], 0.1, axis=0), atol=1e-6)
    levels = found.dependence("city", label="no").set_index("city")["mean"]
    for city in ("rome", "<b>lima</b>"):
        assert levels[city] == pytest.approx(run.predict_proba(own.assign(city=city))[:, 0].mean(), abs=1e-6)
    dates = found.dependence("when")
    day = dates["when"].iloc[3]
    assert dates["mean"].iloc[3] == pytest.approx(run.predict_proba(own.assign(when=day))[:, 1].mean(), abs=1e-6)
    both = found.dependence("a", "city")
    cell = both.iloc[7]
    alone = run.predict_proba(own.assign(a=cell["a"], city=cell["city"]))[:, 1].mean()
    assert len(both) == 12 * 3 and cell["mean"] == pytest.approx(alone, abs=1e-6)


def test_slices_part_the_rows(found: Evaluated) -> None:
    table, guess = found.table, found.predicted
    assert table is not None
    by_city = found.by_slice("city")
    assert by_city["rows"].sum() == len(found)
    rome = (table["city"] == "rome").to_numpy()
    assert by_city.loc["rome", "accuracy"] == pytest.approx((guess[rome] == found.true[rome]).mean())
    gaps = found.by_slice("c")
    assert gaps.loc["missing", "rows"] == table["c"].isna().sum() and len(gaps) == 5
    weak = found.weakest(3)
    assert weak["accuracy"].is_monotonic_increasing and (weak["rows"] >= 20).all()
    assert weak["accuracy"].iloc[0] <= by_city["accuracy"].min()


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pd.Series([10, 2, 2, 30]), ["2", "10", "30"]),
        (pd.Series([2021.0, 2020.0, np.nan]), ["2020", "2021", "missing"]),
        (pd.Series([0.0506801187398186, -0.044641636506989, -0.044641636506989]), ["-0.04464", "0.05068"]),
        (pd.Series([1.00001, 1.00002, np.inf]), ["1.00001", "1.00002", "inf"]),
        (pd.Series([3, None, 1], dtype="Int64"), ["1", "3", "missing"]),
        (pd.Series([True, False, None], dtype=object), ["False", "True", "missing"]),
        (pd.Series(["b", "10", "2", None]), ["10", "2", "b", "missing"]),
    ],
)
def test_levels_of_numbers_are_short_and_in_their_order(column: pd.Series, names: list[str]) -> None:
    found = dict(slices(column))
    assert list(found) == names
    assert sum(rows.astype(int) for rows in found.values()).tolist() == [1] * len(column)  # type: ignore[union-attr]


def test_numbers_and_a_table_that_training_never_saw(frame: pd.DataFrame) -> None:
    own = frame.drop(columns="y")
    data = prepare(own, target="a")
    run = fit(data, epochs=3, hidden=(8,), store=False, baseline=False)
    fresh = table_of(60).drop(columns="y")
    found = evaluate(run, fresh)
    assert len(found) == 60 and found.part == "rows of DataFrame" and found.main == "rmse"
    np.testing.assert_allclose(found.residuals["residual"], fresh["a"] - run.predict(fresh), rtol=1e-5)
    assert found.top_losses(1).index[0] == np.abs(fresh["a"].to_numpy() - run.predict(fresh)).argmax()
    how: dict[str, Any] = {"kind": "average", "grid_resolution": 25, "method": "brute"}
    wanted = partial_dependence(Numbers(run), fresh.reset_index(drop=True).drop(columns="a"), ["my b"], **how)
    np.testing.assert_allclose(found.dependence("my b")["mean"], wanted["average"][0], atol=1e-5)
    with pytest.raises(DataError, match="there are no classes"):
        found.of("yes")


def test_the_test_part_is_noted_and_other_tables_are_refused(run: Run, data: Prepared, frame: pd.DataFrame) -> None:
    assert "scored once" in evaluate(run, data, on="test").note
    assert "scored 2 times" in evaluate(run, data, on="test").note
    changed = frame.assign(a=frame["a"] + (np.arange(len(frame)) == data.valid.index[0]))
    with pytest.raises(DataError, match=f"not what data was prepared from: row {data.valid.index[0]} differs"):
        evaluate(run, data, frame=changed)
    alone = evaluate(run, data)
    assert list(alone.top_losses(2).columns) == ["true", "predicted", "p(true)", "p(predicted)", "loss"]
    assert len(alone.importance(2)) == 5  # columns that are prepared one by one can be shuffled without the table
    with pytest.raises(DataError, match="needs the table: name the table"):
        alone.by_slice("a")
    with pytest.raises(DataError, match="not what the run was trained on"):
        evaluate(run, prepare(frame, target="y", seed=5))
