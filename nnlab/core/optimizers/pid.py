"""Optimizers of the PID family; see nnlab.core.stepping.pid for the equations."""

from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.optimizers.registry import OPTIMIZERS, Beta, Decay, Eps, Groups, SgdLr
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer

Inertia = Within(0.0, 0.9999, search=(0.8, 0.99))
Kappa = Within(0.0, 0.01, search=(0.0, 1e-3))  # above, the integral winds up and the loss grows
Derivative = Within(0.0, 100.0, search=(0.0, 3.0))


@OPTIMIZERS.add
def pid(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.01,
    momentum: Annotated[float, Inertia, "share of the integral and the derivative that is kept"] = 0.9,
    ki: Annotated[float, Within(0.0, 1000.0, search=(0.0, 10.0)), "weight of the integral"] = 3.0,
    kd: Annotated[float, Within(0.0, 1000.0, search=(0.0, 100.0)), "weight of the derivative"] = 10.0,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
    reference_quirk: Annotated[bool, "second step as in the authors' program"] = False,
) -> "Optimizer":
    """Proportional, integral and derivative terms of the gradient (An et al., CVPR 2018)."""
    from nnlab.core.stepping.pid import PID

    return PID(groups, lr, momentum, ki, kd, weight_decay, reference_quirk)


@OPTIMIZERS.add
def pidao_si(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.01,
    momentum: Annotated[float, Inertia, "share of the velocity that is kept"] = 0.9,
    kappa: Annotated[float, Kappa, "weight of the integral, momentum lr^2 ki; it makes the weights overshoot"] = 4e-4,
    kd: Annotated[float, Derivative, "weight of the raw gradient"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Accelerated PID control, semi-implicit; momentum where kappa and kd are 0 (Chen et al., Nat. Commun. 2024)."""
    from nnlab.core.stepping.pid import PIDAO

    return PIDAO(groups, lr, momentum, kappa, kd, weight_decay, "semi")


@OPTIMIZERS.add
def pidao_st(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule"] = 0.01,
    momentum: Annotated[float, Inertia, "share of the velocity that is kept"] = 0.9,
    kappa: Annotated[float, Kappa, "weight of the integral, momentum lr^2 ki; it makes the weights overshoot"] = 4e-4,
    kd: Annotated[float, Derivative, "weight of the raw gradient"] = 0.9,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
) -> "Optimizer":
    """Accelerated PID control whose integral follows the trapezoid rule (Chen et al., Nat. Commun. 2024)."""
    from nnlab.core.stepping.pid import PIDAO

    return PIDAO(groups, lr, momentum, kappa, kd, weight_decay, "trapezoid")


@OPTIMIZERS.add
def pidao_adsi(
    groups: Groups,
    lr: Annotated[float, SgdLr, "step size at the peak of the schedule; a tenth of Adam's does the same"] = 2e-4,
    momentum: Annotated[float, Inertia, "share of the velocity that is kept"] = 0.9,
    kappa: Annotated[float, Kappa, "weight of the integral, momentum lr^2 ki"] = 0.0,
    kd: Annotated[float, Derivative, "weight of the raw gradient"] = 1.8,
    beta2: Annotated[float, Beta, "decay of the mean of the squared gradient"] = 0.999,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "L2 penalty added to the gradient"] = 0.0,
    reference_exponent: Annotated[bool, "bias correction with exponent 2 as in the authors' program"] = False,
) -> "Optimizer":
    """Accelerated PID control with a step size for each weight (Chen et al., Nat. Commun. 2024)."""
    from nnlab.core.stepping.pid import PIDAO

    more: dict[str, Any] = {"rule": "adaptive", "beta2": beta2, "eps": eps, "counted": not reference_exponent}
    return PIDAO(groups, lr, momentum, kappa, kd, weight_decay, **more)
