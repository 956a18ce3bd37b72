"""The feature tokenizer and transformer."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.building import (
    Activation,
    Depth,
    Dropped,
    Norm,
    Share,
    StochasticDepth,
    ZeroInit,
    activation_layer,
    fan,
    norm_layers,
)
from nnlab.core.errors import SpecError
from nnlab.core.inputs import Inputs
from nnlab.core.models.registry import MODELS
from nnlab.core.params import Within
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

DEFAULTS = {"optimizer": Part("adamw", {"lr": 0.0005, "weight_decay": 1e-5})}
SEARCHED = {"optimizer.lr": (3e-5, 3e-3), "optimizer.weight_decay": (0.0, 0.01)}


@MODELS.add(columns=True, defaults=DEFAULTS, searched=SEARCHED)
def ft_transformer(
    inputs: Inputs,
    n_out: int,
    width: Annotated[
        int, Within(1, 8192, log=True, search=(32, 256)), "values of each token; a multiple of heads"
    ] = 192,
    depth: Depth = 3,
    heads: Annotated[int, Within(1, 256, log=True, search=(2, 8)), "attentions side by side"] = 8,
    inner: Annotated[
        float, Within(0.1, 16.0, search=(1.0, 3.0)), "width inside the feed-forward layers, times that of a token"
    ] = 4 / 3,
    activation: Activation = "reglu",
    norm: Norm = "layer",
    dropout: Dropped = 0.1,
    attention_dropout: Annotated[float, Share, "share of the attention weights set to 0"] = 0.2,
    residual_dropout: Annotated[float, Share, "share of what a block adds that is set to 0"] = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
    zero_init: ZeroInit = False,
) -> "nn.Module":
    """Transformer over the columns of a row: a token for each, and one to predict from (Gorishniy et al. 2021)."""
    from torch import nn

    from nnlab.core.attention import Attention, Block, FTTransformer
    from nnlab.core.layers import Dropout, row_drop, starts_at_zero

    if width % heads:
        raise SpecError(
            f"width={width}: heads {heads} need a multiple of {heads}, such as {heads * max(1, width // heads)}"
        )
    middle = max(1, round(width * inner))
    blocks: list[nn.Module] = []
    for block in range(depth):
        ends = [nn.Linear(width, width), nn.Linear(middle, width)]
        ends = [starts_at_zero(layer) for layer in ends] if zero_init else ends
        attention = Attention(width, heads, attention_dropout)
        attention.out = ends[0]
        feed = nn.Sequential(
            nn.Linear(width, fan(activation, middle)),
            activation_layer(activation, (middle,)),
            Dropout(dropout),
            ends[1],
        )
        # The very first normalization is left out: with it the model does worse (the paper's appendix E.1).
        norms = [_norm(norm, width) if block else nn.Identity(), _norm(norm, width)]
        drops = [
            nn.Sequential(Dropout(residual_dropout, fixed=True), row_drop(stochastic_depth, block, depth))
            for _ in range(2)
        ]
        blocks.append(Block(norms, attention, feed, (drops[0], drops[1]), last=block == depth - 1))
    head = nn.Sequential(*norm_layers(norm, (width,)), nn.ReLU(), nn.Linear(width, n_out))
    return FTTransformer(inputs.tokens(width), width, blocks, head)


def _norm(name: str, width: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(*norm_layers(name, (width,)))
