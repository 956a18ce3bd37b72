"""Step size schedules as pure functions of the clock: each gives the factor on the peak step size.

A rising start (`warmup` of the run) comes in front of any schedule but those that register `own_warmup=True`.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

SCHEDULES = Registry("schedule")


@dataclass(frozen=True)
class Clock:
    """Where a run is: step of steps of the whole run and epoch of epochs, all counted from 0."""

    step: int
    steps: int
    epoch: int
    epochs: int


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


def factor(part: Part, warmup: float, clock: Clock) -> float:
    """The factor of a schedule with its warm-up: a straight line from 1/n to 1 over the first n steps of the run."""
    entry = SCHEDULES[part.name]
    rising = 0 if entry.facts.get("own_warmup") else round(warmup * clock.steps)
    if clock.step < rising:
        return (clock.step + 1) / rising
    rest = replace(clock, step=clock.step - rising, steps=clock.steps - rising)
    return float(entry.make(rest, **part.values))
