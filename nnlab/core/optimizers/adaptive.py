"""A step size for each weight, from its own gradients."""

from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.optimizers.registry import OPTIMIZERS, AdaptiveLr, Beta, Decay, Eps, Groups, Momentum, SgdLr, has_fused
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer


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
    from nnlab.core.stepping.straight import StraightAdam

    betas = (beta1, beta2)
    return StraightAdam(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=has_fused(groups))


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
    from nnlab.core.stepping.straight import StraightAdamW

    betas = (beta1, beta2)
    return StraightAdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=has_fused(groups))


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


@OPTIMIZERS.add
def nadam(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 2e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of its square"] = 0.999,
    momentum_decay: Annotated[float, Within(0.0, 1.0), "how fast the momentum rises to beta1"] = 4e-3,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.0,
) -> "Optimizer":
    """Adam with Nesterov's momentum and decoupled weight decay (torch.optim.NAdam; Dozat 2016)."""
    from torch.optim import NAdam

    own: dict[str, Any] = {
        "betas": (beta1, beta2),
        "eps": eps,
        "momentum_decay": momentum_decay,
        "weight_decay": weight_decay,
    }
    return NAdam(groups, lr=lr, decoupled_weight_decay=True, foreach=True, **own)


@OPTIMIZERS.add
def radam(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 5e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of its square"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.0,
) -> "Optimizer":
    """Adam that is plain momentum until its second moment can be trusted (torch.optim.RAdam; Liu et al. 2020)."""
    from torch.optim import RAdam

    own: dict[str, Any] = {"betas": (beta1, beta2), "eps": eps, "weight_decay": weight_decay}
    return RAdam(groups, lr=lr, decoupled_weight_decay=True, foreach=True, **own)


@OPTIMIZERS.add
def adamax(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 2e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the largest gradient"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Adam by the largest recent gradient in place of the mean square (torch.optim.Adamax; Kingma & Ba 2015)."""
    from torch.optim import Adamax

    return Adamax(groups, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, foreach=True)


@OPTIMIZERS.add
def adagrad(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 1e-2,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-10,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """A step size that only falls, by the sum of squared gradients (torch.optim.Adagrad; Duchi et al. 2011)."""
    from torch.optim import Adagrad

    return Adagrad(groups, lr=lr, eps=eps, weight_decay=weight_decay, foreach=True)


@OPTIMIZERS.add
def adadelta(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 1.0,
    rho: Annotated[float, Beta, "decay of the mean squares"] = 0.9,
    eps: Annotated[float, Eps, "added under both roots"] = 1e-6,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Steps in the units of the weights, by mean squares of gradients and steps (torch.optim.Adadelta; Zeiler 2012)."""
    from torch.optim import Adadelta

    return Adadelta(groups, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, foreach=True)


@OPTIMIZERS.add
def adafactor(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 1e-2,
    beta2_decay: Annotated[float, Within(-1.0, -0.1), "power of the step that the second moment decays with"] = -0.8,
    clip: Annotated[float, Within(0.01, 100.0, log=True), "largest root mean square of an update"] = 1.0,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.0,
) -> "Optimizer":
    """Adam that keeps row and column sums for its second moment (torch.optim.Adafactor; Shazeer & Stern 2018)."""
    from torch.optim import Adafactor

    return Adafactor(groups, lr=lr, beta2_decay=beta2_decay, d=clip, weight_decay=weight_decay, foreach=True)


@OPTIMIZERS.add
def lion(
    groups: Groups,
    lr: Annotated[float, Within(1e-8, 10.0, log=True, search=(3e-5, 3e-3)), "step size at the peak"] = 1e-3,
    beta1: Annotated[float, Beta, "share of the mean in the step"] = 0.9,
    beta2: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.99,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.1,
) -> "Optimizer":
    """The sign of a mixture of the gradient and its mean (Chen et al., Symbolic Discovery, 2023)."""
    from nnlab.core.stepping.lion import Lion

    return Lion(groups, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)
