"""Studies whose trials train side by side: the same as one after the other, and what ends one leaves the others."""

import math
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.events import EpochDone, Progress, Started, StudyFinished, TrialDone, Warned
from nnlab.core.fit import fit
from nnlab.core.learners.stack.together import Together
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.core.tune import loop, population, stack_size
from nnlab.core.tune.population import population_of
from nnlab.core.tune.search import tune
from nnlab.core.tune.space import parse
from nnlab.core.tune.training import Group

SPACE = ("lr=1e-3..3e-1 log", "weight_decay=0..0.5", "dropout=0..0.6")
SMALL = {"batch_size": 64, "sampler": "random", "pruner": "none", "threads": 1, "epochs": 3, "space": SPACE}
KINDS = {
    "patience": {"epochs": 8, "patience": 1, "schedule": "constant", "hidden": (16, 8)},
    "resnet": {"model": "resnet", "norm": "batch"},
    "schedules": {"dropout_schedule": "polynomial", "decay_schedule": "cosine", "norm": "batch", "hidden": (16, 8)},
    "momentum": {"optimizer": "momentum", "schedule": "plateau", "hidden": (7,)},
    "techniques": {
        "epochs": 6,
        "patience": 1,
        "min_delta": 0.05,
        "clip_norm": 0.3,
        "l1": 0.01,
        "average": "ema",
        "hidden": (16, 8),
    },
    "one member": {
        "model": "realmlp",
        "members": 1,
        "epochs": 6,
        "patience": 1,
        "min_delta": 0.1,
        "hidden": (16, 8),
        "clip_norm": 0.3,
        "space": (*SPACE, "pbld.sigma=0.1..3 log", "lr_embedding={0.1,0.3}"),
    },
    "shapes": {"hidden": (8,), "space": (*SPACE, "activation={relu,gelu}", "batch_growth={1,2}")},
}


@pytest.fixture
def stacks(monkeypatch):
    """The sizes of the stacks that are made."""
    sizes, make = [], Together.__init__

    def counted(self, specs, *others):
        sizes.append(len(specs))
        make(self, specs, *others)

    monkeypatch.setattr(Together, "__init__", counted)
    return sizes


def ends(events):
    found = [event for event in events if isinstance(event, TrialDone)]
    return {done.number: (done.values, done.state, done.score, done.epochs, done.message) for done in found}


def told_of_breaks(events):
    return [event.message for event in events if isinstance(event, Warned) and "side by side" in event.message]


def studied(data, population, **options):
    events = []
    words = SMALL | {"hidden": (8,), "trials": 8, "view": events.append, "store": False} | options
    return tune(data, population=population, **words), events


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_trials_side_by_side_are_those_one_after_the_other_to_the_bit(classes, stacks, options):
    words = {"store": False, "trials": 8} | SMALL | options
    alone, together = [], []
    one = tune(classes, population=1, view=alone.append, **words)
    assert not stacks
    many = tune(classes, population=8, view=together.append, **words)
    assert stacks
    assert ends(together) == ends(alone)
    assert not told_of_breaks(together)
    assert many.best_trial == one.best_trial
    ours, theirs = many.best_run, one.best_run
    weights = theirs.model.state_dict()
    assert all(torch.equal(ours.model.state_dict()[name], weights[name]) for name in weights)
    columns = ["train_loss", "valid_loss", "lr"]
    assert ours.history[columns].equals(theirs.history[columns])
    assert (ours.spec, ours.parameters, ours.learner) == (theirs.spec, theirs.parameters, theirs.learner)
    if "patience" in options:
        assert len({epochs for *_, epochs, _ in ends(together).values()}) > 1


def test_members_that_are_pruned_leave_the_others_as_they_would_be(classes, tmp_path):
    pruning = {"pruner": "asha", "epochs": 8}
    study, events = studied(classes, 8, trials=16, store=tmp_path, **pruning)
    _, whole = studied(classes, 8, trials=16, epochs=8)
    found, full = ends(events), ends(whole)
    states = {state for _, state, *_ in found.values()}
    assert states == {"complete", "pruned"}
    assert all(found[number] == full[number] for number in full if found[number][1] == "complete")
    assert all(found[number][3] < 8 for number in found if found[number][1] == "pruned")
    assert study.trials["state"].tolist() == [found[number][1] for number in range(16)]


def test_members_that_diverge_end_as_they_would_alone(numbers):
    words = {"optimizer": "sgd", "space": ("lr={0.01,100}", "dropout=0..0.1"), "trials": 6}
    (_, alone), (_, together) = (studied(numbers, population, **words) for population in (1, 6))
    assert ends(together) == ends(alone)
    assert {state for _, state, *_ in ends(together).values()} == {"complete", "failed"}


def test_a_member_with_numbers_that_are_none_ends_alone(classes, monkeypatch):
    _, usual = studied(classes, 4, trials=4)
    take, calls = Together.measure, []

    def broken(self):
        take(self)
        calls.append(1)
        if len(calls) == 2:
            self.outputs[1] = math.nan
            self.losses = [*self.losses[:1], math.nan, *self.losses[2:]]

    monkeypatch.setattr(Together, "measure", broken)
    _, events = studied(classes, 4, trials=4)
    found, whole = ends(events), ends(usual)
    assert found[1][1] == "failed"
    assert "nan in epoch 2" in found[1][4]
    assert all(found[number] == whole[number] for number in (0, 2, 3))


@pytest.mark.parametrize("pruner", ["none", "asha", "median"])
def test_trials_in_several_stacks_are_those_in_one(classes, stacks, monkeypatch, pruner):
    found = []
    for size in (16, 5):
        monkeypatch.setattr(population, "stack_size", lambda *_, size=size: size)
        study, events = studied(classes, 16, trials=16, pruner=pruner, epochs=8)
        assert not told_of_breaks(events)
        found.append((ends(events), study.best_run.history["valid_loss"].tolist()))
    assert found[0] == found[1]
    assert sorted(stacks) == [1, 5, 5, 5, 16]


def test_the_trial_for_the_size_of_stacks_leaves_no_trace(classes, stacks, monkeypatch):
    found = []
    for worth in (math.inf, 0):
        monkeypatch.setattr(stack_size, "WORTH", worth)
        found.append(ends(studied(classes, 16, trials=16)[1]))
    assert found[0] == found[1]
    assert stacks[:3] == [16, 8, 16], "one stack without a trial, then the two of the trial"


@pytest.mark.parametrize("where", ["__init__", "measure"])
def test_where_the_stack_breaks_its_trials_are_trained_alone(classes, monkeypatch, where):
    _, usual = studied(classes, 1, trials=4)

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(Together, where, broken)
    _, events = studied(classes, 4, trials=4)
    assert ends(events) == ends(usual)
    (told,) = told_of_breaks(events)
    assert told == "4 trials could not be trained side by side (MemoryError: ); one after the other now"


def test_an_interrupt_ends_all_members_and_the_study_goes_on_later(classes, tmp_path):
    events = []

    def press(event):
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == 2 and len(ends(events)) >= 4:
            os.kill(os.getpid(), signal.SIGINT)

    words = {"trials": 8, "store": tmp_path, "epochs": 4}
    study, _ = studied(classes, 4, view=press, **words)
    assert events[-1].reason == "interrupted"
    assert [state for _, state, *_ in ends(events).values()] == ["complete"] * 4 + ["stopped"] * 4
    study, _ = studied(classes, 4, **words)
    assert (study.trials["state"] == "complete").sum() == 8
    _, whole = studied(classes, 1, trials=8, epochs=4)
    scores = [study.score_of(number) for number in study.ranking()]  # those that were cut have been tried again
    assert sorted(scores) == sorted(score for _, _, score, *_ in ends(whole).values())


@pytest.mark.parametrize("size", [4, 1])
def test_minutes_end_stacks_between_two_steps(classes, monkeypatch, size):
    monkeypatch.setattr(population, "stack_size", lambda *_: size)
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(loop, "time", clock)
    events = []

    def view(event):
        events.append(event)
        clock.now += 0.3 * isinstance(event, EpochDone)

    studied(classes, 4, trials=4, epochs=100_000, patience=None, minutes=0.02, view=view)
    assert isinstance(events[-1], StudyFinished)
    assert events[-1].reason == "time"
    assert {(state, message) for _, state, _, _, message in ends(events).values()} == {("stopped", "the time was over")}
    shown = [event for event in events if isinstance(event, (Started, EpochDone))]
    assert sum(isinstance(event, Started) for event in shown) == 1
    assert [event.epoch for event in shown[1:]] == [1, 2, 3, 4]  # after which 1.2 seconds are over


def test_a_paused_study_holds_its_stack(classes):
    controls, paused = Controls(), []

    def view(event):
        if isinstance(event, EpochDone) and event.epoch == 1:
            controls.pause()
        if isinstance(event, Progress) and event.paused:
            paused.append(event)
            if len(paused) == 2:
                controls.pause(False)

    study, _ = studied(classes, 4, trials=4, view=view, controls=controls)
    assert len(paused) >= 2
    assert (study.trials["state"] == "complete").all()


def test_left_open_as_many_are_asked_for_as_are_likely_to_share_a_shape():
    narrow, few = parse(SPACE, TrainSpec()), parse((*SPACE, "activation={relu,gelu}"), TrainSpec())
    many = parse((*SPACE, "warmup=0..0.2"), TrainSpec())
    assert [population_of(TuneSpec(trials=trials), narrow) for trials in (3, 16, 30, 100)] == [1, 2, 3, 8]
    blind = [TuneSpec(trials=trials, sampler=Part("random"), pruner=Part("asha")) for trials in (3, 30, 100)]
    assert [population_of(spec, narrow) for spec in blind] == [3, 30, 32]
    early = [replace(blind[-1], **until) for until in ({"minutes": 5.0}, {"until": 20})]
    assert [population_of(spec, narrow) for spec in early] == [8, 8], "the end may come before all are trained"
    assert population_of(TuneSpec(trials=30, sampler=Part("random")), narrow) == 3, "median waits for trials"
    assert population_of(TuneSpec(), few) == 3
    assert population_of(TuneSpec(), many) == 1
    assert population_of(TuneSpec(population=12), many) == 12


@pytest.fixture(scope="module")
def folds():
    """503 rows but for those of the test: the training parts of five folds have one row more, or not."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(629, 5))
    return prepare((x, (x @ draw.normal(size=(5, 3))).argmax(1)), task="multiclass", scale="standard", folds=5)


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_folds_side_by_side_are_those_one_after_the_other(folds, stacks, monkeypatch, pruner):
    sizes = sorted({len(fold.train.y) for fold in folds.folds})
    assert len(sizes) == 2  # not all folds can stand in one stack
    told = {"folds": 5, "pruner": pruner, "trials": 9, "epochs": 7, "hidden": (8,)}
    if pruner == "median":
        told |= {"min_trials": 2, "min_epochs": 2}
    together, alone = [], []
    many = tune(folds, population=3, store=False, view=together.append, **SMALL | told)
    assert stacks and max(stacks) > 3 and not told_of_breaks(together)
    stacks.clear()
    monkeypatch.setattr(Group, "_folds_together", lambda self, model: False)
    one = tune(folds, population=3, store=False, view=alone.append, **SMALL | told)
    assert max(stacks) <= 3
    assert ends(together) == ends(alone)
    assert ("pruned" in set(one.trials["state"])) == (pruner == "median")
    for number in one.ranking():
        assert many.result_of(number)["scores"] == one.result_of(number)["scores"]
        assert len(many.result_of(number)["scores"]) == 5
    weights = one.best_run.model.state_dict()
    assert all(torch.equal(many.best_run.model.state_dict()[name], weights[name]) for name in weights)


def test_finalists_from_fresh_seeds_side_by_side_are_single_runs(classes, stacks):
    study, _ = studied(classes, 1, finalists=2, seeds=3, trials=3)
    assert stacks == [6]
    for number, scores in study.after.fresh().items():
        for seed, (score,) in scores.items():
            alone = fit(classes, spec=replace(study.spec_of(number), seed=seed), store=False, baseline=False)
            assert alone.metrics["loss"] == score
    assert len(set(study.finalists["mean"])) == 2 and (study.finalists["seeds"] == 3).all()
