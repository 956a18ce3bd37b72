"""Quasi-Newton methods on all rows at once."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.optimizers.registry import OPTIMIZERS, Decay, Groups
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer


@OPTIMIZERS.add(closure=True, full_batch=True)
def lbfgs(
    groups: Groups,
    lr: Annotated[float, Within(1e-6, 10.0, log=True, search=(0.1, 1.0)), "first length that is tried"] = 1.0,
    iterations: Annotated[int, Within(1, 1000), "updates in one step, which is one epoch"] = 10,
    memory: Annotated[int, Within(1, 1000), "pairs of steps and gradients that stand for the curvature"] = 20,
    weight_decay: Annotated[float, Decay, "L2 penalty in the loss"] = 0.0,
) -> "Optimizer":
    """L-BFGS with a strong Wolfe line search on all rows; for small data (torch.optim.LBFGS; Liu & Nocedal 1989)."""
    from nnlab.core.stepping.lbfgs import PenalizedLBFGS

    return PenalizedLBFGS(groups, lr, iterations, memory, weight_decay)
