"""Optimizers that need no falling schedule."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.optimizers.registry import OPTIMIZERS, AdaptiveLr, Beta, Decay, Eps, Groups, SgdLr
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer

Between = Within(0.01, 0.9999, search=(0.8, 0.99))


@OPTIMIZERS.add
def schedule_free_adamw(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size; with --schedule constant"] = 3e-3,
    beta1: Annotated[float, Between, "how near to the mean gradients are taken"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of the squared gradient"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.01,
) -> "Optimizer":
    """AdamW, weights averaged, not a falling step size (Defazio et al. 2024); penalties give no exact zeros."""
    from nnlab.core.stepping.schedule_free import ScheduleFree

    return ScheduleFree(groups, lr, beta1, beta2, eps, weight_decay, adaptive=True)


@OPTIMIZERS.add
def schedule_free_sgd(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size; with --schedule constant"] = 0.5,
    beta1: Annotated[float, Between, "how near to the mean gradients are taken"] = 0.9,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.0,
) -> "Optimizer":
    """SGD, weights averaged, not a falling step size (Defazio et al. 2024); penalties give no exact zeros."""
    from nnlab.core.stepping.schedule_free import ScheduleFree

    return ScheduleFree(groups, lr, beta1, 0.0, 1e-8, weight_decay, adaptive=False)
