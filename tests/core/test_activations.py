"""Activations, normalizations and kinds of dropout: each is a word that trains, and is what its paper says."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nnlab
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.building import activation_layer, dropout_layer
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.models import MODELS
from nnlab.core.norms import NORMS
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import decay_groups
from nnlab.core.spec import TrainSpec, from_json, to_json

WORDS = [("activation", name) for name in ACTIVATIONS] + [("norm", name) for name in NORMS]
WORDS += [("parametric", "on"), ("dropout_kind", "alpha")]
X = torch.linspace(-6, 6, 96, dtype=torch.float64).reshape(8, 12)
A, B = X.chunk(2, -1)
FORMULAS: dict[str, Tensor] = {
    "relu": X.clamp(min=0),
    "leaky_relu": torch.where(X > 0, X, X / 100),
    "prelu": torch.where(X > 0, X, X / 4),
    "elu": torch.where(X > 0, X, X.exp() - 1),
    "selu": 1.0507009873554805 * torch.where(X > 0, X, 1.6732632423543772 * (X.exp() - 1)),
    "gelu": X * (1 + torch.erf(X / math.sqrt(2))) / 2,
    "silu": X / (1 + (-X).exp()),
    "swish": X / (1 + (-X).exp()),
    "mish": X * torch.tanh(torch.log1p(X.exp())),
    "tanh": (X.exp() - (-X).exp()) / (X.exp() + (-X).exp()),
    "sigmoid": 1 / (1 + (-X).exp()),
    "softplus": torch.log1p(X.exp()),
    "hardswish": X * (X + 3).clamp(0, 6) / 6,
    "glu": A / (1 + (-B).exp()),
    "reglu": A * B.clamp(min=0),
    "geglu": A * B * (1 + torch.erf(B / math.sqrt(2))) / 2,
    "swiglu": A * B / (1 + (-B).exp()),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("word", "value"), WORDS, ids=[f"{word}-{value}" for word, value in WORDS])
def test_each_is_a_word_learns_and_gives_the_same_bits_again(word: str, value: str, classes: Prepared) -> None:
    options = {word: value, "hidden": "8,8", "epochs": 4, "seed": 3, "dropout": 0.05}
    runs = [nnlab.fit(classes, store=False, **options) for _ in range(2)]
    assert runs[0].history.drop(columns="seconds").equals(runs[1].history.drop(columns="seconds"))
    losses = list(runs[0].history["train_loss"])
    assert losses[-1] < losses[0]
    spec = resolve(TrainSpec, options)
    assert from_json(TrainSpec, to_json(spec)) == spec
    assert runs[0].spec.model.values[word] == spec.model.values[word]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(name: str) -> None:
    width = 6 if ACTIVATIONS[name].facts.get("gated") else 12
    layer = activation_layer(name, (width,)).double()
    torch.testing.assert_close(layer(X), FORMULAS[name], atol=1e-6, rtol=1e-6)


def test_learned_activations_learn_for_each_unit() -> None:
    swish = activation_layer("swish", (12,)).double()
    mixed = activation_layer("mish", (12,), parametric=True).double()
    share = torch.linspace(0, 2, 12, dtype=torch.float64)
    with torch.no_grad():
        for layer in (swish, mixed):
            next(layer.parameters()).copy_(share)
    torch.testing.assert_close(swish(X), X / (1 + (-share * X).exp()))
    torch.testing.assert_close(mixed(X), X + share * (FORMULAS["mish"] - X))
    assert [len(group) for group in decay_groups(nn.Sequential(swish, mixed))] == [0, 2]
    with pytest.raises(SpecError, match="geglu has a gate of its own"):
        MODELS["mlp"].make(3, 2, activation="geglu", parametric=True)


@pytest.mark.parametrize("shape", [(12,), (3, 12)])
def test_norms_are_torchs_over_the_last_dimension(shape: tuple[int, ...]) -> None:
    """Members side by side are as many layers of torch, each with its own scales; tokens share one layer."""
    x = torch.randn(40, *shape) * 3 + 1
    theirs: dict[str, Any] = {
        "batch": lambda: nn.BatchNorm1d(12),
        "layer": lambda: nn.LayerNorm(12),
        "group": lambda: nn.GroupNorm(4, 12),
        "rms": lambda: nn.RMSNorm(12),
    }
    for name, make in theirs.items():
        ours, members = NORMS[name].make(shape), [make() for _ in range(math.prod(shape[:-1]))]
        assert decay_groups(ours)[0] == []
        with torch.no_grad():
            for weight in ("weight", "bias")[: len(list(ours.parameters()))]:
                own = getattr(ours, weight).normal_().reshape(len(members), 12)
                for member, values in zip(members, own, strict=True):
                    getattr(member, weight).copy_(values)
        for training in (True, False):
            rows = x.reshape(40, -1, 12)
            expected = torch.stack([m.train(training)(rows[:, i]) for i, m in enumerate(members)], 1)
            torch.testing.assert_close(ours.train(training)(x).reshape(40, -1, 12), expected, atol=1e-5, rtol=1e-5)
    tokens = torch.randn(5, 7, 12)
    expected = nn.BatchNorm1d(12)(tokens.flatten(0, 1)).view(5, 7, 12)
    torch.testing.assert_close(NORMS["batch"].make((12,))(tokens), expected)


def test_a_deep_net_of_selu_keeps_mean_and_variance_with_its_own_dropout() -> None:
    data = nnlab.prepare((np.random.default_rng(0).normal(size=(900, 64)), np.arange(900) % 3), scale="standard")
    spec = resolve(TrainSpec, {"activation": "selu", "hidden": "300," * 9 + "300", "dropout": 0.1})
    network = ModuleLearner(spec, data, "cpu").model
    assert isinstance(network, nn.Sequential)
    assert sum(isinstance(layer, nn.AlphaDropout) for layer in network) == 10
    inner = network[:-1](torch.randn(900, 64)).detach()
    assert float(inner.mean()) == pytest.approx(0, abs=0.15)
    assert float(inner.std()) == pytest.approx(1, abs=0.2)
    assert type(dropout_layer(0.1, "selu", "plain")) is not nn.AlphaDropout
    assert isinstance(dropout_layer(0.1, "mish", "alpha"), nn.AlphaDropout)


def test_a_first_width_of_gates_is_doubled_once() -> None:
    network = MODELS["mlp"].make(5, 2, hidden=(7, 9), activation="swiglu", norm="layer")
    widths = [tuple(layer.weight.shape) for layer in network if isinstance(layer, nn.Linear)]
    assert widths == [(14, 5), (18, 7), (2, 9)]
    x = torch.randn(4, 5)
    first = functional.layer_norm(network[0](x), (14,)).chunk(2, -1)
    torch.testing.assert_close(network[:3](x), first[0] * functional.silu(first[1]))
