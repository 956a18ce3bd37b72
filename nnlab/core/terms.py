"""Further terms of the loss, one decorated function each: fn(step, **values) -> a tensor that is added to the loss.

step: the forward pass of the rows. The first value is how much the term counts; 0 is off. A mean over rows is
multiplied by step.batch.part, as the rows may be a part of the step's.
"""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.batch import Pass, inputs_only
from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

TERMS = Registry("loss term")
Weight = Within(0.0, 100.0, search=(0.01, 5.0))
Radius = Within(0.0, 10.0, search=(0.01, 0.5))


@TERMS.add
def confidence_penalty(
    step: Pass,
    strength: Annotated[float, Weight, "weight of the negative entropy of the predictions"] = 0.1,
) -> "Tensor":
    """Sure predictions cost: minus the entropy of the softmax (Pereyra et al. 2017). Nothing for a regression."""
    if not step.classes:
        return step.value.new_zeros(())
    logs = step.output.log_softmax(-1)
    return strength * (logs.exp() * logs).sum(-1).mean() * step.batch.part


@TERMS.add
def r_drop(
    step: Pass,
    strength: Annotated[float, Weight, "weight of the difference of two passes; R-Drop"] = 1.0,
) -> "Tensor":
    """Two passes with other dropout must agree: the mean of both losses and half their symmetric divergence.

    Liang et al. 2021, equation 4, divided by two. The squared difference for a regression.
    """
    again = step.forward(step.batch.x)
    both = (step.batch.loss(again, step.criterion) - step.value) / 2
    apart = (_divergence(step.output, again, step) + _divergence(again, step.output, step)) / 2
    return both + strength / 2 * apart


@TERMS.add
def fgsm(
    step: Pass,
    share: Annotated[float, Within(0.0, 1.0, search=(0.1, 0.7)), "weight of the adversarial loss; FGSM"] = 0.5,
    eps: Annotated[float, Radius, "how far each feature is moved"] = 0.05,
) -> "Tensor":
    """Rows moved by the sign of their gradient, in the direction that hurts (Goodfellow et al. 2015)."""
    way = inputs_only(_uphill(step, step.batch.x).sign(), step.batch.codes)
    return share * (step.loss_at(step.batch.x + eps * way) - step.value)


@TERMS.add
def pgd(
    step: Pass,
    share: Annotated[float, Within(0.0, 1.0, search=(0.1, 1.0)), "weight of the adversarial loss; PGD"] = 1.0,
    eps: Annotated[float, Radius, "how far each feature may be moved"] = 0.05,
    steps: Annotated[int, Within(1, 100, search=(2, 10)), "steps of 2.5 eps / steps"] = 7,
) -> "Tensor":
    """Rows moved to where the loss is worst near them, by projected gradients (Madry et al. 2018)."""
    import torch

    x = step.batch.x
    moved = (torch.rand_like(x) * 2 - 1) * eps
    for _ in range(steps):
        moved = inputs_only(moved, step.batch.codes)
        moved = (moved + 2.5 * eps / steps * _uphill(step, x + moved).sign()).clamp(-eps, eps)
    return share * (step.loss_at(x + inputs_only(moved, step.batch.codes)) - step.value)


@TERMS.add
def vat(
    step: Pass,
    strength: Annotated[float, Weight, "weight of the divergence; virtual adversarial training"] = 1.0,
    eps: Annotated[float, Radius, "length of the move of a row"] = 0.3,
    xi: Annotated[float, Within(1e-9, 1.0, log=True), "length of the move that finds the direction"] = 1e-3,
) -> "Tensor":
    """Predictions must not change where they would change most near a row; no target is needed (Miyato et al. 2018)."""
    import torch

    x, before = step.batch.x, step.output.detach()
    way = _unit(inputs_only(torch.randn_like(x), step.batch.codes)).mul_(xi).requires_grad_()
    with torch.enable_grad():
        apart = _divergence(before, step.forward(x + way), step)
    way = _unit(inputs_only(torch.autograd.grad(apart, way)[0], step.batch.codes))
    return strength * _divergence(before, step.forward(x + eps * way), step)


def _divergence(p: "Tensor", q: "Tensor", step: Pass) -> "Tensor":
    """KL(p || q) of two logits, the mean over rows; the mean squared difference of two regressions."""
    if not step.classes:
        return (p - q).square().mean() * step.batch.part
    logs = p.log_softmax(-1)
    return (logs.exp() * (logs - q.log_softmax(-1))).sum(-1).mean() * step.batch.part


def _uphill(step: Pass, x: "Tensor") -> "Tensor":
    """The gradient of the loss in the features."""
    import torch

    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(step.loss_at(x), x)[0]


def _unit(way: "Tensor") -> "Tensor":
    """Rows of length 1."""
    return way / way.norm(dim=1, keepdim=True).clamp(min=1e-20)
