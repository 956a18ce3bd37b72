"""Which features a network's first layer reads, and which of them it has left out."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.inits import linears, matrices

SIZES = (1.0, 0.4, -0.7)  # of a feature that moves; as a code each is 0 or 1, which every table has
COPIES = 30  # at most, so that no unit in front is silent in all


def first_layer(model: nn.Module) -> Any:
    """The first linear layer; None where there is none."""
    return next(iter(linears(model)), None)


@torch.no_grad()
def input_columns(model: nn.Module, features: int) -> Tensor | None:
    """The feature that each value comes from which the first layer reads, (values,).

    None where a value comes from several, or where features also reach the output past that layer: weights of 0 there
    would leave nothing out. Found by what moves when a feature does, in copies whose weights are random numbers.
    """
    x = torch.cat([torch.zeros(1, features), *(size * torch.eye(features) for size in SIZES)]).double()
    moved: Tensor | None = None
    for seed in range(COPIES):
        read, output = _passes(copy.deepcopy(model).cpu().double().eval(), x, seed)
        if read is None or bool(_apart(output).any()):
            return None
        here = _apart(read).reshape(len(SIZES), features, -1, read.shape[-1]).any(2).any(0)
        moved = here if moved is None else moved | here
        if bool(moved.any(0).all()):
            break
    return moved.float().argmax(0) if moved is not None and bool((moved.sum(0) == 1).all()) else None


def _passes(model: nn.Module, x: Tensor, seed: int) -> tuple[Tensor | None, Tensor]:
    """What the first layer reads of rows, the weights being random, and the output where those of that layer are 0."""
    layer, draw, read = first_layer(model), torch.Generator().manual_seed(seed), list[Tensor]()
    if layer is None:
        return None, x
    for weight in model.parameters():
        weight.copy_(torch.randn(weight.shape, generator=draw) / weight[0].numel() ** 0.5)
    layer.weight.zero_()
    with layer.register_forward_pre_hook(lambda _layer, given: read.append(given[0])):
        output = model(x)
    return (read[0] if len(read) == 1 and len(read[0]) == len(x) else None), output


def _apart(values: Tensor) -> Tensor:
    """Where rows are not like the first one, but for rounding."""
    return (values[1:] - values[:1]).abs() > 1e-9 * values.abs().max().clamp(min=1.0)


def unused_features(model: nn.Module, names: Sequence[str]) -> tuple[str, ...]:
    """The features whose weights in the first layer are all 0, so that no prediction depends on them."""
    layer = first_layer(model)
    if layer is None or bool((layer.weight != 0).all()):
        return ()
    columns = input_columns(model, len(names))
    if columns is None:
        return ()
    there = torch.stack([(matrix != 0).any(0).cpu() for matrix in matrices(layer)]).any(0)
    used = set(columns[there].tolist())
    return tuple(name for place, name in enumerate(names) if place not in used)
