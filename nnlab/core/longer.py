"""Whether a run can be given more epochs: not where its course so far was drawn over the old number of them."""

import math
from collections.abc import Sequence

from nnlab.core.averages import AVERAGES
from nnlab.core.schedules import Clock, factor
from nnlab.core.spec import TrainSpec, make


def what_differs(
    spec: TrainSpec, steps: Sequence[int], longer: TrainSpec, more_steps: Sequence[int], epoch: int
) -> str:
    """The option because of which the run would not go on as it ended, "" if there is none.

    longer: the spec with the new number of epochs; steps, more_steps: of each epoch under both; epoch: epochs done.
    Compared is the last step made: a warm-up that is over does not count.
    """
    if not epoch:
        return ""
    if list(steps[:epoch]) != list(more_steps[:epoch]):
        return "batch_growth"
    now, then = (_last(one, sum(plan), sum(plan[:epoch]), epoch) for one, plan in ((spec, steps), (longer, more_steps)))
    return next((name for name in now if not math.isclose(now[name], then[name], abs_tol=1e-12)), "")


def _last(spec: TrainSpec, total: int, made: int, epoch: int) -> dict[str, float]:
    """The shares that hold in the last step made, by the option that they follow."""
    by_epochs = Clock(epoch - 1, spec.epochs, epoch - 1, spec.epochs)
    average = make(AVERAGES, spec.average)(made - 1, total)
    return {
        "schedule": factor(spec.schedule, spec.warmup, Clock(made - 1, total, epoch - 1, spec.epochs)),
        "dropout_schedule": factor(spec.dropout_schedule, 0.0, by_epochs),
        "decay_schedule": factor(spec.decay_schedule, 0.0, by_epochs),
        "average": -1.0 if average is None else average,
    }
