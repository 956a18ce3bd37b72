"""Adam without torch's hooks is torch's Adam, to the bit."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from nnlab.core.stepping import straight
from nnlab.core.stepping.straight import StraightAdam, StraightAdamW

PAIRS = [(StraightAdam, Adam), (StraightAdamW, AdamW)]


def two(own: Any, theirs: Any) -> tuple[list[nn.Linear], list[Any]]:
    """Twice the same layer, each with an optimizer of two groups."""
    layers = [nn.Linear(7, 5), nn.Linear(7, 5)]
    layers[1].load_state_dict(layers[0].state_dict())
    groups = [[{"params": [m.weight], "weight_decay": 0.1}, {"params": [m.bias], "weight_decay": 0.0}] for m in layers]
    return layers, [kind(group, lr=0.01, fused=True) for kind, group in zip((own, theirs), groups, strict=True)]


def step(layer: nn.Linear, optimizer: Any, x: torch.Tensor, only: str = "") -> None:
    optimizer.zero_grad()
    layer(x).square().mean().backward()
    if only:
        getattr(layer, only).grad = None
    optimizer.step()


@pytest.mark.parametrize(("own", "theirs"), PAIRS)
def test_the_same_bits_as_torch_also_with_gaps_and_after_a_load(own: Any, theirs: Any) -> None:
    torch.manual_seed(0)
    layers, optimizers = two(own, theirs)
    for number in range(12):
        x = torch.randn(9, 7)
        for group in (*optimizers[0].param_groups, *optimizers[1].param_groups):
            group["lr"] = 0.01 * (1 + number % 3)
        for layer, optimizer in zip(layers, optimizers, strict=True):
            step(layer, optimizer, x, "bias" if number in (0, 5) else "")
        if number == 7:
            optimizers[0].load_state_dict(copy.deepcopy(optimizers[1].state_dict()))
    assert torch.equal(layers[0].weight, layers[1].weight) and torch.equal(layers[0].bias, layers[1].bias)
    assert optimizers[0].state[layers[0].bias]["step"].item() == 10


def test_the_usual_step_passes_torchs_own_by(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, (optimizer, _) = two(StraightAdamW, AdamW)
    step(layers[0], optimizer, torch.randn(9, 7))
    monkeypatch.setattr(AdamW, "step", lambda self: pytest.fail("torch's own step was taken"))
    step(layers[0], optimizer, torch.randn(9, 7))


def test_where_the_kernel_is_not_what_it_should_be_torchs_own_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "adam_step", lambda device: None)
    layers, optimizers = two(StraightAdamW, AdamW)
    for _ in range(3):
        x = torch.randn(9, 7)
        for layer, optimizer in zip(layers, optimizers, strict=True):
            step(layer, optimizer, x)
    assert torch.equal(layers[0].weight, layers[1].weight)
