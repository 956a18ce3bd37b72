"""What happens to gradients before a step, one decorated function each: fn(weights, step, **values), in place.

weights: tensors with their gradients; step: how many steps were made. The first value is its size; 0 is off. Facts:
draws=True where it takes random numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

Rules = Sequence[tuple[Callable[..., None], Mapping[str, Any]]]
GRADIENTS = Registry("gradient rule")
Limit = Within(0.0, 1e6, search=(0.1, 10.0))


@GRADIENTS.add(draws=True)
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
    """Gradient of a neuron at most `limit` times its weights' norm, in all layers (Brock et al. 2021: all but last)."""
    import torch

    for weight in weights:
        if weight.grad is not None:
            axes = tuple(range(1, weight.ndim))
            both = (weight.detach(), weight.grad)
            own, slope = (torch.linalg.vector_norm(t, dim=axes, keepdim=True) if axes else t.abs() for t in both)
            most = own.clamp(min=floor) * limit
            weight.grad.mul_((most / slope.clamp(min=1e-12)).clamp(max=1.0))


def apply_rules(
    rules: Rules, weights: "Sequence[Tensor]", step: int, members: int | None = None, of: int | None = None
) -> None:
    """What the rules of a run do to the gradients of its weights.

    members: networks with weights of their own, (members, ...), whose loss is the mean of theirs. Each has the rules
    for itself and for the gradient of its own loss, as a run of it alone would have. of: losses that the mean is of,
    where some have left.
    """
    import torch

    count = members or 0
    share = float(of or count)
    apart = [weight for weight in weights if count and weight.grad is not None and len(weight) == count]
    sets = [[_member(weight, k) for weight in apart] for k in range(count)]
    sets.append([weight for weight in weights if all(weight is not other for other in apart)])
    slopes = [weight.grad for weight in apart if weight.grad is not None]
    with torch.no_grad():
        if slopes:
            torch._foreach_mul_(slopes, share)
        for rule, values in rules:
            for own in filter(None, sets):
                rule(own, step, **values)
        if slopes:
            torch._foreach_div_(slopes, share)


def _member(weight: "Tensor", member: int) -> "Tensor":
    own = weight.detach()[member]
    assert weight.grad is not None
    own.grad = weight.grad[member]
    return own
