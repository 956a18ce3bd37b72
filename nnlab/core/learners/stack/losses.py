"""Losses of a stack and their gradients in the outputs, by hand.

Outputs are (K, n_out, rows); targets and row weights (M, 1, rows) with M = 1 where members share rows, else K. A loss
is bound like a layer: its calls fill `each`, the terms whose sum is the loss, and `slope`, their derivatives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.class_weights import balanced_weights
from nnlab.core.learners.stack.buffers import Room
from nnlab.core.learners.stack.layers import Port
from nnlab.core.learners.stack.products import Call

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Criterion:
    """A loss by name with its values; counts: training rows of each class."""

    name: str
    values: dict[str, Any]
    counts: Sequence[int]


@dataclass(eq=False)
class LossBuild:
    """What a loss is bound to. target: codes or scaled values. share: what each row counts of the mean, which is a
    number, or (M, 1, rows) in memory that calls before those of the loss fill. of: losses that the mean is of, K where
    members are one network, else 1."""

    output: Tensor
    slope: Tensor
    target: Tensor
    room: Room
    each: Tensor
    share: float | Tensor
    of: int
    calls: list[Call] = field(default_factory=list)

    def take(self, *shape: int) -> Tensor:
        """Room for values."""
        return self.room.take(*shape)

    def average(self) -> None:
        """Rows count by their share from here on."""
        factor = self.share
        if isinstance(factor, float):
            factor = torch.tensor(factor, dtype=torch.float64).to(self.output)
        self.calls += [partial(self.slope.mul_, factor), partial(self.each.mul_, factor)]


def cross_entropy(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Loss: -sum q log p over classes, p the softmax, q (1 - s) at the row's class and s spread over all.

    Slope: p sum(q) - q.
    """
    _cross_entropy(build, values["label_smoothing"], None)


def balanced_cross_entropy(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """The same with q times the weight of the row's class, over the sum of these weights."""
    _cross_entropy(build, 0.0, torch.from_numpy(balanced_weights(counts)) ** values["power"])


def _cross_entropy(build: LossBuild, smoothing: float, weights: Tensor | None) -> None:
    """q of a class is a column of a small table, so that targets need no room of their own."""
    output, target, share = build.output, build.target, build.share
    classes, (shared, _, rows) = output.shape[1], target.shape
    table = torch.eye(classes, dtype=torch.float64).mul_(1.0 - smoothing).add_(smoothing / classes)
    if weights is not None:
        table = table * weights
    codes = target.reshape(-1)
    selected, logs, p = build.take(classes, shared * rows), build.take(*output.shape), build.take(*output.shape)
    minus_q = selected.view(classes, shared, rows).transpose(0, 1)
    even = isinstance(share, float) and weights is None
    if even:
        table = table * share
    table = table.neg_()
    # Of each row, -sum q; by a table as well, as a sum over classes would be grouped by how many members have own rows.
    mass = build.take(shared, 1, rows)
    minus_masses = table.sum(0).to(output)
    table = table.to(output)
    build.calls.append(partial(torch.index_select, table, 1, codes, out=selected))
    if not even:
        build.calls.append(partial(torch.index_select, minus_masses, 0, codes, out=mass.view(-1)))
    if isinstance(share, Tensor):
        build.calls += [partial(part.mul_, share) for part in (minus_q, mass)]
    elif weights is not None:
        total = build.take(shared, 1, 1)
        build.calls += [
            partial(torch.sum, mass, 2, keepdim=True, out=total),
            partial(total.mul_, -build.of),
            partial(minus_q.div_, total),
            partial(mass.div_, total),
        ]
    build.calls += [
        partial(torch._log_softmax, output, 1, False, out=logs),
        partial(torch.mul, logs, minus_q, out=build.each),
        partial(torch.exp, logs, out=p),
    ]
    if even:
        build.calls.append(partial(torch.add, minus_q, p, alpha=share, out=build.slope))
    else:
        build.calls.append(partial(torch.addcmul, minus_q, p, mass, value=-1, out=build.slope))


def mse(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: (f - y)^2. Slope: 2 (f - y)."""
    slope = build.slope
    error = _error(build)
    build.calls += [partial(torch.mul, error, error, out=build.each), partial(torch.add, error, error, out=slope)]
    build.average()


def mae(build: LossBuild, values: Values, counts: Sequence[int]) -> None:
    """Each: |f - y|. Slope: its sign."""
    error = _error(build)
    build.calls += [partial(torch.abs, error, out=build.each), partial(torch.sign, error, out=build.slope)]
    build.average()


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
    build.average()


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
    build.average()


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
    criterion: Criterion, port: Port, room: Room, target: Tensor, weight: Tensor | None, of: int = 1
) -> tuple[list[Call], Tensor]:
    """The calls of a loss, and where it adds up the means over rows, (K, n_out, rows), in as many parts.

    target, weight: (M, 1, rows). With weights the mean is sum(w loss) / sum(w). of: as in `LossBuild`.
    """
    assert port.slope is not None
    output = port.value
    each, total = room.take(*output.shape), torch.zeros_like(output)
    share: float | Tensor = 1.0 / (output.shape[2] * of)
    before: list[Call] = []
    if weight is not None:
        sums, share = room.take(weight.shape[0], 1, 1), room.take(*weight.shape)
        before = [
            partial(torch.sum, weight, 2, keepdim=True, out=sums),
            partial(sums.clamp_, min=1e-12),
            *([partial(sums.mul_, of)] if of > 1 else []),
            partial(torch.div, weight, sums, out=share),
        ]
    build = LossBuild(output, port.slope, target, room, each, share, of)
    BY_HAND[criterion.name](build, criterion.values, criterion.counts)
    return [*before, *build.calls, partial(total.add_, each)], total
