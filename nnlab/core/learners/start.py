"""What all learners begin with, and how they measure: one way, so that it is no difference between them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.core.averages import AVERAGES
from nnlab.core.averaging import Average
from nnlab.core.class_weights import balanced_weights
from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.data.target import Target, match
from nnlab.core.errors import SpecError, did_you_mean, nearest
from nnlab.core.inits import initialize, matrices
from nnlab.core.learners.state import dropouts
from nnlab.core.losses import Loss, levels_of, outputs_for
from nnlab.core.members import take_members
from nnlab.core.metrics import measure, wide
from nnlab.core.models import MODELS, custom
from nnlab.core.network import fit_rows, loss_of, network_for
from nnlab.core.parameter_groups import groups_of, separate
from nnlab.core.params import by_label
from nnlab.core.precision import dtype_of, in_precision
from nnlab.core.predict import points
from nnlab.core.registry import Part
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.selection import first_layer, input_columns
from nnlab.core.spec import TrainSpec, make, part_values

INIT_ROWS = 1024  # that data-dependent first weights look at
Penalty = Callable[[float], None]
BALANCED = "balanced"
FIT_ROWS = 100_000  # about so many at the most give bins of numbers


def first_network(spec: TrainSpec, data: Prepared, maker: custom.Maker = None) -> nn.Module:
    """The network with its first weights, drawn from the global generators. maker: the user's own network."""
    network = network_for(spec, data.pipeline, maker)
    n_out = outputs_for(loss_of(spec, data.target), len(data.target.classes))
    custom.check_output(network, len(data.feature_names), n_out)
    if maker is None:
        fit_rows(network, torch.from_numpy(data.train.x[:: 1 + len(data.train) // FIT_ROWS]).float())
    if maker is None or spec.init is not None:
        initialize(network, spec.init, activation_of(spec), torch.from_numpy(data.train.x[:INIT_ROWS]).float())
    dtype = dtype_of(spec)
    if dtype != torch.float32:
        network = in_precision(network, spec)  # the first weights are those of any precision
        custom.check_output(network, len(data.feature_names), n_out, dtype)
    return network


def network_of_some(spec: TrainSpec, data: Prepared, whole: nn.Module, chosen: Sequence[int]) -> nn.Module:
    """A network of the run's kind that holds these members of the whole one; nothing is drawn for it."""
    part = Part(spec.model.name, {**spec.model.values, "members": len(chosen)})
    with torch.random.fork_rng(devices=[]):
        network = in_precision(network_for(replace(spec, model=part), data.pipeline), spec)
    network = network.to(next(whole.parameters()).device).train()
    take_members(network, whole, chosen)
    for layer, own in zip(dropouts(network), dropouts(whole), strict=True):
        layer.p = own.p
    return network


def laid_out(network: nn.Module, spec: TrainSpec) -> nn.Module:
    """The network, weights of convolutions with their channels last if the run asks for it; SpecError without any."""
    if not spec.channels_last:
        return network
    if not any(isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) for layer in network.modules()):
        raise SpecError("channels_last is for networks with nn.Conv2d; this one has none")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def activation_of(spec: TrainSpec) -> str | None:
    """The activation of a registered network, None where it has none."""
    return part_values(MODELS, spec.model).get("activation") if spec.model.name in MODELS else None


def tensors_of(rows: Rows, spec: TrainSpec, data: Prepared, device: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Features, targets and, if rows have any, weights on the device, in the run's dtype but for class codes."""
    dtype = dtype_of(spec)
    x, y = torch.from_numpy(rows.x).to(device, dtype), torch.from_numpy(rows.y).to(device)
    own, each = rows.weight, class_weights(spec, data)
    if each is not None:
        own = each[rows.y] if own is None else each[rows.y] * own
    weight = None if own is None else torch.from_numpy(own).to(device, dtype)
    return x, y.to(dtype) if y.is_floating_point() else y, weight


def penalties_of(spec: TrainSpec, model: nn.Module, features: int) -> list[Penalty]:
    """The regularizers of a spec on weights that may shrink, each called with the step size of the run.

    SpecError for a network whose features a regularizer of inputs could not leave out.
    """
    if not spec.regularizers:
        return []
    found: list[Penalty] = []
    groups = groups_of(model, spec)
    for part in spec.regularizers:
        entry = REGULARIZERS[part.name]
        if entry.facts.get("scope") != "input":
            for group in groups:
                if group["decays"]:
                    step = partial(entry.make, separate(model, group["params"]), **part.values)
                    found.append(_with_share(step, group["factor"]))
            continue
        columns = input_columns(model, features)
        if columns is None:
            raise SpecError(
                f"{part.name} leaves features out in the first layer, past which model {spec.model} reads them too; "
                "it is for --model mlp, resnet, packed, realmlp, tabm, linear"
            )
        layer = first_layer(model)
        step = partial(entry.make, matrices(layer), columns=columns.to(layer.weight.device), **part.values)
        shares = {id(weight): group["factor"] for group in groups for weight in group["params"]}
        found.append(_with_share(step, shares.get(id(layer.weight), 1.0)))
    return found


def _with_share(step: Callable[..., None], factor: float) -> Penalty:
    """The proximal step of weights whose own step size is the factor times that of the run."""
    return lambda lr: step(lr=lr * factor)


def average_of(spec: TrainSpec, model: nn.Module, steps: int) -> Average | None:
    """The average of the weights that a spec asks for."""
    if spec.average.name == "none":
        return None
    zeros = any(REGULARIZERS[part.name].facts.get("zeros") for part in spec.regularizers)
    return Average(model, make(AVERAGES, spec.average), steps, keep_zeros=zeros)


def class_counts(data: Prepared) -> list[int]:
    """Training rows of each class, by weight where rows have one; none for a regression."""
    if not data.target.classes:
        return []
    return np.bincount(data.train.y, data.train.weight, len(data.target.classes)).tolist()


def class_weights(spec: TrainSpec, data: Prepared) -> np.ndarray | None:
    """float64 (classes,), what the spec says that rows of each class count, by code; None where all count alike.

    SpecError for a class that is not there, for numbers as a target, and where no training row would count.
    """
    target, counts = data.target, class_counts(data)
    if not spec.class_weight:
        return None
    if not target.classes:
        raise SpecError(f"class_weight is for classes; the target {target.name!r} is a number")
    if spec.class_weight == (BALANCED,):
        return balanced_weights(counts)
    labels, weights = list(target.labels), np.ones(len(target.classes))
    told = by_label(spec.class_weight)
    codes = match(np.array(list(told), object), {label: code for code, label in enumerate(labels)})[:-1]
    for (label, weight), code in zip(told.items(), codes, strict=True):
        if code < 0:
            known = nearest(label, labels, "data.target.labels")
            raise SpecError(f"class_weight: no class {label!r}; there are {known}{did_you_mean(label, labels)}")
        weights[code] = weight
    if not (weights * counts).any():
        raise SpecError("class_weight leaves no training row: every class that has some counts 0")
    return weights


def measured(
    output: Tensor,
    rows: tuple[Tensor, Tensor, Tensor | None],
    loss: Loss,
    part: Part,
    target: Target,
    metrics: Sequence[str],
) -> dict[str, float]:
    """The loss and every metric of outputs (n, n_out) for rows with their targets. part: the loss by name."""
    _, y, weight = rows
    value = (loss(output, y) if weight is None else loss(output, y, weight)).item()
    output = points(output, part, target.task)
    truth: Any = y
    if target.scaler:
        output, truth = (torch.from_numpy(target.decode(values.cpu().numpy())) for values in (output, y))
    elif not target.classes:
        output, truth = (wide(values) * target.scale + target.mean for values in (output, y))
    return {"loss": value, **measure(tuple(metrics), output, truth, levels_of(part))}
