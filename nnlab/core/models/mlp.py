"""The multilayer perceptron."""

from typing import TYPE_CHECKING

from nnlab.core.building import (
    Activation,
    DropoutKind,
    Dropped,
    Hidden,
    Norm,
    Parametric,
    activation_layer,
    dropout_layer,
    fan,
    norm_layers,
)
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

    layers: list[nn.Module] = []
    width = n_in
    for next_width in hidden:
        wide = fan(activation, next_width)
        layers += [nn.Linear(width, wide), *norm_layers(norm, (wide,))]
        layers += [activation_layer(activation, (next_width,), parametric)]
        layers += [dropout_layer(dropout, activation, dropout_kind)]
        width = next_width
    return nn.Sequential(*layers, nn.Linear(width, n_out))
