"""Lion: the sign of momentum."""

from typing import Any

import torch
from torch import Tensor

from nnlab.core.stepping.base import Stepper, shrink


class Lion(Stepper):
    """w -= lr sign(b1 m + (1 - b1) g), then m = b2 m + (1 - b2) g; decoupled decay (Chen et al. 2023, algorithm 2)."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See `Stepper`."""
        if not state:
            state["mean"] = torch.zeros_like(weight)
        share, keep = group["betas"]
        shrink(weight, group)
        weight.add_(torch.lerp(gradient, state["mean"], share).sign_(), alpha=-group["lr"])
        state["mean"].lerp_(gradient, 1 - keep)
