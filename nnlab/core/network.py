"""The network of a run: a registered architecture or the user's own, with embeddings in front where there are codes."""

from typing import TYPE_CHECKING

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.models import custom
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part
from nnlab.core.spec import make

if TYPE_CHECKING:
    from torch import nn


def network_for(part: Part, pipeline: Pipeline, maker: custom.Maker = None) -> "nn.Module":
    """The network for a pipeline's features and target. maker: the user's own network, which gets codes as they are."""
    n_in, n_out = len(pipeline.feature_names), len(pipeline.target.classes) or 1
    if maker is not None:
        return custom.build(maker, n_in, n_out)
    codes = {place: (found.cardinality, found.width) for place, found in pipeline.codes.items()}
    if not codes:
        return _made(part, n_in, n_out)
    from torch import nn

    from nnlab.core.layers import CategoryEmbedding

    embedding = CategoryEmbedding(n_in, codes)
    return nn.Sequential(embedding, _made(part, embedding.n_out, n_out))


def _made(part: Part, n_in: int, n_out: int) -> "nn.Module":
    found: nn.Module = make(MODELS, part, n_in, n_out)
    return found
