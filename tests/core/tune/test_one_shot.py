"""One-shot architecture search: parts of one network are networks of their own, and the best of them are trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import SpecError
from nnlab.core.events import Started, TrialDone, Warned
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.one_shot import Parts, supernet
from nnlab.core.tune.search import tune
from nnlab.core.tune.space import parse

SPACE = ["hidden=[1..16]x1..2", "activation={relu,tanh}"]
BASE = TrainSpec(model=Part("mlp", {"hidden": (16,), "dropout": 0.0}), epochs=40, batch_size=32, seed=3)


@pytest.fixture(scope="module")
def waves():
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, size=(700, 2))
    return prepare((x, np.sin(3 * x[:, 0]) * x[:, 1]), scale="standard")


def test_a_part_is_the_network_of_its_own_units_and_training_draws_another_part_each_step(waves):
    network = supernet(Parts(parse(SPACE, BASE), BASE, 0), BASE, waves).eval()
    x = torch.from_numpy(waves.valid.x).float()
    network.part = ((5, 3), "tanh")
    own = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    with torch.no_grad():
        for mine, (held, rows, columns) in zip(
            own[::2], [(network.layers[0], 5, 2), (network.layers[1], 3, 5), (network.heads[1], 1, 3)], strict=True
        ):
            mine.weight.copy_(held.weight[:rows, :columns])
            mine.bias.copy_(held.bias[:rows])
    assert torch.allclose(network(x), own(x), atol=1e-6)
    drawn = [network.parts.draw() for _ in range(200)]
    assert {len(widths) for widths, _ in drawn} == {1, 2} and {name for _, name in drawn} == {"relu", "tanh"}
    assert {width for widths, _ in drawn for width in widths} == set(range(1, 17))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_trials_are_the_best_parts_and_wide_ones_beat_narrow_ones(waves, tmp_path):
    events = []
    told = {
        "base": BASE,
        "space": SPACE,
        "sampler": "one_shot",
        "parts": 60,
        "patience": None,
        "store": tmp_path,
        "name": "s",
    }
    study = tune(waves, trials=4, view=events.append, lr=0.01, **told)
    ranking = study._journal.user_attrs["ranked"]
    scores = [one["score"] for one in ranking]
    assert len(ranking) == 60 and scores == sorted(scores)
    units = [sum(value for name, value in one["params"].items() if name[-1].isdigit()) for one in ranking]
    assert np.mean(units[:20]) > np.mean(units[-20:]) + 5  # a network of a few units cannot follow the waves

    def tried(number):
        return study._journal.get_trials()[number].params

    assert [tried(number) for number in (1, 2, 3)] == [one["params"] for one in ranking[:3]]
    assert study.best_trial in (1, 2, 3) and study.best_score < scores[0]  # from scratch, better than with shared ones
    assert [e.message for e in events if isinstance(e, Warned) and "60 parts" in e.message]
    began = sum(isinstance(event, Started) for event in events)
    again = []
    study = tune(waves, trials=5, view=again.append, lr=0.01, **told)
    assert tried(4) == ranking[3]["params"]
    assert (began, sum(isinstance(e, Started) for e in again)) == (5, 1)  # the one network is trained once
    assert sum(isinstance(event, TrialDone) for event in again) == 1


def test_the_seed_draws_the_weights_that_all_parts_share(waves, tmp_path):
    how = {"base": replace(BASE, epochs=3), "space": SPACE, "sampler": "one_shot", "parts": 8, "trials": 1}
    studies = [tune(waves, **how, store=tmp_path / str(at), name="s") for at in range(2)]
    first, again = (study._journal.user_attrs["ranked"] for study in studies)
    assert first == again


@pytest.mark.parametrize(
    ("space", "base", "part"),
    [
        (["lr=1e-3..1e-1"], BASE, "hidden and activation"),
        (["hidden=[1..24]x1..2", "model={mlp,resnet}"], BASE, "one mlp"),
        (["hidden=[1..24]x1..2"], TrainSpec(model=Part("mlp", {"norm": "layer"})), "without norm"),
        (["activation={relu,glu}"], BASE, "gate of its own"),
    ],
)
def test_what_no_one_network_can_hold_is_said(waves, space, base, part):
    with pytest.raises(SpecError, match=part):
        tune(waves, trials=2, base=base, space=space, sampler="one_shot", store=False)
