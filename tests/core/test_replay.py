"""Runs that are done again with their changes, and runs that branch off others."""

from pathlib import Path
from typing import Any

import pytest
import torch

import nnlab
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import Changed, EpochDone, Event, Progress
from nnlab.core.past import past_run
from nnlab.core.replay import bits
from nnlab.core.run import Run
from nnlab.core.store import trash
from nnlab.core.store.facts import Origin
from nnlab.core.store.runs import Store
from tests.core.resuming import every_step

STACK: dict[str, Any] = {"model": "mlp", "hidden": [8], "epochs": 5, "batch_size": 60, "dropout": 0.1}
MODULE = {**STACK, "mixup": 0.3, "swap_noise": 0.1}
FAST: dict[str, Any] = {"probe": False, "baseline": False}


class Hand:
    """Somebody at the controls: does what is planned after so many Progress events."""

    def __init__(self, deeds: dict[int, list[tuple[Any, ...]]]) -> None:
        self.controls, self._deeds, self._at = Controls(), deeds, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and not event.paused:
            self._at += 1
            for deed, *given in self._deeds.get(self._at, ()):
                getattr(self.controls, deed)(*given)
        elif isinstance(event, Progress):
            self.controls.pause(False)


def steered(data: Prepared, store: Store, options: dict[str, Any], deeds: Any) -> Run:
    hand = Hand(deeds)
    return nnlab.fit(data, view=hand, controls=hand.controls, store=store, **FAST, **options)


SEVERAL = {
    2: [("set", "lr", 0.02), ("set", "batch_size", 25)],
    5: [("pause",), ("set", "label_smoothing", 0.2), ("set", "dropout", 0.4)],
    6: [("set", "batch_size", 100), ("set", "weight_decay", 0.2)],
    20: [("set", "lr", 0.001), ("set", "patience", 2)],
}
AUGMENTED = {**SEVERAL, 3: [("set", "mixup", 0.0)], 8: [("set", "mixup", 1.0), ("set", "swap_noise", 0.5)]}


@pytest.mark.parametrize(
    ("options", "deeds", "state"),
    [
        (STACK, SEVERAL, "completed"),
        (MODULE, AUGMENTED, "completed"),
        (STACK, {**SEVERAL, 22: [("stop",)]}, "stopped"),
        (MODULE, {2: [("set", "lr", 0.05)], 4: [("stop",)]}, "stopped"),
    ],
    ids=["stack", "module", "stopped", "stopped in the first epoch"],
)
def test_a_replay_gives_the_same_bits(
    classes: Prepared, tmp_path: Path, every_step: None, options: dict[str, Any], deeds: Any, state: str
) -> None:
    store = Store(tmp_path)
    first = steered(classes, store, options, deeds)
    assert first.state == state and first.changes
    if options is STACK:
        steered_in = next(change.epoch for change in first.changes if change.name == "dropout")
        assert first.history["dropout"].tolist() == [
            0.1 if epoch < steered_in else 0.4 for epoch in first.history.index
        ]
    again = nnlab.replay(first.id, classes, store=store)
    assert again.facts.origin == Origin("replay", first.id) and again.id != first.id
    assert (again.state, again.changes, again.finished.cut) == (state, first.changes, first.finished.cut)
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in first.model.state_dict().items())
    assert bits(again, past_run(store, first.id)) == f"same losses, metrics and weights as run {first.id}"
    plain = nnlab.fit(classes, store=store, **FAST, **options)
    assert bits(plain, past_run(store, first.id)).startswith(("differs", "has"))
    assert store.find(again.id).origin == again.facts.origin and store.load(again.id).facts.origin == again.facts.origin


@pytest.mark.parametrize(("options", "kept"), [(STACK, True), (MODULE, False)], ids=["kept", "trained again"])
def test_a_branch_is_the_run_with_a_change_at_that_step(
    classes: Prepared, tmp_path: Path, every_step: None, options: dict[str, Any], kept: bool
) -> None:
    store = Store(tmp_path)
    schedule = {"schedule": "constant", "warmup": 0.0}
    trunk = steered(classes, store, {**options, **schedule, "epochs": 3 if kept else 5}, {2: [("set", "dropout", 0.3)]})
    found = nnlab.branch(trunk.id, 3, classes, store=store, lr=1e-4, batch_size=40, epochs=5, name="twig")
    controls = Controls()
    controls.plan([*trunk.changes, Changed(4, 1, "lr", 0.0, 1e-4), Changed(4, 1, "batch_size", 0.0, 40)])
    wanted = nnlab.fit(classes, controls=controls, store=False, **FAST, **{**options, **schedule})
    numbers = ["train_loss", "valid_loss", "valid_accuracy", "lr"]
    assert found.history[numbers].equals(wanted.history[numbers]) and len(found.history) == 5
    assert all(torch.equal(value, found.model.state_dict()[name]) for name, value in wanted.model.state_dict().items())
    assert found.changes == wanted.changes and found.facts.origin == Origin("branch", trunk.id, 3)
    loaded = store.load("twig")
    assert loaded.history[numbers].equals(found.history[numbers]) and loaded.metrics == found.metrics
    assert (loaded.spec.epochs, loaded.spec.batch_size) == (5, 40)


@pytest.mark.parametrize("options", [STACK, MODULE], ids=["stack", "module"])
def test_branches_are_repeated_and_left_again_as_they_were_trained(
    classes: Prepared, tmp_path: Path, every_step: None, options: dict[str, Any]
) -> None:
    store = Store(tmp_path)
    trunk = steered(classes, store, {**options, "schedule": "constant"}, {1: [("set", "dropout", 0.3)]})
    twig = nnlab.branch(trunk.id, 2, classes, store=store, lr=1e-4, schedule="cosine", epochs=6)
    leaf = nnlab.branch(twig.id, 4, classes, store=store, lr=0.02, epochs=5)
    again = [nnlab.replay(run.id, classes, store=store) for run in (twig, leaf)]
    for run, repeated in zip((twig, leaf), again, strict=True):
        assert bits(repeated, past_run(store, run.id)) == f"same losses, metrics and weights as run {run.id}"
        assert repeated.facts.origin == Origin("replay", run.id, run.facts.origin.epoch)  # type: ignore[union-attr]
        assert repeated.changes == run.changes
    for run in (twig, again[0]):  # a branch that changes nothing is the run that it leaves
        same = nnlab.branch(run.id, 4, classes, store=store)
        assert bits(same, past_run(store, twig.id)) == f"same losses, metrics and weights as run {twig.id}"
    early = nnlab.branch(twig.id, 1, classes, store=store, epochs=2)
    assert early.history["train_loss"][1] == trunk.history["train_loss"][1]
    back = nnlab.branch(trunk.id, 2, classes, store=store, **{"model.dropout": 0.1}, epochs=3)
    assert back.changes[-1] == Changed(3, 1, "dropout", 0.3, 0.1), "what the run began with is a change again"
    trash.delete(store.root, [store.find(trunk.id)])
    told = f"run {twig.id} took its first 2 epochs over from another: .*{trunk.id}"
    with pytest.raises(nnlab.StoreError, match=told):
        nnlab.replay(twig.id, classes, store=store)


def test_what_cannot_branch_is_said(classes: Prepared, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = nnlab.fit(classes, store=store, **FAST, **{**STACK, "epochs": 2})
    with pytest.raises(nnlab.SpecError, match="model cannot differ"):
        nnlab.branch(run.id, 1, classes, store=store, hidden=[9])
    with pytest.raises(nnlab.SpecError, match="epochs 1 to 2, none 7"):
        nnlab.branch(run.id, 7, classes, store=store)
    with pytest.raises(nnlab.SpecError, match="augments cannot differ"):
        nnlab.branch(run.id, 1, classes, store=store, mixup=0.2)
    with pytest.raises(nnlab.DataError, match="not the data"):
        nnlab.replay(run.id, nnlab.prepare((classes.train.x, classes.train.y), task="multiclass"), store=store)


def test_a_branch_of_a_branch_in_the_background(classes: Prepared, tmp_path: Path) -> None:
    store = Store(tmp_path)
    trunk = nnlab.fit(classes, store=store, **FAST, **{**STACK, "epochs": 3})
    first = nnlab.branch(trunk.id, 2, classes, store=store, lr=1e-3, epochs=4)
    told: list[Event] = []
    second = nnlab.branch(first.id, 3, classes, store=store, lr=1e-4, background=True, view=told.append)
    second.wait(120)  # type: ignore[attr-defined]
    assert second.facts.origin == Origin("branch", first.id, 3)
    assert [event.epoch for event in told if isinstance(event, EpochDone)] == [1, 2, 3, 4]
    assert [(c.epoch, c.name, c.new) for c in second.changes] == [(3, "lr", 1e-3), (4, "lr", 1e-4)]


__all__ = ["every_step"]
