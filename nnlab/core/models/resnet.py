"""The residual network for tables."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.building import (
    Activation,
    Depth,
    DropoutKind,
    Dropped,
    Multiple,
    Norm,
    Parametric,
    Share,
    StochasticDepth,
    Width,
    ZeroInit,
    activation_layer,
    dropout_layer,
    fan,
    norm_layers,
)
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

DEFAULTS = {"optimizer": Part("adamw", {"lr": 0.003, "weight_decay": 0.01})}


@MODELS.add(defaults=DEFAULTS)
def resnet(
    n_in: int,
    n_out: int,
    width: Annotated[int, Width, "values that each block reads and changes"] = 192,
    depth: Depth = 3,
    inner: Multiple = 2.0,
    activation: Activation = "relu",
    parametric: Parametric = False,
    norm: Norm = "batch",
    dropout: Dropped = 0.25,
    dropout_kind: DropoutKind = None,
    residual_dropout: Annotated[float, Share, "share of what a block adds that is set to 0"] = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
    zero_init: ZeroInit = True,
) -> "nn.Sequential":
    """Residual network: blocks of norm, linear, activation, dropout, linear that are added (Gorishniy et al. 2021)."""
    from torch import nn

    from nnlab.core.layers import Dropout, Residual, row_drop, starts_at_zero

    middle = max(1, round(width * inner))
    layers: list[nn.Module] = [nn.Linear(n_in, width)]
    for block in range(depth):
        last = nn.Linear(middle, width)
        inside = [
            *norm_layers(norm, (width,)),
            nn.Linear(width, fan(activation, middle)),
            activation_layer(activation, (middle,), parametric),
            dropout_layer(dropout, activation, dropout_kind),
            starts_at_zero(last) if zero_init else last,
            *([Dropout(residual_dropout, fixed=True)] if residual_dropout else []),
        ]
        layers.append(Residual(nn.Sequential(*inside), row_drop(stochastic_depth, block, depth)))
    # A gate would halve the width in front of the head, so that a gated net ends in the gate's own function.
    end = "relu" if fan(activation, 1) > 1 else activation
    layers += [*norm_layers(norm, (width,)), activation_layer(end, (width,)), nn.Linear(width, n_out)]
    return nn.Sequential(*layers)
