"""The multilayer perceptron."""

from typing import TYPE_CHECKING, Annotated, Literal

from nnlab.core.models.registry import MODELS
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh"]
Norm = Literal["none", "batch", "layer"]
Hidden = Within(1, 65536, log=True, search=(32, 512))


@MODELS.add
def mlp(
    n_in: int,
    n_out: int,
    hidden: Annotated[tuple[int, ...], Hidden, "width of each hidden layer, as in 256,128; none: a linear model"] = (
        256,
        256,
        256,
    ),
    activation: Annotated[Activation, "function between the layers"] = "silu",
    norm: Annotated[Norm, "normalization in front of the activation"] = "none",
    dropout: Annotated[float, Within(0.0, 0.95, search=(0.0, 0.5)), "share of hidden values set to 0"] = 0.15,
) -> "nn.Sequential":
    """Multilayer perceptron: linear, norm, activation, dropout for each width, then linear."""
    from torch import nn

    from nnlab.core.layers import Dropout

    layers: list[nn.Module] = []
    width = n_in
    for next_width in hidden:
        layers.append(nn.Linear(width, next_width))
        if norm != "none":
            layers.append(nn.BatchNorm1d(next_width) if norm == "batch" else nn.LayerNorm(next_width))
        layers += [_activation(activation), Dropout(dropout)]
        width = next_width
    return nn.Sequential(*layers, nn.Linear(width, n_out))


def _activation(name: str) -> "nn.Module":
    from torch import nn

    names = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU", "gelu": "GELU"}
    names |= {"silu": "SiLU", "mish": "Mish", "tanh": "Tanh"}
    layer: nn.Module = getattr(nn, names[name])()
    return layer
