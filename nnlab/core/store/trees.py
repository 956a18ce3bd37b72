"""Nested plain values with tensors in them, to safetensors bytes and back: no code in them, and none run."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import StoreError
from nnlab.core.store.tensors import pack_weights, unpack_weights

if TYPE_CHECKING:
    from torch import Tensor

KIND = "$"  # what an object of the JSON text stands for: tensor, array, tuple or dict
TEXT = "tree"  # the tensor that holds the JSON text
NUMBERS = (int, float)  # nearly all that lists hold: states of random numbers are lists of hundreds


def pack_tree(tree: Any) -> bytes:
    """Dicts, lists, tuples, numbers, texts, None, tensors and arrays as bytes; TypeError for anything else."""
    import torch

    tensors: dict[str, Tensor] = {}
    text = json.dumps(_plain(tree, tensors)).encode()
    return pack_weights({TEXT: torch.frombuffer(bytearray(text), dtype=torch.uint8), **tensors})


def unpack_tree(data: bytes, where: str) -> Any:
    """What `pack_tree` was given, tensors on the CPU; StoreError if the bytes are damaged."""
    tensors = unpack_weights(data, where)
    try:
        return _whole(json.loads(tensors[TEXT].numpy().tobytes()), tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"{where} is not understood: {type(error).__name__} {error}") from error


def _plain(value: Any, tensors: "dict[str, Tensor]") -> Any:
    import torch

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        order = _order(value)
        tensors[name := str(len(tensors))] = value.detach().permute(order)
        return {KIND: "tensor", "name": name, "order": order}
    if isinstance(value, np.ndarray):
        tensors[name := str(len(tensors))] = torch.from_numpy(value)
        return {KIND: "array", "name": name}
    if isinstance(value, list):
        return [item if type(item) in NUMBERS else _plain(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {KIND: "tuple", "items": _plain(list(value), tensors)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and KIND not in value:
            return {key: _plain(item, tensors) for key, item in value.items()}
        pairs = [[_plain(key, tensors), _plain(item, tensors)] for key, item in value.items()]
        return {KIND: "dict", "items": pairs}
    raise TypeError(f"a {type(value).__name__} cannot be kept in a checkpoint")


def _whole(plain: Any, tensors: "dict[str, Tensor]") -> Any:
    if isinstance(plain, list):
        return [_whole(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(KIND)
    if kind is None:
        return {key: _whole(item, tensors) for key, item in plain.items()}
    if kind == "tensor":
        return tensors[plain["name"]].permute([plain["order"].index(axis) for axis in range(len(plain["order"]))])
    if kind == "array":
        return tensors[plain["name"]].numpy()
    items = _whole(plain["items"], tensors)
    return tuple(items) if kind == "tuple" else {key: item for key, item in items}


def _order(tensor: "Tensor") -> list[int]:
    """The axes from the one with the widest strides on. Products group their sums by it, so it must come back."""
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
