"""Matrix products into buffers: of all members in one call, or of one, which is quicker without the batch around it."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Call = Callable[[], object]
SHAPES = ((229, 20, 128), (256, 128, 64), (37, 64, 32))  # rows, in, out
SMALL = 1 << 22  # multiply-adds of a product above which the call around it is nothing
FEWEST = 400  # below which torch multiplies batches, and only these, by a loop of its own that rounds otherwise


def product(a: Tensor, b: Tensor, out: Tensor, scale: float, more: Tensor | None = None) -> Call:
    """out = scale a b + more. A turned out is taken for what it is in memory."""
    if out.stride(-1) != 1 and more is None:
        a, b, out = b.mT, a.mT, out.mT
    if scale == 1.0 and more is None:
        return partial(torch.bmm if a.ndim == 3 else torch.mm, a, b, out=out)
    function: Any = torch.baddbmm if a.ndim == 3 else torch.addmm
    return partial(function, out if more is None else more, a, b, beta=0 if more is None else 1, alpha=scale, out=out)


def as_batched(rows: int, n_in: int, n_out: int, like: Tensor) -> bool:
    """Whether products of one member without the batch have the bits that they have among others; no for large ones,
    which gain nothing, and for very small ones and vectors, which are computed in another way."""
    usual = min(rows, n_in, n_out) > 1 and FEWEST <= rows * n_in * n_out <= SMALL
    return usual and like.device.type == "cpu" and _tried(like.dtype)


@functools.cache
def _tried(dtype: torch.dtype) -> bool:
    """By trial once in a process, as libraries of products promise nothing: those of a step, W lying either way."""
    draw = torch.Generator().manual_seed(0)
    for rows, n_in, n_out in SHAPES:
        x, dz, lying = (
            torch.randn(2, *shape, generator=draw, dtype=dtype)
            for shape in ((rows, n_in), (rows, n_out), (n_out, n_in))
        )
        b = torch.randn(2, 1, n_out, generator=draw, dtype=dtype)
        for w in (lying, lying.mT.contiguous().mT):
            steps = [
                (x, w.mT, torch.empty_like(dz), b),
                (dz.mT, x, torch.empty_like(w), None),
                (dz, w, torch.empty_like(x), None),
            ]
            if not all(_alike(*step) for step in steps):
                return False
    return True


def _alike(a: Tensor, b: Tensor, out: Tensor, more: Tensor | None) -> bool:
    """Whether members' products by themselves are those of the batch, to the bit."""
    product(a, b, out, 1.0, more)()
    for k, batched in enumerate(out):
        own = torch.empty_like(batched)
        product(a[k], b[k], own, 1.0, None if more is None else more[k])()
        if not torch.equal(own, batched):
            return False
    return True
