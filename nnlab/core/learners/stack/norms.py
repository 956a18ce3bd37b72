"""Normalizations of a stack by hand. h stands for the normalized values, g and s for learned scale and shift.

y = g h + s, so dg = sum of dy h over rows, ds = sum of dy, dh = g dy.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from nnlab.core.layers import BatchNorm, LayerNorm
from nnlab.core.learners.stack.layers import Build, Port
from nnlab.core.learners.stack.products import Call

aten = torch.ops.aten


class LayerScale:
    """h = (z - m) r with m and r = 1 / sqrt(v + eps) of a row's values, v their variance.

    dz = r (dh - mean(dh) - h mean(dh h)), means over the row: torch's own kernel, which takes r and m from forward.
    """

    def __init__(self, prefix: str, function: LayerNorm) -> None:
        self._prefix, self._width = prefix, function.weight.shape[-1]

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, width); the same shape."""
        port = port.scaled(build)
        z, dz = port.value, port.slope
        assert dz is not None
        h, y = build.take(self._width), build.take(self._width)
        mean, root = (build.room.take(build.members, build.rows, 1) for _ in range(2))
        forward = partial(aten.native_layer_norm.out, z, [self._width], None, None, 1e-5, out0=h, out1=mean, out2=root)
        apply, back = _scaled(build, self._prefix, h, y, dz)

        def backward() -> None:
            only = [True, False, False]
            dz.copy_(aten.native_layer_norm_backward(dz, z, [self._width], mean, root, None, None, only)[0])

        build.add([forward, *apply], [*back, backward])
        return Port(y, dz, free=True)


class BatchScale:
    """h = (z - m) r with m and r = 1 / sqrt(v + eps) of a unit's values in the batch; in eval mode of the running ones.

    dz = r (dh - mean(dh) - h mean(dh h)), means over the rows.
    """

    def __init__(self, prefix: str, functions: Sequence[BatchNorm]) -> None:
        self._prefix, self._functions = prefix, functions
        self._width = functions[0].weight.shape[-1]

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, width); the same shape. ValueError for a training batch of one row, as torch has it."""
        port = port.scaled(build)
        z, dz = port.value, port.slope
        assert dz is not None
        if build.training and build.rows == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got {tuple(z.shape[1:])}")
        h, y, work = (build.take(self._width) for _ in range(3))
        mean, spread = (build.room.take(build.members, 1, self._width) for _ in range(2))
        forward: list[Call] = [
            partial(torch.mean, z, 1, keepdim=True, out=mean),
            partial(torch.sub, z, mean, out=h),
            partial(torch.mul, h, h, out=work),
            partial(torch.mean, work, 1, keepdim=True, out=spread),
            partial(self._keep, mean, spread, build.rows),
        ]
        if not build.training:
            forward = [partial(self._read, mean, spread), partial(torch.sub, z, mean, out=h)]
        forward += [partial(spread.add_, self._functions[0].eps), spread.rsqrt_, partial(h.mul_, spread)]
        apply, back = _scaled(build, self._prefix, h, y, dz)
        one, two = (build.room.take(build.members, 1, self._width) for _ in range(2))
        backward: list[Call] = [
            *back,
            partial(torch.mean, dz, 1, keepdim=True, out=one),
            partial(torch.mul, dz, h, out=work),
            partial(torch.mean, work, 1, keepdim=True, out=two),
            partial(torch.mul, h, two, out=work),
            partial(dz.sub_, one),
            partial(dz.sub_, work),
            partial(dz.mul_, spread),
        ]
        build.add([*forward, *apply], backward)
        return Port(y, dz, free=True)

    def _keep(self, mean: Tensor, variance: Tensor, rows: int) -> None:
        """The running mean and unbiased variance move by the momentum."""
        share = self._functions[0].momentum or 0.0
        for k, (own_mean, own_variance) in enumerate(self._running()):
            own_mean.lerp_(mean[k, 0], share)
            own_variance.lerp_(variance[k, 0] * (rows / (rows - 1)), share)
        for function in self._functions:
            if function.num_batches_tracked is not None:
                function.num_batches_tracked.add_(1)

    def _read(self, mean: Tensor, variance: Tensor) -> None:
        for k, (own_mean, own_variance) in enumerate(self._running()):
            mean[k, 0].copy_(own_mean)
            variance[k, 0].copy_(own_variance)

    def _running(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The running mean and variance of each member."""
        for function in self._functions:
            assert function.running_mean is not None and function.running_var is not None
            both = (values.view(-1, self._width) for values in (function.running_mean, function.running_var))
            yield from zip(*both, strict=True)


def _scaled(build: Build, prefix: str, h: Tensor, y: Tensor, dy: Tensor) -> tuple[list[Call], list[Call]]:
    """y = g h + s and its way back, which turns dy into dh in place."""
    flat = build.flat
    g, dg = (flat.of(buffer, f"{prefix}weight").unsqueeze(1) for buffer in (flat.values, flat.gradients))
    s, ds = (flat.of(buffer, f"{prefix}bias").unsqueeze(1) for buffer in (flat.values, flat.gradients))
    work = build.take(h.shape[2])
    back: list[Call] = [
        partial(torch.sum, dy, 1, keepdim=True, out=ds),
        partial(torch.mul, dy, h, out=work),
        partial(torch.sum, work, 1, keepdim=True, out=dg),
        partial(dy.mul_, g),
    ]
    return [partial(torch.mul, h, g, out=y), partial(y.add_, s)], back
