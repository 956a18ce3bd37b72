"""Optimizers that read training as a control loop: proportional, integral and derivative terms of the gradient."""

from typing import Any, Literal

import torch
from torch import Tensor

from nnlab.core.stepping.base import Stepper, coupled


class PID(Stepper):
    """I = mu I + g; D = mu D + (1 - mu)(g - g'); w -= lr (g + ki I + kd D), with g' the gradient of the step before.

    An et al., "A PID Controller Approach for Stochastic Optimization of Deep Networks", CVPR 2018. Their program keeps
    g' at 0 in the second step, so that D then is (1 - mu) g: `quirk` does the same.
    """

    def __init__(  # noqa: PLR0913 (the coefficients of the method)
        self, groups: Any, lr: float, momentum: float, ki: float, kd: float, weight_decay: float, quirk: bool = False
    ) -> None:
        own = {"lr": lr, "momentum": momentum, "ki": ki, "kd": kd, "weight_decay": weight_decay, "quirk": quirk}
        super().__init__(groups, own)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See `Stepper`."""
        g, mu = coupled(weight, gradient, group), group["momentum"]
        first = not state
        if first:
            state["integral"], state["derivative"] = torch.zeros_like(weight), torch.zeros_like(weight)
            state["before"] = torch.zeros_like(weight)
        state["integral"].mul_(mu).add_(g)
        if not first:
            state["derivative"].mul_(mu).add_(g - state["before"], alpha=1 - mu)
        if not (first and group["quirk"]):
            state["before"].copy_(g)
        step = g + group["ki"] * state["integral"] + group["kd"] * state["derivative"]
        weight.add_(step, alpha=-group["lr"])


class PIDAO(Stepper):
    """The accelerated PID system of Chen et al. (Nature Communications 15:10263, 2024), in three discretizations.

    With s = 1: z += lr g; v = mu v - lr (c - (1 - mu) kd) g / s - kappa z / s; w += v - lr kd g / s, which is their
    update for mu = 1 / (1 + a lr), c = mu lr kp and kappa = mu lr^2 ki. mu, c and kappa stay what they are when the
    step size changes. rule: "semi" is semi-implicit; "trapezoid" adds lr (g + g') / 2 to z and moves by kd alone in
    its first step, whose gradient it does not keep, as their program; "adaptive" divides by s, the root mean square of
    gradients so far; counted: its bias correction has the number of the step as exponent, else 2 as in their program.
    """

    def __init__(  # noqa: PLR0913 (the coefficients of the method)
        self,
        groups: Any,
        lr: float,
        momentum: float,
        kappa: float,
        kd: float,
        weight_decay: float,
        rule: Literal["semi", "trapezoid", "adaptive"] = "semi",
        gain: float = 1.0,
        beta2: float = 0.999,
        eps: float = 1e-8,
        counted: bool = True,
    ) -> None:
        own = {"lr": lr, "momentum": momentum, "kappa": kappa, "kd": kd, "weight_decay": weight_decay, "gain": gain}
        super().__init__(groups, own | {"rule": rule, "beta2": beta2, "eps": eps, "counted": counted})

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See `Stepper`."""
        g, lr, mu, kd = coupled(weight, gradient, group), group["lr"], group["momentum"], group["kd"]
        if not state:
            state["velocity"], state["integral"] = torch.zeros_like(weight), torch.zeros_like(weight)
            state["steps"] = 0
        state["steps"] += 1
        if group["rule"] == "trapezoid":
            if state["steps"] == 1:
                state["before"] = torch.zeros_like(weight)
                weight.add_(g, alpha=-lr * kd)
                return
            state["integral"].add_(g + state["before"], alpha=lr / 2)
            state["before"].copy_(g)
        else:
            state["integral"].add_(g, alpha=lr)
        inverse = 1.0 if group["rule"] != "adaptive" else self._spread(g, state, group).reciprocal_()
        pull = g * inverse
        velocity = state["velocity"].mul_(mu).add_(pull, alpha=-lr * (group["gain"] - (1 - mu) * kd))
        velocity.sub_(state["integral"] * inverse, alpha=group["kappa"])
        weight.add_(velocity).add_(pull, alpha=-lr * kd)

    @staticmethod
    def _spread(g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """The root mean square of the gradients so far, corrected for its start at 0."""
        if "square" not in state:
            state["square"] = torch.zeros_like(g)
        beta2 = group["beta2"]
        square = state["square"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        exponent = state["steps"] if group["counted"] else 2
        return (square / (1 - beta2**exponent)).sqrt_().add_(group["eps"])
