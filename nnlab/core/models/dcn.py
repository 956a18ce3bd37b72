"""The deep and cross network."""

from typing import TYPE_CHECKING, Annotated, Literal

from nnlab.core.building import (
    Activation,
    DropoutKind,
    Dropped,
    Hidden,
    Norm,
    Parametric,
    hidden_layers,
)
from nnlab.core.models.registry import MODELS
from nnlab.core.params import Within
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

DEFAULTS = {"optimizer": Part("adamw", {"lr": 0.01, "weight_decay": 0.1})}
Rank = Within(1, 4096, log=True, search=(4, 64))


@MODELS.add(defaults=DEFAULTS)
def dcn(
    n_in: int,
    n_out: int,
    crosses: Annotated[int, Within(1, 50, search=(1, 4)), "cross layers: products of up to one more features"] = 3,
    rank: Annotated[int | None, Rank, "of the matrix of a cross layer; none: full"] = None,
    layout: Annotated[
        Literal["stacked", "parallel"], "the deep layers read the crosses, or the features beside them"
    ] = "stacked",
    hidden: Hidden = (256, 256),
    activation: Activation = "relu",
    parametric: Parametric = False,
    norm: Norm = "none",
    dropout: Dropped = 0.15,
    dropout_kind: DropoutKind = None,
) -> "nn.Module":
    """Deep and cross network v2: x0 (W x + b) + x for explicit products, and a perceptron (Wang et al. 2021)."""
    from torch import nn

    from nnlab.core.layers import CrossNet, DeepAndCross

    deep = hidden_layers(n_in, hidden, activation, parametric, norm, dropout, dropout_kind)
    width = hidden[-1] if hidden else n_in
    parallel = layout == "parallel"
    head = nn.Linear(width + n_in * parallel, n_out)
    return DeepAndCross(CrossNet(n_in, crosses, rank), nn.Sequential(*deep), head, parallel)
