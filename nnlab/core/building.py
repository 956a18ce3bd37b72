"""What models are built from: the types of the values that they share, and layers by the names of the registries."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.errors import SpecError
from nnlab.core.norms import NORMS
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch import nn

Width = Within(1, 65536, log=True, search=(32, 512))
Share = Within(0.0, 0.95, search=(0.0, 0.5))
Hidden = Annotated[tuple[int, ...], Width, "width of each hidden layer, as in 256,128; none: a linear model"]
Activation = Annotated[str, ACTIVATIONS, "function between the layers"]
Parametric = Annotated[bool, "each unit learns how much of the activation it takes, x + a (f(x) - x)"]
Norm = Annotated[str, NORMS, "normalization in front of the activation"]
Dropped = Annotated[float, Share, "share of hidden values set to 0"]
Members = Annotated[int, Within(1, 1024, log=True, search=(1, 16)), "networks side by side, trained at once, averaged"]
Depth = Annotated[int, Within(1, 100, search=(1, 6)), "blocks one after the other"]
Multiple = Annotated[float, Within(0.1, 16.0, search=(1.0, 4.0)), "width inside a block, times that outside"]
StochasticDepth = Annotated[
    float, Within(0.0, 0.95, search=(0.0, 0.3)), "chance that a row skips the last block; less for earlier ones"
]
ZeroInit = Annotated[bool, "blocks begin by adding nothing"]
DropoutKind = Annotated[
    Literal["plain", "alpha"] | None,
    "plain sets values to 0, alpha to SELU's lowest value, mean and variance kept; auto: what the activation asks for",
]


def hidden_layers(  # noqa: PLR0913 (the values that models declare)
    n_in: int,
    hidden: tuple[int, ...],
    activation: str,
    parametric: bool,
    norm: str,
    dropout: float,
    dropout_kind: str | None,
    *,
    linear: "Callable[[int, int], nn.Module] | None" = None,
    members: int | None = None,
) -> "list[nn.Module]":
    """Linear, norm, activation, dropout for each width. members: networks side by side, linear their matrices."""
    from torch import nn

    layers: list[nn.Module] = []
    lead = () if members is None else (members,)
    for width in hidden:
        wide = fan(activation, width)
        layers += [(linear or nn.Linear)(n_in, wide), *norm_layers(norm, (*lead, wide))]
        layers += [activation_layer(activation, (*lead, width), parametric)]
        layers += [dropout_layer(dropout, activation, dropout_kind)]
        n_in = width
    return layers


def fan(activation: str, width: int) -> int:
    """What a linear layer must give so that width values come out of the activation."""
    return 2 * width if ACTIVATIONS[activation].facts.get("gated") else width


def activation_layer(name: str, shape: tuple[int, ...], parametric: bool = False) -> "nn.Module":
    """The activation for (..., *shape). SpecError for a gated one that shall be parametric."""
    from nnlab.core.layers import Parametric as Mixed

    entry = ACTIVATIONS[name]
    layer: nn.Module = entry.make(shape)
    if not parametric:
        return layer
    if entry.facts.get("gated"):
        raise SpecError(f"parametric=on: {name} has a gate of its own; choose another activation or --parametric off")
    return Mixed(layer, shape)


def norm_layers(name: str, shape: tuple[int, ...]) -> "list[nn.Module]":
    """The normalization for (..., *shape); no layer for none."""
    return [] if name == "none" else [NORMS[name].make(shape)]


def dropout_layer(p: float, activation: str, kind: str | None = None) -> "nn.Module":
    """The dropout behind an activation."""
    from torch import nn

    from nnlab.core.layers import Dropout

    alpha = (kind or ACTIVATIONS[activation].facts.get("dropout")) == "alpha"
    return nn.AlphaDropout(p) if alpha else Dropout(p)
