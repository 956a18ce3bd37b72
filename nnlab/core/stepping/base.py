"""What all optimizers of this package share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Stepper(Optimizer):
    """An optimizer whose update is one method for one weight. All that it keeps is in `state`, by weight."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every weight that has a gradient."""
        loss = evaluated(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.update(weight, weight.grad, self.state[weight], group)
        return loss

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one weight in place. state: empty before the first step."""
        raise NotImplementedError


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """What the closure gives, with gradients; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def coupled(weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """The gradient of the loss with its L2 penalty."""
    return gradient.add(weight, alpha=group["weight_decay"]) if group["weight_decay"] else gradient


def shrink(weight: Tensor, group: dict[str, Any]) -> None:
    """Decoupled weight decay, w *= 1 - lr decay (Loshchilov & Hutter 2019)."""
    if group["weight_decay"]:
        weight.mul_(1 - group["lr"] * group["weight_decay"])
