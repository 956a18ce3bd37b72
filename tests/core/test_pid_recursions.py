"""The PID family against its published recursions, written down plainly in float64."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from nnlab.core.optimizers import OPTIMIZERS

STEPS, LR, MU, DECAY = 120, 0.01, 0.9, 0.02
A = (1 / MU - 1) / LR  # the damping and gain that share MU of the velocity stands for
KP = 1 / (MU * LR)
KI, KD = 60.0, 2.5
KAPPA = MU * LR**2 * KI


def slope(x: Tensor, step: int) -> Tensor:
    """The gradient of x1^2/20 + 2 x2^2 with noise that changes its sign, and a decay that is coupled."""
    noise = torch.randn(2, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return torch.tensor([0.1, 4.0], dtype=torch.float64) * x + 0.5 * noise


def start() -> Tensor:
    return torch.tensor([-2.0, 2.0], dtype=torch.float64)


def trapezoid() -> Iterator[Tensor]:
    """The integral of (g + g') / 2; the first step moves by kd alone, and its gradient is taken for 0 in the next."""
    x, y, z, before = start(), torch.zeros(2).double(), torch.zeros(2).double(), torch.zeros(2).double()
    for k in range(1, STEPS + 1):
        g = slope(x, k) + DECAY * x
        if k > 1:
            z = z + LR / 2 * (g + before)
            y = (y - LR * (KP - A * KD) * g - LR * KI * z) / (1 + A * LR)
            before = g
        x = x + LR * y - LR * KD * g
        yield x


def adaptive(counted: bool) -> Iterator[Tensor]:
    """Divided by the root mean square of gradients, whose correction has the exponent k, or 2 as in the program."""
    x, y, z, v = start(), torch.zeros(2).double(), torch.zeros(2).double(), torch.zeros(2).double()
    for k in range(1, STEPS + 1):
        g = slope(x, k) + DECAY * x
        v = 0.999 * v + 0.001 * g**2
        s = (v / (1 - 0.999 ** (k if counted else 2))).sqrt() + 1e-8
        z = z + LR * g
        y = (y - LR * (KP - A * KD) * g / s - LR * KI * z / s) / (1 + A * LR)
        x = x + LR * y - LR * KD * g / s
        yield x


def earlier(quirk: bool) -> Iterator[Tensor]:
    """An et al. 2018; with their program's quirk the gradient before the second step is 0."""
    x, i, d, before = start(), torch.zeros(2).double(), torch.zeros(2).double(), torch.zeros(2).double()
    for k in range(1, STEPS + 1):
        g = slope(x, k) + DECAY * x
        i = MU * i + g
        if k > 1:
            d = MU * d + (1 - MU) * (g - before)
        before = torch.zeros_like(g) if quirk and k == 1 else g
        x = x - LR / 10 * (g + 3 * i + 10 * d)
        yield x


ACCELERATED = {"lr": LR, "momentum": MU, "kappa": KAPPA, "kd": KD}
PID = {"lr": LR / 10, "momentum": MU, "ki": 3.0, "kd": 10.0}
CASES = [
    ("pidao_st", ACCELERATED, trapezoid),
    ("pidao_adsi", ACCELERATED, partial(adaptive, counted=True)),
    ("pidao_adsi", ACCELERATED | {"reference_exponent": True}, partial(adaptive, counted=False)),
    ("pid", PID, partial(earlier, quirk=False)),
    ("pid", PID | {"reference_quirk": True}, partial(earlier, quirk=True)),
]


@pytest.mark.parametrize(("name", "values", "recursion"), CASES, ids=["st", "adsi", "adsi-2", "pid", "pid-quirk"])
def test_each_is_its_recursion(name: str, values: dict[str, float], recursion: Callable[[], Iterator[Tensor]]) -> None:
    weight = torch.nn.Parameter(start())
    optimizer = OPTIMIZERS[name].make([{"params": [weight], "decays": True}], weight_decay=DECAY, **values)
    for step, x in enumerate(recursion(), 1):
        weight.grad = slope(weight.detach(), step)
        optimizer.step()
        torch.testing.assert_close(weight.detach(), x, rtol=1e-12, atol=1e-12, msg=lambda m, s=step: f"step {s}: {m}")
    assert step == STEPS
