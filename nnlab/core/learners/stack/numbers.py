"""Vectors of numbers in front of a stack, by hand.

Each value of a number's vector is linear in some functions b of the number: y = A [b(x), 1, x]. Weights, biases and
slopes of an embedding are columns of A, (width, functions + 2) for each number and member, so that one product for each
member gives y, and one the gradients of all of them: dA = dy [b, 1, x]' and db = A_b' dy.

The rows of a batch lie last: numbers x are (M, numbers, rows), M = 1 where members share rows, else K; vectors y are
(K, numbers, width, rows).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import by_member, padded
from nnlab.core.learners.stack.layers import Build
from nnlab.core.learners.stack.products import Call
from nnlab.core.numeric import NumericEmbedding, Periodic, PeriodicBiased, PiecewiseLinear

aten = torch.ops.aten
Slot = tuple[str, Tensor, Tensor]  # a parameter in the layout of its columns: name, where in A, where in dA


class Vectors:
    """y = A [b(x), 1, x] and its backward. relu: y = max(y, 0) behind it, with dy = 0 where y = 0."""

    relu = False

    def __init__(self, prefix: str, layer: NumericEmbedding, functions: int) -> None:
        self._prefix, self._functions = prefix, functions
        self._numbers, self._width = layer.lead[-1], layer.width

    def bind(self, x: Tensor, y: Tensor, dy: Tensor, build: Build) -> None:
        """Add what fills y of x, and what turns dy into gradients of the weights."""
        n = self._functions
        rows = room_for(build, build.members, self._numbers, n + 2, build.rows)
        a, da = (_kept(build, self._numbers, self._width, n + 2) for _ in range(2))
        given, taken = self._columns(a, da, build)
        before, after = self._basis(x, rows, a[..., :n], dy, build)
        forward: list[Call] = [partial(rows[:, :, n].fill_, 1.0), partial(rows[:, :, n + 1].copy_, x)]
        forward += [*given, *before, *_products(a, rows, y)]
        backward = [*_products(dy, rows.mT, da), *taken, *after]
        if self.relu:
            forward.append(y.relu_)
            backward.insert(0, partial(aten.threshold_backward.grad_input, dy, y, 0, grad_input=dy))
        build.add(forward, backward)

    def _columns(self, a: Tensor, da: Tensor, build: Build) -> tuple[list[Call], list[Call]]:
        """Calls that put the parameters into A, and calls that take their gradients out of dA."""
        given, taken = list[Call](), list[Call]()
        for name, place, slope in self._slots(a, da):
            weight, gradient = self._of(name, build)
            turned = weight.ndim == 4  # (K, numbers, functions, width), while A is the other way round
            given.append(partial(place.copy_, weight.mT if turned else weight))
            taken.append(partial((gradient.mT if turned else gradient).copy_, slope))
        return given, taken

    def _of(self, name: str, build: Build) -> tuple[Tensor, Tensor]:
        """A parameter and its gradient, (K, numbers, ...)."""
        value, slope = (
            build.flat.of(buffer, f"{self._prefix}{name}") for buffer in (build.flat.values, build.flat.gradients)
        )
        return value, slope

    def _slots(self, a: Tensor, da: Tensor) -> list[Slot]:
        """The parameters that are columns of A. Columns without one stay as they are."""
        raise NotImplementedError

    def _basis(self, x: Tensor, rows: Tensor, a: Tensor, dy: Tensor, build: Build) -> tuple[list[Call], list[Call]]:
        """Calls that fill the functions in rows, behind which 1 and x stand already, and those of their weights.

        a: the columns of the functions, from which db = a' dy.
        """
        raise NotImplementedError


class Waves(Vectors):
    """b = cos(u), then sin(u) for PL and PLR, of angles u = 2 pi f x + p, where p = 0 without phases.

    du = cos(u) dsin - sin(u) dcos; df = 2 pi sum of du x over rows, dp = sum of du. PBLD has x itself as last value.
    """

    def __init__(self, prefix: str, layer: Periodic | PeriodicBiased) -> None:
        self._phased = isinstance(layer, PeriodicBiased)
        self._frequencies = layer.frequency.shape[-1]
        self.relu = isinstance(layer, Periodic) and layer.relu
        super().__init__(prefix, layer, self._frequencies * (1 if self._phased else 2))

    def _slots(self, a: Tensor, da: Tensor) -> list[Slot]:
        n, learned = self._functions, self._width - self._phased
        if self._phased:
            a[..., -1, n + 1] = 1.0
        a, da = a[..., :learned, :], da[..., :learned, :]
        return [("linear.weight", a[..., :n], da[..., :n]), ("linear.bias", a[..., n], da[..., n])]

    def _basis(self, x: Tensor, rows: Tensor, a: Tensor, dy: Tensor, build: Build) -> tuple[list[Call], list[Call]]:
        n, count = self._functions, self._frequencies
        shape = (build.members, self._numbers, count, build.rows)
        factors, sums = (_kept(build, self._numbers, count, 2) for _ in range(2))  # of 1 and x: p and 2 pi f
        angle, slope = room_for(build, *shape), room_for(build, *shape[:2], n, build.rows)
        forward, after = self._angles(factors, sums, build)
        ones_and_x = rows[:, :, n:]
        cosines, sines = rows[:, :, :count], rows[:, :, count:n]
        forward += [*_products(factors, ones_and_x, angle), partial(torch.cos, angle, out=cosines)]
        backward = _products(a.mT, dy, slope)
        if self._phased:
            backward += [angle.sin_, partial(slope.mul_, angle), slope.neg_]
        else:
            forward.append(partial(torch.sin, angle, out=sines))
            of_cosines, of_sines = slope[:, :, :count], slope[:, :, count:]
            backward += [
                partial(torch.mul, of_sines, cosines, out=angle),
                partial(angle.addcmul_, of_cosines, sines, value=-1.0),
            ]
        change = slope if self._phased else angle
        return forward, [*backward, *_products(change, ones_and_x.mT, sums), *after]

    def _angles(self, factors: Tensor, sums: Tensor, build: Build) -> tuple[list[Call], list[Call]]:
        """From parameters to the factors of 1 and x in the angles, and from the sums of du and du x to gradients."""
        f, df = self._of("frequency", build)
        forward: list[Call] = [partial(torch.mul, f, 2.0 * math.pi, out=factors[..., 1])]
        backward: list[Call] = [partial(torch.mul, sums[..., 1], 2.0 * math.pi, out=df)]
        if self._phased:
            p, dp = self._of("phase", build)
            forward.append(partial(factors[..., 0].copy_, p))
            backward.append(partial(dp.copy_, sums[..., 0]))
        return forward, backward


class Pieces(Vectors):
    """b = (x - low) / (high - low) of each bin, cut to 0 and 1 but at both ends; nothing of it is learned.

    The factor of x and the shift of PLE are the last columns of A.
    """

    def __init__(self, prefix: str, layer: PiecewiseLinear) -> None:
        self._edges = [layer.get_buffer(name).unsqueeze(-1) for name in ("low", "inverse", "least", "most")]
        super().__init__(prefix, layer, self._edges[0].shape[1])

    def _slots(self, a: Tensor, da: Tensor) -> list[Slot]:
        n = self._functions
        names = (("weight", slice(0, n)), ("shift", n), ("slope", n + 1))
        return [(name, a[..., place], da[..., place]) for name, place in names]

    def _basis(self, x: Tensor, rows: Tensor, a: Tensor, dy: Tensor, build: Build) -> tuple[list[Call], list[Call]]:
        low, inverse, least, most = self._edges
        done = room_for(build, len(x), *low.shape[:2], build.rows)
        forward: list[Call] = [
            partial(torch.sub, x.unsqueeze(2), low, out=done),
            partial(done.mul_, inverse),
            partial(torch.maximum, done, least, out=done),
            partial(torch.minimum, done, most, out=done),
            partial(rows[:, :, : self._functions].copy_, done),
        ]
        return forward, []


def _products(a: Tensor, b: Tensor, out: Tensor) -> list[Call]:
    """out = a b for each number, (K, numbers, ...): one batched product for each member."""
    return [partial(torch.bmm, *some[:2], out=some[2]) for some in zip(a, b, out, strict=True)]


def room_for(build: Build, members: int, *shape: int) -> Tensor:
    """Room for values (members, *shape), each member's at a whole vector, as products of parts want it."""
    return build.room.take_members(members, *shape, apart=True)


def _kept(build: Build, *shape: int) -> Tensor:
    """Zeros (K, *shape) that nothing else is written into, for what does not change from step to step."""
    size = build.members * padded(math.prod(shape))
    return by_member(build.flat.values.new_zeros(size), build.members, shape)


VECTORS: dict[type[NumericEmbedding], Callable[[str, Any], Vectors]] = {
    Periodic: Waves,
    PeriodicBiased: Waves,
    PiecewiseLinear: Pieces,
}


def vectors_of(prefix: str, layer: NumericEmbedding) -> Vectors:
    """The hand-written embedding of a module. KeyError with the name of an unknown one."""
    if type(layer) not in VECTORS:
        raise KeyError(type(layer).__name__)
    return VECTORS[type(layer)](prefix, layer)
