"""What the doctor tells while a run lives: once each, only where it is sure; and whether more rows would help."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_friedman1
from torch import nn

from nnlab import DataError, Run, RunError, diagnose, fit, prepare, resume, tune
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose import watch
from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.more_rows import fitted, rows_curve
from nnlab.core.events import EpochDone, Event, Warned
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec
from nnlab.report.runs import run_blocks
from tests.benchmarks.doctor import healthy


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event is looked at, however short a run is."""
    monkeypatch.setattr(watch, "FREE", 60.0)


def told_of(data: Prepared, **options: Any) -> dict[str, str]:
    return fit(data, store=False, **options).record.told


def deep(n_in: int, n_out: int) -> nn.Module:
    """Gradients explode in it."""
    layers: list[nn.Module] = []
    for width in (n_in, *[64] * 9):
        layers += [nn.Linear(width, 64), nn.ReLU()]
        nn.init.normal_(layers[-2].weight, 0, 1.0, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.Linear(64, n_out))


def test_steps_that_are_too_large_are_told_once_and_at_once(classes: Prepared) -> None:
    seen: list[Event] = []
    run = fit(classes, lr=3.0, warmup=0, hidden=(16,), epochs=6, store=False, view=seen.append)
    (warning,) = [text for text in run.warnings if "rate is too high" in text]
    assert "step 1 changed the weights by" in warning and warning.endswith("; this would mend it: --lr 0.01")
    first = next(at for at, event in enumerate(seen) if isinstance(event, Warned))
    assert not any(isinstance(event, EpochDone) for event in seen[:first])


def test_what_follows_from_what_was_told_is_not_told_too(classes: Prepared) -> None:
    run = fit(classes, model=deep, lr=1.0, epochs=3, store=False)
    assert list(run.record.told) == ["exploding_gradients"]


def test_dead_units_are_told(classes: Prepared) -> None:
    network = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 3))
    with torch.no_grad():
        network[0].bias[:7] = -50.0
    told = told_of(classes, model=network, epochs=8, batch_size=32)
    assert told["dead_units"].startswith("units are dead: 70% of the units of layer 0 give the same for every row")


def told_at(run: Run, data: Prepared, losses: list[float]) -> list[int]:
    """How much is said after each epoch of a run that lives and has these losses."""
    run.record.finished, done = None, run.record.epochs
    run.record.epochs = []
    look, said = watch.Watch(run, data), []
    for epoch, loss in zip(done, losses, strict=False):
        run.record(replace(epoch, train={"loss": loss}))
        warned = look(run.record.epochs[-1])
        said.append(len(warned))
        for event in warned:
            run.record(event)
    return said


def test_a_loss_that_rises_is_told_while_it_rises(classes: Prepared) -> None:
    """Without looks into layers too: the last of these epochs shows it, and no further one is needed."""
    run = fit(classes, hidden=(4,), epochs=8, probe=False, store=False)
    assert run.warnings == []
    assert told_at(run, classes, [1.1, 0.5, 0.6, 7.0, 9.0]) == [0, 0, 0, 1, 0]
    assert "the training loss rose to 6.75 times" in run.record.told["lr_too_high"]


def test_what_mends_a_network_that_the_data_chose_keeps_it(classes: Prepared) -> None:
    """A step size alone would mean a network of the user's own design."""
    run = fit(classes, epochs=5, dropout=0.1, probe=False, store=False)
    assert told_at(run, classes, [1.1, 7.0]) == [0, 1]
    words = run.record.told["lr_too_high"].partition("mend it: ")[2]
    assert words == "--model realmlp --members 16 --hidden 64,64 --lr 0.004"
    said = dict(word.split(" ") for word in words.removeprefix("--").split(" --"))
    again = fit(classes, epochs=5, dropout=0.1, probe=False, store=False, **said)
    assert again.spec == resolve(TrainSpec, {"lr": 0.004}, run.spec)


def test_a_rare_class_is_learned_from_far_above_its_shares() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(400, 2)), columns=["a", "b"])
    data = prepare(frame.assign(y=["rare" if place % 100 == 7 else "usual" for place in range(400)]), target="y")
    run = fit(data, hidden=(4,), epochs=5, probe=False, store=False)
    assert told_at(run, data, [0.7, 0.5, 0.3, 2.2]) == [0, 0, 0, 1]


@pytest.mark.parametrize("data", ["classes", "numbers"])
def test_healthy_runs_are_not_warned_of(data: str, request: pytest.FixtureRequest) -> None:
    assert fit(request.getfixturevalue(data), epochs=12, store=False).warnings == []


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_healthy_runs_on_real_tables_are_not_warned_of(name: str) -> None:
    patient = healthy(1)[name]
    assert told_of(patient.data, **patient.options) == {}


def test_looking_takes_a_hundredth_of_a_run(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: a look that takes a second is made once in 100 seconds."""
    now = [0.0]
    monkeypatch.setattr(watch, "FREE", 0.0)
    monkeypatch.setattr(watch.time, "process_time", lambda: now[0])
    looks: list[float] = []

    def slow(case: Case, told: Any) -> tuple[()]:
        looks.append(now[0])
        now[0] += 1.0
        return ()

    monkeypatch.setattr(watch, "living_look", slow)
    run = fit(classes, hidden=(4,), epochs=1, store=False)
    bedside = watch.Watch(run, classes)
    looks.clear()
    for _ in range(1000):
        now[0] += 1.0
        bedside(run.record.epochs[-1])
    assert 8 <= len(looks) <= 11


def test_what_was_told_stays_with_the_run_and_is_not_told_again(classes: Prepared, tmp_path: Path) -> None:
    controls = Controls()

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 3:
            controls.stop("stopped")

    how = {"hidden": (16,), "lr": 3.0, "warmup": 0.0, "schedule": "constant", "epochs": 6, "patience": None}
    run = fit(classes, store=tmp_path, controls=controls, view=stop, **how)
    assert list(run.record.told) == ["lr_too_high"]
    again = resume("last", classes, store=tmp_path)
    assert again.finished.epoch == 6
    assert again.record.told == run.record.told
    assert sum("rate is too high" in text for text in again.warnings) == 1
    assert Run.load(again.path).record.told == run.record.told
    again.save(tmp_path / "saved")
    assert Run.load(tmp_path / "saved").record.told == run.record.told


def test_the_report_says_once_what_was_told_and_is_found(classes: Prepared) -> None:
    run = fit(classes, hidden=(16,), lr=3.0, warmup=0, epochs=6, store=False)
    text = "\n".join(map(str, run_blocks(run, None)))
    assert text.count("the learning rate is too high") == 1 and "nnlab.diagnose(run, data)" in text


def test_a_search_does_not_speak_of_its_bad_trials(classes: Prepared, tmp_path: Path) -> None:
    seen: list[Event] = []
    space = ["lr={3.0,5.0}", "hidden={16,8}"]
    tune(classes, trials=2, space=space, warmup=0, epochs=4, view=seen.append, store=tmp_path, population=1)
    assert [event for event in seen if isinstance(event, Warned)] == []


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
