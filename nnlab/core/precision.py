"""The numbers that a run computes with."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nnlab.core.errors import RunError
from nnlab.core.spec import TrainSpec

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}  # weights and losses stay in float32
AMPERE = (8, 0)  # the first compute capability with tf32


def dtype_of(spec: TrainSpec) -> torch.dtype:
    """Of a run's weights and data."""
    return torch.float64 if spec.precision == "float64" else torch.float32


def check_precision(spec: TrainSpec, device: str) -> None:
    """RunError where the device cannot compute so."""
    if spec.precision == "float64" and device == "mps":
        raise RunError("precision=float64: mps has no such numbers; use --device cpu or --precision float32")
    if spec.precision == "fp16" and device != "cuda":
        raise RunError(f"precision=fp16 needs --device cuda, this run is on {device}; --precision bf16 works here too")
    if spec.precision == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported():
        raise RunError("precision=bf16: this CUDA device has no such numbers; use --precision fp16 or float32")
    if spec.tf32 and (device != "cuda" or torch.cuda.get_device_capability() < AMPERE):
        raise RunError("tf32 needs --device cuda, Ampere (2020) or newer; leave it off here")
    if spec.cuda_graphs and device != "cuda":
        raise RunError(f"cuda_graphs needs --device cuda, this run is on {device}; leave it off here")


def in_precision(network: nn.Module, spec: TrainSpec) -> nn.Module:
    """The network, its weights of the run's dtype."""
    return network.double() if spec.precision == "float64" else network


def as_weights(rows: Tensor, model: nn.Module) -> Tensor:
    """Features as a network of double weights takes them; others as they are."""
    first = next(model.parameters(), None)
    wanted = torch.float64 if first is not None and first.dtype == torch.float64 else torch.float32
    return rows.to(wanted)


@contextlib.contextmanager
def matmul_precision(tf32: bool) -> Iterator[None]:
    """Inside, float32 products of matrices may take tf32 where the run asks for it."""
    if not tf32:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
