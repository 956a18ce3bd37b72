"""Weights and arrays to bytes and back, by safetensors: no code in them, and none run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.errors import StoreError

if TYPE_CHECKING:
    from torch import Tensor


def pack_weights(weights: "Mapping[str, Tensor]") -> bytes:
    """The weights as safetensors. Tensors that share memory (tied weights, views of a flat buffer) are stored apart."""
    from safetensors.torch import save

    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in weights.items():
        kept = tensor.detach().cpu().contiguous()
        if kept.data_ptr() in seen or kept.untyped_storage().nbytes() != kept.nbytes:
            kept = kept.clone()
        seen.add(kept.data_ptr())
        whole[name] = kept
    return save(whole)


def unpack_weights(data: bytes, where: str) -> "dict[str, Tensor]":
    """Weights on the CPU; StoreError if the bytes are not safetensors."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise StoreError(f"{where} is not a safetensors file: {error}") from error


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays of numbers as safetensors."""
    from safetensors.numpy import save

    return save({name: np.require(array, requirements="C") for name, array in arrays.items()})


def unpack_arrays(data: bytes, where: str) -> dict[str, np.ndarray]:
    """The arrays; StoreError if the bytes are not safetensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{where} is not a safetensors file: {error}") from error
