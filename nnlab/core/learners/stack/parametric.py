"""Activations by what they add to their input, of which a unit may learn how much it takes.

y = z + w h with h = f(z) - z, w (K, 1, width), or 1. Backward: dw = sum of dy h over rows, dz = dy + w p with
p = (f'(z) - 1) dy.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.learners.stack.buffers import whole
from nnlab.core.learners.stack.layers import ACTIVATIONS, Build, Call, Port


class Parametric:
    """y = z + w (f(z) - z), elementwise; weight: the name of w, None for y = f(z)."""

    def __init__(self, weight: str | None, function: nn.Module, width: int) -> None:
        self._weight, self._function, self._width = weight, function, width

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, width); the same shape."""
        port = port.scaled(build)
        z, d = port.value, port.slope
        assert d is not None
        y, h, p = (build.take(self._width) for _ in range(3))
        departure = DEPARTURES.get(type(self._function), _departure)
        forward, back = departure(self._function, build, [whole(t) for t in (z, h, d, p)])
        if self._weight is None:
            build.add([*forward, partial(torch.add, z, h, out=y)], [*back, partial(d.add_, p)])
            return Port(y, d, free=True)
        flat = build.flat
        w, dw = (flat.of(buffer, self._weight).unsqueeze(1) for buffer in (flat.values, flat.gradients))
        backward: list[Call] = [
            partial(torch.mul, d, h, out=h),
            partial(torch.sum, h, 1, keepdim=True, out=dw),
            *back,
            partial(d.addcmul_, p, w),
        ]
        build.add([*forward, partial(torch.addcmul, z, h, w, out=y)], backward)
        return Port(y, d, free=True)


Calls = tuple[list[Call], list[Call]]


def _departure(function: nn.Module, build: Build, tensors: Sequence[Tensor]) -> Calls:
    # of any function by hand: h = f(z) - z, p = f'(z) dy - dy
    z, h, d, p = tensors
    entry = ACTIVATIONS[type(function)]
    f = whole(build.room.take(len(z)))
    forward, back = entry.calls(function, f if entry.in_place else z, f, p)
    start: list[Call] = [partial(f.copy_, z)] if entry.in_place else []
    return [*start, forward, partial(torch.sub, f, z, out=h)], [partial(p.copy_, d), back, partial(p.sub_, d)]


def _mish(function: nn.Mish, build: Build, tensors: Sequence[Tensor]) -> Calls:
    # f = z t, t = tanh(log(1 + e^z)). With s = 1 / (1 + e^-z) and q = (1 - s)^2 that is t = (1 - q) / (1 + q), one
    # sigmoid instead of exp, log and tanh. With m = -(1 + q) / 2 and g = q / m = t - 1: h = z g, and as t' = g s / m,
    # f' - 1 = g + z t' = g (1 + z s / m), which is kept for backward.
    z, h, d, p = tensors
    s, g, m = (whole(build.room.take(len(z))) for _ in range(3))
    one, half = z.new_ones(()), z.new_full((), -0.5)
    forward: list[Call] = [
        partial(torch.sigmoid, z, out=s),
        partial(torch.sub, one, s, out=g),
        partial(g.mul_, g),
        partial(torch.add, half, g, alpha=-0.5, out=m),
        partial(g.div_, m),
        partial(torch.mul, z, g, out=h),
    ]
    if build.training:
        forward += [partial(s.mul_, z), partial(s.div_, m), partial(torch.addcmul, g, g, s, out=s)]
    return forward, [partial(torch.mul, d, s, out=p)]


DEPARTURES: dict[type[nn.Module], Callable[[Any, Build, Sequence[Tensor]], Calls]] = {nn.Mish: _mish}
KNOWN = {*ACTIVATIONS, *DEPARTURES}
