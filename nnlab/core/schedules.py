"""Step size schedules as pure functions of the clock: each gives the factor on the peak step size.

A rising start (`warmup` of the run) comes in front of any schedule but those that register `own_warmup=True`. Most are
functions of the share of the run that is done; those with `by_loss=True` also look at the monitored values.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

SCHEDULES = Registry("schedule")


class Losses:
    """The monitored value of each epoch that is done, less being better, and what was worked out from them."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values = list(values)
        self._known: dict[Any, float] = {}

    def add(self, value: float) -> None:
        """Another epoch is done."""
        self._values.append(value)
        self._known.clear()

    @property
    def values(self) -> list[float]:
        """The values so far."""
        return list(self._values)

    def once(self, key: Any, compute: Callable[[list[float]], float]) -> float:
        """compute(values), computed once an epoch for each key."""
        if key not in self._known:
            self._known[key] = compute(self._values)
        return self._known[key]


@dataclass(frozen=True)
class Clock:
    """Where a run is: step of steps of the whole run and epoch of epochs, all counted from 0; step is between two whole
    numbers where the batch size was changed."""

    step: float
    steps: int
    epoch: int
    epochs: int
    losses: Losses = field(default_factory=Losses, compare=False)

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to below 1."""
        return self.step / self.steps


@SCHEDULES.add
def constant(clock: Clock) -> float:
    """The same step size throughout."""
    return 1.0


@SCHEDULES.add
def step(
    clock: Clock,
    every: Annotated[int, Within(1, 1_000_000, log=True, search=(5, 50)), "epochs between two drops"] = 20,
    gamma: Annotated[float, Within(1e-6, 1.0, search=(0.1, 0.9)), "factor of each drop"] = 0.5,
) -> float:
    """Drops by a factor every few epochs (torch.optim.lr_scheduler.StepLR)."""
    return float(gamma ** (clock.epoch // every))


@SCHEDULES.add
def cosine(
    clock: Clock,
    floor: Annotated[float, Within(0.0, 1.0, search=(0.0, 0.1)), "share of the peak that is left at the end"] = 0.0,
) -> float:
    """Falls along half a cosine (CosineAnnealingLR; Loshchilov & Hutter 2017)."""
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * clock.step / clock.steps))


@SCHEDULES.add(own_warmup=True)
def one_cycle(
    clock: Clock,
    rise: Annotated[float, Within(0.0, 0.99, search=(0.1, 0.5)), "share of the run with a rising step size"] = 0.3,
    start: Annotated[float, Within(1e-6, 1.0, log=True, search=(0.01, 0.2)), "share of the peak at the start"] = 0.04,
    end: Annotated[float, Within(0.0, 1.0), "share of the peak at the end"] = 4e-6,
) -> float:
    """Rises to the peak and falls far below the start, both along cosines (OneCycleLR; Smith & Topin 2018)."""
    top, last = rise * clock.steps - 1.0, clock.steps - 1.0
    if clock.step < top:
        return _between(start, 1.0, clock.step / top)
    return _between(1.0, end, (clock.step - top) / (last - top) if last > top else 1.0)


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) / 2.0 * (1.0 + math.cos(math.pi * share))


@SCHEDULES.add
def exponential(
    clock: Clock,
    end: Annotated[float, Within(1e-9, 1.0, log=True, search=(1e-4, 0.3)), "share of the peak at the end"] = 0.01,
) -> float:
    """Falls by the same factor each step (ExponentialLR, its gamma chosen by the end)."""
    return float(end**clock.share)


@SCHEDULES.add
def polynomial(
    clock: Clock,
    power: Annotated[float, Within(0.1, 10.0, search=(0.5, 3.0)), "1 is a straight line"] = 1.0,
    floor: Annotated[float, Within(0.0, 1.0, search=(0.0, 0.1)), "share of the peak that is left at the end"] = 0.0,
) -> float:
    """Falls as a power of what is left of the run (PolynomialLR)."""
    return floor + (1.0 - floor) * float((1.0 - clock.share) ** power)


@SCHEDULES.add
def inverse_sqrt(
    clock: Clock,
    flat: Annotated[float, Within(1e-4, 1.0, log=True, search=(0.01, 0.3)), "share of the run before it falls"] = 0.05,
) -> float:
    """Flat, then as one over the root of the step (Vaswani et al. 2017)."""
    return math.sqrt(flat / max(clock.share, flat))


@SCHEDULES.add
def cosine_restarts(
    clock: Clock,
    first: Annotated[float, Within(1e-3, 1.0, search=(0.05, 0.5)), "share of the run of the first cycle"] = 0.1428572,
    longer: Annotated[float, Within(1.0, 10.0, search=(1.0, 3.0)), "how much longer each next cycle is"] = 2.0,
    floor: Annotated[float, Within(0.0, 1.0, search=(0.0, 0.1)), "share of the peak at the end of a cycle"] = 0.0,
) -> float:
    """Half cosines that start anew (CosineAnnealingWarmRestarts; Loshchilov & Hutter 2017). Defaults: three cycles."""
    done, length = clock.share, first
    while done >= length:
        done, length = done - length, length * longer
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done / length))


@SCHEDULES.add
def cyclic(
    clock: Clock,
    cycles: Annotated[int, Within(1, 10_000, log=True, search=(1, 20)), "ups and downs in the run"] = 4,
    low: Annotated[float, Within(0.0, 1.0, search=(0.01, 0.3)), "share of the peak at the lowest points"] = 0.1,
    shape: Annotated[
        Literal["triangular", "triangular2", "exp_range"], "peaks of one height, halved each time, or falling steadily"
    ] = "triangular",
    end: Annotated[float, Within(1e-6, 1.0, log=True), "of exp_range: height of the peaks at the end"] = 0.1,
) -> float:
    """Straight lines up and down (CyclicLR; Smith 2017)."""
    place = clock.share * cycles
    height = 1.0 - abs(2.0 * (place - math.floor(place)) - 1.0)
    if shape == "triangular2":
        height /= 2.0 ** math.floor(place)
    elif shape == "exp_range":
        height *= end**clock.share
    return low + (1.0 - low) * height


@SCHEDULES.add(by_loss=True)
def plateau(
    clock: Clock,
    wait: Annotated[int, Within(0, 100_000, search=(2, 20)), "epochs without improvement before it falls"] = 5,
    gamma: Annotated[float, Within(1e-6, 1.0, search=(0.1, 0.7)), "factor of each fall"] = 0.5,
    threshold: Annotated[
        float, Within(0.0, 1.0), "share of the best value by which an improvement must beat it"
    ] = 1e-4,
) -> float:
    """Falls when the monitored value of the validation rows stops improving (ReduceLROnPlateau)."""

    def falls(values: list[float]) -> float:
        best, waited, found = math.inf, 0, 0
        for value in values:
            if value < best - threshold * abs(best if math.isfinite(best) else 0.0):
                best, waited = value, 0
            else:
                waited += 1
            if waited > wait:
                waited, found = 0, found + 1
        return float(found)

    return float(gamma ** clock.losses.once(("plateau", wait, threshold), falls))


@SCHEDULES.add
def coslog4(clock: Clock) -> float:
    """Four cycles, each twice as long as the last: (1 - cos(2 pi log2(1 + 15 t))) / 2 (Holzmüller et al. 2024)."""
    return 0.5 * (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * (clock.step + 0.5) / clock.steps)))


@SCHEDULES.add
def flat_cosine(
    clock: Clock,
    flat: Annotated[float, Within(0.0, 0.99, search=(0.3, 0.8)), "share of the run before it falls"] = 0.5,
) -> float:
    """Flat, then half a cosine down to 0 (Holzmüller et al. 2024; Wright 2019)."""
    return 0.5 * (1.0 + math.cos(math.pi * max(0.0, (clock.share - flat) / (1.0 - flat))))


def factor(part: Part, warmup: float, clock: Clock) -> float:
    """The factor of a schedule with its warm-up: a straight line from 1/n to 1 over the first n steps of the run."""
    entry = SCHEDULES[part.name]
    rising = 0 if entry.facts.get("own_warmup") else round(warmup * clock.steps)
    if clock.step < rising:
        return (clock.step + 1) / rising
    if rising:
        clock = Clock(clock.step - rising, clock.steps - rising, clock.epoch, clock.epochs, clock.losses)
    return float(entry.make(clock, **part.values))
