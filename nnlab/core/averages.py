"""Averages of the weights that are validated and kept in place of the last ones, one decorated function each.

Called with its values it gives a function (step, steps, epoch_ended) -> the share of the new weights in the average of
this step, or None for no change. Running statistics of batch norm are averaged like weights.
"""

from collections.abc import Callable
from typing import Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Registry

AVERAGES = Registry("average")
Share = Callable[[int, int], float | None]


@AVERAGES.add
def none() -> Share:
    """The weights as they are."""
    return lambda step, steps: None


@AVERAGES.add
def ema(
    decay: Annotated[float, Within(0.0, 0.99999, search=(0.9, 0.999)), "share of the average that stays"] = 0.99,
) -> Share:
    """Exponential moving average; its first steps count more (Polyak & Juditsky 1992; the ramp of TensorFlow)."""
    return lambda step, steps: 1.0 - min(decay, (1.0 + step) / (10.0 + step))


@AVERAGES.add
def swa(
    start: Annotated[float, Within(0.0, 0.99, search=(0.5, 0.9)), "share of the run before averaging begins"] = 0.75,
) -> Share:
    """The plain mean of the weights from a point on, best with --schedule constant (Izmailov et al. 2018)."""

    def share(step: int, steps: int) -> float | None:
        first = int(start * steps)
        return None if step < first else 1.0 / (step - first + 1)

    return share
