"""Losses, one decorated function each: called with its values it gives a function (output, target) -> mean loss.

output: (n, n_out), logits for classes, the scaled target for regressions. target: (n,) class codes or scaled values.
The first loss registered for a task is its default. The first output is the prediction in scaled units, unless a loss
says otherwise by facts: outputs(**values) -> how many outputs of a regression; levels(**values) -> the quantiles that
they are; rate=True where exp of the output is the prediction in the target's own units. An argument `counts` is given
the training rows of each class.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.class_weights import balanced_weights
from nnlab.core.errors import SpecError
from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

if TYPE_CHECKING:
    from torch import Tensor

LOSSES = Registry("loss")
Loss = Callable[..., "Tensor"]  # (output, target, weight=None)
CLASSES = ("binary", "multiclass")


def weighted_mean(compute: Callable[..., "Tensor"], mass: "Callable[[Tensor], Tensor] | None" = None) -> Loss:
    """A loss of compute(output, target, reduction=...): its mean, or with row weights sum(w * loss) / sum(w).

    mass: of a target, what the mean divides by, where that is not the number of rows.
    """

    def loss(output: "Tensor", target: "Tensor", weight: "Tensor | None" = None) -> "Tensor":
        if weight is None:
            return compute(output, target)
        return (compute(output, target, reduction="none") * weight).sum() / weight.sum().clamp(min=1e-12)

    if mass is not None:
        loss.mass = mass  # type: ignore[attr-defined]
    else:
        loss.each = partial(compute, reduction="none")  # type: ignore[attr-defined]  # of each row
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


@LOSSES.add(tasks=CLASSES)
def focal(
    counts: Sequence[int],
    gamma: Annotated[
        float, Within(0.0, 10.0, search=(0.5, 5.0)), "how much less a sure row counts; 0: as others"
    ] = 2.0,
    balanced: Annotated[bool, "rows count by one over the frequency of their class"] = False,
) -> Loss:
    """Cross-entropy times (1 - p)^gamma: hard rows count more (Lin et al. 2017). Its probabilities are less sure."""
    import torch

    scale = torch.from_numpy(balanced_weights(counts)) if balanced else None

    def compute(out: "Tensor", y: "Tensor", reduction: str = "mean") -> "Tensor":
        logs = out.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)
        least = torch.finfo(logs.dtype).tiny  # at 0 the slope of a power below 1 is infinite
        each = -((-torch.expm1(logs)).clamp(min=least) ** gamma) * logs
        if scale is None:
            return each.mean() if reduction == "mean" else each
        own = scale.to(out)[y]
        return (own * each).sum() / own.sum() if reduction == "mean" else own * each

    return weighted_mean(compute, None if scale is None else partial(_mass, scale))


@LOSSES.add(tasks=CLASSES)
def balanced_cross_entropy(
    counts: Sequence[int],
    power: Annotated[float, Within(0.0, 1.0, search=(0.2, 1.0)), "1: all classes count alike, 0: all rows do"] = 1.0,
) -> Loss:
    """Cross-entropy with classes weighted by one over their frequency (King & Zeng 2001, balanced of scikit-learn)."""
    import torch
    from torch.nn.functional import cross_entropy as compute

    scale = torch.from_numpy(balanced_weights(counts)) ** power
    return weighted_mean(lambda out, y, **how: compute(out, y, weight=scale.to(out), **how), partial(_mass, scale))


def _mass(scale: "Tensor", y: "Tensor") -> "Tensor":
    """What the mean of rows weighted by their class divides by."""
    return scale.to(y.device, scale.float().dtype if y.device.type == "mps" else scale.dtype)[y].sum()


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


@LOSSES.add(tasks=("regression",))
def log_cosh() -> Loss:
    """log(cosh(error)): squared for small errors, absolute for large ones, smooth everywhere."""
    from torch.nn.functional import softplus

    def compute(out: "Tensor", y: "Tensor", reduction: str = "mean") -> "Tensor":
        error = out.squeeze(1) - y
        each = error + softplus(-2.0 * error) - 0.6931471805599453
        return each.mean() if reduction == "mean" else each

    return weighted_mean(compute)


def _levels(levels: Sequence[float] = (0.5, 0.05, 0.95)) -> tuple[float, ...]:
    return tuple(levels)


@LOSSES.add(tasks=("regression",), outputs=lambda **values: len(_levels(**values)), levels=_levels)
def quantile(
    levels: Annotated[
        tuple[float, ...], Within(0.001, 0.999), "quantiles to learn; the first one is the prediction"
    ] = (0.5, 0.05, 0.95),
) -> Loss:
    """Pinball loss of several quantiles at once, one output each (Koenker & Bassett 1978)."""
    import torch

    def compute(out: "Tensor", y: "Tensor", reduction: str = "mean") -> "Tensor":
        share = torch.tensor(levels, dtype=out.dtype, device=out.device)
        error = y.unsqueeze(1) - out
        each = torch.maximum(share * error, (share - 1) * error).mean(1)
        return each.mean() if reduction == "mean" else each

    return weighted_mean(compute)


@LOSSES.add(tasks=("regression",), rate=True)
def poisson() -> Loss:
    """Negative log-likelihood of counts whose log rate is learned; needs --scale_target none (torch, log_input)."""
    from torch.nn.functional import poisson_nll_loss

    return weighted_mean(lambda out, y, **how: poisson_nll_loss(out.squeeze(1), y, log_input=True, **how))


@LOSSES.add(tasks=("regression",), outputs=lambda: 2)
def gaussian_nll() -> Loss:
    """Negative log-likelihood of a normal whose mean and log variance are learned (Nix & Weigend 1994)."""

    def compute(out: "Tensor", y: "Tensor", reduction: str = "mean") -> "Tensor":
        mean, log_variance = out[:, 0], out[:, 1].clamp(-15.0, 15.0)
        each = 0.5 * (log_variance + (y - mean).square() * (-log_variance).exp())
        return each.mean() if reduction == "mean" else each

    return weighted_mean(compute)


def make_loss(part: Part, counts: Sequence[int]) -> Loss:
    """The loss with its values. counts: training rows of each class, for the losses that ask for them."""
    entry = LOSSES[part.name]
    more: dict[str, Any] = {"counts": counts} if "counts" in inspect.signature(entry.make).parameters else {}
    made: Loss = entry.make(**entry.read(part.values), **more)
    return made


def outputs_for(part: Part, classes: int) -> int:
    """Outputs that a network needs under a loss: one a class, else as many as the loss asks for."""
    entry = LOSSES[part.name]
    asks = entry.facts.get("outputs")
    return classes or (int(asks(**entry.read(part.values))) if asks else 1)


def loss_for(task: str, part: Part | None) -> Part:
    """The chosen loss, or the task's default; SpecError for a loss of another task."""
    fitting = [name for name, entry in LOSSES.items() if task in entry.facts["tasks"]]
    if part is None:
        return Part(fitting[0])
    if part.name not in fitting:
        raise SpecError(f"loss {part.name} is not for a {task} target; use {', '.join(fitting)}")
    return part


def levels_of(part: Part) -> tuple[float, ...]:
    """The quantiles that a loss learns, in the order of its outputs; () for a loss that learns single values."""
    levels = LOSSES[part.name].facts.get("levels")
    return tuple(levels(**part.values)) if levels else ()
