"""Which learner a run gets: the stack where its hand-written steps can do all that the run asks for, else autograd."""

from dataclasses import fields

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.data.prepare import Prepared
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.protocol import Learner
from nnlab.core.models import MODELS
from nnlab.core.models.custom import Maker
from nnlab.core.network import loss_of
from nnlab.core.precision import AUTOCAST
from nnlab.core.spec import TrainSpec, defaults_for, part_values

# What the loop does by itself, or the stack whatever the value is. Another field must be as it is by default.
DONE = {"model", "optimizer", "schedule", "warmup", "loss", "init", "regularizers", "gradients", "average"}
DONE |= {"dropout_schedule", "decay_schedule", "epochs", "batch_size", "batch_growth", "patience", "min_delta"}
DONE |= {"class_weight", "embed", "layer_decay", "lr_bias", "lr_scale", "lr_embedding", "lr_activation", "lr_head"}
DONE |= {"bagging", "bootstrap", "own_order", "own_best"}
DONE |= {"monitor", "metrics", "seed", "device", "threads", "precision", "shuffle", "cuda_graphs"}
NORMS = ("none", "batch", "layer")
MODELS_BY_HAND = ("mlp", "resnet", "packed", "realmlp")
VALUES = {"members", "hidden", "activation", "dropout"}  # the same for the values of the network
VALUES |= {"width", "depth", "inner", "zero_init", "parametric", "input_scale", "dropout_kind"}
DEVICES = ("cpu", "cuda")


def choose(spec: TrainSpec, data: Prepared, device: str, maker: Maker = None, *, steps: int = 1) -> Learner:
    """The learner of a run, with its first weights drawn from the global generators. steps: of the whole run."""
    from nnlab.core.learners.stack.learner import StackLearner

    why = hindrance(spec, data, device, maker)
    if not why:
        return StackLearner(spec, data, device, steps=steps)
    learner = ModuleLearner(spec, data, device, maker, steps=steps)
    learner.why = why
    return learner


def hindrance(spec: TrainSpec, data: Prepared, device: str, maker: Maker = None) -> str:
    """The first thing of a run that the stack cannot do; '' if it can do all."""
    from nnlab.core.learners.stack import losses, updates

    if maker is not None:
        return "a network of your own"
    if device not in DEVICES:
        return f"device {device}"
    loss = loss_of(spec, data.target).name
    if loss not in losses.BY_HAND:
        return f"loss {loss}"
    if spec.optimizer.name not in updates.BY_HAND:
        return f"optimizer {spec.optimizer.name}"
    if spec.precision in AUTOCAST:
        return f"precision {spec.precision}"
    usual = defaults_for(spec)
    for field in fields(spec):
        if field.name not in DONE and getattr(spec, field.name) != usual[field.name]:
            return field.name
    return _network(spec)


def _network(spec: TrainSpec) -> str:
    name = spec.model.name
    if name not in MODELS_BY_HAND:
        return f"model {name}"
    values = part_values(MODELS, spec.model)
    for value, param in MODELS[name].params.items():
        known = value in VALUES or (value == "norm" and values[value] in NORMS)
        if not known and values[value] != param.default:
            return f"{value} {values[value]}"
    from nnlab.core.learners.stack.parametric import KNOWN

    activation = ACTIVATIONS[values["activation"]]
    return "" if type(activation.make((1,))) in KNOWN else f"activation {activation.name}"
