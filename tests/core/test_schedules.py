import math

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

from nnlab.core.registry import Part
from nnlab.core.schedules import SCHEDULES, Clock, Losses, factor

EPOCHS, PER_EPOCH = 9, 7
STEPS = EPOCHS * PER_EPOCH


def ours(part: Part, warmup: float = 0.0) -> list[float]:
    return [factor(part, warmup, Clock(s, STEPS, s // PER_EPOCH, EPOCHS)) for s in range(STEPS)]


def theirs(make: type[LRScheduler], every: int = 1, **values: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer, **values)
    factors = []
    for step in range(STEPS):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < STEPS:
            schedule.step()
    return factors


def test_cosine_is_torchs() -> None:
    assert ours(Part("cosine", {"floor": 0.1})) == pytest.approx(theirs(CosineAnnealingLR, T_max=STEPS, eta_min=0.1))


def test_step_is_torchs() -> None:
    expected = theirs(StepLR, every=PER_EPOCH, step_size=2, gamma=0.3)
    assert ours(Part("step", {"every": 2, "gamma": 0.3})) == pytest.approx(expected)


def test_one_cycle_is_torchs() -> None:
    expected = theirs(OneCycleLR, max_lr=1.0, total_steps=STEPS, pct_start=0.4, div_factor=20, final_div_factor=1e4)
    assert ours(Part("one_cycle", {"rise": 0.4, "start": 0.05, "end": 5e-6})) == pytest.approx(expected)


def test_warmup_rises_in_a_straight_line_and_the_rest_is_the_schedule() -> None:
    factors = ours(Part("cosine"), warmup=10 / STEPS)
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_finite_factor(name: str, steps: int) -> None:
    for s in range(steps):
        assert 0.0 <= factor(Part(name), 0.05, Clock(s, steps, s, steps)) <= 1.0


def test_one_cycle_may_begin_at_its_peak() -> None:
    assert [factor(Part("one_cycle", {"rise": 0.5, "end": 0.0}), 0.0, Clock(s, 2, 0, 1)) for s in (0, 1)] == [1.0, 0.0]


def test_exponential_polynomial_and_restarts_are_torchs() -> None:
    exponential = theirs(ExponentialLR, gamma=0.01 ** (1 / STEPS))
    assert ours(Part("exponential", {"end": 0.01})) == pytest.approx(exponential)
    assert ours(Part("polynomial", {"power": 2.0})) == pytest.approx(theirs(PolynomialLR, total_iters=STEPS, power=2.0))
    restarts = theirs(CosineAnnealingWarmRestarts, T_0=9, T_mult=2)
    assert ours(Part("cosine_restarts", {"first": 9 / STEPS})) == pytest.approx(restarts)


@pytest.mark.parametrize("shape", ["triangular", "triangular2"])
def test_cyclic_is_torchs(shape: str) -> None:
    expected = theirs(
        CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=4.5, step_size_down=4.5, mode=shape, cycle_momentum=False
    )
    assert ours(Part("cyclic", {"cycles": 7, "low": 0.1, "shape": shape})) == pytest.approx(expected)


def test_exp_range_is_torchs() -> None:
    own = {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4.5, "mode": "exp_range", "cycle_momentum": False}
    expected = theirs(CyclicLR, gamma=0.2 ** (1 / STEPS), **own)
    found = ours(Part("cyclic", {"cycles": 7, "low": 0.1, "shape": "exp_range", "end": 0.2}))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("values", [[5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7, 6]])
def test_plateau_is_torchs(values: list[float]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=1e-4)
    losses, part = Losses(), Part("plateau", {"wait": 2, "gamma": 0.5})
    for epoch, value in enumerate(values):
        schedule.step(value)
        losses.add(value)
        assert factor(part, 0.0, Clock(epoch, 99, epoch, 99, losses)) == optimizer.param_groups[0]["lr"]


def test_coslog4_ends_its_cycles_where_the_paper_says() -> None:
    found = [factor(Part("coslog4"), 0.0, Clock(s, 15_000, 0, 1)) for s in range(15_000)]
    lows = [s for s in range(1, 14_999) if found[s] < found[s - 1] and found[s] <= found[s + 1]]
    assert [round(s / 1000) for s in lows] == [1, 3, 7]
    assert max(found) == pytest.approx(1.0)


def test_flat_cosine_and_inverse_root() -> None:
    flat = ours(Part("flat_cosine", {"flat": 0.5}))
    assert flat[: STEPS // 2] == [1.0] * (STEPS // 2)
    assert flat[-1] < 0.01
    root = ours(Part("inverse_sqrt", {"flat": 1 / STEPS}))
    assert root[1:] == pytest.approx([1 / math.sqrt(s) for s in range(1, STEPS)])
