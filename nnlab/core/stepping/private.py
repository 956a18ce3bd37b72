"""torch's fused optimizer steps, which are private: used where they do what their formulas say, else the formulas."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


def adam_plain(  # noqa: PLR0913 (torch's own arguments)
    weights: Tensors,
    gradients: Tensors,
    means: Tensors,
    squares: Tensors,
    steps: Tensors,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
    decoupled: bool,
) -> None:
    """Adam by its formulas: m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, w -= lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps).

    Decay is w *= 1 - lr decay if decoupled, else it is added to g. steps: t of each weight.
    """
    for w, g, m, v, t in zip(weights, gradients, means, squares, steps, strict=True):
        if decoupled:
            w.mul_(1 - lr * weight_decay)
        elif weight_decay:
            g = g.add(w, alpha=weight_decay)
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v / (1 - beta2**t)).sqrt_().add_(eps)
        w.sub_((m / root).mul_(lr / (1 - beta1**t)))


def adam_fused(  # noqa: PLR0913 (torch's own arguments)
    weights: Tensors,
    gradients: Tensors,
    means: Tensors,
    squares: Tensors,
    steps: Tensors,
    *,
    lr: Any,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
    decoupled: bool,
) -> None:
    """The same in one call."""
    step: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_
    step(  # words are given one by one, as a dictionary of them would cost a third of the call
        weights,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


def sgd_plain(  # noqa: PLR0913 (torch's own arguments)
    weights: Tensors,
    gradients: Tensors,
    means: Tensors,
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """SGD by its formulas: g += decay w; b = momentum b + g (b = g at first); w -= lr (g + momentum b if nesterov)."""
    for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
        if weight_decay:
            g = g.add(w, alpha=weight_decay)
        if means:
            b = means[i]
            b.mul_(momentum).add_(g)  # b begins as zeros, which makes the first one g
            g = g.add(b, alpha=momentum) if nesterov else b
        w.sub_(g, alpha=lr)


def sgd_fused(  # noqa: PLR0913 (torch's own arguments)
    weights: Tensors,
    gradients: Tensors,
    means: Tensors,
    *,
    lr: Any,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """The same in one call."""
    values: dict[str, Any] = {"weight_decay": weight_decay, "momentum": momentum, "lr": lr, "dampening": 0.0}
    values |= {"nesterov": nesterov, "maximize": False, "is_first_step": False}
    step: Any = torch._fused_sgd_
    step(weights, gradients, means, **values)


def _tries(device: str) -> list[list[Tensor]]:
    """Two equal sets of weight, gradient, mean and square."""
    draw = torch.Generator().manual_seed(0)
    drawn = torch.rand(4, 64, generator=draw).to(device)
    return [[row.clone() for row in drawn] for _ in range(2)]


def fused_adam_is_right(device: str) -> bool:
    """Whether the private step does what the formulas say."""
    for decoupled in (True, False):
        (w, g, m, v), (w2, g2, m2, v2) = _tries(device)
        t = torch.full((), 3.0, device=device)
        values = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.3, "eps": 1e-3}
        try:
            adam_fused([w], [g], [m], [v], [t], decoupled=decoupled, **values)
        except Exception:  # whatever a future torch raises for a function that it changed
            return False
        adam_plain([w2], [g2], [m2], [v2], [torch.full((), 3.0, device=device)], decoupled=decoupled, **values)
        if not all(torch.allclose(a, b, atol=1e-6) for a, b in ((w, w2), (m, m2), (v, v2))):
            return False
    return True


def fused_sgd_is_right(device: str) -> bool:
    """Whether the private step does what the formulas say."""
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        (w, g, m, _), (w2, g2, m2, _) = _tries(device)
        values: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.3, "momentum": momentum, "nesterov": nesterov}
        try:
            sgd_fused([w], [g], [m] if momentum else [], **values)
        except Exception:  # whatever a future torch raises for a function that it changed
            return False
        sgd_plain([w2], [g2], [m2] if momentum else [], **values)
        if not all(torch.allclose(a, b, atol=1e-6) for a, b in ((w, w2), (m, m2))):
            return False
    return True


_CHOSEN: dict[tuple[str, str], Callable[..., None]] = {}


def _chosen(kind: str, device: str, right: Callable[[str], bool], fused: Any, plain: Any) -> Callable[..., None]:
    if (kind, device) not in _CHOSEN:
        there = right(device)
        if not there:
            warnings.warn(f"nnlab: torch {torch.__version__} has no fused {kind} that it knows", stacklevel=2)
        _CHOSEN[kind, device] = fused if there else plain
    return _CHOSEN[kind, device]


def adam_step(device: str) -> Callable[..., None]:
    """The step of Adam and AdamW on a device, looked at once in a process."""
    return _chosen("Adam", device, fused_adam_is_right, adam_fused, adam_plain)


def sgd_step(device: str) -> Callable[..., None]:
    """The step of SGD on a device, looked at once in a process."""
    return _chosen("SGD", device, fused_sgd_is_right, sgd_fused, sgd_plain)
