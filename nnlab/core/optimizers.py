"""Optimizers, one decorated function each. groups: torch parameter groups; those that must not decay say so."""

from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch.optim import Optimizer

OPTIMIZERS = Registry("optimizer")

Groups = list[dict[str, Any]]
AdaptiveLr = Within(1e-8, 10.0, log=True, search=(3e-4, 3e-2))
SgdLr = Within(1e-8, 100.0, log=True, search=(1e-3, 1.0))
Decay = Within(0.0, 10.0, search=(0.0, 0.3))
Beta = Within(0.0, 0.99999, search=(0.8, 0.999))
Eps = Within(1e-16, 1.0, log=True, search=(1e-9, 1e-5))
Momentum = Within(0.0, 0.9999, search=(0.5, 0.99))


@OPTIMIZERS.add
def sgd(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.1,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Plain stochastic gradient descent (torch.optim.SGD)."""
    from torch.optim import SGD

    return SGD(groups, lr=lr, weight_decay=weight_decay, fused=_has_fused(groups))


@OPTIMIZERS.add
def momentum(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.05,
    momentum: Annotated[float, Momentum, "share of the last step that is kept"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """SGD with heavy-ball momentum (torch.optim.SGD; Polyak 1964)."""
    from torch.optim import SGD

    return SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=_has_fused(groups))


@OPTIMIZERS.add
def nesterov(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.05,
    momentum: Annotated[float, Momentum, "share of the last step that is kept"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """SGD that looks ahead along its momentum (torch.optim.SGD; Sutskever et al. 2013)."""
    from torch.optim import SGD

    fused = _has_fused(groups)
    return SGD(groups, lr=lr, momentum=momentum or 1e-12, nesterov=True, weight_decay=weight_decay, fused=fused)


@OPTIMIZERS.add
def adam(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 1e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of its square"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Adam: momentum and a step size for each weight (torch.optim.Adam; Kingma & Ba 2015)."""
    from torch.optim import Adam

    betas = (beta1, beta2)
    return Adam(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_has_fused(groups))


@OPTIMIZERS.add
def adamw(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 1e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of its square"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.01,
) -> "Optimizer":
    """Adam with decoupled weight decay (torch.optim.AdamW; Loshchilov & Hutter 2019)."""
    from torch.optim import AdamW

    betas = (beta1, beta2)
    return AdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_has_fused(groups))


@OPTIMIZERS.add
def rmsprop(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 1e-3,
    alpha: Annotated[float, Beta, "decay of the mean of the squared gradient"] = 0.99,
    momentum: Annotated[float, Momentum, "share of the last step that is kept"] = 0.0,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """RMSprop: a step size for each weight from its recent gradients (torch.optim.RMSprop; Hinton 2012)."""
    from torch.optim import RMSprop

    return RMSprop(groups, lr=lr, alpha=alpha, momentum=momentum, eps=eps, weight_decay=weight_decay, foreach=True)


def _has_fused(groups: Groups) -> bool:
    """torch's fused step exists for floating tensors on cpu, cuda and mps; elsewhere its default is used."""
    weights = [weight for group in groups for weight in group["params"]]
    return all(weight.is_floating_point() and weight.device.type in ("cpu", "cuda", "mps") for weight in weights)
