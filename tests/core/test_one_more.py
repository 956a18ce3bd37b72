"""One more of any kind is one function: its words, help, README row, search range, training and resumption follow."""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import nn

import nnlab
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.augments import AUGMENTS
from nnlab.core.averages import AVERAGES
from nnlab.core.data.prepare import Prepared
from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.gradients import GRADIENTS
from nnlab.core.inits import INITS
from nnlab.core.losses import LOSSES, weighted_mean
from nnlab.core.metrics import METRICS
from nnlab.core.models import MODELS
from nnlab.core.norms import NORMS
from nnlab.core.numeric import PiecewiseLinear
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.options import options_of, resolve
from nnlab.core.params import Within
from nnlab.core.registry import Registry
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.schedules import SCHEDULES, Clock
from nnlab.core.spec import TrainSpec, from_json, to_json
from nnlab.core.terms import TERMS
from nnlab.core.tune.space import chosen_parts, parse, spec_with
from nnlab.magics.lines import to_line
from nnlab.magics.options import help_text
from nnlab.magics.reference import reference
from nnlab.magics.text import parse as read_line
from nnlab.magics.verbs import VERBS
from tests.core.resuming import every_step as every_step
from tests.core.resuming import taken_up, whole_run

pytestmark = pytest.mark.usefixtures("every_step")

Size = Annotated[float, Within(0.0, 10.0, search=(0.1, 2.0)), "how much of what is planted"]
Step = Annotated[float, Within(1e-6, 10.0, log=True), "step size"]


def optimizer(groups: Any, lr: Step = 0.05, size: Size = 0.5) -> Any:
    """Planted: momentum."""
    return torch.optim.SGD(groups, lr=lr, momentum=min(size, 0.9))


def wrapper(optimizer: Any, size: Size = 0.5) -> Any:
    """Planted: nothing around an optimizer."""
    return optimizer


def schedule(clock: Clock, size: Size = 0.5) -> float:
    """Planted: a straight line down."""
    return 1.0 - clock.share / (1.0 + size)


def loss(size: Size = 0.5) -> Any:
    """Planted: cross-entropy, some times as large."""
    from torch.nn.functional import cross_entropy

    return weighted_mean(lambda out, y, **how: (1.0 + size) * cross_entropy(out, y, **how))


def metric(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Planted: the share of the first class among the guesses."""
    return (output.argmax(1) == 0).float().mean()


def regularizer(weights: list[torch.Tensor], lr: float, size: Size = 0.5) -> None:
    """Planted: weights shrink."""
    for weight in weights:
        weight.mul_(1.0 - lr * size)


def gradient(weights: list[torch.Tensor], step: int, size: Size = 0.5) -> None:
    """Planted: gradients are cut."""
    for weight in weights:
        if weight.grad is not None:
            weight.grad.clamp_(-size, size)


def augment(batch: Any, size: Size = 0.5) -> Any:
    """Planted: rows are moved."""
    from dataclasses import replace

    return replace(batch, x=batch.x + size * torch.rand(len(batch.x), 1))


def term(step: Any, size: Size = 0.5) -> torch.Tensor:
    """Planted: outputs stay small."""
    return size * step.output.square().mean() * step.batch.part


def average(size: Size = 0.5) -> Any:
    """Planted: the last two thirds."""
    return lambda step, steps: size / (1.0 + size)


def init(weight: torch.Tensor, size: Size = 0.5) -> None:
    """Planted: small numbers."""
    weight.normal_(0.0, 0.1 * size)


def activation(shape: tuple[int, ...]) -> nn.Module:
    """Planted: softsign."""
    return nn.Softsign()


def norm(shape: tuple[int, ...]) -> nn.Module:
    """Planted: units by their running spread."""
    return nn.BatchNorm1d(shape[0], affine=False)


def embedding(lead: tuple[int, ...], size: Size = 0.5) -> Any:
    """Planted: few bins."""
    return PiecewiseLinear(lead, 3, 4)


def model(n_in: int, n_out: int, dropout: Annotated[float, Within(0.0, 0.9), "share"] = 0.1, size: Size = 0.5) -> Any:
    """Planted: one hidden layer."""
    return nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, n_out))


CLASSES = {"tasks": ("binary", "multiclass")}
# Registry, function, facts, words that choose it, and the word of its value where it has one.
PLANTS: dict[str, tuple[Registry, Callable[..., Any], dict[str, Any], dict[str, Any], str]] = {
    "optimizer": (OPTIMIZERS, optimizer, {}, {"optimizer": "planted"}, "optimizer.size"),
    "wrapper": (WRAPPERS, wrapper, {}, {"planted": 0.4}, "planted"),
    "schedule": (SCHEDULES, schedule, {}, {"schedule": "planted"}, "schedule.size"),
    "loss": (LOSSES, loss, CLASSES, {"loss": "planted"}, "loss.size"),
    "metric": (METRICS, metric, CLASSES | {"maximize": True}, {"metrics": "accuracy,planted"}, ""),
    "regularizer": (REGULARIZERS, regularizer, {}, {"planted": 0.4}, "planted"),
    "gradient": (GRADIENTS, gradient, {}, {"planted": 0.4}, "planted"),
    "augment": (AUGMENTS, augment, {}, {"planted": 0.4}, "planted"),
    "term": (TERMS, term, {}, {"planted": 0.4}, "planted"),
    "average": (AVERAGES, average, {}, {"average": "planted"}, "average.size"),
    "init": (INITS, init, {}, {"init": "planted"}, "init.size"),
    "activation": (ACTIVATIONS, activation, {}, {"activation": "planted"}, ""),
    "norm": (NORMS, norm, {}, {"norm": "planted"}, ""),
    "embedding": (EMBEDDINGS, embedding, {}, {"embed": "planted"}, "embed.size"),
    "model": (MODELS, model, {}, {"model": "planted"}, "model.size"),
}


@pytest.fixture(params=PLANTS)
def planted(request: pytest.FixtureRequest) -> Iterator[tuple[Registry, dict[str, Any], str]]:
    """One function more, and nothing else: its registry, the words that choose it, and the word of its value."""
    registry, function, facts, words, value = PLANTS[request.param]
    function.__name__ = "planted"
    registry.add(function, **facts) if not facts else registry.add(**facts)(function)
    yield registry, words, value
    del registry["planted"]


def test_one_function_is_all_that_one_more_takes(
    planted: tuple[Registry, dict[str, Any], str], classes: Prepared
) -> None:
    registry, words, value = planted
    small = {} if registry is MODELS else {"hidden": "8,8"}
    options = {**small, "epochs": 2, "batch_size": 150, **words} | ({value: "0.3"} if value else {})
    spec = resolve(TrainSpec, options)
    assert from_json(TrainSpec, json.loads(json.dumps(to_json(spec)))) == spec
    line = to_line("nn_train", "data", spec)
    assert "planted" in line and ("0.3" in line or not value)
    assert resolve(TrainSpec, read_line(line.partition(" ")[2], None, "nn_train").options) == spec
    assert "Planted" in help_text(VERBS["nn_train"], {}, "planted")
    assert "| `planted` | Planted: " in reference()
    if value:
        with pytest.raises(nnlab.SpecError, match="99"):
            resolve(TrainSpec, options | {value: 99})
        assert options_of(TrainSpec, chosen_parts(spec))[value].param.domain.offered == Within(0.1, 2.0)
        space = parse([f"{value}=0.1..2"], spec)
        assert spec_with({value: 0.7}, spec) == resolve(TrainSpec, options | {value: 0.7})
        assert list(space) == [value]
    runs = [nnlab.fit(classes, spec=spec, store=False, baseline=False) for _ in range(2)]
    assert runs[0].finished.reason == "completed" and np.isfinite(runs[0].metrics["loss"])
    assert runs[0].metrics == runs[1].metrics
    whole, places = whole_run(classes, spec)
    place, state = places[1]
    assert taken_up(classes, spec, state).same(whole, place.epoch)
