"""Members that keep their own best epoch: each is what its run alone would keep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nnlab
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.events import EpochDone, Finished, Probed
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.probe import Probe
from nnlab.core.run import Run
from nnlab.core.store.trees import unpack_tree
from nnlab.core.train import Job, set_up, train
from tests.core.resuming import every_step as every_step
from tests.core.resuming import spec_of, taken_up, whole_run

# The mean of four losses makes gradients a quarter, and so eps is a quarter too.
MANY: dict[str, Any] = {"model": "realmlp", "members": 4, "hidden": "64,32", "eps": 2.0**-30, "lr": 0.1, "seed": 3}
MANY |= {"epochs": 40, "patience": 3, "batch_size": 100, "own_best": True, "dropout": 0.2}


def alone(job: Job, member: int, data: Prepared, more: dict[str, Any]) -> Job:
    """A run of one member, with its first weights and its draws."""
    single = set_up(spec_of(**MANY | more | {"members": 1, "eps": 2.0**-28}), data)
    state, whole = single.learner.state(), job.learner.state()
    state["network"]["weights"] = {
        name: weight[member : member + 1] if weight.ndim and len(weight) == 4 else weight
        for name, weight in whole["network"]["weights"].items()
    }
    state["members"]["streams"] = [whole["members"]["streams"][member]]
    single.learner.load_state(state)
    return single


def trained(job: Job, **changes: float) -> tuple[list[EpochDone], Finished, dict[str, torch.Tensor]]:
    controls = Controls()
    for name, value in changes.items():
        controls.set(name, value)
    events = list(train(job, controls))
    weights = {name: weight.clone() for name, weight in job.learner.model.state_dict().items()}
    return [event for event in events if isinstance(event, EpochDone)], events[-1], weights  # type: ignore[return-value]


@pytest.mark.parametrize("more", [{}, {"norm": "batch"}, {"clip_norm": 0.3, "clip_adaptive": 0.01}], ids=str)
def test_each_member_keeps_what_its_run_alone_would_keep(more: dict[str, Any], classes: Prepared) -> None:
    """Four that stop by themselves, bit by bit those that four runs stop at; the run ends with the last of them."""
    job = set_up(spec_of(**MANY | more), classes)
    singles = [alone(job, member, classes, more) for member in range(4)]
    epochs, end, weights = trained(job)
    ends = [trained(single) for single in singles]
    assert epochs[-1].members == tuple(own.best_epoch for _, own, _ in ends)
    assert len(set(epochs[-1].members)) > 1
    for member, (_, _, own) in enumerate(ends):
        for name, weight in weights.items():
            if weight.ndim and len(weight) == 4:
                assert torch.equal(weight[member], own[name][0]), (member, name)
    assert {own.reason for _, own, _ in ends} == {end.reason} == {"stopped_early"}
    assert end.epoch == max(own.epoch for _, own, _ in ends)
    assert len({own.epoch for _, own, _ in ends}) > 1


def test_patience_that_is_changed_while_the_run_lives_is_that_of_each_member(classes: Prepared) -> None:
    begun, changed = (set_up(spec_of(**MANY | {"patience": patience}), classes) for patience in (2, 30))
    ends = [trained(begun), trained(changed, patience=2)]
    assert ends[0][0][-1].members == ends[1][0][-1].members and ends[0][1].epoch == ends[1][1].epoch
    assert all(torch.equal(weight, ends[1][2][name]) for name, weight in ends[0][2].items())


TECHNIQUES: list[dict[str, Any]] = [
    {"bagging": 0.7, "own_order": True, "class_weight": "balanced"},
    {"norm": "batch", "clip_norm": 0.3, "l1": 1e-3, "embed": "piecewise_linear"},
    {"model": "packed", "optimizer": "momentum", "lr": 0.3, "weight_decay": 0.01, "average": "swa", "eps": None},
    {"gradient_noise": 0.001},
]


@pytest.mark.parametrize("more", TECHNIQUES, ids=str)
def test_members_that_have_left_change_no_bit_and_no_event(
    more: dict[str, Any], classes: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose stack becomes smaller, and the same run that goes on to compute all."""
    options = {name: value for name, value in (MANY | more).items() if value is not None}
    smaller, all_on = (set_up(spec_of(**options), classes) for _ in range(2))
    left: list[list[int]] = []
    monkeypatch.setattr(all_on.learner, "_leave_out", left.append)
    epochs, end, weights = trained(smaller)
    others, their_end, theirs = trained(all_on)
    told = [(done.train, done.valid, dict(done.spread), done.members, done.best) for done in epochs]
    assert told == [(done.train, done.valid, dict(done.spread), done.members, done.best) for done in others]
    assert (end.reason, end.epoch, end.best_epoch) == (their_end.reason, their_end.epoch, their_end.best_epoch)
    assert all(torch.equal(weight, theirs[name]) for name, weight in weights.items())
    assert bool(left) == ("gradient_noise" not in more), "noise is drawn for all at once, so all are computed on"


@pytest.mark.parametrize("more", [{}, {"optimizer": "lion", "eps": None}], ids=["stack", "module"])
def test_what_an_epoch_tells_is_what_would_be_kept(more: dict[str, Any], classes: Prepared) -> None:
    options = {name: value for name, value in (MANY | more).items() if value is not None}
    job = set_up(spec_of(**options), classes)
    assert isinstance(job.learner, ModuleLearner) == bool(more)
    told, x = [], classes.valid.x
    for event in train(job, Controls()):
        if isinstance(event, EpochDone):
            told.append(event)
    kept = [event for event in told if event.best]
    assert kept[-1].valid == {**told[-1].valid} and len(kept) < len(told)
    run = nnlab.fit(classes, spec=spec_of(**options), store=False, baseline=False, probe=False)
    assert run.best_epochs == told[-1].members and run.best_epoch == kept[-1].epoch == max(run.best_epochs)
    values = run.score(classes.valid)
    assert values["accuracy"] == pytest.approx(run.metrics["accuracy"], abs=1e-9)
    assert np.isfinite(run.outputs(x).numpy()).all()


@pytest.mark.parametrize("place", [7, 22, 61])
def test_a_run_goes_on_to_the_same_bits(place: int, classes: Prepared, every_step: None) -> None:
    spec = spec_of(**MANY)
    whole, places = whole_run(classes, spec)
    at, state = places[place]
    assert taken_up(classes, spec, state).same(whole, at.epoch)


def test_a_run_goes_on_without_the_members_that_have_left(classes: Prepared, every_step: None) -> None:
    """To the same bits, and with no more members in the stack than it had."""
    spec = spec_of(**MANY)
    whole, places = whole_run(classes, spec)
    stacked = [list(unpack_tree(state, "here")["learner"]["stacked"]) for _, state in places]
    place = next(place for place, some in enumerate(stacked) if len(some) < 4) + 1
    assert len(stacked[place]) < 4
    at, state = places[place]
    assert taken_up(classes, spec, state).same(whole, at.epoch)


def test_looks_go_on_where_members_have_left(classes: Prepared) -> None:
    """A layer's norm is told as if all were there, so that nothing jumps."""
    job = set_up(spec_of(**MANY), classes)
    probe = Probe(job.learner.model, classes, "cpu")
    rows = torch.arange(100)
    probe.step(job.learner, rows, 1e-3, 1, 1)
    job.learner.keep([1, 3])  # type: ignore[attr-defined]
    probe.step(job.learner, rows, 1e-3, 1, 2)
    before, after = probe.take()
    assert isinstance(before, Probed) and isinstance(after, Probed) and before.layers == after.layers
    for name in ("gradient", "weight", "update"):
        assert after.values[name] == pytest.approx(before.values[name], rel=0.5), name
    assert len(next(iter(job.learner.model.parameters()))) == 2


def test_the_store_keeps_the_epochs_of_members(classes: Prepared, tmp_path: Path) -> None:
    run = nnlab.fit(classes, spec=spec_of(**MANY), store=tmp_path, baseline=False)
    again = Run.load(run.path or "")
    assert again.best_epochs == run.best_epochs and len(run.best_epochs) == 4
    assert Run.load(run.save(tmp_path / "copy")).best_epochs == run.best_epochs
    assert torch.equal(again.outputs(classes.valid.x), run.outputs(classes.valid.x))


def fit(data: Prepared, **options: Any) -> Run:
    return nnlab.fit(data, epochs=2, own_best=True, store=False, baseline=False, probe=False, **options)


def test_members_that_share_weights_have_no_epoch_of_their_own(classes: Prepared) -> None:
    with pytest.raises(SpecError, match="members of tabm share weights"):
        fit(classes, model="tabm")
    with pytest.raises(SpecError, match=r"members of this network share weights: network\.2\.weight"):
        fit(classes, model="packed", activation="prelu")


@pytest.mark.parametrize("options", [{"model": "mlp"}, {"model": "realmlp", "members": 1}], ids=str)
def test_one_network_alone_says_that_the_word_does_nothing(options: dict[str, Any], classes: Prepared) -> None:
    run = fit(classes, **options)
    assert any("own_best does nothing here" in text for text in run.warnings) and run.best_epochs == ()
