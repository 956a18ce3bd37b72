"""The learning rate range test: a few steps of a copy of the run under a rising step size (Smith 2017).

The loss of a step tells what the steps before did, so it falls where the step size begins to learn and rises where it
is too large. Several short trials are averaged; what does not stand out from their noise is no region.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.device import thread_limit, threads_for
from nnlab.core.errors import DataError, SpecError
from nnlab.core.models.custom import Maker
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.pace import batch_for
from nnlab.core.params import Within
from nnlab.core.randomness import row_order
from nnlab.core.recipe import asks_for_lr, recipe_for
from nnlab.core.registry import Part
from nnlab.core.spec import OWN_NETWORK, TrainSpec
from nnlab.core.train import set_up

STEPS, TRIES = 120, 3
WIDER = 100.0  # the range goes so far below and above the one that sliders offer
WORSE = 3.0  # a trial ends where its loss is this many times the first one
SMOOTHING = 3.0  # steps: standard deviation of the kernel
CLEAR = 6.0  # standard errors that the fall must have
LEAST_FALL = 0.01  # and its share of the first loss
BELOW = 2.0  # the step size to take is the lowest loss's by this; nearer to it than the steepest fall does, measured
FALLEN = 0.05  # share of the fall that may be missing where its bottom begins
BEGUN = 0.1  # share of the fall at which the region begins


@dataclass(frozen=True, eq=False)
class LrRange:
    """What a range test saw. lr, loss, smooth: step sizes, mean loss of the trials, and its smoothed course.

    low, high: the region that learns; best: the step size to take, all None where there is no clear region; then why
    says so. spread: standard error of the smoothed loss.
    """

    lr: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    spread: np.ndarray
    low: float | None
    high: float | None
    best: float | None
    why: str

    @property
    def rounded(self) -> float | None:
        """The step size to take, to two digits."""
        return None if self.best is None else float(f"{self.best:.2g}")

    def __repr__(self) -> str:
        if self.best is None:
            return f"LrRange: no clear region, {self.why}"
        return f"LrRange: lr {self.best:.2g}, region {self.low:.2g} to {self.high:.2g}"


def lr_range(
    data: Prepared, *, spec: TrainSpec | None = None, model: Maker = None, steps: int = STEPS, **options: Any
) -> LrRange:
    """Test step sizes on copies of the network that `fit` would train with the same arguments.

    Nothing of the run is touched: networks, random numbers and row orders are the test's own. SpecError for an
    optimizer that searches its step size itself.
    """
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if isinstance(model, (str, Part)):
        options["model"], model = model, None
    options = {name: value for name, value in options.items() if not asks_for_lr(name, value)}
    base = OWN_NETWORK if model is not None else recipe_for(data, options)
    spec = resolve(TrainSpec, options, spec or base)
    if OPTIMIZERS[spec.optimizer.name].facts.get("full_batch"):
        raise SpecError(f"{spec.optimizer} searches the length of its steps itself; there is no lr to find for it")
    rates = np.geomspace(*_ends(spec), steps)
    losses = np.stack([_trial(spec, data, model, rates, seed) for seed in range(TRIES)])
    return read_range(rates, losses)


def found_lr(options: dict[str, Any]) -> str | None:
    """The option by which a run asks for this test (lr=find), if there is one."""
    return next((name for name, value in options.items() if asks_for_lr(name, value)), None)


def _ends(spec: TrainSpec) -> tuple[float, float]:
    """A range around the one that is offered, within what the optimizer allows."""
    allowed: Within = OPTIMIZERS[spec.optimizer.name].params["lr"].domain
    offered = allowed.offered
    return max(allowed.low, offered.low / WIDER, 1e-9), min(allowed.high, offered.high * WIDER)


def _trial(spec: TrainSpec, data: Prepared, model: Maker, rates: np.ndarray, number: int) -> np.ndarray:
    """The loss of each step, NaN after the trial has run away."""
    job = set_up(replace(spec, seed=(spec.seed + 1 + number) % 2**31), data, model)
    found = np.full(len(rates), np.nan)
    rows = len(data.train.y)
    size = min(rows, spec.batch_size or batch_for(rows))
    with thread_limit(threads_for(spec.threads, size, job.learner.parameters)):
        batches = _batches(job.spec.seed, rows, size)
        for i, rate in enumerate(rates):
            with job.random:
                job.learner.step(next(batches).to(job.learner.device), float(rate))
                found[i] = job.learner.take_loss()
            if not math.isfinite(found[i]) or found[i] > WORSE * max(found[0], 1e-12) + 1e-6:
                found[i:] = np.nan
                break
    return found


def _batches(seed: int, rows: int, size: int) -> Iterator[Any]:
    epoch = 0
    while True:
        epoch += 1
        yield from row_order(seed, epoch, rows).tensor_split(math.ceil(rows / size))


def read_range(rates: np.ndarray, losses: np.ndarray) -> LrRange:
    """The region in the losses (tries, steps) of trials; NaN: the trial had run away by then."""
    reached = np.isfinite(losses).all(axis=0)
    stop = int(np.argmin(reached)) if not reached.all() else len(rates)
    if stop < len(rates) // 8:
        shown = losses[:, : max(stop, 1)]
        why = f"the loss ran away from lr {rates[max(stop - 1, 0)]:.1g} on; look at the data and the network"
        return _none(rates[: max(stop, 1)], shown, why)
    rates, losses = rates[:stop], losses[:, :stop]
    mean = losses.mean(0)
    smooth = _smoothed(mean)
    flat = max(8, len(rates) // 6)  # steps so small that nothing is learned yet
    first = float(np.median(mean[:flat]))
    noise = _noise(losses, smooth)
    lowest = int(np.argmin(smooth))
    fall = first - float(smooth[lowest])
    if fall < CLEAR * noise or fall < LEAST_FALL * abs(first):
        return _none(rates, losses, f"the loss falls by {max(fall, 0.0):.2g}, its noise is {noise:.2g}")
    begun = int(np.argmax(smooth < first - BEGUN * fall))
    fallen = int(np.argmax(smooth <= smooth[lowest] + FALLEN * fall))
    high = float(rates[lowest])
    best = min(high / BELOW, math.sqrt(rates[fallen] * high))  # a long flat bottom may reach beyond what is stable
    low = float(min(rates[begun], best))
    return LrRange(rates, mean, smooth, np.full(len(rates), noise), low, high, best, "")


def _none(rates: np.ndarray, losses: np.ndarray, why: str) -> LrRange:
    mean = losses.mean(0)
    smooth = _smoothed(mean)
    return LrRange(rates, mean, smooth, np.full(len(rates), _noise(losses, smooth)), None, None, None, why)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """A Gaussian kernel over the steps, whose weights at the ends are those that are there."""
    place = np.arange(len(values))
    weight = np.exp(-0.5 * ((place[:, None] - place) / SMOOTHING) ** 2)
    return np.asarray(weight @ np.nan_to_num(values) / weight.sum(1))


def _noise(losses: np.ndarray, smooth: np.ndarray) -> float:
    """Standard error of the smoothed mean, from what the steps differ from it."""
    rest = losses - smooth
    deviation = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    averaged = len(losses) * SMOOTHING * 2.0 * math.sqrt(math.pi)  # steps that one smoothed value stands for
    return deviation / math.sqrt(averaged)
