"""From a module to the layers of a stack, by the exact type of every part."""

from collections.abc import Iterator, Sequence

from torch import nn

from nnlab.core.front import Front
from nnlab.core.layers import BatchNorm, CategoryEmbedding, LayerNorm
from nnlab.core.layers import Dropout as CheapDropout
from nnlab.core.learners.stack.codes import Codes
from nnlab.core.learners.stack.layers import ACTIVATIONS, Activation, Dropout, Layer, Linear
from nnlab.core.learners.stack.norms import BatchScale, LayerScale
from nnlab.core.members import Joined, MemberLinear


def translated(networks: Sequence[nn.Module]) -> list[Layer]:
    """The layers of networks of one shape, which end in a linear one. KeyError with the name of an unknown part."""
    parts = list(_parts("", networks[0]))
    layers: list[Layer] = []
    width = 0
    for place, (name, part) in enumerate(parts):
        if type(part) is nn.Linear:
            width = part.out_features
            bias = f"{name}bias" if part.bias is not None else None
            layers.append(Linear(f"{name}weight", bias, part.in_features, width, last=place == len(parts) - 1))
        elif type(part) is MemberLinear and not part.ntk:
            _, width, n_in = part.weight.shape
            layers.append(Linear(f"{name}weight", f"{name}bias", n_in, width, last=place == len(parts) - 1))
        elif type(part) is CategoryEmbedding:
            layers.append(Codes(name, part))
        elif type(part) is LayerNorm:
            layers.append(LayerScale(name, part))
        elif type(part) is BatchNorm:
            layers.append(BatchScale(name, [_norm(network, name) for network in networks]))
        elif type(part) in (nn.Dropout, CheapDropout):
            layers.append(Dropout(width))
        elif type(part) in ACTIVATIONS:
            layers.append(Activation(part, width))
        else:
            raise KeyError(type(part).__name__)
    return layers


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
