"""Alpha dropout of a stack, by hand."""

from functools import partial

import torch
from torch import Tensor

from nnlab.core.learners.stack.layers import Build, Dropout, Port
from nnlab.core.learners.stack.products import Call
from nnlab.core.learners.stack.streams import Masks

ALPHA = 1.7580993408473766  # SELU's lowest value is -ALPHA


class AlphaDropout(Dropout):
    """y = a (m x - (1 - m) ALPHA) + a p ALPHA with m = 0 with probability p, else 1; mean 0 and variance 1 stay.

    a = ((1 - p) (1 + p ALPHA^2))^-1/2 (Klambauer et al. 2017). Backward: dx = a m dy. A member with p = 0 has y = x.
    """

    def bind(self, port: Port, build: Build) -> Port:
        """The same values where nothing is dropped."""
        if build.masks is None:
            return port
        port = port.scaled(build)
        x, dx, mask = port.value, port.slope, build.mask(self.width)
        assert dx is not None
        y, shift = x if port.free else build.take(self.width), build.scratch(self.width)
        # y = f m x + ((f ALPHA) m + c) with a mask m that may be scaled already.
        f, raised, c = (build.room.take(build.members, 1, 1) for _ in range(3))
        forward: list[Call] = [
            *self._factors(build.masks, f, raised, c),
            partial(torch.mul, mask, raised, out=shift),
            partial(shift.add_, c),
            partial(torch.mul, x, mask, out=y),
            partial(y.mul_, f),
            partial(y.add_, shift),
        ]
        build.add(forward, [partial(torch.mul, dx, mask, out=dx), partial(dx.mul_, f)])
        return Port(y, dx, free=True)

    def _factors(self, masks: Masks, f: Tensor, raised: Tensor, c: Tensor) -> list[Call]:
        """Calls that fill f, f ALPHA and c; none where shares do not change."""
        if masks.scales is None:
            assert masks.shares is not None
            return [partial(_fill, masks.shares, True, f, raised, c)]
        shares = torch.tensor([1.0 - 1.0 / scale for scale in masks.scales], dtype=torch.float64)
        _fill(shares, False, f, raised, c)
        constant = [value.clone() for value in (f, raised, c)]  # rooms are shared by plans
        return [partial(own.copy_, value) for own, value in zip((f, raised, c), constant, strict=True)]


def _fill(shares: Tensor, scaled: bool, f: Tensor, raised: Tensor, c: Tensor) -> None:
    """scaled: whether kept values of the mask are 1 / (1 - p)."""
    p = shares.view(-1, 1, 1)
    a = ((1 - p) * (1 + p * ALPHA**2)).rsqrt()
    f.copy_(a * (1 - p) if scaled else a)
    torch.mul(f, ALPHA, out=raised)
    c.copy_(a * (p - 1) * ALPHA)
