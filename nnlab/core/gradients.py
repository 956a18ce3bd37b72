"""What happens to gradients before a step, one decorated function each: fn(weights, step, **values), in place.

weights: tensors with their gradients; step: how many steps were made. The first value is its size; 0 is off.
"""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

GRADIENTS = Registry("gradient rule")
Limit = Within(0.0, 1e6, search=(0.1, 10.0))


@GRADIENTS.add
def gradient_noise(
    weights: "list[Tensor]",
    step: int,
    size: Annotated[float, Within(0.0, 100.0, search=(0.01, 1.0)), "variance of the noise in the first step"] = 0.01,
    decay: Annotated[float, Within(0.0, 2.0), "power of the step that the variance falls with"] = 0.55,
) -> None:
    """Normal noise of variance size / (1 + step)^decay on every gradient (Neelakantan et al. 2015)."""
    import torch

    std = (size / (1 + step) ** decay) ** 0.5
    for weight in weights:
        if weight.grad is not None:
            weight.grad.add_(torch.randn_like(weight.grad), alpha=std)


@GRADIENTS.add
def clip_value(
    weights: "list[Tensor]",
    step: int,
    limit: Annotated[float, Limit, "largest absolute value of a gradient's entry"] = 1.0,
) -> None:
    """Entries of gradients are cut at the limit (torch.nn.utils.clip_grad_value_)."""
    from torch.nn.utils import clip_grad_value_

    clip_grad_value_(weights, limit)


@GRADIENTS.add
def clip_norm(
    weights: "list[Tensor]",
    step: int,
    limit: Annotated[float, Limit, "largest norm of the gradient"] = 1.0,
) -> None:
    """The gradient of all weights is scaled down to the limit (torch.nn.utils.clip_grad_norm_; Pascanu et al. 2013)."""
    from torch.nn.utils import clip_grad_norm_

    clip_grad_norm_(weights, limit)


@GRADIENTS.add
def clip_adaptive(
    weights: "list[Tensor]",
    step: int,
    limit: Annotated[float, Within(0.0, 10.0, search=(0.005, 0.2)), "largest gradient for a weight of norm 1"] = 0.02,
    floor: Annotated[float, Within(1e-9, 1.0, log=True), "norm that smaller weights are taken for"] = 1e-3,
) -> None:
    """The gradient of each output neuron at most `limit` times the norm of its weights (Brock et al. 2021)."""
    for weight in weights:
        if weight.grad is not None:
            axes = tuple(range(1, weight.ndim))
            own, slope = (t.norm(dim=axes, keepdim=True) if axes else t.abs() for t in (weight.detach(), weight.grad))
            most = own.clamp(min=floor) * limit
            weight.grad.mul_((most / slope.clamp(min=1e-12)).clamp(max=1.0))
