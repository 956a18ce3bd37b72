"""A linear layer whose inputs have learned factors, by hand."""

from functools import partial

import torch
from torch import Tensor

from nnlab.core.learners.stack.layers import Build, Linear
from nnlab.core.learners.stack.products import Call


class ScaledLinear(Linear):
    """z = (f * x) W' + b with a learned factor f for each input, which goes into the matrix: z = x V' + b, V = f W.

    Backward: dW = f dV, df = sum of W dV over outputs. So inputs without a gradient cost none for f either.
    """

    def __init__(  # noqa: PLR0913 (the parts of a layer)
        self, factors: str, weight: str, bias: str | None, n_in: int, n_out: int, last: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(weight, bias, n_in, n_out, last, scale)
        self._factors = factors
        self.turned = False  # V is made anew for each step

    def _matrix(self, build: Build) -> tuple[Tensor, Tensor, list[Call], list[Call]]:
        w, dw, _, _ = super()._matrix(build)
        flat = build.flat
        f, df = (flat.of(buffer, self._factors).unsqueeze(1) for buffer in (flat.values, flat.gradients))
        v, dv, work = (build.room.take_members(*w.shape, apart=build.apart) for _ in range(3))
        after: list[Call] = [
            partial(torch.mul, dv, f, out=dw),
            partial(torch.mul, dv, w, out=work),
            partial(torch.sum, work, 1, keepdim=True, out=df),
        ]
        return v, dv, [partial(torch.mul, w, f, out=v)], after
