"""Activations by what they add to their input, of which a unit may learn how much it takes.

y = z + w h with h = f(z) - z, w (K, 1, width), or 1. Backward: dw = sum of dy h over rows, dz = dy + w p with
p = (f'(z) - 1) dy.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.learners.stack.buffers import whole
from nnlab.core.learners.stack.layers import ACTIVATIONS, Build, Port
from nnlab.core.learners.stack.products import Call

aten = torch.ops.aten
ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # of SELU


class Parametric:
    """y = z + w (f(z) - z), elementwise; weight: the name of w, None for y = f(z)."""

    def __init__(self, weight: str | None, function: nn.Module, width: int) -> None:
        self._weight, self._function, self._width = weight, function, width

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, width); the same shape, in place where z is free and backward needs only h and f' - 1."""
        port = port.scaled(build)
        z, d = port.value, port.slope
        assert d is not None
        h, departure = build.take(self._width), DEPARTURES.get(type(self._function))
        y = z if port.free and departure is not None else build.take(self._width)
        forward, back = (departure or _departure)(self._function, build, z, h, d)
        if self._weight is None:
            build.add([*forward, partial(torch.add, z, h, out=y)], [*back, partial(d.add_, h)])
            return Port(y, d, free=True)
        flat = build.flat
        w, dw = (flat.of(buffer, self._weight).unsqueeze(1) for buffer in (flat.values, flat.gradients))
        backward: list[Call] = [
            partial(h.mul_, d),
            partial(torch.sum, h, 1, keepdim=True, out=dw),
            *back,
            partial(d.addcmul_, h, w),
        ]
        build.add([*forward, partial(torch.addcmul, z, h, w, out=y)], backward)
        return Port(y, d, free=True)


Calls = tuple[list[Call], list[Call]]  # those that fill h, and those that fill h with p, when nothing needs it any more


def _departure(function: nn.Module, build: Build, z: Tensor, h: Tensor, d: Tensor) -> Calls:
    # of any function by hand: h = f(z) - z, p = f'(z) dy - dy
    entry = ACTIVATIONS[type(function)]
    z, h, d, f = (whole(t) for t in (z, h, d, build.take(z.shape[2])))
    forward, back = entry.calls(function, f if entry.in_place else z, f, h)
    start: list[Call] = [partial(f.copy_, z)] if entry.in_place else []
    return [*start, forward, partial(torch.sub, f, z, out=h)], [partial(h.copy_, d), back, partial(h.sub_, d)]


def _mish(function: nn.Mish, build: Build, z: Tensor, h: Tensor, d: Tensor) -> Calls:
    # f = z t, t = tanh(log(1 + e^z)). With s = 1 / (1 + e^-z) and q = (1 - s)^2 that is t = (1 - q) / (1 + q), one
    # sigmoid instead of exp, log and tanh. With m = -(1 + q) / 2 and g = q / m = t - 1: h = z g, and as t' = g s / m,
    # f' - 1 = g + z t' = g + g z s / m, which takes the place of s. m is in that of h.
    s, g = build.take(z.shape[2]), build.scratch(z.shape[2])
    z, h, d, s, g = (whole(t) for t in (z, h, d, s, g))
    one, half = z.new_ones(()), z.new_full((), -0.5)
    forward: list[Call] = [
        partial(torch.sigmoid, z, out=s),
        partial(torch.sub, one, s, out=g),
        partial(g.mul_, g),
        partial(torch.add, half, g, alpha=-0.5, out=h),
        partial(g.div_, h),
    ]
    if build.training:
        forward += [partial(s.mul_, z), partial(s.div_, h), partial(torch.addcmul, g, g, s, out=s)]
    return [*forward, partial(torch.mul, z, g, out=h)], [partial(torch.mul, d, s, out=h)]


def _selu(function: nn.SELU, build: Build, z: Tensor, h: Tensor, d: Tensor) -> Calls:
    # f = S z where z > 0, else S A (e^z - 1), so that mean 0 and variance 1 stay (Klambauer et al. 2017); f' = S where
    # z > 0, else f + S A. f is not taken from e^z: what is lost by its differences near 0 is much to Adam.
    f = build.take(z.shape[2])
    z, h, d, f = (whole(t) for t in (z, h, d, f))
    forward: list[Call] = [partial(aten.elu.out, z, ALPHA, SCALE, 1.0, out=f), partial(torch.sub, f, z, out=h)]
    back = partial(aten.elu_backward.grad_input, d, ALPHA, SCALE, 1.0, True, f, grad_input=h)
    return forward, [back, partial(h.sub_, d)]


DEPARTURES: dict[type[nn.Module], Callable[[Any, Build, Tensor, Tensor, Tensor], Calls]] = {
    nn.Mish: _mish,
    nn.SELU: _selu,
}
KNOWN = {*ACTIVATIONS, *DEPARTURES}
