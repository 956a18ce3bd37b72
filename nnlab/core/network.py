"""The network of a run: a registered architecture or the user's own, with embeddings in front where there are codes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nnlab.core.data.features import Date
from nnlab.core.data.numbers import Number
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.target import Target
from nnlab.core.errors import SpecError
from nnlab.core.inputs import Inputs
from nnlab.core.losses import LOSSES, loss_for, outputs_for
from nnlab.core.models import custom
from nnlab.core.models.registry import MODELS
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, make, part_values

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nnlab.core.front import Front


def loss_of(spec: TrainSpec, target: Target) -> Part:
    """The loss of a spec for a target, by its task where none is chosen; SpecError for one that does not fit."""
    part = loss_for(target.task, spec.loss)
    if LOSSES[part.name].facts.get("rate") and (target.scaler or (target.mean, target.scale) != (0.0, 1.0)):
        raise SpecError(f"loss {part.name} is for counts as they are; prepare the data with --scale_target none")
    return part


def network_for(spec: TrainSpec, pipeline: Pipeline, maker: custom.Maker = None) -> "nn.Module":
    """The network for a pipeline's features and target. maker: the user's own network, which gets codes as they are."""
    n_in = len(pipeline.feature_names)
    part = loss_of(spec, pipeline.target)
    n_out = outputs_for(part, len(pipeline.target.classes))
    if maker is not None:
        _check_own(spec)
        return custom.build(maker, n_in, n_out)
    inputs = inputs_of(spec, pipeline)
    facts = MODELS[spec.model.name].facts
    if facts.get("columns"):
        network = _made(spec.model, inputs, n_out)
    elif inputs.plain:
        network = _made(spec.model, n_in, n_out)
    else:
        network = _behind(inputs, spec.model, n_out)
    if not facts.get("members"):
        return network
    from nnlab.core.members import Joined

    rates = LOSSES[part.name].facts.get("rate")
    return Joined(network, "probabilities" if pipeline.target.classes else "rates" if rates else "outputs")


def member_count(spec: TrainSpec) -> int:
    """How many networks side by side a run trains; 1 for a network that is one alone."""
    return int(part_values(MODELS, spec.model).get("members", 1)) if spec.model.name in MODELS else 1


def members_apart(spec: TrainSpec) -> int | None:
    """How many members have weights of their own, (members, ...); None where weights have no such dimension."""
    found = MODELS[spec.model.name].facts if spec.model.name in MODELS else {}
    return member_count(spec) if found.get("members") == "apart" else None


def inputs_of(spec: TrainSpec, pipeline: Pipeline) -> Inputs:
    """What a network reads."""
    codes = {place: (found.cardinality, found.width) for place, found in pipeline.codes.items()}
    dropped = (spec.feature_dropout, spec.embedding_dropout)
    return Inputs(len(pipeline.feature_names), numbers_of(pipeline), codes, spec.embed, *dropped)


def numbers_of(pipeline: Pipeline) -> tuple[int, ...]:
    """Positions of the features that are measured numbers, not flags, shares or codes."""
    if any(kind == "reduce" for kind, _ in pipeline.finish):
        return tuple(range(len(pipeline.feature_names)))
    names: set[str] = set()
    for feature in pipeline.features:
        if isinstance(feature, Number) and feature.expand.name == "none":
            names.update(feature.own_labels)
        elif isinstance(feature, Date):
            names.update(label for _, number in feature.parts for label in number.own_labels)
    names.update(label for number in (pipeline.cross.numbers if pipeline.cross else ()) for label in number.own_labels)
    return tuple(place for place, name in enumerate(pipeline.feature_names) if name in names)


def fit_rows(network: "nn.Module", x: "Tensor") -> None:
    """Let layers that are made from training rows (bins of numbers) see them."""
    for layer in network.modules():
        fit: Callable[[Tensor], None] | None = getattr(layer, "fit_rows", None)
        if fit is not None:
            fit(x)


def _check_own(spec: TrainSpec) -> None:
    for name in ("embed", "feature_dropout", "embedding_dropout"):
        value = getattr(spec, name)
        if str(value) != "none" and value != 0.0:
            raise SpecError(f"{name}={value}: a network of your own reads the columns itself; leave --{name} out")


def _behind(inputs: Inputs, model: Part, n_out: int) -> "nn.Module":
    """The model with vectors of numbers and codes in front."""
    from torch import nn

    from nnlab.core.layers import CategoryEmbedding

    front: Front | CategoryEmbedding
    if inputs.embedded or inputs.feature_dropout:
        front = inputs.front()
    else:
        front = CategoryEmbedding(inputs.n_in, inputs.codes, dropout=inputs.embedding_dropout)
    return nn.Sequential(front, _made(model, front.n_out, n_out))


def _made(part: Part, reads: int | Inputs, n_out: int) -> "nn.Module":
    found: nn.Module = make(MODELS, part, reads, n_out)
    return found


def take_memory(model: "nn.Module") -> None:
    """Weights lie as those of a run that is loaded, so that both predict the same bits; not in a learner's memory."""
    import torch

    for weight in model.parameters():
        last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        weight.data = weight.data.clone(memory_format=torch.channels_last if last else torch.contiguous_format)
