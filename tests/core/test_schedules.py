import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from nnlab.core.registry import Part
from nnlab.core.schedules import SCHEDULES, Clock, factor

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
