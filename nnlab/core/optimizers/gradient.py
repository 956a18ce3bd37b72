"""Steps along the gradient, with and without momentum."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.optimizers.registry import OPTIMIZERS, Decay, Groups, Momentum, SgdLr, has_fused

if TYPE_CHECKING:
    from torch.optim import Optimizer


@OPTIMIZERS.add
def sgd(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.1,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Plain stochastic gradient descent (torch.optim.SGD)."""
    from torch.optim import SGD

    return SGD(groups, lr=lr, weight_decay=weight_decay, fused=has_fused(groups))


@OPTIMIZERS.add
def momentum(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.05,
    momentum: Annotated[float, Momentum, "share of the last step that is kept"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """SGD with heavy-ball momentum (torch.optim.SGD; Polyak 1964)."""
    from torch.optim import SGD

    return SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=has_fused(groups))


@OPTIMIZERS.add
def nesterov(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.05,
    momentum: Annotated[float, Momentum, "share of the last step that is kept"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """SGD that looks ahead along its momentum (torch.optim.SGD; Sutskever et al. 2013)."""
    from torch.optim import SGD

    fused = has_fused(groups)
    return SGD(groups, lr=lr, momentum=momentum or 1e-12, nesterov=True, weight_decay=weight_decay, fused=fused)
