"""Embeddings of numbers, one decorated function each: fn(lead, **values) gives (rows, numbers) -> (rows, *lead, width).

lead: (numbers,), or (members, numbers) for networks side by side. `sigma` matters most of all that can be chosen.
"""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from nnlab.core.numeric import NumericEmbedding

EMBEDDINGS = Registry("numeric embedding")
Lead = tuple[int, ...]
Sigma = Annotated[float, Within(1e-4, 100.0, log=True, search=(0.05, 10.0)), "deviation of the first frequencies"]
Frequencies = Within(1, 1024, log=True, search=(16, 64))
VectorWidth = Within(1, 1024, log=True, search=(4, 32))


@EMBEDDINGS.add
def none(lead: Lead) -> None:
    """Numbers as they are."""


@EMBEDDINGS.add
def pl(
    lead: Lead,
    sigma: Sigma = 0.1,
    frequencies: Annotated[int, Frequencies, "waves for each number"] = 32,
    size: Annotated[int, VectorWidth, "values for each number"] = 16,
) -> "NumericEmbedding":
    """Sines and cosines of learned frequencies, then linear (Gorishniy et al. 2022)."""
    from nnlab.core.numeric import Periodic

    return Periodic(lead, size, frequencies, sigma, relu=False)


@EMBEDDINGS.add
def plr(
    lead: Lead,
    sigma: Sigma = 0.1,
    frequencies: Annotated[int, Frequencies, "waves for each number"] = 32,
    size: Annotated[int, VectorWidth, "values for each number"] = 16,
) -> "NumericEmbedding":
    """Sines and cosines of learned frequencies, linear, ReLU (Gorishniy et al. 2022)."""
    from nnlab.core.numeric import Periodic

    return Periodic(lead, size, frequencies, sigma, relu=True)


@EMBEDDINGS.add
def pbld(
    lead: Lead,
    sigma: Sigma = 1.0,
    frequencies: Annotated[int, Frequencies, "waves for each number"] = 16,
    size: Annotated[int, Within(2, 1024, log=True, search=(4, 16)), "values for each number, itself among them"] = 4,
) -> "NumericEmbedding":
    """Cosines of learned frequencies and phases, linear, and the number itself (RealMLP; Holzmüller et al. 2024)."""
    from nnlab.core.numeric import PeriodicBiased

    return PeriodicBiased(lead, size, frequencies, sigma)


@EMBEDDINGS.add
def piecewise_linear(
    lead: Lead,
    bins: Annotated[int, Within(2, 1024, log=True, search=(8, 64)), "pieces, by quantiles of the training rows"] = 32,
    size: Annotated[int, VectorWidth, "values for each number"] = 16,
) -> "NumericEmbedding":
    """How far a number has come through each bin, linear, beside a linear one (PLE; Gorishniy et al. 2022, 2025)."""
    from nnlab.core.numeric import PiecewiseLinear

    return PiecewiseLinear(lead, size, bins)
