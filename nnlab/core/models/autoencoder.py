"""A network that must also be able to write its inputs down again."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.building import Activation, DropoutKind, Dropped, Hidden, Norm, Parametric, Width, hidden_layers
from nnlab.core.models.registry import MODELS
from nnlab.core.params import Within
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

DEFAULTS = {"optimizer": Part("adamw", {"lr": 0.005, "weight_decay": 0.05})}


@MODELS.add(defaults=DEFAULTS)
def autoencoder(
    n_in: int,
    n_out: int,
    hidden: Hidden = (256, 256),
    latent: Annotated[int, Width, "values that a row is told in"] = 64,
    reconstruction: Annotated[
        float, Within(0.0, 1000.0, search=(0.01, 3.0)), "weight of the mean squared error of the inputs written again"
    ] = 0.3,
    corruption: Annotated[
        float, Within(0.0, 0.95, search=(0.0, 0.3)), "share of inputs that are 0 for the encoder, in training"
    ] = 0.1,
    activation: Activation = "silu",
    parametric: Parametric = False,
    norm: Norm = "none",
    dropout: Dropped = 0.15,
    dropout_kind: DropoutKind = None,
) -> "nn.Module":
    """Denoising autoencoder: a code that predicts, and from which inputs are told again (Vincent et al. 2010)."""
    from torch import nn

    from nnlab.core.layers import Autoencoder

    values = (activation, parametric, norm, dropout, dropout_kind)
    encoder = [*hidden_layers(n_in, hidden, *values), nn.Linear(hidden[-1] if hidden else n_in, latent)]
    back = hidden[::-1]
    decoder = [*hidden_layers(latent, back, *values), nn.Linear(back[-1] if back else latent, n_in)]
    parts = (nn.Sequential(*encoder), nn.Sequential(*decoder), nn.Linear(latent, n_out))
    return Autoencoder(*parts, reconstruction, corruption)
