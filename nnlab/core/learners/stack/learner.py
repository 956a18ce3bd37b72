"""The learner of the loop on top of an engine of one member."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.data.prepare import Prepared
from nnlab.core.gradients import GRADIENTS, apply_rules
from nnlab.core.learners.stack.buffers import Groups
from nnlab.core.learners.stack.compiled.library import compiles
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.parts import Parts
from nnlab.core.learners.start import (
    average_of,
    class_counts,
    first_network,
    measured,
    network_of_some,
    penalties_of,
    tensors_of,
)
from nnlab.core.learners.state import dropouts, load_network, network_state, set_dropout
from nnlab.core.losses import LOSSES, make_loss
from nnlab.core.members import give_members, together
from nnlab.core.metrics import metrics_for
from nnlab.core.models import MODELS
from nnlab.core.network import loss_of, member_count, members_apart
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.parameter_groups import decay_groups, groups_of
from nnlab.core.randomness import member_seed
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.steering import smoothed


def members_for(  # noqa: PLR0913 (what a stack is made of)
    networks: Sequence[nn.Module],
    specs: Sequence[TrainSpec],
    data: Prepared,
    device: str,
    seeds: Sequence[int],
    joint: bool,
    table: Table | None = None,
) -> Members:
    """The networks as members of one stack; their optimizer has the first spec's values. specs: of each network. joint:
    as in `Members`. table: their training rows, where they are not those of the data."""
    spec, groups = specs[0], _groups(networks[0], specs)
    loss = loss_of(spec, data.target)
    criterion = Criterion(loss.name, part_values(LOSSES, loss), class_counts(data))
    table = table or Table(*tensors_of(data.train, spec, data, device))
    optimizer = Part(spec.optimizer.name, part_values(OPTIMIZERS, spec.optimizer))
    return Members(networks, groups, criterion, table, optimizer, seeds, joint)


def _groups(network: nn.Module, specs: Sequence[TrainSpec]) -> Groups:
    """The names of weights that are stepped alike, each group with its factor, or with that of each spec."""
    names = {id(weight): name for name, weight in network.named_parameters()}
    parts = [
        {names[id(weight)]: (group["decays"], float(group["factor"])) for group in groups for weight in group["params"]}
        for groups in (groups_of(network, spec) for spec in specs)
    ]
    found: dict[tuple[bool, float | tuple[float, ...]], list[str]] = {}
    for name, (decays, factor) in parts[0].items():
        each = tuple(part[name][1] for part in parts)
        found.setdefault((decays, factor if len(set(each)) == 1 else each), []).append(name)
    return [(own, decays, factor) for (decays, factor), own in found.items()]


GOING_ON = 0.75  # of the members that are computed, at most: to take some out costs as much as a few dozen steps


class StackLearner:
    """The learner for networks whose gradients are written by hand. steps: of the whole run.

    Of members that have left the network as a whole keeps what they had; the one that learns has the others alone.
    """

    name = "stack"
    why = ""

    def __init__(self, spec: TrainSpec, data: Prepared, device: str, *, steps: int = 1) -> None:
        self.device = device
        self.metrics = metrics_for(data.task, spec.metrics)
        self._target = data.target
        self._loss_part = loss_of(spec, data.target)
        self._loss = make_loss(self._loss_part, class_counts(data))
        self._smoothing = part_values(LOSSES, self._loss_part).get("label_smoothing", 0.0)
        self._spec, self._data = spec, data
        self._model = self._whole = first_network(spec, data).to(device).train()
        self.parameters = sum(p.numel() for p in self._model.parameters())
        self._valid = tensors_of(data.valid, spec, data, device)
        self._count = member_count(spec)
        self._stacked = self._going = list(range(self._count))  # members that are computed, and those that still learn
        self._lost = [0.0] * self._count
        joint = "members" in MODELS[spec.model.name].params
        seeds = [member_seed(spec.seed, k) for k in self._stacked]
        self._members = members_for([self._model], [spec], data, device, seeds, joint)
        self._members.dropout = [next((layer.p for layer in dropouts(self._model)), 0.0)] * self._count
        self._rules = [(GRADIENTS[part.name].make, part.values) for part in spec.gradients]
        self.draws = bool(self._rules)  # noise on gradients does; masks have streams of their own
        self._average = average_of(spec, self._model, steps)
        self._made = 0
        self._take_network()

    def _take_network(self) -> None:
        """What is done to gradients and weights of the network that learns; mostly nothing but the plain step."""
        spec, flat = self._spec, self._members.flat
        self._gradients = Parts(self._members, self._members.table, self._loss, lambda: list(self._model.buffers()))
        decaying, fixed = decay_groups(self._model)
        self._weights = [*decaying, *fixed]
        self._apart = flat.members if members_apart(spec) else None
        self._penalties = penalties_of(spec, self._model, len(self._data.feature_names))
        for name, weight in self._model.named_parameters():
            weight.grad = flat.views(flat.gradients, name)[0]

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        return self._model

    def step(self, rows: Tensor, lr: float) -> None:
        """One step on the training rows with these numbers, (n,), or (K, n) where each member has its own."""
        self.steps([rows], [lr])

    def _step(self, rows: Tensor, lr: float) -> None:
        """The same with all that may be done besides; rows of the members that are computed."""
        self._gradients(rows)
        if self._rules:
            apply_rules(self._rules, self._weights, self._made, self._apart, self._members.flat.mean_of)
        self._members.update([lr] * len(self._stacked))
        if self._penalties:
            with torch.no_grad():
                for penalize in self._penalties:
                    penalize(lr)
        if self._average is not None:
            self._average.update()
        self._made += 1

    def steps(self, batches: Sequence[Tensor], lrs: Sequence[float]) -> None:
        """As in `Learner`."""
        given = [self._own(rows) for rows in batches]
        if self._rules or self._penalties or self._average is not None or not all(map(self._gradients.fits, given)):
            for rows, lr in zip(given, lrs, strict=True):
                self._step(rows, lr)
            return
        self._members.train(given, [[lr] * len(self._stacked) for lr in lrs])
        self._made += len(lrs)

    def _own(self, rows: Tensor) -> Tensor:
        """The rows of the members that are computed."""
        return rows[self._stacked] if rows.ndim == 2 and len(rows) != len(self._stacked) else rows

    @contextlib.contextmanager
    def _best_weights(self) -> Iterator[None]:
        """Inside, the network has the weights that the run would give: those of an average, if there is one."""
        with self._average.inside() if self._average is not None else contextlib.nullcontext():
            yield

    def take_notes(self) -> list[str]:
        """What the user should know of the steps since the last call."""
        notes, self._gradients.notes[:] = list(self._gradients.notes), []
        return notes + self._members.take_notes()

    def take_loss(self) -> float:
        """Mean training loss over the rows seen since the last call, of members that have left the last that they had;
        nan if there were none."""
        for k, loss in zip(self._stacked, self._members.take_loss(), strict=True):
            if k in self._going:
                self._lost[k] = loss
        return math.fsum(self._lost)

    def keep(self, members: Sequence[int]) -> None:
        """As in `Ensemble`."""
        self._going = list(members)
        draws = any(GRADIENTS[part.name].facts.get("draws") for part in self._spec.gradients)  # for all at once
        if not draws and len(members) <= GOING_ON * len(self._stacked):
            self._leave_out(self._going)

    def _leave_out(self, chosen: list[int]) -> None:
        """Compute these of the stacked members alone from now on."""
        self._give_back()
        places, parts = [self._stacked.index(k) for k in chosen], self._gradients.count
        self._model = network_of_some(self._spec, self._data, self._whole, chosen)
        self._members = self._members.keep(places, self._model)
        if self._average is not None:
            self._average = self._average.of(self._model, places)
        self._stacked = chosen
        self._take_network()
        self._gradients.count = parts

    def _give_back(self) -> None:
        """The network as a whole has what members have learned since others left."""
        if self._model is not self._whole:
            give_members(self._model, self._whole, self._stacked)

    def outputs_of_members(self) -> Tensor:
        """As in `Learner`."""
        with self._best_weights():
            outputs = self._members.outputs(self._valid[0])
        return outputs if self._going == self._stacked else outputs[[self._stacked.index(k) for k in self._going]]

    def measure(self, outputs: Tensor, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """As in `Learner`."""
        output, chosen = together(self._model, outputs), self.metrics if metrics is None else metrics
        return measured(output, self._valid, self._loss, self._loss_part, self._target, chosen)

    def change(self, name: str, value: float) -> float:
        """Set a value that the run has from the next step on; gives the old one. Validation keeps the first loss."""
        if name == "label_smoothing":
            old, self._smoothing = self._smoothing, value
            self._members.loss = part_values(LOSSES, smoothed(self._loss_part, value))
            return old
        if name == "weight_decay":
            old, self._members.decays = self._members.decays[0], [value] * len(self._stacked)
            return old
        if dropouts(self._model):
            self._members.dropout = [value] * len(self._stacked)
        if self._model is not self._whole:
            set_dropout(self._whole, value)
        return set_dropout(self._model, value)

    def snapshot(self) -> Mapping[str, Tensor]:
        """A copy of weights and buffers."""
        with self._best_weights():
            now = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}
        if self._model is self._whole:
            return now
        every = {name: tensor.detach().clone() for name, tensor in self._whole.state_dict().items()}
        for name, tensor in now.items():
            if tensor.shape == every[name].shape:
                every[name] = tensor
            else:
                every[name][self._stacked] = tensor
        return every

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights and buffers back from a snapshot."""
        self._whole.load_state_dict(weights)
        self._model = self._whole

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; the tensors are the learner's own, no copies."""
        self._give_back()
        return {
            "network": network_state(self._whole),
            "stacked": self._stacked,
            "going": self._going,
            "lost": self._lost,
            "members": self._members.state(),
            "average": self._average.state() if self._average is not None else None,
            "made": self._made,
            "smoothing": self._smoothing,
            "parts": self._gradients.count,
            "compiled": compiles(self._members.flat.values),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, in a learner of the same spec and data."""
        load_network(self._whole, state["network"])
        stacked = list(state.get("stacked", self._stacked))
        if stacked != self._stacked:
            self._leave_out(stacked)
        self._going, self._lost = list(state.get("going", stacked)), list(state.get("lost", self._lost))
        if state.get("smoothing", self._smoothing) != self._smoothing:
            self.change("label_smoothing", state["smoothing"])
        self._members.load_state(state["members"])
        if self._average is not None:
            self._average.load(state["average"])
        self._made, self._gradients.count = state["made"], state.get("parts", 1)
        here = compiles(self._members.flat.values)
        if state.get("compiled", here) != here:
            self._gradients.notes.append(
                f"steps are {'now' if here else 'no longer'} compiled: results need not be the same to the last bit"
            )
