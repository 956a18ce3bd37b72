"""Normalizations inside a network, one decorated function each: fn(shape) -> nn.Module.

shape: (width,), or (members, width) for networks side by side, each with its own means and scales. They normalize the
last dimension of (rows, width), (rows, members, width) or (rows, tokens, width). searched=True: a search tries it.
"""

from typing import TYPE_CHECKING

from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

NORMS = Registry("normalization")
Shape = tuple[int, ...]


@NORMS.add(searched=True)
def none(shape: Shape) -> "nn.Module":
    """No normalization."""
    from torch import nn

    return nn.Identity()


@NORMS.add(searched=True)
def batch(shape: Shape) -> "nn.Module":
    """Each unit over the rows of the step, over running means at prediction (Ioffe & Szegedy 2015)."""
    from nnlab.core.layers import BatchNorm

    return BatchNorm(shape)


@NORMS.add(searched=True)
def layer(shape: Shape) -> "nn.Module":
    """Each row over its units (Ba et al. 2016)."""
    from nnlab.core.layers import LayerNorm

    return LayerNorm(shape)


@NORMS.add
def group(shape: Shape) -> "nn.Module":
    """Each row over 8 groups of its units, fewer where the width has no 8 equal parts (Wu & He 2018)."""
    from nnlab.core.layers import GroupNorm

    return GroupNorm(shape)


@NORMS.add
def rms(shape: Shape) -> "nn.Module":
    """Each row by the root mean square of its units, no mean taken off (Zhang & Sennrich 2019)."""
    from nnlab.core.layers import RMSNorm

    return RMSNorm(shape)
