"""Losses of a stack and their gradients in the outputs, by hand.

Outputs are (K, n_out, rows); targets and row weights (M, 1, rows) with M = 1 where members share rows, else K. A loss
is bound like a layer: its calls fill `each`, the terms whose sum over outputs is a row's loss, and `slope`, their
derivatives. The mean over rows, or sum(w loss) / sum(w), is taken here for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import Room, whole
from nnlab.core.learners.stack.layers import Call, Port

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Criterion:
    """A loss by name with its values; counts: training rows of each class."""

    name: str
    values: dict[str, Any]
    counts: Sequence[int]


@dataclass(eq=False)
class LossBuild:
    """What a loss is bound to. target: codes or scaled values. norm: what each row counts where that is not 1."""

    output: Tensor
    slope: Tensor
    target: Tensor
    room: Room
    each: Tensor
    calls: list[Call] = field(default_factory=list)
    norm: Tensor | None = None

    def take(self, *shape: int) -> Tensor:
        """Room for values."""
        return self.room.take(*shape)


def cross_entropy(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: -q log p with p the softmax and q the target's shares, (1 - s) of it at the row's class and s spread.

    Slope: p - q.
    """
    _cross_entropy(build, values["label_smoothing"], None)


def balanced_cross_entropy(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: -w q log p with w the weight of the row's class. Slope: w (p - q)."""
    from nnlab.core.losses import class_weights

    _cross_entropy(build, 0.0, torch.tensor(class_weights(counts)) ** values["power"])


def _cross_entropy(build: LossBuild, smoothing: float, weights: Tensor | None) -> None:
    """q of a class is a column of a small table, so that targets need no room of their own."""
    output, slope, target = build.output, build.slope, build.target
    classes, (shared, _, rows) = output.shape[1], target.shape
    table = torch.eye(classes, dtype=torch.float64).mul_(1.0 - smoothing).add_(smoothing / classes)
    if weights is not None:
        table = table * weights
    table = table.neg_().to(output)
    minus_q, logs = build.take(classes, shared * rows), build.take(*output.shape)
    q = minus_q.view(classes, shared, rows).transpose(0, 1)
    codes = target.reshape(-1)
    build.calls += [
        partial(torch.index_select, table, 1, codes, out=minus_q),
        partial(torch.ops.aten._log_softmax.out, output, 1, False, out=logs),
        partial(torch.mul, logs, q, out=build.each),
        partial(torch.exp, whole(logs), out=whole(slope)),
    ]
    if weights is not None:
        own = weights.to(output)
        norm = build.norm = build.take(shared, 1, rows)
        build.calls += [partial(torch.index_select, own, 0, codes, out=norm.view(-1)), partial(slope.mul_, norm)]
    build.calls.append(partial(slope.add_, q))


def mse(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: (f - y)^2. Slope: 2 (f - y)."""
    slope = build.slope
    error = _error(build)
    build.calls += [partial(torch.mul, error, error, out=build.each), partial(torch.add, error, error, out=slope)]


def mae(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: |f - y|. Slope: its sign."""
    error = _error(build)
    build.calls += [partial(torch.abs, error, out=build.each), partial(torch.sign, error, out=build.slope)]


def huber(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: c (e - c / 2) with e = f - y and c = e cut to +-delta: squared inside, linear outside. Slope: c."""
    error, cut, delta = _error(build), build.slope, values["delta"]
    half = build.take(*error.shape)
    build.calls += [
        partial(torch.clamp, error, -delta, delta, out=cut),
        partial(torch.mul, cut, 0.5, out=half),
        partial(torch.sub, error, half, out=half),
        partial(torch.mul, cut, half, out=build.each),
    ]


def quantile(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: (t - 1/2) e + |e| / 2 over the number of levels, which is max(t e, (t - 1) e), with e = y - f.

    Slope: 1/2 - t - sign(e) / 2, over the same number; half of both sides at e = 0, as autograd has it.
    """
    levels = values["levels"]
    error, scale = _error(build), 0.5 / len(levels)
    tilt = torch.tensor([[1.0 - 2.0 * level] for level in levels], dtype=torch.float64).to(error)  # for e = f - y
    size = build.take(*error.shape)
    build.calls += [
        partial(torch.abs, error, out=size),
        partial(torch.mul, error, tilt, out=build.each),
        partial(build.each.add_, size),
        partial(build.each.mul_, scale),
        partial(torch.sign, error, out=build.slope),
        partial(build.slope.add_, tilt),
        partial(build.slope.mul_, scale),
    ]


def _error(build: LossBuild) -> Tensor:
    error = build.take(*build.output.shape)
    build.calls.append(partial(torch.sub, build.output, build.target, out=error))
    return error


BY_HAND: dict[str, Callable[[LossBuild, Values, Sequence[int]], None]] = {
    "cross_entropy": cross_entropy,
    "balanced_cross_entropy": balanced_cross_entropy,
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "quantile": quantile,
}


def bind_loss(
    criterion: Criterion, port: Port, room: Room, target: Tensor, weight: Tensor | None
) -> tuple[list[Call], Tensor]:
    """The calls of a loss, and where it adds up the loss of rows, (K, n_out, rows), weighted so that rows count as 1.

    target, weight: (M, 1, rows).
    """
    assert port.slope is not None
    output = port.value
    each, total = room.take(*output.shape), torch.zeros_like(output)
    build = LossBuild(output, port.slope, target, room, each)
    BY_HAND[criterion.name](build, criterion.values, criterion.counts)
    rows = output.shape[2]
    if weight is None and build.norm is None:
        share = torch.tensor(1.0 / rows, dtype=torch.float64).to(output)
        return [*build.calls, partial(port.slope.mul_, share), partial(total.add_, each)], total
    return [*build.calls, *_weighted(build, weight, total)], total


def _weighted(build: LossBuild, weight: Tensor | None, total: Tensor) -> list[Call]:
    """f = w / sum(w) for row weights w; where only classes have weights, f = 1 / their sum over the rows."""
    given = weight if weight is not None else build.norm
    assert given is not None
    shared, _, rows = given.shape
    sums, share = build.take(shared, 1, 1), build.take(shared, 1, rows)
    over = given if weight is not None else torch.ones_like(given)
    each, slope = build.each, build.slope
    return [
        partial(torch.sum, given, 2, keepdim=True, out=sums),
        partial(sums.clamp_, min=1e-12),
        partial(torch.div, over, sums, out=share),
        partial(slope.mul_, share),
        partial(each.mul_, share),
        partial(each.mul_, float(rows)),
        partial(total.add_, each),
    ]
