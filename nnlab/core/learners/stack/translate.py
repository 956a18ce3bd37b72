"""From a module to the layers of a stack, by the exact type of every part."""

from collections.abc import Iterator, Sequence

from torch import nn

from nnlab.core.front import Front
from nnlab.core.layers import BatchNorm, CategoryEmbedding, LayerNorm, Residual
from nnlab.core.layers import Dropout as CheapDropout
from nnlab.core.learners.stack.codes import Codes
from nnlab.core.learners.stack.layers import ACTIVATIONS, Activation, Dropout, Layer, Linear, Sum
from nnlab.core.learners.stack.norms import BatchScale, LayerScale
from nnlab.core.members import Joined, MemberLinear

Parts = Sequence[tuple[str, nn.Module]]


def translated(networks: Sequence[nn.Module]) -> list[Layer]:
    """The layers of networks of one shape, which end in a linear one. KeyError with the name of an unknown part."""
    parts = list(_parts("", networks[0]))
    return _layers(networks, parts, 0, last=parts[-1][0])


def _layers(networks: Sequence[nn.Module], parts: Parts, width: int, last: str = "-") -> list[Layer]:
    """Layers of parts for values of a width; last: the prefix of the linear layer that gives the outputs."""
    layers: list[Layer] = []
    for name, part in parts:
        if isinstance(part, (nn.Linear, MemberLinear)):
            layers.append(_linear(name, part, name == last))
            width = part.weight.shape[-2]
        elif type(part) is CategoryEmbedding:
            layers.append(Codes(name, part))
        elif type(part) is LayerNorm:
            layers.append(LayerScale(name, part))
        elif type(part) is BatchNorm:
            layers.append(BatchScale(name, [_norm(network, name) for network in networks]))
        elif type(part) is Residual and type(part.drop) is nn.Identity:
            layers.append(Sum(_layers(networks, list(_parts(f"{name}inner.", part.inner)), width), width))
        elif type(part) in (nn.Dropout, CheapDropout) and not getattr(part, "fixed", False):
            layers.append(Dropout(width))
        elif type(part) in ACTIVATIONS:
            layers.append(Activation(part, width))
        else:
            raise KeyError(type(part).__name__)
    return layers


def _linear(name: str, part: nn.Linear | MemberLinear, last: bool) -> Linear:
    if not (type(part) is nn.Linear or (type(part) is MemberLinear and not part.ntk)):
        raise KeyError(type(part).__name__)
    n_out, n_in = part.weight.shape[-2:]
    return Linear(f"{name}weight", None if part.bias is None else f"{name}bias", n_in, n_out, last)


def _parts(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of sequences in sequences, with the prefix of their parameters' names."""
    if type(module) is Joined:
        yield from _parts(f"{prefix}network.", module.network)
    elif type(module) is nn.Sequential:
        for name, part in module.named_children():
            yield from _parts(f"{prefix}{name}.", part)
    elif not (type(module) is Front and module.plain):
        yield prefix, module


def _norm(network: nn.Module, prefix: str) -> BatchNorm:
    found = network.get_submodule(prefix.removesuffix("."))
    assert isinstance(found, BatchNorm)
    return found
