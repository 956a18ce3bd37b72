"""Words of a run that do nothing in it, so that nobody takes a technique for tried that was not there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlab.core.best import own_best_of
from nnlab.core.learners.state import dropouts
from nnlab.core.network import member_count, numbers_of
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.parameter_groups import decay_groups
from nnlab.core.schedules import SCHEDULES
from nnlab.core.spec import TrainSpec, defaults_for, part_values

if TYPE_CHECKING:
    from torch import nn

    from nnlab.core.data.prepare import Prepared


def idle_words(spec: TrainSpec, data: "Prepared", model: "nn.Module") -> list[str]:
    """A line for each word that was said and changes nothing on this data, in this network."""
    found = [*_of_columns(spec, data), *_of_courses(spec, model), *_of_others(spec, data, model)]
    return [f"{word} does nothing here: {why}" for word, why in found]


def _of_columns(spec: TrainSpec, data: "Prepared") -> Iterator[tuple[str, str]]:
    if spec.embedding_dropout and not data.pipeline.codes:
        yield "embedding_dropout", "no categories are embedded; prepare the data with --encode codes"
    brought = defaults_for(spec)["embed"].name
    if spec.embed.name not in ("none", brought) and not numbers_of(data.pipeline):
        yield "embed", "the data has no columns of numbers"


def _of_courses(spec: TrainSpec, model: "nn.Module") -> Iterator[tuple[str, str]]:
    usual = defaults_for(spec)
    if spec.dropout_schedule != usual["dropout_schedule"] and not any(layer.p for layer in dropouts(model)):
        yield "dropout_schedule", "the network has no dropout"
    decay = part_values(OPTIMIZERS, spec.optimizer).get("weight_decay")
    if spec.decay_schedule != usual["decay_schedule"] and not decay:
        yield "decay_schedule", f"{spec.optimizer} runs with no weight_decay"
    if spec.warmup not in (0.0, usual["warmup"]) and SCHEDULES[spec.schedule.name].facts.get("own_warmup"):
        yield "warmup", f"{spec.schedule} has a rise of its own, --schedule.rise"


def _of_others(spec: TrainSpec, data: "Prepared", model: "nn.Module") -> Iterator[tuple[str, str]]:
    if data.task == "regression" and any(part.name == "confidence_penalty" for part in spec.terms):
        yield "confidence_penalty", "it is for classes"
    if spec.own_order and member_count(spec) == 1:
        yield "own_order", "the network is one alone; --model packed and realmlp have members"
    if spec.own_best and own_best_of(spec) == 1:
        yield "own_best", "the network is one alone; --model packed and realmlp have members"
    elif spec.own_best and not len(data.valid):
        yield "own_best", "there are no validation rows"
    matrices = [weight for weight in decay_groups(model)[0] if weight.ndim == 2]
    if spec.optimizer.name == "muon" and len(matrices) < 2:
        yield "muon", "it steps hidden matrices, of which this network has none of two dimensions; all is AdamW's"
    if spec.optimizer.name == "soap" and not matrices:
        yield "soap", "it turns matrices, of which this network has none of two dimensions; all is Adam's"
