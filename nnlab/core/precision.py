"""The numbers that a run computes with."""

import torch
from torch import Tensor, nn

from nnlab.core.errors import RunError
from nnlab.core.spec import TrainSpec


def dtype_of(spec: TrainSpec) -> torch.dtype:
    """Of a run's weights and data."""
    return torch.float64 if spec.precision == "float64" else torch.float32


def check_precision(spec: TrainSpec, device: str) -> None:
    """RunError where the device has no such numbers."""
    if spec.precision == "float64" and device == "mps":
        raise RunError("precision=float64: mps has no such numbers; use --device cpu or --precision float32")


def in_precision(network: nn.Module, spec: TrainSpec) -> nn.Module:
    """The network, its weights of the run's dtype."""
    return network.double() if spec.precision == "float64" else network


def as_weights(rows: Tensor, model: nn.Module) -> Tensor:
    """Features as a network of double weights takes them; others as they are."""
    first = next(model.parameters(), None)
    wanted = torch.float64 if first is not None and first.dtype == torch.float64 else torch.float32
    return rows.to(wanted)
