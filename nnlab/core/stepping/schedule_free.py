"""Schedule-free optimizers: averaging in place of a falling step size."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nnlab.core.stepping.base import evaluated


class ScheduleFree(Optimizer):
    """z -= lr d(y); x is the mean of all z, weighted by lr^2; gradients are taken at y = (1 - b) z + b x.

    d is the gradient, or that of Adam without its first moment. In training the weights are y, after `eval` they are x,
    after `train` y again (Defazio et al., "The Road Less Scheduled", 2024). adaptive: Adam's. Decay is taken at y.
    """

    def __init__(  # noqa: PLR0913 (the coefficients of the method)
        self, groups: Any, lr: float, beta: float, beta2: float, eps: float, weight_decay: float, adaptive: bool
    ) -> None:
        own = {"lr": lr, "beta": beta, "beta2": beta2, "eps": eps, "weight_decay": weight_decay, "adaptive": adaptive}
        super().__init__(groups, own | {"steps": 0, "weight_sum": 0.0, "largest_lr": 0.0, "training": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every weight that has a gradient."""
        loss = evaluated(closure)
        for group in self.param_groups:
            group["steps"] += 1
            group["largest_lr"] = max(group["largest_lr"], group["lr"])
            weight = group["largest_lr"] ** 2
            group["weight_sum"] += weight
            share = weight / group["weight_sum"] if group["weight_sum"] else 0.0
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._update(tensor, group, share)
        return loss

    def _update(self, y: Tensor, group: dict[str, Any], share: float) -> None:
        state, beta, lr = self.state[y], group["beta"], group["lr"]
        gradient: Any = y.grad
        if not state:
            state["z"] = y.clone()
        if group["adaptive"]:
            square = state.setdefault("square", torch.zeros_like(y))
            square.mul_(group["beta2"]).addcmul_(gradient, gradient, value=1 - group["beta2"])
            scale = (square / (1 - group["beta2"] ** group["steps"])).sqrt_().add_(group["eps"])
            gradient = gradient / scale
        if group["weight_decay"]:
            gradient = gradient.add(y, alpha=group["weight_decay"])
        z = state["z"]
        y.lerp_(z, share)  # y' = (1 - b) z' + b x' without a copy of x
        y.add_(gradient, alpha=lr * (beta * (1 - share) - 1))
        z.sub_(gradient, alpha=lr)

    @torch.no_grad()
    def eval(self) -> None:
        """The weights become the mean x, which is what the method gives."""
        self._mix(False, lambda beta: 1 - 1 / beta)

    @torch.no_grad()
    def train(self) -> None:
        """The weights become y again, where gradients are taken."""
        self._mix(True, lambda beta: 1 - beta)

    def _mix(self, training: bool, share: Callable[[float], float]) -> None:
        for group in self.param_groups:
            if group["training"] != training and group["beta"]:
                for weight in group["params"]:
                    if "z" in self.state[weight]:
                        weight.lerp_(self.state[weight]["z"], share(group["beta"]))
            group["training"] = training
