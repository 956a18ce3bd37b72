"""How many members a stack gets: halves of halves of all, the quickest of them by trial."""

import pytest
import torch

from nnlab.core.learners.start import first_network
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec
from nnlab.core.tune import stack_size as sizing
from nnlab.core.tune.stack_size import stack_size, stack_sizes

PLAN = [10] * 100


@pytest.fixture
def members(classes):
    """Forty of them, as `stack_size` takes them."""
    specs = [TrainSpec(model=Part("mlp", {"hidden": (8,)}))] * 40
    return specs, [first_network(spec, classes) for spec in specs], [classes] * 40


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (8, [8]), (13, [13]), (16, [8, 16]), (40, [10, 20]), (64, [8, 16, 32])]
)
def test_sizes_are_halves_of_halves_between_8_and_32(most, sizes):
    assert stack_sizes(most) == sizes


@pytest.mark.parametrize(
    ("seconds", "best"),
    [({10: 1.0, 20: 1.5}, 20), ({10: 1.0, 20: 2.3}, 10), ({10: 1.0, 20: 2.05}, 20)],
    ids=["more are quicker", "fewer are quicker", "level: members will leave"],
)
def test_the_quickest_size_by_member_is_taken(members, monkeypatch, seconds, best):
    monkeypatch.setattr(sizing, "_seconds", lambda specs, *_: seconds[len(specs)])
    assert stack_size(*members, "cpu", PLAN) == best
    assert stack_size(*members, "cuda", PLAN) == 40, "a card is filled"


def test_a_size_that_finds_no_memory_is_not_taken(members, monkeypatch):
    def seconds(specs, *_):
        if len(specs) > 10:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return 1.0

    monkeypatch.setattr(sizing, "_seconds", seconds)
    assert stack_size(*members, "cpu", PLAN) == 10


def test_short_runs_are_parted_by_their_weights(members, classes):
    specs, networks, own = members
    assert stack_size(specs, networks, own, "cpu", PLAN[:2]) == 20
    wide = first_network(TrainSpec(model=Part("mlp", {"hidden": (512, 512)})), classes)
    assert stack_size(specs, [wide] * 40, own, "cpu", PLAN[:2]) == 10


def test_the_trial_steps_on_copies(members):
    networks = members[1]
    before = [weight.clone() for network in networks for weight in network.parameters()]
    state = torch.get_rng_state()
    assert stack_size(*members, "cpu", PLAN) in (10, 20)
    assert all(map(torch.equal, before, [weight for network in networks for weight in network.parameters()]))
    assert torch.equal(state, torch.get_rng_state())
