"""From a module to the layers of a stack, by the exact type of every part."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from nnlab.core.front import Front
from nnlab.core.layers import BatchNorm, CategoryEmbedding, LayerNorm, Residual
from nnlab.core.layers import Dropout as CheapDropout
from nnlab.core.layers import Parametric as Mixed
from nnlab.core.learners.stack.alpha import AlphaDropout
from nnlab.core.learners.stack.codes import Codes
from nnlab.core.learners.stack.front import Front as Vectors
from nnlab.core.learners.stack.layers import ACTIVATIONS, Activation, Dropout, Layer, Linear, Sum
from nnlab.core.learners.stack.norms import BatchScale, LayerScale
from nnlab.core.learners.stack.parametric import DEPARTURES, KNOWN, Parametric
from nnlab.core.learners.stack.scaled import ScaledLinear
from nnlab.core.members import Joined, MemberLinear, Scale, Spread

Parts = Sequence[tuple[str, nn.Module]]
BY_HAND: dict[type[nn.Module], Callable[[str, Any], Layer]] = {
    CategoryEmbedding: Codes,
    LayerNorm: LayerScale,
    Front: Vectors,
}


def translated(networks: Sequence[nn.Module]) -> list[Layer]:
    """The layers of networks of one shape, which end in a linear one. KeyError with the name of an unknown part."""
    parts = list(_parts("", networks[0]))
    return _layers(networks, parts, 0, last=parts[-1][0])


def _layers(networks: Sequence[nn.Module], parts: Parts, width: int, last: str = "-") -> list[Layer]:
    """Layers of parts for values of a width; last: the prefix of the linear layer that gives the outputs."""
    layers: list[Layer] = []
    factors: str | None = None  # of the inputs of the next linear layer
    for name, part in parts:
        if isinstance(part, (nn.Linear, MemberLinear)):
            layers.append(_linear(name, part, name == last, factors))
            width, factors = part.weight.shape[-2], None
        elif factors is None and type(part) is Scale:
            factors = f"{name}weight"
        elif factors is None:
            layers.append(_between(networks, name, part, width))
        else:
            raise KeyError(type(part).__name__)
    return layers


def _between(networks: Sequence[nn.Module], name: str, part: nn.Module, width: int) -> Layer:
    """A layer that is no matrix, for values of a width."""
    kind = type(part)
    if isinstance(part, Mixed) and type(part.function) in KNOWN:
        return Parametric(f"{name}weight", part.function, width)
    if kind in DEPARTURES:
        return Parametric(None, part, width)
    if kind in ACTIVATIONS:
        return Activation(part, width)
    if kind in (nn.Dropout, CheapDropout) and not getattr(part, "fixed", False):
        return Dropout(width)
    if kind is nn.AlphaDropout:
        return AlphaDropout(width)
    if isinstance(part, Residual) and type(part.drop) is nn.Identity:
        return Sum(_layers(networks, list(_parts(f"{name}inner.", part.inner)), width), width)
    if kind in BY_HAND:
        return BY_HAND[kind](name, part)
    if kind is BatchNorm:
        return BatchScale(name, [_norm(network, name) for network in networks])
    raise KeyError(kind.__name__)


def _linear(name: str, part: nn.Linear | MemberLinear, last: bool, factors: str | None) -> Linear:
    if type(part) not in (nn.Linear, MemberLinear):
        raise KeyError(type(part).__name__)
    n_out, n_in = part.weight.shape[-2:]
    ntk = isinstance(part, MemberLinear) and part.ntk
    values = (
        f"{name}weight",
        None if part.bias is None else f"{name}bias",
        n_in,
        n_out,
        last,
        n_in**-0.5 if ntk else 1.0,
    )
    return Linear(*values) if factors is None else ScaledLinear(factors, *values)


def _parts(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of sequences in sequences, with the prefix of their parameters' names."""
    if type(module) is Joined:
        yield from _parts(f"{prefix}network.", module.network)
    elif type(module) is nn.Sequential:
        for name, part in module.named_children():
            yield from _parts(f"{prefix}{name}.", part)
    elif type(module) is not Spread and not (type(module) is Front and module.plain):
        yield prefix, module


def _norm(network: nn.Module, prefix: str) -> BatchNorm:
    found = network.get_submodule(prefix.removesuffix("."))
    assert isinstance(found, BatchNorm)
    return found
