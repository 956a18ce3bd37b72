"""Baselines beside a network: scikit-learn's own figures, for a tenth of the run, and nothing of it disturbed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error

from nnlab.core import baselines, plain_models
from nnlab.core.baselines import BOOSTING, DEFAULT, LINEAR, SMALLER, Baseline, Merged, Size, fit_baselines
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.fit import fit
from nnlab.core.losses import LOSSES
from nnlab.core.own import loss as own_loss
from nnlab.core.registry import Part
from nnlab.core.run import Run

ROWS = 600
PLENTY = 1e9
QUICK = {"epochs": 3, "hidden": "8", "store": False}


def frame(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    found = pd.DataFrame({"size": rng.normal(size=ROWS), "age": rng.normal(size=ROWS), "w": rng.uniform(0.1, 9, ROWS)})
    found["place"] = rng.choice(["north", "south", "east", "west"], ROWS)
    score = found["size"] + (found.place == "north") + rng.normal(0, 0.5, ROWS)
    found["kind"] = np.where(score > 0, "yes", "no")
    found["price"] = 1e4 + 300 * score
    return found


@pytest.fixture(scope="module")
def classes() -> Prepared:
    return prepare(frame().drop(columns="price"), target="kind", weight="w")


@pytest.fixture(scope="module")
def numbers() -> Prepared:
    return prepare(frame().drop(columns="kind"), target="price", weight="w")


def by_name(data: Prepared, loss: str, metrics: tuple[str, ...], spent: float = PLENTY) -> dict[str, Baseline]:
    return {found.name: found for found in fit_baselines(data, Part(loss), metrics, spent)}


def test_classes_score_what_scikit_learn_does_with_the_rows_weights(classes: Prepared) -> None:
    train, valid = classes.train, classes.valid
    found = by_name(classes, "cross_entropy", ("accuracy", "roc_auc", "log_loss"))
    linear = LogisticRegression(max_iter=100).fit(train.x, train.y, sample_weight=train.weight)
    merge = Merged(classes)
    trees = HistGradientBoostingClassifier(random_state=0, categorical_features=merge.categories)
    trees.fit(merge(train.x), train.y, sample_weight=train.weight)
    for name, model, x in ((LINEAR, linear, valid.x), (BOOSTING, trees, merge(valid.x))):
        shares = model.predict_proba(x)
        assert found[name].metrics["accuracy"] == pytest.approx(accuracy_score(valid.y, model.predict(x)))
        assert found[name].metrics["roc_auc"] == pytest.approx(roc_auc_score(valid.y, shares[:, 1]), rel=1e-5)
        near = 1e-3 if name == LINEAR else 1e-5  # both stop near the minimum
        assert found[name].metrics["log_loss"] == pytest.approx(log_loss(valid.y, shares), rel=near)
        assert (found[name].rows, found[name].note) == (len(train), "")
    plain = LogisticRegression(max_iter=100).fit(train.x, train.y)
    assert found[LINEAR].metrics["log_loss"] != pytest.approx(log_loss(valid.y, plain.predict_proba(valid.x)), rel=3e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_has_the_minimum_of_scikit_learns(
    classes: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_models, "STILL", 1e-8)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 6))
    y = (x[:, :classes] + draw.normal(size=(400, classes))).argmax(1) * 3  # codes with gaps
    weight = draw.uniform(0.1, 4, 400) if weighted else None
    own = plain_models.Logistic().fit(x, y, weight)
    other = LogisticRegression(tol=1e-9, max_iter=5000).fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(own.predict_proba(x), other.predict_proba(x), atol=1e-6)
    assert own.classes_.tolist() == other.classes_.tolist()
    with pytest.raises(ValueError, match="one class"):
        plain_models.Logistic().fit(x, np.zeros(400, int))


def test_ridge_regression_is_scikit_learns_in_single_precision_too() -> None:
    draw = np.random.default_rng(0)
    x = (draw.normal(size=(9000, 5)) + 30).astype(np.float32)
    y, weight = x @ [1.0, -2, 0, 3, 0.1] + draw.normal(size=9000), draw.uniform(0.1, 4, 9000)
    own, other = plain_models.Ridge().fit(x, y, weight), Ridge().fit(x.astype(float), y, sample_weight=weight)
    np.testing.assert_allclose(own.predict(x), other.predict(x), rtol=1e-5)


def test_a_short_run_does_not_wait_for_scikit_learn() -> None:
    """In a process of its own, that has not loaded it: neither its trees nor anything else of the fit does."""
    code = """
import importlib, sys
import numpy as np, nnlab
x = np.random.default_rng(0).normal(size=(600, 4))
data = nnlab.prepare((x, (x[:, 0] > 0).astype(int)))
fitting = importlib.import_module("nnlab.core.fit")
whole = fitting.carried
fitting.carried = lambda *told: whole(*told) and 0.5  # the seconds that the run took, whatever this machine needs
run = nnlab.fit(data, epochs=4, store=False)
assert not [name for name in sys.modules if name.startswith("sklearn")]
assert run.baselines["accuracy"].notna().tolist() == [True, False], run.baselines
print(run.baselines["note"].iloc[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "loading scikit-learn would take longer than the run" in done.stdout


def test_numbers_are_scored_in_the_units_of_the_target(numbers: Prepared) -> None:
    found = by_name(numbers, "mse", ("rmse", "mae"))
    truth = frame().price.to_numpy()[numbers.valid.index]
    merge = Merged(numbers)
    trees = HistGradientBoostingRegressor(random_state=0, categorical_features=merge.categories)
    for name, model, see in ((LINEAR, Ridge(), np.asarray), (BOOSTING, trees, merge)):
        model.fit(see(numbers.train.x), numbers.train.y, sample_weight=numbers.train.weight)
        predicted = numbers.target.decode(model.predict(see(numbers.valid.x)))
        assert found[name].metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-4)
        assert found[name].metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-4)


def test_one_hot_columns_are_one_category_again(classes: Prepared) -> None:
    merge = Merged(classes)
    names = list(classes.feature_names)
    placed = [at for at, name in enumerate(names) if name.startswith("place")]
    assert merge.features == len(names) - len(placed) + 1
    x = classes.train.x[:50].copy()
    x[0, placed] = 0.0
    codes = merge(x)[:, merge.categories[0]]
    assert codes[0] == 0
    np.testing.assert_array_equal(codes[1:], 1 + x[1:, placed].argmax(1))


def test_embedded_categories_are_seen_by_both() -> None:
    data = prepare(frame().drop(columns="price"), target="kind", encode="codes")
    assert data.pipeline.codes
    for found in by_name(data, "cross_entropy", ("accuracy",)).values():
        assert found.metrics["accuracy"] > 0.75, found


@pytest.mark.parametrize("spent", [0.1, 0.3, 1.0, 10.0])
def test_what_they_are_foretold_to_take_is_at_most_a_tenth_of_the_run(spent: float) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(4000, 6))).rename(columns=str)
    table["y"] = table["0"] + rng.normal(size=4000)
    data = prepare(table, target="y")
    found = by_name(data, "mse", ("rmse",), spent)
    size, cost = Size(len(data.train), 6, 1), 0.0
    if found[LINEAR].rows:
        cost += baselines.linear_cost(size, found[LINEAR].rows)
    if found[BOOSTING].rows:
        trees = next((trees for trees in SMALLER if f"{trees.rounds} trees" in found[BOOSTING].note), DEFAULT)
        cost += baselines.boosting_cost(size, found[BOOSTING].rows, trees)
    assert cost <= 0.1 * spent
    for each in found.values():
        assert bool(each.metrics) == bool(each.rows)
        assert f"fitted on {each.rows:,} of {len(data.train):,} rows" in each.note or each.rows in (0, len(data.train))
    assert (found[BOOSTING].rows > 0) == (spent > 0.1)


def test_a_class_that_no_fitted_row_has_still_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    table = frame().drop(columns="price")
    table.loc[:5, "kind"] = "rare"
    data = prepare(table, target="kind")
    some = replace(data, train=replace(data.train, x=data.train.x, y=np.minimum(data.train.y, 1)))
    for found in by_name(some, "cross_entropy", ("accuracy", "log_loss")).values():
        assert np.isfinite(found.metrics["log_loss"])


@pytest.mark.parametrize("loss", ["quantile", "far_off"])
def test_losses_that_aim_at_something_else_have_no_baselines(numbers: Prepared, loss: str) -> None:
    own_loss(lambda output, target: (output.squeeze(1) - target).abs().mean(), name="far_off")
    try:
        found = fit_baselines(numbers, Part(loss), ("rmse",), PLENTY)
    finally:
        del LOSSES["far_off"]
    assert [each.metrics for each in found] == [{}, {}]
    assert all(each.note.startswith("left out: ") for each in found)


def test_a_run_keeps_them_on_disk_and_in_a_table(
    classes: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "SHARE", PLENTY)
    run = fit(classes, **{**QUICK, "store": tmp_path / "store"})
    assert list(run.baselines.index) == [LINEAR, BOOSTING]
    assert list(run.baselines.columns) == [*run.started.metrics, "rows", "note"]
    assert run.path is not None
    for folder in (run.path, run.save(tmp_path / "copy")):
        pd.testing.assert_frame_equal(Run.load(folder).baselines, run.baselines)
    (run.path / "baselines.json").write_text("{}")
    with pytest.raises(Exception, match=r"baselines\.json"):
        Run.load(run.path)


def test_no_bit_of_the_run_and_no_draw_of_the_user_changes(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "SHARE", PLENTY)
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    with_them, without = fit(classes, **QUICK), fit(classes, baseline=False, **QUICK)
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert len(with_them.baselines) == 2
    assert without.baselines.empty
    for name, weights in with_them.model.state_dict().items():
        assert torch.equal(weights, without.model.state_dict()[name])


@pytest.mark.parametrize(("fault", "says"), [(KeyboardInterrupt(), "interrupted"), (MemoryError("full"), "full")])
def test_an_interrupt_or_a_fault_in_them_loses_nothing(
    classes: Prepared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: BaseException, says: str
) -> None:
    def fails(self: Any, *_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(baselines, "SHARE", PLENTY)
    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", fails)
    run = fit(classes, **{**QUICK, "store": tmp_path})
    assert run.state == "completed"
    assert run.beside[0].metrics
    assert run.beside[1].note.endswith(says)
    assert run.path is not None
    assert Run.load(run.path).best_epoch == run.best_epoch


def test_a_run_that_was_interrupted_is_not_kept_waiting(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnlab.core.controls import Controls

    monkeypatch.setattr(baselines, "SHARE", PLENTY)
    controls = Controls()
    run = fit(classes, controls=controls, view=lambda event: controls.stop("interrupted"), **QUICK)
    assert run.state == "interrupted"
    assert run.baselines.empty
