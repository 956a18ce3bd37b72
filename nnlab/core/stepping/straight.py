"""Adam and AdamW by torch's fused kernel, without the hooks and lists that torch's own step makes around it.

State, options and bits are torch's. Where something is not usual (a first step, a weight without gradient, a scaler,
a kernel that is not what it should be), torch's own step is taken.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Adam, AdamW

from nnlab.core.stepping.base import evaluated
from nnlab.core.stepping.private import adam_fused, adam_step


def _straight(optimizer: Any, groups: list[dict[str, Any]], decoupled: bool) -> bool:
    """Whether the step was made here."""
    if getattr(optimizer, "grad_scale", None) is not None or getattr(optimizer, "found_inf", None) is not None:
        return False
    weights = [weight for group in groups for weight in group["params"]]
    if any(weight.grad is None or weight not in optimizer.state for weight in weights):
        return False
    if not groups[0]["fused"] or adam_step(weights[0].device.type) is not adam_fused:
        return False
    for group in groups:
        own = group["params"]
        states = [optimizer.state[weight] for weight in own]
        means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        torch._foreach_add_(steps, 1)
        values = {"lr": group["lr"], "beta1": group["betas"][0], "beta2": group["betas"][1]}
        values |= {"weight_decay": group["weight_decay"], "eps": group["eps"], "decoupled": decoupled}
        adam_fused(own, [weight.grad for weight in own], means, squares, steps, **values)
    return True


class StraightAdam(Adam):
    """torch.optim.Adam."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every weight that has a gradient."""
        loss = evaluated(closure)
        if not _straight(self, self.param_groups, decoupled=False):
            Adam.step(self)
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # torch would wrap it in a profiler's record


class StraightAdamW(AdamW):
    """torch.optim.AdamW."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every weight that has a gradient."""
        loss = evaluated(closure)
        if not _straight(self, self.param_groups, decoupled=True):
            AdamW.step(self)
        return loss

    step.hooked = True  # type: ignore[attr-defined]
