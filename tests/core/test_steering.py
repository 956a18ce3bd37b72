"""Values that are changed while a run lives: both learners, effective at the next step, the same bits when resumed."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from nnlab.core import train as training
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.events import Changed, EpochDone, Event, Progress, Warned
from nnlab.core.learners.stack.learner import StackLearner
from nnlab.core.pace import Pace
from nnlab.core.spec import TrainSpec
from nnlab.core.steering import LIVE, steerable
from tests.core.resuming import ended, every_step, spec_of, taken_up, whole_run

STACK: dict[str, Any] = {"model": "mlp", "hidden": [8], "epochs": 4, "batch_size": 60, "dropout": 0.1, "patience": None}
MODULE = {**STACK, "mixup": 0.3, "input_noise": 0.1, "swap_noise": 0.1, "cutmix": 0.4}
CHANGES = {
    2: [("lr", 0.02), ("weight_decay", 0.3), ("batch_size", 25), ("label_smoothing", 0.2)],
    4: [("dropout", 0.4), ("batch_size", 90)],
    9: [("label_smoothing", 0.0), ("batch_size", 40), ("lr", 0.001)],
}
MORE = {3: [("mixup", 0.0), ("input_noise", 0.5)], 6: [("swap_noise", 0.6), ("mixup", 2.0), ("cutmix", 0.0)]}


def told(data: Prepared, spec: TrainSpec, changes: dict[int, Any]) -> list[Event]:
    """The events of a run to which changes are made after so many events that could be resumed from."""
    job, controls = training.set_up(spec, data), Controls()
    events, at = [], 0
    for event in training.train(job, controls):
        events.append(event)
        if isinstance(event, Progress):
            at += 1
            for name, value in changes.get(at, ()):
                controls.set(name, value)
    return events


@pytest.mark.parametrize(("options", "changes"), [(STACK, CHANGES), (MODULE, {**CHANGES, **MORE})])
def test_steered_runs_resume_to_the_same_bits(
    classes: Prepared, every_step: None, options: dict[str, Any], changes: Any
) -> None:
    spec = spec_of(**options)
    whole, kept = whole_run(classes, spec, changes=changes)
    plain, _ = whole_run(classes, spec)
    assert not whole.same(plain)
    for place in (2, 5, 10, 14):
        event, state = kept[place]
        done = [change for number, more in changes.items() if number > place + 1 for change in more]
        if done:
            continue  # those of later steps are in the journal, which is another test's
        assert taken_up(classes, spec, state).same(whole, since=event.epoch)


@pytest.mark.parametrize("options", [STACK, MODULE])
def test_changes_hold_from_the_next_step_on_and_are_told(
    classes: Prepared, every_step: None, options: dict[str, Any]
) -> None:
    events = told(classes, spec_of(**options), {2: [("batch_size", 30), ("label_smoothing", 0.3), ("patience", 3)]})
    changed = [event for event in events if isinstance(event, Changed)]
    assert [(c.epoch, c.step, c.name, c.old, c.new) for c in changed] == [
        (1, 3, "batch_size", 60, 30),
        (1, 3, "label_smoothing", 0.0, 0.3),
        (1, 3, "patience", math.inf, 3),
    ]
    first = max(event.step for event in events if isinstance(event, Progress) and event.epoch == 1)
    second = max(event.step for event in events if isinstance(event, Progress) and event.epoch == 2)
    rows = len(classes.train.y)
    assert first == 2 + math.ceil((rows - 2 * rows / math.ceil(rows / 60)) / 30)
    assert second == math.ceil(rows / 30)


def test_a_new_batch_size_takes_every_row_once_and_schedules_do_not_jump() -> None:
    pace = Pace(spec_of(batch_size=100, epochs=3), 1000)
    before = pace.clock(2)[0](4)
    taken = [pace.batches(2, "cpu")[k] for k in range(4)]
    assert pace.change(2, 4, 37) == 100
    place, total = pace.clock(2)
    assert place(4) == before and total == 30 and place(pace.plan[1]) == 20
    rest = pace.batches(2, "cpu")
    assert len(rest) == math.ceil(600 / 37) == pace.plan[1] - 4 and max(map(len, rest)) <= 37
    assert torch.cat([*taken, *rest]).sort().values.tolist() == list(range(1000))
    pace.change(2, 6, 500)
    assert pace.rows_seen(2, 6) == sum(map(len, (*taken, *rest[:2])))
    assert pace.plan == [10, 8, 2]
    pace.next_epoch()
    assert pace.clock(3)[0](1) == 20 + 10 * 0.5


def test_what_a_run_lacks_is_said(classes: Prepared, every_step: None) -> None:
    events = told(classes, spec_of(**STACK), {1: [("mixup", 0.2)]})
    assert any(isinstance(event, Warned) and "mixup was not changed" in event.message for event in events)
    assert not any(isinstance(event, Changed) for event in events)
    with pytest.raises(SpecError, match="these can: lr"):
        Controls().set("hidden", 3)
    for name, value in (("batch_size", 0.5), ("swap_noise", 1.1), ("patience", 0), ("lr", -1), ("dropout", 1.0)):
        with pytest.raises(SpecError, match=f"{name}=.*expected a"):
            Controls().set(name, value)


def test_lower_patience_ends_a_run_that_has_waited(classes: Prepared, every_step: None) -> None:
    spec = spec_of(**{**STACK, "epochs": 30, "min_delta": 10.0})
    job, controls = training.set_up(spec, classes), Controls()

    def lower(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 8:
            controls.set("patience", 1)

    found = ended(training.train(job, controls), job, lower)
    assert found.reason == "stopped_early" and 9 <= max(found.epochs) < 30


def test_sliders_are_for_what_the_run_has(classes: Prepared) -> None:
    whole = steerable(spec_of(**MODULE), "multiclass", 60)
    assert whole == {
        "lr": 0.003, "weight_decay": whole["weight_decay"], "dropout": 0.1, "batch_size": 60, "label_smoothing": 0.0,
        "mixup": 0.3, "input_noise": 0.1, "swap_noise": 0.1, "cutmix": 0.4, "patience": math.inf,
    } or set(whole) == set(LIVE)  # fmt: skip
    numbers = steerable(spec_of(optimizer="lbfgs", patience=7), "regression", 400)
    assert "batch_size" not in numbers and "label_smoothing" not in numbers and numbers["patience"] == 7


def test_smoothing_by_hand_is_that_of_autograd(classes: Prepared) -> None:
    spec = spec_of(**{**STACK, "dropout": 0.0})
    rows = torch.arange(50)
    found = []
    for smoothing in (0.0, 0.3):
        learner = StackLearner(spec, classes, "cpu", steps=10)
        learner.step(rows, 0.0)
        assert learner.change("label_smoothing", smoothing) == 0.0
        learner.step(rows, 0.0)
        found.append(torch.cat([weight.grad.flatten() for weight in learner.model.parameters()]))
        learner.model.zero_grad()
        output = learner.model(torch.from_numpy(classes.train.x[:50]))
        target = torch.from_numpy(classes.train.y[:50])
        loss = nn.functional.cross_entropy(output, target, label_smoothing=smoothing)
        wanted = torch.autograd.grad(loss, list(learner.model.parameters()))
        torch.testing.assert_close(found[-1], torch.cat([g.flatten() for g in wanted]), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(*found)


__all__ = ["every_step"]
