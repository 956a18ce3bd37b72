"""Members with training rows of their own: each is the run of its rows alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import nnlab
from nnlab.core.bags import Bags, rows_in_bag
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.events import EpochDone
from nnlab.core.learners.stack.parts import Parts
from nnlab.core.pace import steps_by_epoch
from nnlab.core.plan import plan
from nnlab.core.randomness import member_seed
from nnlab.core.train import Job, set_up, train
from tests.core.resuming import every_step as every_step
from tests.core.resuming import spec_of, taken_up, whole_run

# The mean of four losses makes gradients a quarter, and so eps is a quarter too.
MANY: dict[str, Any] = {"model": "realmlp", "members": 4, "hidden": "64,32", "eps": 2.0**-30, "lr": 0.05, "seed": 3}
MANY |= {"epochs": 3, "batch_size": 100, "dropout": 0.2}
WAYS: list[dict[str, Any]] = [{"bagging": 0.7}, {"bootstrap": True}, {"bagging": 0.5, "own_order": True}]
WAYS += [{"own_order": True}, {"bagging": 0.6, "shuffle": False}]


def alone(job: Job, member: int, data: Prepared, way: dict[str, Any]) -> Job:
    """A run of one member, with its first weights; its rows are those of its seed."""
    spec = spec_of(**MANY | way | {"members": 1, "eps": 2.0**-28})
    single = set_up(replace(spec, seed=member_seed(spec.seed, member)), data)
    state = single.learner.state()
    state["network"]["weights"] = {
        name: weight[member : member + 1] if weight.ndim and len(weight) == 4 else weight
        for name, weight in job.learner.state()["network"]["weights"].items()
    }
    single.learner.load_state(state)
    return single


def weights_of(job: Job) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in job.learner.model.state_dict().items()}


@pytest.mark.parametrize("way", [{"bagging": 0.7, "own_order": True}, {"bootstrap": True, "own_order": True}], ids=str)
def test_each_member_is_the_run_of_its_rows_alone(way: dict[str, Any], classes: Prepared) -> None:
    job = set_up(spec_of(**MANY | way | {"own_best": True}), classes)
    singles = [alone(job, member, classes, way) for member in range(4)]
    told = [event for event in train(job, Controls()) if isinstance(event, EpochDone)]
    losses = []
    for member, single in enumerate(singles):
        own = [event for event in train(single, Controls()) if isinstance(event, EpochDone)]
        losses.append([event.train["loss"] for event in own])
        ended, together = weights_of(single), weights_of(job)
        for name, weight in together.items():
            if weight.ndim and len(weight) == 4:
                assert torch.equal(weight[member], ended[name][0]), (member, name)
    means = [sum(of_epoch) / 4 for of_epoch in zip(*losses, strict=True)]
    assert [event.train["loss"] for event in told] == pytest.approx(means, rel=1e-6)


def test_bags_are_parts_of_the_rows_and_differ() -> None:
    bags = Bags(spec_of(**MANY, bagging=0.6), 100)
    first, later = bags.order(1), bags.order(2)
    assert first.shape == (4, 60)
    sets = [set(own.tolist()) for own in first]
    assert all(len(own) == 60 for own in sets) and len(set(map(frozenset, sets))) == 4
    assert [set(own.tolist()) for own in later] == sets and not torch.equal(first, later)
    places = [torch.searchsorted(own.sort().values, own) for own in first]
    assert all(torch.equal(places[0], own) for own in places), "the permutation is shared"
    with_own = Bags(spec_of(**MANY, bagging=0.6, own_order=True), 100).order(1)
    assert not torch.equal(*(torch.searchsorted(own.sort().values, own) for own in with_own[:2]))
    drawn = Bags(spec_of(**MANY, bootstrap=True), 1000).order(1)
    assert drawn.shape == (4, 1000)
    assert all(len(own.unique()) == pytest.approx(632, abs=40) for own in drawn)
    assert torch.equal(Bags(spec_of(**MANY, own_order=True), 50).order(1).sort().values, torch.arange(50).repeat(4, 1))
    assert Bags(spec_of(**MANY), 50).order(1).ndim == 1
    assert Bags(spec_of(bagging=0.5), 50).order(1).shape == (25,), "one network alone sees a part as well"


def test_steps_and_previews_know_of_the_rows() -> None:
    spec = spec_of(bagging=0.25, batch_size=50)
    assert rows_in_bag(spec, 1000) == 250
    assert steps_by_epoch(spec, 1000)[0] == 5 and plan(spec, 1000).batch_size[0] == 50


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.usefixtures("every_step")
def test_a_run_goes_on_to_the_same_bits(way: dict[str, Any], classes: Prepared) -> None:
    spec = spec_of(**MANY | way)
    whole, places = whole_run(classes, spec)
    at, state = places[4]
    assert taken_up(classes, spec, state).same(whole, at.epoch)


def test_rows_in_parts_have_the_gradient_of_all(classes: Prepared) -> None:
    """Of a loss whose mean divides by class weights, which differ from member to member."""
    spec = spec_of(**MANY, bagging=0.5, loss="balanced_cross_entropy", precision="float64")
    learner: Any = set_up(spec, classes).learner
    learner.change("dropout", 0.0)
    rows = Bags(spec, len(classes.train)).order(1)[:, :50]
    parts: Parts = learner._gradients
    parts(rows)
    whole = learner._members.flat.gradients.clone()
    parts.count = 3
    parts(rows)
    torch.testing.assert_close(learner._members.flat.gradients, whole, rtol=1e-9, atol=1e-12)


def test_where_autograd_makes_the_steps_it_is_said_why(classes: Prepared) -> None:
    with pytest.raises(SpecError, match=r"bagging: members have rows of their own only .* optimizer lion"):
        set_up(spec_of(model="packed", optimizer="lion", bagging=0.5), classes)
    run = nnlab.fit(classes, bagging=0.5, own_order=True, optimizer="lion", epochs=1, store=False, baseline=False)
    assert any("own_order does nothing here" in text for text in run.warnings)


def test_layers_are_looked_at_where_members_have_own_rows(classes: Prepared) -> None:
    run = nnlab.fit(classes, spec=spec_of(**MANY, bootstrap=True), store=False, baseline=False)
    assert run.record.probes and not run.warnings
