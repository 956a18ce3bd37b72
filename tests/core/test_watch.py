"""Warnings while a run lives: once each, only where it is sure; and whether more rows would help."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1
from torch import nn

from nnlab import DataError, RunError, diagnose, fit, prepare
from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose.more_rows import fitted, rows_curve
from nnlab.core.diagnose.watch import Watch
from nnlab.core.events import EpochDone, Event, Warned


def warnings_of(data: Prepared, **options: Any) -> list[str]:
    return fit(data, store=False, **options).warnings


def test_steps_that_are_too_large_are_told_once_and_at_once(classes: Prepared) -> None:
    told: list[Event] = []
    run = fit(classes, lr=3.0, warmup=0, hidden=(16,), epochs=6, store=False, view=told.append)
    (warning,) = [text for text in run.warnings if "lr is too high" in text]
    assert "step 1 changed the weights by" in warning
    first = next(at for at, event in enumerate(told) if isinstance(event, Warned))
    assert not any(isinstance(event, EpochDone) for event in told[:first])


def test_exploding_gradients_are_told(classes: Prepared) -> None:
    def deep(n_in: int, n_out: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in (n_in, *[64] * 9):
            layers += [nn.Linear(width, 64), nn.ReLU()]
            nn.init.normal_(layers[-2].weight, 0, 1.0, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        return nn.Sequential(*layers, nn.Linear(64, n_out))

    assert any("gradients explode" in text for text in warnings_of(classes, model=deep, epochs=2))


def test_dead_units_are_told(classes: Prepared) -> None:
    network = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 3))
    with torch.no_grad():
        network[0].bias[:7] = -50.0
    (text,) = warnings_of(classes, model=network, epochs=8, batch_size=32)
    assert text == "70% of the units of layer 0 are dead, step 50"


def test_a_rising_loss_is_told_once() -> None:
    watch = Watch()
    losses = [1.0, 0.5, 0.6, 7.0, 9.0]
    said = [watch(EpochDone(at, {"loss": loss}, {"loss": loss}, 0.1, 1, 1, False)) for at, loss in enumerate(losses, 1)]
    assert [len(warned) for warned in said] == [0, 0, 0, 1, 0]
    assert "rose from 0.5 to 7" in said[3][0].message


@pytest.mark.parametrize("data", ["classes", "numbers"])
def test_healthy_runs_are_not_warned_of(data: str, request: pytest.FixtureRequest) -> None:
    assert warnings_of(request.getfixturevalue(data), epochs=12) == []


@pytest.mark.parametrize("options", [{"model": "dcn"}, {"model": "resnet", "depth": 6, "zero_init": True}], ids=str)
def test_layers_that_begin_as_zero_may_grow(classes: Prepared, options: dict[str, Any]) -> None:
    """To half of the layers of a cross network the first step is infinitely large, and so it is meant."""
    run = fit(classes, epochs=6, store=False, **options)
    looks = run.record.probes
    assert sum(weight == 0 for weight in looks[0].values["weight"]) >= 3
    assert run.warnings == []
    assert not {"lr_too_high", "lr_too_low"} & set(diagnose(run, classes).names)


def test_the_curve_is_the_one_that_the_losses_lie_on() -> None:
    rows = np.repeat([100, 200, 400, 800], 2)
    curve = fitted(rows, 0.3 + 5.0 * rows**-0.5)
    assert (curve.floor, curve.power) == (pytest.approx(0.3, abs=1e-6), pytest.approx(0.5))
    assert curve.doubled == pytest.approx(0.3 + 5.0 * 1600**-0.5)
    assert curve.helps
    assert not fitted(rows, np.full(8, 0.3)).helps
    assert not fitted(rows, 0.3 + 0.02 * np.random.default_rng(0).normal(size=8)).helps


def test_more_rows_help_where_rows_are_few() -> None:
    x, y = make_friedman1(300, 6, noise=0.5, random_state=0)
    data = prepare((x, y), scale="standard")
    curve = rows_curve(fit(data, hidden=(32,), epochs=20, dropout=0, store=False), data)
    assert sorted(set(curve.rows)) == [24, 48, 96, 192]
    assert curve.loss[:2].mean() > 1.3 * curve.loss[-2:].mean()
    assert curve.doubled <= curve.now
    assert str(curve).startswith("more rows would help")


def test_what_a_curve_needs_is_said(classes: Prepared, numbers: Prepared) -> None:
    run = fit(classes, hidden=(4,), epochs=1, store=False)
    with pytest.raises(DataError, match="trained on"):
        rows_curve(run, numbers)
    own = fit(classes, model=nn.Linear(5, 3), epochs=1, store=False)
    with pytest.raises(RunError, match="--model"):
        rows_curve(own, classes)
