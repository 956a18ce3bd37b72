"""The network of a run: a registered architecture or the user's own, with embeddings in front where there are codes."""

from typing import TYPE_CHECKING

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.target import Target
from nnlab.core.errors import SpecError
from nnlab.core.losses import LOSSES, loss_for, outputs_for
from nnlab.core.models import custom
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, make

if TYPE_CHECKING:
    from torch import nn


def loss_of(spec: TrainSpec, target: Target) -> Part:
    """The loss of a spec for a target, by its task where none is chosen; SpecError for one that does not fit."""
    part = loss_for(target.task, spec.loss)
    if LOSSES[part.name].facts.get("rate") and (target.scaler or (target.mean, target.scale) != (0.0, 1.0)):
        raise SpecError(f"loss {part.name} is for counts as they are; prepare the data with --scale_target none")
    return part


def network_for(spec: TrainSpec, pipeline: Pipeline, maker: custom.Maker = None) -> "nn.Module":
    """The network for a pipeline's features and target. maker: the user's own network, which gets codes as they are."""
    part, n_in = spec.model, len(pipeline.feature_names)
    n_out = outputs_for(loss_of(spec, pipeline.target), len(pipeline.target.classes))
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
