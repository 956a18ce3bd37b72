"""Reports of real preparations, runs and studies."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.fit import fit
from nnlab.core.run import Run
from nnlab.core.store.runs import Store
from nnlab.core.tune.search import tune
from nnlab.report.bundle import prepared_bundles, run_bundles, runs_bundles, study_bundles
from nnlab.report.html import visible
from nnlab.report.runs import confusion_blocks
from tests.report.reader import check_bare, size_of
from tests.report.standins import HOSTILE


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    frame = load_breast_cancer(as_frame=True).frame
    frame["diagnosis"] = np.where(frame.pop("target") == 0, "malignant", "benign")
    return frame


@pytest.fixture(scope="module")
def data(frame: pd.DataFrame) -> Prepared:
    return prepare(frame, "diagnosis")


@pytest.fixture(scope="module")
def run(data: Prepared) -> Run:
    return fit(data, epochs=5, hidden=(16,), store=False, baseline=False)


def test_the_numbers_are_those_of_scikit_learn(frame: pd.DataFrame, data: Prepared, run: Run) -> None:
    parts = {"training": frame.iloc[data.train.index], "validation": frame.iloc[data.valid.index]}
    plain = run_bundles(run, None, data)[1].data["text/plain"]
    shares = [accuracy_score(part["diagnosis"], run.predict(part)) for part in parts.values()]
    (line,) = [line for line in plain.splitlines() if line.startswith("accuracy  ")]
    assert line.split()[1:] == [f"{share:.4g}" for share in shares]

    valid = parts["validation"]
    labels = list(data.target.classes)
    expected = confusion_matrix(valid["diagnosis"], run.predict(valid), labels=labels)
    (table,) = confusion_blocks(run.evaluation)
    assert [row[0] for row in table.rows] == labels
    np.testing.assert_array_equal([row[1:3] for row in table.rows], expected)
    shares = precision_recall_fscore_support(valid["diagnosis"], run.predict(valid), labels=labels)
    each = run.by_class
    assert list(each.index) == labels
    np.testing.assert_allclose(each[["precision", "recall", "f1", "rows"]].to_numpy().T, shares)
    assert [row[-1] for row in table.rows] == [f"{share:.1%}" for share in shares[2]]


def test_a_run_repeats_itself_from_its_report(data: Prepared, run: Run) -> None:
    plain = run_bundles(run)[1].data["text/plain"]
    source = plain.partition("This run again\n")[2].splitlines()[0].strip()
    assert source.startswith("nnlab.fit(data, ")
    options: dict[str, Any] = eval(source.replace("nnlab.fit(data, ", "dict("))
    again = fit(data, store=False, **options)
    pd.testing.assert_frame_equal(again.history.drop(columns="seconds"), run.history.drop(columns="seconds"))


def test_a_regression_has_its_numbers_and_no_confusion_matrix() -> None:
    data = prepare(load_diabetes(as_frame=True).frame, "target")
    run = fit(data, epochs=3, hidden=(16,), store=False)
    chart, text = run_bundles(run, None, data)
    assert "image/png" in chart.data and "Confusion" not in text.data["text/plain"]
    assert text.data["text/plain"].startswith("rmse ")
    assert "image/png" in prepared_bundles(data)[0].data


@pytest.mark.parametrize("name", [text for text in HOSTILE if text != "\ud800"])
def test_hostile_frames_are_shown_and_nothing_else(name: str) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({name: draw.normal(size=80), "kind": draw.choice([name, "b"], 80)})
    data = prepare(frame, "kind")
    run = fit(data, epochs=1, hidden=(4,), store=False, name=name)
    for bundle in (*prepared_bundles(data), *run_bundles(run, name, data), *runs_bundles([run])):
        if "text/html" in bundle.data:
            assert visible(name)[:50] in check_bare(bundle.data["text/html"]).text


def test_the_list_of_a_store_is_shown_as_it_is(data: Prepared) -> None:
    store = Store()
    fit(data, epochs=1, hidden=(4,), store=store, name="<b>wide</b>")
    broken = store.root / "runs" / "20260101T000000-00000000"
    broken.mkdir()
    (broken / "run.json").write_text("<script>")
    (text,) = runs_bundles(store.runs())
    plain = text.data["text/plain"]
    assert plain.startswith("2 runs") and "<b>wide</b>" in plain and "broken" in plain
    check_bare(text.data["text/html"])


def test_a_study_is_told(data: Prepared) -> None:
    study = tune(data, trials=3, space=("lr=1e-4..1e-1 log",), epochs=2, hidden=(8,), store=False)
    head, *charts, text = study_bundles(study, "%nn_tune data")
    assert len(charts) == 2
    assert head.data["text/plain"].startswith(f"best loss {study.best_score:.4g} on the validation rows, trial")
    assert size_of([head, *charts, text]) < 150_000
    check_bare(text.data["text/html"])
