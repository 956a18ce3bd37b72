"""torch's L-BFGS for several groups of weights, with an L2 penalty."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS


class PenalizedLBFGS(LBFGS):
    """L-BFGS on loss + decay / 2 |w|^2 of the groups that decay."""

    def __init__(self, groups: Any, lr: float, iterations: int, memory: int, weight_decay: float) -> None:
        every = [weight for group in groups for weight in group["params"]]
        own = {"max_iter": iterations, "max_eval": 2 * iterations, "history_size": memory}
        super().__init__(every, lr=lr, line_search_fn="strong_wolfe", **own)
        shrinking = [weight for group in groups if group.get("decays", True) for weight in group["params"]]
        self._shrinking = shrinking
        self.param_groups[0] |= {"decays": True, "weight_decay": weight_decay}

    def step(self, closure: Callable[[], Tensor]) -> Any:  # type: ignore[override]
        """One search. closure: computes the loss and its gradients, the same for the same weights."""
        decay = self.param_groups[0]["weight_decay"]

        def penalized() -> Tensor:
            loss = closure()
            with torch.no_grad():
                for weight in self._shrinking if decay else ():
                    if weight.grad is not None:
                        weight.grad.add_(weight, alpha=decay)
                        loss = loss + decay / 2 * weight.square().sum()
            return loss

        return super().step(penalized)  # type: ignore[no-untyped-call]
