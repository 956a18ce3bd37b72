"""RealMLP: the perceptron with better defaults."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

from nnlab.core.building import Activation, DropoutKind, Dropped, Hidden, Members, Norm, Parametric, hidden_layers
from nnlab.core.inputs import Inputs
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

DEFAULTS = {
    "optimizer": Part("adamw", {"lr": 0.04, "beta2": 0.95, "weight_decay": 0.02}),
    "schedule": Part("coslog4"),
    "warmup": 0.0,
    "init": Part("data_driven"),
    "embed": Part("pbld"),
    "average": Part("ema", {"decay": 0.99}),
    "dropout_schedule": Part("flat_cosine"),
    "decay_schedule": Part("flat_cosine"),
    "lr_bias": 0.1,
    "lr_scale": 6.0,
    "lr_embedding": 0.1,
    "lr_activation": 0.1,
    "epochs": 64,
    "patience": None,
}
SEARCHED = {"optimizer.lr": (0.01, 0.3), "optimizer.weight_decay": (0.001, 0.2), "lr_embedding": (0.05, 1.0)}
SPACE = {
    "": ("weight_decay=1e-3..0.2 log", "lr_embedding=0.05..1 log"),
    "classes": ("lr=0.01..0.1 log",),
    "regression": ("lr=0.03..0.3 log",),
}


@MODELS.add(columns=True, members="apart", defaults=DEFAULTS, searched=SEARCHED, space=SPACE)
def realmlp(
    inputs: Inputs,
    n_out: int,
    members: Members = 1,
    hidden: Hidden = (256, 256, 256),
    activation: Activation = "mish",
    parametric: Parametric = True,
    input_scale: Annotated[bool, "each input has a learned factor"] = True,
    norm: Norm = "none",
    dropout: Dropped = 0.15,
    dropout_kind: DropoutKind = "plain",
) -> "nn.Sequential":
    """RealMLP: embedded numbers, learned scales and activations, NTK weights (Holzmüller et al. 2024)."""
    import torch
    from torch import nn

    from nnlab.core.members import MemberLinear, Scale, Spread

    front = inputs.front(members)
    scale = [Scale(torch.ones(members, front.n_out))] if input_scale else []
    linear = partial(MemberLinear, members, ntk=True)
    values = (activation, parametric, norm, dropout, dropout_kind)
    layers = hidden_layers(front.n_out, hidden, *values, linear=linear, members=members)
    width = hidden[-1] if hidden else front.n_out
    return nn.Sequential(front, Spread(members), *scale, *layers, linear(width, n_out))
