"""Losses and metrics that the user wrote: their numbers, what is said of bad ones, and runs that lack them."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import fbeta_score, log_loss, mean_squared_error
from torch import Tensor
from torch.nn import functional

import nnlab
from nnlab.core import own
from nnlab.core.errors import RunError, SpecError
from nnlab.core.losses import LOSSES
from nnlab.core.metrics import METRICS
from nnlab.core.spec import TrainSpec, from_json, to_json

QUICK = {"epochs": 3, "hidden": (8,), "store": False, "batch_size": 32}
SURE: dict[str, Any] = QUICK | {"dropout": 0.0}  # a loss of one's own goes to autograd, which draws other masks


pytestmark = pytest.mark.usefixtures("registries")


def table(task: str, rows: int = 160) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(rows, 3)), columns=list("abc"))
    score = frame["a"] - frame["b"] + 0.3 * draw.normal(size=rows)
    frame["y"] = score if task == "regression" else np.where(score > 0, "yes", "no")
    return frame


def squared(output: Tensor, target: Tensor) -> Tensor:
    """Half the squared error of each row."""
    return (output - target).square()


def smooth_nll(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output, target)


def beta_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(fbeta_score(y_true, y_pred, beta=2))


def my_log_loss(y_true: np.ndarray, y_proba: np.ndarray) -> float:
    return float(log_loss(y_true, y_proba))


def largest_error(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().max()


def test_a_loss_of_the_users_trains_like_the_same_loss_of_nnlab() -> None:
    data = nnlab.prepare(table("regression"), target="y")
    mine = nnlab.fit(data, loss=squared, **SURE)
    theirs = nnlab.fit(data, loss="mse", **SURE)
    assert mine.spec.loss is not None and mine.spec.loss.name == "squared"
    pd.testing.assert_frame_equal(
        mine.history.drop(columns="seconds"), theirs.history.drop(columns="seconds"), rtol=1e-5
    )
    data = nnlab.prepare(table("binary"), target="y")
    mine, theirs = nnlab.fit(data, loss=smooth_nll, **SURE), nnlab.fit(data, **SURE)
    for one, other in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rows_count_by_their_weight_where_a_loss_gives_one_number_a_row() -> None:
    frame = table("regression").assign(w=np.arange(160) % 3 + 0.5)
    data = nnlab.prepare(frame, target="y", weight="w")
    mine, theirs = nnlab.fit(data, loss=squared, **SURE), nnlab.fit(data, loss="mse", **SURE)
    np.testing.assert_allclose(mine.history["train_loss"], theirs.history["train_loss"], rtol=1e-5)

    @nnlab.loss
    def whole(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean()

    with pytest.raises(RunError, match="with row weights it must give one a row"):
        nnlab.fit(data, loss="whole", **QUICK)


def test_metrics_of_the_users_have_scikit_learns_numbers() -> None:
    frame = table("binary")
    data = nnlab.prepare(frame, target="y")
    run = nnlab.fit(data, metrics=["accuracy", beta_score, my_log_loss, "log_loss"], **QUICK)
    codes = data.valid.y
    rows = frame.iloc[data.valid.index]
    guess = (run.predict(rows) == "yes").astype(int)
    assert run.metrics["beta_score"] == pytest.approx(fbeta_score(codes, guess, beta=2), abs=1e-6)
    assert run.metrics["my_log_loss"] == pytest.approx(log_loss(codes, run.predict_proba(rows)[:, 1]), abs=1e-6)
    assert run.metrics["my_log_loss"] == pytest.approx(run.metrics["log_loss"], abs=1e-6)
    assert METRICS["beta_score"].facts["maximize"] and not METRICS["my_log_loss"].facts["maximize"]


def test_a_metric_of_the_users_chooses_the_best_epoch_in_the_targets_units() -> None:
    frame = table("regression")
    data = nnlab.prepare(frame, target="y")
    run = nnlab.fit(data, metrics=(largest_error,), monitor="largest_error", **QUICK | {"epochs": 6})
    best = run.history["valid_largest_error"]
    assert run.best_epoch == best.index[best == best.min()][-1]
    rows = frame.iloc[data.valid.index]
    assert best.min() == pytest.approx(np.abs(run.predict(rows) - rows["y"]).max(), rel=1e-5)

    @nnlab.metric(maximize=True, name="minus")
    def anything(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return -float(mean_squared_error(y_true, y_pred))

    run = nnlab.fit(data, metrics=["minus"], monitor="minus", **QUICK)
    assert run.started.maximize and run.metrics["minus"] == pytest.approx(
        -mean_squared_error(rows["y"], run.predict(rows)), rel=1e-5
    )


def test_several_outputs_can_be_asked_for() -> None:
    @nnlab.loss(outputs=2)
    def pair(output: Tensor, target: Tensor) -> Tensor:
        assert output.shape == (len(target), 2)
        return (output - target.unsqueeze(1)).square().mean(1)

    data = nnlab.prepare(table("regression"), target="y")
    run = nnlab.fit(data, loss=pair, **QUICK)
    assert run.predict(table("regression")).shape == (160,)


def test_what_is_said_of_bad_functions() -> None:
    data = nnlab.prepare(table("binary"), target="y")

    def accuracy(output: Tensor, target: Tensor) -> float:
        return 0.0

    with pytest.raises(SpecError, match="loss: a function without a name"):
        nnlab.fit(data, loss=lambda output, target: output.mean(), **QUICK)
    with pytest.raises(SpecError, match="accuracy is nnlab's own; give your function another name"):
        nnlab.fit(data, metrics=[accuracy], **QUICK)

    def table_of_losses(output: Tensor, target: Tensor) -> Tensor:
        return output

    with pytest.raises(RunError, match=r"loss table_of_losses gave \(\d+, 2\) for \d+ rows; needed is a tensor, one n"):
        nnlab.fit(data, loss=table_of_losses, **QUICK)

    def words(output: Tensor, target: Tensor) -> str:
        return "good"

    with pytest.raises(RunError, match="metric words gave str 'good'; needed is one number"):
        nnlab.fit(data, metrics=[words], **QUICK)

    def broken(output: Tensor, target: Tensor) -> float:
        raise ZeroDivisionError("planted")

    with pytest.raises(RunError, match="ZeroDivisionError: planted"):
        nnlab.fit(data, metrics=[broken], **QUICK)


def test_a_run_loads_where_its_functions_are_not_defined(tmp_path: Any) -> None:
    frame = table("binary")
    data = nnlab.prepare(frame, target="y")
    run = nnlab.fit(data, loss=smooth_nll, metrics=["accuracy", beta_score], **QUICK | {"store": tmp_path})
    plain = json.loads(json.dumps(to_json(run.spec)))
    assert "cross_entropy" in plain["own"]["loss.smooth_nll"]["code"]
    for kind, name in (("loss", "smooth_nll"), ("metrics", "beta_score")):
        del own.KINDS[kind][name]
    again = nnlab.Store(tmp_path).load("last")
    np.testing.assert_array_equal(again.predict_proba(frame), run.predict_proba(frame))
    assert again.metrics == run.metrics
    found = again.score(frame)
    assert set(found) == {"accuracy"} and "beta_score, functions of your own" in found.note
    assert from_json(TrainSpec, plain) == again.spec == run.spec
    with pytest.raises(RunError, match=r"loss smooth_nll was a function of your own; define it again"):
        nnlab.fit(data, spec=again.spec, store=False)
    nnlab.loss(smooth_nll)
    nnlab.metric(beta_score)
    once_more = nnlab.fit(data, spec=again.spec, store=False)
    assert again.score(frame)["beta_score"] == run.score(frame)["beta_score"]
    assert once_more.metrics == run.metrics


def test_a_function_defined_anew_takes_the_place_of_the_old_one() -> None:
    data = nnlab.prepare(table("regression"), target="y")

    def steep(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()

    first = nnlab.fit(data, loss=steep, **QUICK)

    def steep(output: Tensor, target: Tensor) -> Tensor:  # type: ignore[no-redef]
        return 10 * (output - target).abs()

    second = nnlab.fit(data, loss=steep, **QUICK)
    assert second.history["train_loss"].iloc[0] > 5 * first.history["train_loss"].iloc[0]
    assert "10" in LOSSES["steep"].facts["code"]
