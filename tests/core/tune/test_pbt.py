"""Population-based training: what is taken over, and that it finds a step size that no trial began with."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nnlab.core.controls import Controls
from nnlab.core.errors import SpecError
from nnlab.core.events import EpochDone
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.pbt import Exchange
from nnlab.core.tune.population import Member, trained
from nnlab.core.tune.search import tune
from nnlab.core.tune.space import parse
from nnlab.core.tune.study import Study

RUN = {"model": "mlp", "hidden": (16,), "batch_size": 32, "schedule": "constant", "warmup": 0.0, "patience": None}
RUN |= {"weight_decay": 0.0, "dropout": 0.0, "threads": 1}
SPACE = parse(["lr=1e-5..1 log"], TrainSpec())


class Watcher:
    """As a trial's, but nobody stops it."""

    def __init__(self):
        self.controls, self.shown, self.epochs, self.score, self.value = Controls(), False, 0, None, math.nan
        self.told = []

    def __call__(self, event):
        self.told.append(event)
        if isinstance(event, EpochDone):
            self.epochs, self.value = event.epoch, event.valid["loss"]

    def follow_study(self):
        pass


def stacked(data, lrs, between, epochs, **options):
    """The members that were trained with these step sizes."""
    specs = [resolve(TrainSpec, RUN | {"epochs": epochs, "seed": at, "lr": lr} | options) for at, lr in enumerate(lrs)]
    members = [Member((SimpleNamespace(number=at), {"lr": lr}), specs[at], Watcher()) for at, lr in enumerate(lrs)]
    for _ in trained(members, data, "s", between):
        pass
    return members


def losses(member):
    return [event.valid["loss"] for event in member.watch.told if isinstance(event, EpochDone)]


def test_from_step_sizes_that_are_all_too_small_it_finds_good_ones(numbers):
    lrs = np.geomspace(1e-5, 3e-4, 12)
    exchange = Exchange(SPACE, False, 0, every=1, share=0.25, factor=2.0)
    with_it = stacked(numbers, lrs, exchange, 20)
    without = stacked(numbers, lrs, None, 20)
    best, best_alone = (min(losses(member)[-1] for member in members) for members in (with_it, without))
    assert best < 0.3 * best_alone
    last = max(exchange.history[number][-1].values["lr"] for number in exchange.history)
    assert last > 10 * lrs.max()


@pytest.mark.parametrize("options", [{}, {"norm": "batch"}, {"optimizer": "momentum"}], ids=str)
def test_what_is_taken_over_is_all_that_was_learned(numbers, options):
    def copies(stack, alive):
        if alive[0].watch.epochs == 2:
            stack.copy(alive[0].learner, alive[2].learner)
            alive[2].watch.controls.set("lr", 0.01)
            found = stack.members.outputs(alive[0].learner.valid[0])
            assert torch.equal(found[0], found[2])

    options = {"shuffle": False, **options}  # the same order of rows, whatever the seed
    first, second, third = stacked(numbers, [0.01, 0.02, 0.5], copies, 6, **options)
    alone, *_ = stacked(numbers, [0.01, 0.02, 0.5], None, 6, **options)
    assert losses(third)[2:] == losses(first)[2:]  # moments too, or the steps would differ
    assert losses(third)[:2] != losses(first)[:2]
    assert losses(first) == losses(alone)
    assert losses(second) != losses(first)


def test_the_worst_take_over_from_the_best_and_values_stay_in_their_range():
    space = parse(["lr=1e-3..1e-1 log", "dropout=0..0.5", "weight_decay={0,0.1}", "hidden={8,16}"], TrainSpec())
    exchange = Exchange(space, True, 0, every=2, share=0.25, factor=3.0)
    copied = []
    stack = SimpleNamespace(copy=lambda source, target: copied.append((source, target)))

    def member(number, value):
        values = {"lr": 0.08, "dropout": 0.5, "weight_decay": 0.1, "hidden": "8"}
        watch = SimpleNamespace(value=value, epochs=4, controls=Controls())
        spec = SimpleNamespace(epochs=9)
        return SimpleNamespace(number=number, claim=(None, values), watch=watch, learner=number, spec=spec)

    herd = [member(at, value) for at, value in enumerate([0.1, 0.9, 0.5, 0.8, math.nan, 0.4, 0.6, 0.7])]
    exchange(stack, herd)
    assert {target for _, target in copied} == {4, 0}  # of an accuracy the smallest, and what is none
    assert {source for source, _ in copied} <= {1, 3}
    for history in exchange.history.values():
        (one,) = history
        assert set(one.values) == {"lr", "dropout", "weight_decay"}
        assert one.values["lr"] in (0.1, pytest.approx(0.08 / 3))
        assert one.values["dropout"] in (0.5, pytest.approx(0.4))
        assert one.values["weight_decay"] in (0.0, 0.1)
    for one in herd:
        one.watch.epochs = 5
    exchange(stack, herd)
    assert len(copied) == 2  # not every epoch


def test_a_study_by_pbt_keeps_who_took_over_what_and_goes_to_disk(numbers, tmp_path):
    words = {"space": ("lr=1e-4..1e-1 log", "dropout=0..0.3"), "trials": 8, "epochs": 8, "store": tmp_path}
    study = tune(numbers, sampler="pbt", **words, **{name: RUN[name] for name in ("model", "hidden", "schedule")})
    assert study.trials["state"].tolist() == ["complete"] * 8
    taken = study.inheritance
    assert set(taken) == {"trial", "epoch", "source", "lr", "dropout"}
    assert set(taken["epoch"]) <= {2, 4, 6}
    assert (taken["trial"] != taken["source"]).all()
    last = taken.drop_duplicates("trial", keep="last").set_index("trial")
    for number, row in last.iterrows():
        spec = study.spec_of(number)
        assert (spec.optimizer.values["lr"], spec.model.values["dropout"]) == (row["lr"], row["dropout"])
    changed = {number: study.run_of(number) for number in last.index if study.run_of(number) is not None}
    assert all(run.changes for run in changed.values())  # the run tells of it
    assert Study.load(study.path).inheritance.equals(taken)
    assert study.best_run.metrics["loss"] == study.best_score
    again = tune(numbers, sampler="pbt", **words | {"store": tmp_path / "b"}, model="mlp", hidden=(16,),
                 schedule="constant")  # fmt: skip
    assert again.trials["score"].equals(study.trials["score"])


def test_what_cannot_stand_side_by_side_is_refused(numbers, classes):
    with pytest.raises(SpecError, match=r"sampler pbt trains trials side by side, which realmlp .* cannot"):
        tune(numbers, sampler="pbt", trials=4, store=False)
    with pytest.raises(SpecError, match=r"sampler pbt is for one objective"):
        tune(classes, sampler="pbt", objectives="loss,parameters", model="mlp", store=False)
