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

Call = Callable[[], object]
aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Port:
    """Values between two layers and the gradient in them. free: no backward needs them, so they may be overwritten.

    parts: columns and the gradient in them where, without a slope, only these have one that is needed.
    """

    value: Tensor
    slope: Tensor | None
    free: bool
    parts: Sequence[tuple[slice, Tensor]] = ()

    @property
    def slopes(self) -> Sequence[tuple[slice, Tensor]]:
        """Columns and the gradient in them."""
        return self.parts if self.slope is None else [(slice(None), self.slope)]


@dataclass(eq=False)
class Build:
    """What binding fills: the calls of a step for batches of so many rows; backward: one list a layer, in order.

    masks: (K, n) of all dropout layers, of which `masked` are taken; None where nothing is dropped. training: as a
    module's; without it backward is never called.
    """

    flat: Flat
    room: Room
    rows: int
    masks: Tensor | None = None
    masked: int = 0
    training: bool = True
    forward: list[Call] = field(default_factory=list)
    backward: list[list[Call]] = field(default_factory=list)

    @property
    def members(self) -> int:
        """K."""
        return self.flat.members

    def take(self, width: int) -> Tensor:
        """Room for values of a width."""
        return self.room.take_each(self.members, self.rows, width)

    def mask(self, width: int) -> Tensor:
        """The part of the masks that the next dropout layer uses, (K, rows, width)."""
        assert self.masks is not None
        start, size = self.masked, self.rows * width
        self.masked += size
        return self.masks[:, start : start + size].view(self.members, self.rows, width)

    def add(self, forward: Sequence[Call], backward: Sequence[Call]) -> None:
        """The calls of one layer."""
        self.forward += forward
        self.backward.append(list(backward))


class Layer(Protocol):
    """What all layers have."""

    def bind(self, port: Port, build: Build) -> Port:
        """Add forward and backward to the build; gives what is behind the layer."""


class Linear:
    """z = c x W' + b, with W (out, in) and W' its transpose. The members' products are one batched product.

    Backward: dW = c dz' x, db = sum of dz over rows, dx = c dz W. c is 1 but with NTK scaling.
    """

    def __init__(
        self, weight: str, bias: str | None, n_in: int, n_out: int, last: bool = False, scale: float = 1.0
    ) -> None:
        self._weight, self._bias, self._last, self._scale = weight, bias, last, scale
        self._n_in, self.n_out = n_in, n_out

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, in) -> (K, rows, out), or (K, out, rows) of the last layer."""
        flat = build.flat
        axis, shape = (2, (self.n_out, build.rows)) if self._last else (1, (build.rows, self.n_out))
        z, dz = (build.room.take_each(build.members, *shape) for _ in range(2))
        forward, backward = list[Call](), list[Call]()
        w, dw, after = self._matrix(build, forward)
        for k in range(build.members) if self._one_by_one(build.rows) else [slice(None)]:
            slopes = [(columns, dx[k]) for columns, dx in port.slopes]
            self._multiply((port.value[k], slopes), (w[k], dw[k]), (z[k], dz[k]), forward, backward)
        if self._bias is not None:
            b, db = (flat.of(buffer, self._bias).unsqueeze(axis) for buffer in (flat.values, flat.gradients))
            forward.append(partial(z.add_, b))
            backward.insert(0, partial(torch.sum, dz, axis, keepdim=True, out=db))
        build.add(forward, [*backward, *after])
        return Port(z, dz, free=not self._last)

    def _one_by_one(self, rows: int) -> bool:
        """Whether a batched product of one has other bits than one of many: a side is 1, or there are gaps."""
        sizes = (self._n_in * self.n_out, self._n_in * rows, self.n_out * rows)
        return min(self._n_in, self.n_out) == 1 or any(size % VECTOR for size in sizes)

    def _matrix(self, build: Build, forward: list[Call]) -> tuple[Tensor, Tensor, list[Call]]:
        """W and dW, (K, out, in). Calls that make W go to forward; gives those that come after dW is there."""
        w, dw = (build.flat.of(buffer, self._weight) for buffer in (build.flat.values, build.flat.gradients))
        return w, dw, []

    def _multiply(
        self,
        xs: tuple[Tensor, Sequence[tuple[slice, Tensor]]],
        ws: tuple[Tensor, Tensor],
        zs: tuple[Tensor, Tensor],
        forward: list[Call],
        backward: list[Call],
    ) -> None:
        """The three products, each pair a value and its gradient."""
        (x, slopes), (w, dw), (z, dz) = xs, ws, zs
        if self._last:  # z and dz are turned
            forward.append(self._product(w, x.mT, z))
            backward.append(self._product(dz, x, dw))
        else:
            forward.append(self._product(x, w.mT, z))
            backward.append(self._product(dz.mT, x, dw))
        for columns, dx in slopes:
            backward.append(self._product(dz.mT if self._last else dz, w[..., columns], dx))

    def _product(self, a: Tensor, b: Tensor, out: Tensor) -> Call:
        """out = c a b. A turned out is taken for what it is in memory."""
        if out.stride(-1) != 1:
            a, b, out = b.mT, a.mT, out.mT
        if self._scale == 1.0:
            return partial(torch.mm if a.ndim == 2 else torch.bmm, a, b, out=out)
        product = torch.addmm if a.ndim == 2 else torch.baddbmm
        return partial(product, out, a, b, beta=0, alpha=self._scale, out=out)


class ScaledLinear(Linear):
    """z = c (s * x) W' + b, a learned factor s for each input going into the matrix: V = c s W, z = x V' + b.

    Backward: dW = c s dV, ds = c sum of W dV over outputs. Inputs without a gradient cost none for s either.
    """

    def __init__(  # noqa: PLR0913 (the parts of a layer)
        self, factors: str, weight: str, bias: str | None, n_in: int, n_out: int, last: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(weight, bias, n_in, n_out, last)
        self._factors, self._whole = factors, scale

    def _matrix(self, build: Build, forward: list[Call]) -> tuple[Tensor, Tensor, list[Call]]:
        w, dw, _ = super()._matrix(build, forward)
        s, ds = (
            build.flat.of(buffer, self._factors).unsqueeze(1) for buffer in (build.flat.values, build.flat.gradients)
        )
        v, dv, work = (build.room.take_each(*w.shape) for _ in range(3))
        factor = build.room.take_each(build.members, 1, self._n_in)
        forward += [partial(torch.mul, s, self._whole, out=factor), partial(torch.mul, w, factor, out=v)]
        after: list[Call] = [
            partial(torch.mul, dv, factor, out=dw),
            partial(torch.mul, dv, w, out=work),
            partial(torch.sum, work, 1, keepdim=True, out=ds),
            partial(ds.mul_, self._whole),
        ]
        return v, dv, after


class Dropout:
    """y = m x with m = 0 with probability p, else 1 / (1 - p), drawn before the pass. Backward: dx = m dy."""

    def __init__(self, width: int) -> None:
        self.width = width

    def bind(self, port: Port, build: Build) -> Port:
        """The same values where nothing is dropped."""
        if build.masks is None:
            return port
        x, dx, mask = port.value, port.slope, build.mask(self.width)
        assert dx is not None
        y = x if port.free else build.take(self.width)
        build.add([partial(torch.mul, x, mask, out=y)], [partial(torch.mul, dx, mask, out=dx)])
        return Port(y, dx, free=True)


class Activation:
    """y = f(z), elementwise. Backward: dz = f'(z) dy."""

    def __init__(self, function: nn.Module, width: int) -> None:
        self._function, self._width = function, width

    def bind(self, port: Port, build: Build) -> Port:
        """The calls of the function's row in ACTIVATIONS; in place where its derivative can be read off y."""
        assert port.slope is not None
        entry = ACTIVATIONS[type(self._function)]
        y = port.value if entry.in_place else build.take(self._width)
        z, out, slope = (whole(t) for t in (port.value, y, port.slope))
        forward, backward = entry.calls(self._function, z, out, slope)
        build.add([forward], [backward])
        return Port(y, port.slope, free=entry.free)


@dataclass(frozen=True)
class Function:
    """An activation by hand. calls: (module, z, y, dy) -> forward and backward, which turns dy into dz in place.

    in_place: y takes the place of z. free: backward does not read y, or the same from a masked y.
    """

    calls: Callable[[Any, Tensor, Tensor, Tensor], tuple[Call, Call]]
    in_place: bool
    free: bool


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
    return _elu_calls(function.alpha, 1.0, z, y, d)


def _selu(function: nn.SELU, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    # s times an ELU, s and a such that mean 0 and variance 1 stay (Klambauer et al. 2017)
    return _elu_calls(1.6732632423543772848170429916717, 1.0507009873554804934193349852946, z, y, d)


def _elu_calls(alpha: float, scale: float, z: Tensor, y: Tensor, d: Tensor) -> tuple[Call, Call]:
    back = partial(aten.elu_backward.grad_input, d, alpha, scale, 1.0, False, z, grad_input=d)
    return partial(aten.elu.out, z, alpha, scale, 1.0, out=y), back


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
    nn.ReLU: Function(_relu, in_place=True, free=True),
    nn.LeakyReLU: Function(_leaky_relu, in_place=False, free=True),
    nn.ELU: Function(_elu, in_place=False, free=True),
    nn.SELU: Function(_selu, in_place=False, free=True),
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
        x, dx = port.value, port.slope
        assert dx is not None
        y, dy, back = (build.take(self._width) for _ in range(3))
        build.add([], [partial(torch.add, back, dy, out=dx)])  # after the layers inside, whose calls come before it
        inner = Port(x, back, free=False)
        for layer in self.layers:
            inner = layer.bind(inner, build)
        assert inner.slope is not None
        build.add([partial(torch.add, x, inner.value, out=y)], [partial(inner.slope.copy_, dy)])
        return Port(y, dy, free=True)


def dropped(layers: Sequence[Layer]) -> int:
    """How many values of a row are dropped by chance."""
    return sum(
        layer.width if isinstance(layer, Dropout) else dropped(layer.layers) if isinstance(layer, Sum) else 0
        for layer in layers
    )
