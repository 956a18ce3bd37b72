import copy
from typing import Any

import pytest
import torch
from torch import nn

from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.registry import Entry
from nnlab.core.regularizers import l1

REFERENCE: dict[str, Any] = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9),
    "nesterov": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda w: torch.optim.Adam(w, lr=1e-3),
    "adamw": lambda w: torch.optim.AdamW(w, lr=1e-3, weight_decay=0.01),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=1e-3),
}


def steps(network: nn.Module, optimizer: torch.optim.Optimizer, count: int = 20) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(16, 5, generator=draw)
        optimizer.zero_grad()
        (network(x).squeeze(1) - x.sum(1)).square().mean().backward()
        optimizer.step()
    return [weight.detach() for weight in network.parameters()]


@pytest.mark.parametrize("entry", OPTIMIZERS.values(), ids=lambda entry: entry.name)
def test_defaults_are_torchs_algorithm(entry: Entry) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    twin = copy.deepcopy(network)
    ours = steps(network, entry.make([{"params": list(network.parameters())}]))
    theirs = steps(twin, REFERENCE[entry.name](list(twin.parameters())))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_l1_is_the_proximal_step() -> None:
    weights = [torch.tensor([[0.5, -0.3, 0.01, -0.02]]), torch.tensor([[2.0]])]
    l1(weights, lr=0.1, strength=0.5)
    torch.testing.assert_close(weights[0], torch.tensor([[0.45, -0.25, 0.0, 0.0]]))
    torch.testing.assert_close(weights[1], torch.tensor([[1.95]]))
    assert (weights[0] == 0).sum() == 2
