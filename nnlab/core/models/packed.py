"""The packed ensemble."""

from functools import partial
from typing import TYPE_CHECKING

from nnlab.core.building import Activation, DropoutKind, Dropped, Hidden, Members, Norm, Parametric, hidden_layers
from nnlab.core.inputs import Inputs
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn


@MODELS.add(columns=True, members="apart", defaults={"optimizer": Part("adamw", {"lr": 0.01, "weight_decay": 0.1})})
def packed(
    inputs: Inputs,
    n_out: int,
    members: Members = 8,
    hidden: Hidden = (128, 128),
    activation: Activation = "silu",
    parametric: Parametric = False,
    norm: Norm = "none",
    dropout: Dropped = 0.15,
    dropout_kind: DropoutKind = None,
) -> "nn.Sequential":
    """Packed ensemble: perceptrons with weights and embeddings of their own, in one pass (TabM-packed; 2025)."""
    from torch import nn

    from nnlab.core.members import MemberLinear

    front = inputs.front(members)
    linear = partial(MemberLinear, members)
    values = (activation, parametric, norm, dropout, dropout_kind)
    layers = hidden_layers(front.n_out, hidden, *values, linear=linear, members=members)
    return nn.Sequential(front, *layers, linear(hidden[-1] if hidden else front.n_out, n_out))
