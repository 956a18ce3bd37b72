"""Sample weights in training, and targets that are scaled by a curve: both seen from outside, by numbers."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.target import target_from
from nnlab.core.fit import fit
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec
from nnlab.core.train import set_up, train

WHOLE: dict[str, Any] = {"hidden": (8,), "epochs": 4, "batch_size": 100_000, "device": "cpu", "dropout": 0}
WHOLE |= {"activation": "tanh", "optimizer": "sgd", "lr": 0.1, "schedule": "constant", "warmup": 0, "patience": None}


def weights_after(data: Prepared) -> list[torch.Tensor]:
    """The network after a few steps on all training rows at once."""
    job = set_up(resolve(TrainSpec, WHOLE), data)
    for _ in train(job, Controls()):
        pass
    return [value.clone() for value in job.learner.model.state_dict().values()]


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def table(task: str) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    score = frame["a"] - frame["b"] + rng.normal(size=300)
    return frame.assign(y=np.exp(score) if task == "regression" else np.where(score > 0, "yes", "no"))


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_rows_of_weight_0_are_as_good_as_absent(task: str) -> None:
    data = prepare(table(task), target="y")
    kept = np.arange(len(data.train)) % 3 > 0
    own = data.train
    fewer = replace(own, x=own.x[kept], y=own.y[kept], index=own.index[kept])
    absent = weights_after(replace(data, train=fewer))
    assert close(weights_after(replace(data, train=replace(own, weight=kept.astype(np.float32)))), absent)
    assert not close(weights_after(data), absent)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_equal_weights_are_none_and_a_weight_of_2_is_a_row_twice(task: str) -> None:
    data = prepare(table(task), target="y")
    own = data.train
    equal = replace(own, weight=np.full(len(own), 7.0, np.float32))
    assert close(weights_after(replace(data, train=equal)), weights_after(data))
    twice = np.repeat(np.arange(len(own)), 1 + np.arange(len(own)) % 2)
    double = replace(own, weight=(1 + np.arange(len(own)) % 2).astype(np.float32))
    repeated = replace(own, x=own.x[twice], y=own.y[twice], index=own.index[twice])
    assert close(weights_after(replace(data, train=double)), weights_after(replace(data, train=repeated)))


@pytest.mark.parametrize("scaler", ["log1p", "quantile", "power", "robust", "minmax"])
def test_scores_of_a_target_scaled_by_a_curve_are_in_its_own_units(scaler: str) -> None:
    frame = table("regression")
    data = prepare(frame, target="y", scale_target=scaler)
    run = fit(data, epochs=5, device="cpu")
    rows = frame.iloc[data.test.index]
    errors = np.asarray(run.predict(rows), float).ravel() - rows["y"].to_numpy()
    assert run.score(data.test)["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)


def test_a_quantile_target_comes_back_beyond_the_training_rows_and_from_the_store() -> None:
    target = prepare(table("regression"), target="y", scale_target="quantile").target
    numbers = np.array([-500.0, 0.001, 1.0, 3.0, 700.0, 1e5])
    assert np.allclose(target.decode(target.scaled(numbers)), numbers, rtol=1e-3, atol=0.02)
    assert (np.diff(target.scaled(numbers)) > 0).all()
    stored = target_from(json.loads(json.dumps(target.state())))
    assert np.array_equal(stored.scaled(numbers), target.scaled(numbers))
