"""The floor that every network must beat."""

from typing import TYPE_CHECKING

from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn


@MODELS.add(defaults={"optimizer": Part("adamw", {"lr": 0.01, "weight_decay": 0.01})})
def linear(n_in: int, n_out: int) -> "nn.Sequential":
    """Linear or logistic regression: one matrix, nothing hidden. The floor to compare with."""
    from torch import nn

    return nn.Sequential(nn.Linear(n_in, n_out))
