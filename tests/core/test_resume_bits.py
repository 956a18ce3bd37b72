"""A run that is cut after any step and taken up again ends with the same bits, whatever it is made of."""

import json
import random
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.augments import AUGMENTS
from nnlab.core.averages import AVERAGES
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.errors import RunError
from nnlab.core.gradients import GRADIENTS
from nnlab.core.inits import INITS
from nnlab.core.losses import LOSSES
from nnlab.core.metrics import METRICS
from nnlab.core.models import MODELS
from nnlab.core.norms import NORMS
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.options import options_of
from nnlab.core.params import params_of
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.schedules import SCHEDULES
from nnlab.core.spec import TrainSpec, from_json, to_json
from nnlab.core.terms import TERMS
from nnlab.core.train import set_up
from tests.core.resuming import every_step as every_step
from tests.core.resuming import spec_of, taken_up, whole_run

pytestmark = pytest.mark.usefixtures("every_step")

ELSEWHERE = (
    "device",
    "tf32",
    "fp16",
    "cuda_graphs",
    "channels_last",
    "compile",
)  # need a device, convolutions or a C++ compiler
SMALL = {"hidden": "8,8", "epochs": 3, "batch_size": 150, "seed": 5, "dropout": 0.2}


def words() -> list[tuple[str, Any]]:
    """Every entry of every registry as the option that chooses it, and every word that a field of the spec allows."""
    found: list[tuple[str, Any]] = [("optimizer", name) for name in OPTIMIZERS]
    found += [("model", name) for name in MODELS]
    found += [(word, name) for word, registry in (("norm", NORMS), ("embed", EMBEDDINGS)) for name in registry]
    found += [("activation", name) for name in ACTIVATIONS]
    found += [("loss", name) for name, entry in LOSSES.items() if "multiclass" in entry.facts["tasks"]]
    found += [("metrics", name) for name, entry in METRICS.items() if "multiclass" in entry.facts["tasks"]]
    found += [("class_weight", "balanced"), ("class_weight", "0=3,2=0.5"), ("metrics", "top_7")]
    found += [("parametric", True), ("dropout_kind", "alpha"), ("feature_dropout", 0.2)]
    found += [("average", name) for name in AVERAGES]
    found += [("init", name) for name in INITS]
    found += [(field, name) for field in ("schedule", "dropout_schedule", "decay_schedule") for name in SCHEDULES]
    found += [(name, 2 if name == "lookahead" else 0.3) for name in WRAPPERS]
    found += [(name, 0.3) for registry in (REGULARIZERS, GRADIENTS, AUGMENTS, TERMS) for name in registry]
    for name, param in params_of(TrainSpec).items():
        if typing.get_origin(param.kind) is typing.Literal or isinstance(param.domain, tuple):
            found += [(name, word) for word in param.choices if name not in ELSEWHERE and word not in ELSEWHERE]
    return [*found, ("batch_growth", 3.0), ("patience", 1), ("warmup", 0.5), ("accumulate", 3)]


def options_for(word: str, value: Any) -> dict[str, Any]:
    options = SMALL | {word: value}
    known = options_of(TrainSpec, {"model": value} if word == "model" else {})
    return {name: given for name, given in options.items() if name in known or name in params_of(TrainSpec)}


@pytest.mark.parametrize(("word", "value"), words(), ids=lambda part: str(part))
def test_each_technique_goes_on_to_the_same_bits(word: str, value: Any, classes: Prepared) -> None:
    spec = spec_of(**options_for(word, value))
    if word == "metrics":
        spec = replace(spec, monitor=value)
    try:
        set_up(spec, classes)
    except RunError as error:
        pytest.skip(str(error))  # this machine has no such numbers
    goes_on(word, value, spec, classes)


def goes_on(word: str, value: Any, spec: TrainSpec, data: Prepared) -> None:
    """A run that is cut at two places ends as the whole one; its spec comes back from JSON."""
    assert from_json(TrainSpec, json.loads(json.dumps(to_json(spec)))) == spec
    whole, places = whole_run(data, spec)
    assert whole.reason in ("completed", "stopped_early")
    chosen = sorted(random.Random(f"{word} {value}").sample(range(len(places) - 1), min(2, len(places) - 1)))
    for place, state in (places[i] for i in chosen):
        assert taken_up(data, spec, state).same(whole, place.epoch), place


OF_NUMBERS = [
    (word, name)
    for word, registry in (("loss", LOSSES), ("metrics", METRICS))
    for name, entry in registry.items()
    if entry.facts["tasks"] == ("regression",)
]


@pytest.mark.parametrize(("word", "value"), OF_NUMBERS, ids=lambda part: str(part))
def test_each_loss_and_metric_of_numbers_goes_on_to_the_same_bits(word: str, value: str, counts: Prepared) -> None:
    more = {"monitor": value} if word == "metrics" else {}
    goes_on(word, value, spec_of(**SMALL, **more, **{word: value}), counts)


@pytest.fixture(scope="module")
def counts() -> Prepared:
    """Counts as they are, which every loss of numbers can learn."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 5))
    return prepare((x, draw.poisson(np.exp(x[:, 0] / 2)) * 1.0), task="regression", scale_target="none")


class OwnNet(nn.Module):
    """Norms, dropout, numbers of three generators, and a buffer that is not saved with the weights."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_out)
        )
        self.register_buffer("passes", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.passes += 1.0
            x = x * (1.0 + 0.1 * random.random() + 0.1 * float(np.random.random()) + 0.01 * self.get_buffer("passes"))
        return self.layers(x)


EVERYTHING: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 200,
    "seed": 3,
    "optimizer": "adamw",
    "schedule": "plateau",
    "schedule.wait": 0,
    "average": "ema",
    "dropout_schedule": "step",
    "dropout_schedule.every": 2,
    "mixup": 0.4,
    "patience": 2,
    "monitor": "accuracy",
    "lr": 0.05,
}
CHANGES = {3: [("dropout", 0.4), ("weight_decay", 0.3)], 4: [("lr", 0.02)]}


def test_a_run_with_everything_goes_on_from_each_of_its_steps(classes: Prepared) -> None:
    spec = spec_of(OwnNet, **EVERYTHING)
    whole, places = whole_run(classes, spec, OwnNet, CHANGES)
    assert len(places) > 10
    for place, state in places[5:]:  # by then all changes are made
        assert taken_up(classes, spec, state, OwnNet).same(whole, place.epoch), place


def test_the_end_of_the_last_epoch_is_only_finished(classes: Prepared) -> None:
    spec = spec_of(**SMALL)
    whole, places = whole_run(classes, spec)
    rest = taken_up(classes, spec, places[-1][1])
    assert rest.epochs == {}
    assert rest.same(whole, 3)


def reset(*path: str) -> Callable[[Any], None]:
    """Spoils a state by what the piece at path is in a run that begins."""

    def spoil(state: Any) -> None:
        for key in path[:-1]:
            state = state[key]
        old = state[path[-1]]
        if isinstance(old, dict):
            state[path[-1]] = {}
        elif isinstance(old, list):
            state[path[-1]] = [0.2] if path[-1] == "dropout" else []
        elif isinstance(old, torch.Tensor):
            state[path[-1]] = torch.zeros_like(old)
        else:
            state[path[-1]] = 0 if isinstance(old, int) else 0.01

    return spoil


def fresh_generator(place: int) -> Callable[[Any], None]:
    def spoil(state: Any) -> None:
        kinds: list[Any] = [random.Random(1).getstate(), np.random.RandomState(1).get_state()]
        kinds.append(torch.Generator().manual_seed(1).get_state())
        state["random"] = (*state["random"][:place], kinds[place], *state["random"][place + 1 :])

    return spoil


def no_best(state: Any) -> None:
    weights = {name: tensor * 0 for name, tensor in state["best"]["weights"].items()}
    state["best"] |= {"epoch": None, "value": float("inf"), "weights": weights}


def other_average(state: Any) -> None:
    state["learner"]["average"] = {"step": 0, "mean": None}


def no_statistics(state: Any) -> None:
    weights = state["learner"]["network"]["weights"]
    weights["layers.1.running_mean"] = torch.zeros_like(weights["layers.1.running_mean"])


PIECES: dict[str, Callable[[Any], None]] = {
    "optimizer": reset("learner", "optimizer", "state"),
    "python": fresh_generator(0),
    "numpy": fresh_generator(1),
    "torch": fresh_generator(2),
    "average": other_average,
    "best": no_best,
    "statistics": no_statistics,
    "hidden buffer": reset("learner", "network", "hidden"),
    "dropout": reset("loop", "base"),
    "weight decay": reset("learner", "optimizer", "param_groups"),
    "peak": reset("loop", "peak"),
    "place in the epoch": reset("loop", "done"),
    "epochs": reset("loop", "epoch"),
    "monitored values": reset("loop", "losses"),
    "running loss": reset("learner", "loss", "sum"),
    "rows seen": reset("learner", "loss", "seen"),
    "patience": reset("best", "improved"),
}


WORSE = {"lr": 2.0, "patience": None, "monitor": "accuracy", "average": "none"}  # the best epoch is an early one
OTHERS: dict[str, dict[str, Any]] = {
    "best": WORSE,
    "monitored values": WORSE,
    "patience": {"min_delta": 0.5, "patience": 4},
}


@pytest.mark.parametrize("piece", PIECES)
def test_without_one_piece_of_the_state_the_bits_differ(piece: str, classes: Prepared) -> None:
    """The proof that the tests above can fail."""
    spec = spec_of(OwnNet, **EVERYTHING | OTHERS.get(piece, {}))
    whole, places = whole_run(classes, spec, OwnNet, None if piece in OTHERS else CHANGES)
    place, state = next(found for found in places[9 if piece in OTHERS else 6 :] if found[0].step == 1)
    assert taken_up(classes, spec, state, OwnNet).same(whole, place.epoch)
    try:
        other = taken_up(classes, spec, state, OwnNet, PIECES[piece])
    except (KeyError, ValueError, IndexError):
        return  # a state that lacks it is not taken at all
    assert not other.same(whole, place.epoch)
