"""TabM: one perceptron that is many."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from nnlab.core.building import Activation, DropoutKind, Dropped, Hidden, Members, Norm, Parametric, hidden_layers
from nnlab.core.inputs import Inputs
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn


@MODELS.add(columns=True, members="shared", defaults={"optimizer": Part("adamw", {"lr": 0.003, "weight_decay": 0.01})})
def tabm(
    inputs: Inputs,
    n_out: int,
    members: Members = 16,
    sharing: Annotated[
        Literal["full", "mini"], "full: each layer has scales for each member; mini: the inputs alone have"
    ] = "full",
    hidden: Hidden = (256, 256),
    activation: Activation = "relu",
    parametric: Parametric = False,
    norm: Norm = "none",
    dropout: Dropped = 0.1,
    dropout_kind: DropoutKind = None,
) -> "nn.Sequential":
    """TabM: members that share their matrices and embeddings, with scales and heads of their own (Gorishniy 2025)."""
    from torch import nn

    from nnlab.core.members import MemberLinear, Scale, SharedLinear, Spread, first_scales

    front = inputs.front()
    first = first_scales(members, front.widths, signs=not inputs.embedded)
    full = sharing == "full" and bool(hidden)
    linear = partial(SharedLinear, members) if full else nn.Linear
    values = (activation, parametric, norm, dropout, dropout_kind)
    layers = hidden_layers(front.n_out, hidden, *values, linear=linear, members=members)
    if full:
        layers[0].r = nn.Parameter(first)
    width = hidden[-1] if hidden else front.n_out
    scale = [] if full else [Scale(first)]
    return nn.Sequential(front, Spread(members), *scale, *layers, MemberLinear(members, width, n_out))
