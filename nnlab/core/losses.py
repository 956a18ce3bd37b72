"""Losses, one decorated function each: called with its values it gives a function (output, target) -> mean loss.

output: (n, n_out), logits for classes, the scaled target for regressions. target: (n,) class codes or scaled values.
The first loss registered for a task is its default.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from nnlab.core.errors import SpecError
from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

if TYPE_CHECKING:
    from torch import Tensor

LOSSES = Registry("loss")
Loss = Callable[..., "Tensor"]  # (output, target, weight=None)
CLASSES = ("binary", "multiclass")


def weighted_mean(compute: Callable[..., "Tensor"]) -> Loss:
    """A loss of compute(output, target, reduction=...): its mean, or with row weights sum(w * loss) / sum(w)."""

    def loss(output: "Tensor", target: "Tensor", weight: "Tensor | None" = None) -> "Tensor":
        if weight is None:
            return compute(output, target)
        return (compute(output, target, reduction="none") * weight).sum() / weight.sum().clamp(min=1e-12)

    return loss


@LOSSES.add(tasks=CLASSES)
def cross_entropy(
    label_smoothing: Annotated[
        float, Within(0.0, 0.999, search=(0.0, 0.2)), "share of the target spread over all classes"
    ] = 0.0,
) -> Loss:
    """Cross-entropy of the softmax; label smoothing lowers the confidence (torch; Szegedy et al. 2016)."""
    from torch.nn.functional import cross_entropy as compute

    return weighted_mean(lambda out, y, **how: compute(out, y, label_smoothing=label_smoothing, **how))


@LOSSES.add(tasks=("regression",))
def mse() -> Loss:
    """Mean squared error."""
    from torch.nn.functional import mse_loss

    return weighted_mean(lambda out, y, **how: mse_loss(out.squeeze(1), y, **how))


@LOSSES.add(tasks=("regression",))
def mae() -> Loss:
    """Mean absolute error."""
    from torch.nn.functional import l1_loss

    return weighted_mean(lambda out, y, **how: l1_loss(out.squeeze(1), y, **how))


@LOSSES.add(tasks=("regression",))
def huber(
    delta: Annotated[
        float, Within(1e-3, 1e3, log=True, search=(0.1, 3.0)), "error, in standard deviations, from which it is linear"
    ] = 1.0,
) -> Loss:
    """Squared for small errors, absolute for large ones (Huber 1964)."""
    from torch.nn.functional import huber_loss

    return weighted_mean(lambda out, y, **how: huber_loss(out.squeeze(1), y, delta=delta, **how))


def loss_for(task: str, part: Part | None) -> Part:
    """The chosen loss, or the task's default; SpecError for a loss of another task."""
    fitting = [name for name, entry in LOSSES.items() if task in entry.facts["tasks"]]
    if part is None:
        return Part(fitting[0])
    if part.name not in fitting:
        raise SpecError(f"loss {part.name} is not for a {task} target; use {', '.join(fitting)}")
    return part
