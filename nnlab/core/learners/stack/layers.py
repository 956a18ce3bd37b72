"""Forward and backward of layers by hand, for K members at once, on buffers that are made once for a batch size.

A layer is bound to the values in front of it: it adds its forward and its backward, calls without arguments on fixed
tensors, to a `Build`, and gives the values behind it. Values are (K, rows, width); those of the last linear layer are
(K, width, rows), because softmax and losses run along rows. dz stands for the gradient of the loss in z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nnlab.core.learners.stack.buffers import VECTOR, Flat, Room, whole
from nnlab.core.learners.stack.products import Call, as_batched, product
from nnlab.core.learners.stack.streams import Masks

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Port:
    """Values between two layers and the gradient in them. free: no backward needs them, so they may be overwritten.

    gate: the backward in front hands on the gradient where the value is above 0 as it then is, else none. scales: what
    each member's values, and the gradient that goes back behind them, are still to be multiplied by; None for 1.
    parts: columns and the gradient in them where, without a slope, only these have one that is needed.
    """

    value: Tensor
    slope: Tensor | None
    free: bool
    gate: bool = False
    scales: Sequence[float] | None = None
    parts: Sequence[tuple[slice, Tensor]] = ()

    @property
    def slopes(self) -> Sequence[tuple[slice, Tensor]]:
        """Columns and the gradient in them."""
        return self.parts if self.slope is None else [(slice(None), self.slope)]

    def scaled(self, build: "Build") -> "Port":
        """The same with all factors applied, for layers that cannot take them into a product."""
        if self.scales is None:
            return self
        assert self.slope is not None
        factors = torch.tensor(self.scales, dtype=torch.float64).to(self.value).view(-1, 1, 1)
        build.add([partial(self.value.mul_, factors)], [partial(self.slope.mul_, factors)])
        return Port(self.value, self.slope, self.free)


@dataclass(eq=False)
class Build:
    """What binding fills: the calls of a step for batches of so many rows; backward: one list a layer, in order.

    masks: of all dropout layers, of which `masked` values are taken; None where nothing is dropped. training: as a
    module's; without it backward is never called. apart: what members have begins at whole vectors, with gaps.
    """

    flat: Flat
    room: Room
    rows: int
    masks: Masks | None = None
    masked: int = 0
    training: bool = True
    apart: bool = False
    forward: list[Call] = field(default_factory=list)
    backward: list[list[Call]] = field(default_factory=list)
    _scratch: dict[int, Tensor] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """K."""
        return self.flat.members

    def take(self, width: int) -> Tensor:
        """Room for values of a width."""
        return self.room.take_members(self.members, self.rows, width, apart=self.apart)

    def scratch(self, width: int) -> Tensor:
        """Room for values of a width that no other layer reads: the same for all layers."""
        if width not in self._scratch:
            self._scratch[width] = self.take(width)
        return self._scratch[width]

    def mask(self, width: int) -> Tensor:
        """The part of the masks that the next dropout layer uses, (K, rows, width)."""
        assert self.masks is not None
        start, size = self.masked, self.rows * width
        self.masked += size
        return self.masks.values[:, start : start + size].view(self.members, self.rows, width)

    def add(self, forward: Sequence[Call], backward: Sequence[Call]) -> None:
        """The calls of one layer."""
        self.forward += forward
        self.backward.append(list(backward))


class Layer(Protocol):
    """What all layers have."""

    def bind(self, port: Port, build: Build) -> Port:
        """Add forward and backward to the build; gives what is behind the layer."""


class Linear:
    """z = x W' + b, with W (out, in) and W' its transpose, W times a factor that x has open and times that of NTK.

    Members' products are one batched product where that gives each the bits that it has alone. Backward, with s for the
    factors: dW = s dz' x, db = sum of dz over rows, dx = s dz W.
    """

    def __init__(
        self, weight: str, bias: str | None, n_in: int, n_out: int, last: bool = False, scale: float = 1.0
    ) -> None:
        self.weight, self._bias, self._last, self._scale = weight, bias, last, scale
        self.n_in, self.n_out = n_in, n_out
        # A batched product of one has other bits than one of many where a side is 1 or members are not contiguous.
        self.odd = min(n_in, n_out) == 1 or (n_in * n_out) % VECTOR != 0
        self.turned = n_in < n_out and not last

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, in) -> (K, rows, out), or (K, out, rows) of the last layer."""
        flat = build.flat
        z, dz = build.take(self.n_out), build.take(self.n_out)
        axis = 1
        if self._last:
            z, dz = (t.view(build.members, self.n_out, build.rows) for t in (z, dz))
            axis = 2
        w, dw, before, after = self._matrix(build)
        w, before, after = self._taking(port.scales, w, dw, before, after, build)
        b = db = None
        if self._bias is not None:
            b, db = (flat.of(buffer, self._bias).unsqueeze(axis) for buffer in (flat.values, flat.gradients))
        forward, backward = [*before], list[Call]()
        if db is not None:
            backward.append(partial(torch.sum, dz, axis, keepdim=True, out=db))
        for at in self._parts(build):
            x = (port.value[at], [(columns, dx[at]) for columns, dx in port.slopes])
            more = None if b is None else b[at]
            self._multiply(x, (w[at], dw[at]), (z[at], dz[at]), more, forward, backward)
        build.add(forward, [*backward, *after])
        return Port(z, dz, free=not self._last)

    def _matrix(self, build: Build) -> tuple[Tensor, Tensor, list[Call], list[Call]]:
        """W and dW, (K, out, in), with calls that make W before it is used, and those that come when dW is there."""
        flat = build.flat
        return flat.of(flat.values, self.weight), flat.of(flat.gradients, self.weight), [], []

    def _taking(
        self,
        scales: Sequence[float] | None,
        w: Tensor,
        dw: Tensor,
        before: list[Call],
        after: list[Call],
        build: Build,
    ) -> tuple[Tensor, list[Call], list[Call]]:
        """The matrix with what its inputs have open in it. Weights are fewer than values of rows, and factors within
        the products would part those of members that differ in them."""
        if scales is None:
            return w, before, after
        lying = w.mT if self.turned else w
        scaled = build.room.take_members(*lying.shape, apart=build.apart)
        if self.turned:
            scaled = scaled.mT
        factors = torch.tensor(scales, dtype=torch.float64).to(w).view(-1, 1, 1)
        return scaled, [*before, partial(torch.mul, w, factors, out=scaled)], [partial(dw.mul_, factors), *after]

    def _parts(self, build: Build) -> list[Any]:
        """Members whose products are one call, by rules that do not depend on how many there are."""
        sizes = [build.rows * self.n_in, build.rows * self.n_out]
        alone = build.apart and (self.odd or build.rows == 1 or any(size % VECTOR for size in sizes))
        if build.members == 1 and not alone:
            alone = as_batched(build.rows, self.n_in, self.n_out, build.flat.values)
        return list(range(build.members)) if alone else [slice(None)]

    def _multiply(
        self,
        xs: tuple[Tensor, Sequence[tuple[slice, Tensor]]],
        ws: tuple[Tensor, Tensor],
        zs: tuple[Tensor, Tensor],
        b: Tensor | None,
        forward: list[Call],
        backward: list[Call],
    ) -> None:
        """The three products, each pair a value and its gradient."""
        (x, slopes), (w, dw), (z, dz), scale = xs, ws, zs, self._scale
        if self._last:  # z and dz are turned
            forward.append(product(w, x.mT, z, scale, b))
            backward.append(product(dz, x, dw, scale))
        else:
            forward.append(product(x, w.mT, z, scale, b))
            backward.append(product(dz.mT, x, dw, scale))
        for columns, dx in slopes:
            backward.append(product(dz.mT if self._last else dz, w[..., columns], dx, scale))


class Dropout:
    """y = m x with m = 0 with probability p, else 1 / (1 - p), drawn before the pass. Backward: dx = m dy."""

    def __init__(self, width: int) -> None:
        self.width = width

    def bind(self, port: Port, build: Build) -> Port:
        """The same values where nothing is dropped."""
        if build.masks is None:
            return port
        port = port.scaled(build)
        x, dx, mask, scales = port.value, port.slope, build.mask(self.width), build.masks.scales
        assert dx is not None
        y = x if port.free else build.take(self.width)
        # Where a gate in front sees the zeros of the mask, it keeps the gradient back by itself.
        gated = port.gate and port.free and scales is not None
        build.add([partial(torch.mul, x, mask, out=y)], [] if gated else [partial(torch.mul, dx, mask, out=dx)])
        return Port(y, dx, free=True, gate=gated, scales=scales)


class Activation:
    """y = f(z), elementwise. Backward: dz = f'(z) dy."""

    def __init__(self, function: nn.Module, width: int) -> None:
        self._function, self._width = function, width

    def bind(self, port: Port, build: Build) -> Port:
        """The calls of the function's row in ACTIVATIONS; in place where its derivative can be read off y."""
        port = port.scaled(build)
        assert port.slope is not None
        entry = ACTIVATIONS[type(self._function)]
        y = port.value if entry.in_place else build.take(self._width)
        z, out, slope = (whole(t) for t in (port.value, y, port.slope))
        forward, backward = entry.calls(self._function, z, out, slope)
        build.add([forward], [backward])
        return Port(y, port.slope, free=entry.free, gate=entry.gate)


@dataclass(frozen=True)
class Function:
    """An activation by hand. calls: (module, z, y, dy) -> forward and backward, which turns dy into dz in place.

    in_place: y takes the place of z. free: backward does not read y, or the same from a masked y. gate: as of `Port`.
    """

    calls: Callable[[Any, Tensor, Tensor, Tensor], tuple[Call, Call]]
    in_place: bool
    free: bool
    gate: bool = False


def _relu(function: nn.ReLU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = max(z, 0); dz = dy where y > 0, else 0
    return z.relu_, partial(aten.threshold_backward.grad_input, d, y, 0, grad_input=d)


def _leaky_relu(function: nn.LeakyReLU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = z where z > 0, else s z; dz = dy where y > 0, else s dy
    slope = function.negative_slope
    back = partial(aten.leaky_relu_backward.grad_input, d, z, slope, False, grad_input=d)
    return partial(aten.leaky_relu.out, z, slope, out=y), back


def _elu(function: nn.ELU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = z where z > 0, else a (e^z - 1); dz = dy where z > 0, else a e^z dy
    back = partial(aten.elu_backward.grad_input, d, function.alpha, 1.0, 1.0, False, z, grad_input=d)
    return partial(aten.elu.out, z, function.alpha, 1.0, 1.0, out=y), back


def _gelu(function: nn.GELU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = z P(z), P the normal distribution, p its density; dz = (P(z) + z p(z)) dy
    how = function.approximate
    back = partial(aten.gelu_backward.grad_input, d, z, approximate=how, grad_input=d)
    return partial(aten.gelu.out, z, approximate=how, out=y), back


def _silu(function: nn.SiLU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = z s(z), s the logistic function; dz = s (1 + z (1 - s)) dy
    return partial(aten.silu.out, z, out=y), partial(aten.silu_backward.grad_input, d, z, grad_input=d)


def _tanh(function: nn.Tanh, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # y = tanh z; dz = (1 - y^2) dy
    return partial(torch.tanh, z, out=y), partial(aten.tanh_backward.grad_input, d, y, grad_input=d)


ACTIVATIONS = {
    nn.ReLU: Function(_relu, in_place=True, free=True, gate=True),
    nn.LeakyReLU: Function(_leaky_relu, in_place=False, free=True),
    nn.ELU: Function(_elu, in_place=False, free=True),
    nn.GELU: Function(_gelu, in_place=False, free=True),
    nn.SiLU: Function(_silu, in_place=False, free=True),
    nn.Tanh: Function(_tanh, in_place=True, free=False),
}


class Sum:
    """y = x + f(x), f some layers. Backward: dx = dy + what f hands back of dy."""

    def __init__(self, layers: Sequence[Layer], width: int) -> None:
        self.layers, self._width = layers, width

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, width); the same shape."""
        port = port.scaled(build)
        x, dx = port.value, port.slope
        assert dx is not None
        y, dy, back = (build.take(self._width) for _ in range(3))
        build.add([], [partial(torch.add, back, dy, out=dx)])  # after the layers inside, whose calls come before it
        inner = Port(x, back, free=False)
        for layer in self.layers:
            inner = layer.bind(inner, build)
        inner = inner.scaled(build)
        assert inner.slope is not None
        build.add([partial(torch.add, x, inner.value, out=y)], [partial(inner.slope.copy_, dy)])
        return Port(y, dy, free=True)


def are_odd(layers: Sequence[Layer], rows: int) -> bool:
    """Whether there are products that members make one by one, which have other bits where values begin elsewhere."""
    inner = (
        are_odd(layer.layers, rows) if isinstance(layer, Sum) else getattr(layer, "odd", False) for layer in layers
    )
    return rows == 1 or any(inner)


def turned(layers: Sequence[Layer]) -> set[str]:
    """Names of the weights that shall lie column by column: products with few columns cost up to four times as much."""
    found = set[str]()
    for layer in layers:
        if isinstance(layer, Linear) and layer.turned:
            found.add(layer.weight)
        elif isinstance(layer, Sum):
            found |= turned(layer.layers)
    return found


def dropped(layers: Sequence[Layer]) -> int:
    """How many values of a row are dropped by chance."""
    return sum(
        layer.width if isinstance(layer, Dropout) else dropped(layer.layers) if isinstance(layer, Sum) else 0
        for layer in layers
    )
