"""The multilayer perceptron."""

from typing import TYPE_CHECKING

from nnlab.core.building import Activation, DropoutKind, Dropped, Hidden, Norm, Parametric, hidden_layers
from nnlab.core.models.registry import MODELS

if TYPE_CHECKING:
    from torch import nn


@MODELS.add
def mlp(
    n_in: int,
    n_out: int,
    hidden: Hidden = (256, 256, 256),
    activation: Activation = "silu",
    parametric: Parametric = False,
    norm: Norm = "none",
    dropout: Dropped = 0.15,
    dropout_kind: DropoutKind = None,
) -> "nn.Sequential":
    """Multilayer perceptron: linear, norm, activation, dropout for each width, then linear."""
    from torch import nn

    layers = hidden_layers(n_in, hidden, activation, parametric, norm, dropout, dropout_kind)
    return nn.Sequential(*layers, nn.Linear(hidden[-1] if hidden else n_in, n_out))
