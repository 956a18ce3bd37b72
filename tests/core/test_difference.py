"""What differs between two runs, and whether their metrics differ by more than noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

import nnlab
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.difference import Difference, diff
from nnlab.core.errors import StoreError
from nnlab.core.evaluate import Evaluation
from nnlab.core.noise import Judged, row_noise, seed_noise
from nnlab.core.run import Run
from nnlab.core.store import files
from tests.report.standins import HOSTILE


def trained(data: Prepared, store: Path | bool, **options: object) -> Run:
    usual = {"epochs": 2, "hidden": "4", "baseline": False, "probe": False}
    return nnlab.fit(data, store=store, **{**usual, **options})  # type: ignore[arg-type]


def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame({"a": draw.normal(size=200), "b": draw.normal(size=200), "c": draw.normal(size=200)})
    return found.assign(y=np.where(found["a"] > 0, "yes", "no"))


def told(found: Difference, section: str) -> dict[str, tuple[object, object]]:
    return {change.name: (change.a, change.b) for change in found.changes if change.section == section}


def test_the_same_run_differs_in_nothing(classes: Prepared, tmp_path: Path) -> None:
    run = trained(classes, tmp_path)
    found = diff(run, "last", tmp_path)
    assert (found.changes, found.code, found.same_rows) == ((), (), True)
    assert {judged.verdict for judged in found.metrics} == {"equal"}
    assert found.a != found.b


def test_options_are_compared_with_their_defaults_filled_in(classes: Prepared, tmp_path: Path) -> None:
    a = trained(classes, tmp_path, name="a", lr=0.1)
    trained(classes, tmp_path, name="b", optimizer="sgd", lr=0.1, l1=0.01)
    spec = told(diff(a, "b"), "spec")  # the store is that of the run
    assert spec["optimizer"] == ("adamw", "sgd")
    assert "optimizer.lr" not in spec
    assert spec["optimizer.beta1"] == (0.9, None)
    assert spec["l1"] == (None, 0.01)
    assert not told(diff("a", "b", tmp_path), "data")


def test_columns_that_came_went_and_changed(tmp_path: Path) -> None:
    frame = table()
    other = frame.drop(columns="c").assign(b=frame["b"] + 1, d=1.0 * np.arange(200))
    trained(nnlab.prepare(frame, "y"), tmp_path, name="a")
    trained(nnlab.prepare(other, "y", scale="minmax"), tmp_path, name="b")
    found = diff("a", "b", tmp_path)
    data = told(found, "data")
    assert data["scale"][1] == "minmax"
    assert "column a" not in data
    assert [data["column c"][1], data["column d"][0]] == [None, None]
    assert None not in data["column b"] and len(set(data["column b"])) == 2
    assert found.same_rows  # the same targets, parted in the same way
    trained(nnlab.prepare(frame, "y", seed=1), tmp_path, name="apart")
    assert not diff("a", "apart", tmp_path).same_rows


def test_code_and_environment(classes: Prepared, tmp_path: Path) -> None:
    a, b = trained(classes, tmp_path, code="x = 1\ny = 2\n"), trained(classes, tmp_path, code="x = 1\ny = 3")
    assert [line for line in diff(a, b).code if line[:2] in ("-y", "+y", " x")] == [" x = 1", "-y = 2", "+y = 3"]
    assert b.path is not None
    about = files.read_json(b.path / "run.json")
    about["versions"]["torch"], about["commit"] = "1.0", "f" * 40
    files.write_json(b.path / "run.json", about)
    environment = told(diff(a.id, b.id, tmp_path), "environment")
    assert environment["torch"][1] == "1.0" and environment["git commit"][1] == "f" * 40
    assert set(environment) == {"torch", "git commit"}


def test_noise_comes_from_seeds_where_there_are_three(classes: Prepared, tmp_path: Path) -> None:
    runs = [trained(classes, tmp_path, seed=seed) for seed in (0, 1, 1)]
    other = trained(classes, tmp_path, lr=0.001, name="other")
    sources = {judged.name: judged.source for judged in diff(runs[0], other).metrics}
    assert {"accuracy", "log_loss", "loss"} <= set(sources) and set(sources.values()) == {"validation rows, paired"}
    runs.append(trained(classes, tmp_path, seed=2))
    found = {judged.name: judged for judged in diff(runs[0], other).metrics}
    assert {judged.source for judged in found.values()} == {"3 seeds"}  # seed 1 twice tells nothing new
    values = [runs[at].metrics["loss"] for at in (0, 1, 3)]
    expected = stats.t.ppf(0.975, 2) * np.sqrt(2) * np.std(values, ddof=1)
    assert found["loss"].noise == pytest.approx(expected)
    assert found["loss"].verdict == ("within noise" if abs(found["loss"].change) <= expected else "worse")


def test_what_was_changed_by_hand_is_a_difference_and_no_luck_of_the_seed(classes: Prepared, tmp_path: Path) -> None:
    runs = [trained(classes, tmp_path, seed=seed) for seed in (0, 1)]
    controls = Controls()
    controls.set("lr", 1e-5)
    controls.set("dropout", 0.5)
    steered = trained(classes, tmp_path, seed=2, controls=controls)
    twig = nnlab.branch(runs[0].id, 1, classes, store=tmp_path, lr=0.5, epochs=3)
    for run in (steered, steered.id):
        course = told(diff(runs[0], run, tmp_path), "course")
        assert course["lr changed"] == (None, "1e-05 in epoch 1, step 1")
        assert course["dropout changed"] == (None, "0.5 in epoch 1, step 1")
    course = told(diff(steered, twig), "course")
    assert course["origin"] == (None, f"branch of {runs[0].id}, epoch 1")
    assert course["lr changed"] == ("1e-05 in epoch 1, step 1", "0.5 in epoch 2, step 1")
    assert {judged.source for judged in diff(runs[0], runs[1]).metrics} == {"validation rows, paired"}
    runs.append(trained(classes, tmp_path, seed=2))
    assert {judged.source for judged in diff(runs[0], runs[1]).metrics} == {"3 seeds"}
    assert {judged.source for judged in diff(runs[0], steered).metrics} == {"3 seeds"}, "of the run without changes"


def test_seed_noise_is_the_interval_of_welch() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(0, 1, 5), draw.normal(0, 3, 4)
    # The interval of a difference of two means of n runs becomes that of single runs with n taken out of the errors.
    free = (a.var(ddof=1) + b.var(ddof=1)) ** 2 / (a.var(ddof=1) ** 2 / 4 + b.var(ddof=1) ** 2 / 3)
    expected = stats.t.ppf(0.975, free) * np.hypot(a.std(ddof=1), b.std(ddof=1))
    assert seed_noise(list(a), list(b), alike=False) == pytest.approx(expected)
    assert seed_noise([1.0, 2.0], [1.0], alike=False) is None
    assert seed_noise([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], alike=False) == 0.0


@pytest.mark.parametrize(("first", "second"), [(3, 1), (3, 3), (4, 8)])
def test_runs_that_differ_by_seed_alone_are_seldom_told_apart(first: int, second: int) -> None:
    draw = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        a, b = draw.normal(size=first), draw.normal(size=second)
        alarms += abs(a[0] - b[0]) > (seed_noise(list(a), list(b), alike=False) or 0.0)
    assert alarms / 2000 <= 0.06


def test_the_bootstrap_of_counts_is_the_binomial_error() -> None:
    counts = ((400, 100), (50, 450))
    side = Evaluation(1000, ("no", "yes"), counts)
    metrics = {"accuracy": 0.85, "roc_auc": 0.93}
    found = row_noise(side, side, (metrics, metrics), same_rows=True)
    assert set(found) == {"accuracy"}  # the counts do not tell a ranking
    assert found["accuracy"][0] == pytest.approx(1.96 * np.sqrt(2 * 0.85 * 0.15 / 1000), rel=0.12)


def test_the_bootstrap_of_probabilities_is_that_of_the_rows() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 2, 500)
    chances = np.clip(0.5 + (codes - 0.5) * 0.3 + draw.normal(0, 0.2, 500), 0.01, 0.99)
    logs = np.log(np.column_stack([1 - chances, chances]))
    side = Evaluation(2000, ("no", "yes"), codes=tuple(codes.tolist()), logs=tuple(map(tuple, logs.tolist())))
    each = -logs[range(500), codes]
    metrics = {"loss": float(each.mean()), "roc_auc": roc_auc_score(codes, chances)}
    found = row_noise(side, side, (metrics, metrics), same_rows=False)
    assert found["loss"][0] == pytest.approx(1.96 * np.sqrt(2) * each.std() / np.sqrt(2000), rel=0.12)
    ranked = metrics["roc_auc"]  # Hanley and McNeil, 1982, whose exponential scores are near enough
    no, yes = (2000 * (codes == code).mean() for code in (0, 1))
    q1, q2 = ranked / (2 - ranked), 2 * ranked**2 / (1 + ranked)
    error = ranked * (1 - ranked) + (yes - 1) * (q1 - ranked**2) + (no - 1) * (q2 - ranked**2)
    assert found["roc_auc"][0] == pytest.approx(1.96 * np.sqrt(2 * error / (yes * no)), rel=0.15)
    assert row_noise(side, side, (metrics, metrics), same_rows=True) == {"roc_auc": (0.0, True), "loss": (0.0, True)}
    smoothed = metrics | {"loss": 2.0}
    assert set(row_noise(side, side, (smoothed, smoothed), same_rows=True)) == {"roc_auc"}


def test_the_bootstrap_of_a_regression_is_paired() -> None:
    draw = np.random.default_rng(0)
    true = draw.normal(size=400)
    first, second = true + draw.normal(0, 0.5, 400), true + draw.normal(0, 0.5, 400)
    second[:390] = first[:390] + 0.01
    sides = [Evaluation(1600, (), (), tuple(true), tuple(values)) for values in (first, second)]
    metrics = ({"mae": 0.4}, {"mae": 0.4})
    together, paired = row_noise(sides[0], sides[1], metrics, same_rows=True)["mae"]
    apart = np.abs(second - true) - np.abs(first - true)
    assert paired and together == pytest.approx(1.96 * apart.std() / np.sqrt(1600), rel=0.12)
    alone, paired = row_noise(sides[0], sides[1], metrics, same_rows=False)["mae"]
    assert not paired and alone > 3 * together


@pytest.mark.parametrize(
    ("name", "b", "noise", "verdict"),
    [
        ("accuracy", 0.9, 0.05, "better"),
        ("accuracy", 0.7, 0.05, "worse"),
        ("loss", 0.9, 0.05, "worse"),
        ("rmse", 0.7, 0.05, "better"),
        ("accuracy", 0.82, 0.05, "within noise"),
        ("accuracy", 0.8, None, "equal"),
        ("roc_auc", 0.9, None, "not judged"),
        ("loss", float("nan"), 0.1, "not judged"),
    ],
)
def test_verdicts(name: str, b: float, noise: float | None, verdict: str) -> None:
    assert Judged(name, 0.8, b, noise, "").verdict == verdict


def test_runs_in_no_store_and_broken_ones(classes: Prepared, tmp_path: Path) -> None:
    a, b = trained(classes, tmp_path), trained(classes, False)
    assert diff(replace(a, path=None), b, tmp_path).same_rows
    assert a.path is not None
    (a.path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        diff("last", b, tmp_path)


def test_hostile_names(classes: Prepared, tmp_path: Path) -> None:
    from nnlab.report.difference import difference_bundles

    for text in HOSTILE[:6]:
        a = trained(classes, tmp_path, epochs=1, name=text, code=text)
        (shown,) = difference_bundles(diff(a, trained(classes, tmp_path, epochs=1)))
        assert "<script" not in shown.data["text/html"] and "<img" not in shown.data["text/html"]
