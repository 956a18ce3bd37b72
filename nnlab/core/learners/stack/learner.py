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
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.parts import Parts
from nnlab.core.learners.start import average_of, class_counts, first_network, measured, penalties_of, tensors_of
from nnlab.core.learners.state import dropouts, load_network, network_state, set_dropout
from nnlab.core.losses import LOSSES, make_loss
from nnlab.core.members import Joined
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


class StackLearner:
    """The learner for networks whose gradients are written by hand. steps: of the whole run."""

    name = "stack"
    why = ""

    def __init__(self, spec: TrainSpec, data: Prepared, device: str, *, steps: int = 1) -> None:
        self.device = device
        self.metrics = metrics_for(data.task, spec.metrics)
        self._target = data.target
        self._loss_part = loss_of(spec, data.target)
        self._loss = make_loss(self._loss_part, class_counts(data))
        self._smoothing = part_values(LOSSES, self._loss_part).get("label_smoothing", 0.0)
        self._model = first_network(spec, data).to(device).train()
        self.parameters = sum(p.numel() for p in self._model.parameters())
        self._valid = tensors_of(data.valid, spec, data, device)
        decaying, fixed = decay_groups(self._model)
        self._joint = "members" in MODELS[spec.model.name].params
        self._count = member_count(spec)
        seeds = [member_seed(spec.seed, k) for k in range(self._count)]
        self._members = members_for([self._model], [spec], data, device, seeds, self._joint)
        self._members.dropout = [next((layer.p for layer in self._dropouts), 0.0)] * self._count
        self._gradients = Parts(self._members, self._members.table, self._loss, lambda: list(self._model.buffers()))
        self._weights = [*decaying, *fixed]
        self._take_techniques(spec, data, decaying, steps)
        flat = self._members.flat
        for name, weight in self._model.named_parameters():
            weight.grad = flat.views(flat.gradients, name)[0]

    def _take_techniques(self, spec: TrainSpec, data: Prepared, decaying: list[nn.Parameter], steps: int) -> None:
        """What is done to gradients and weights besides the plain step; mostly nothing."""
        self._rules = [(GRADIENTS[part.name].make, part.values) for part in spec.gradients]
        self._apart = members_apart(spec)
        self.draws = bool(self._rules)  # noise on gradients does; masks have streams of their own
        self._penalties = penalties_of(spec, self._model, decaying, len(data.feature_names))
        self._average = average_of(spec, self._model, steps)
        self._made = 0

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        return self._model

    @property
    def _dropouts(self) -> list[Any]:
        return dropouts(self._model)

    def step(self, rows: Tensor, lr: float) -> None:
        """One step on the training rows with these numbers, (n,), or (K, n) where each member has its own."""
        self._gradients(rows)
        if self._rules:
            apply_rules(self._rules, self._weights, self._made, self._apart)
        self._members.update([lr] * self._count)
        if self._penalties:
            with torch.no_grad():
                for penalize in self._penalties:
                    penalize(lr)
        if self._average is not None:
            self._average.update()
        self._made += 1

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
        """Mean training loss over the rows seen since the last call; nan if there were none."""
        return math.fsum(self._members.take_loss())

    def validate(self) -> dict[str, float]:
        """The loss and every metric of the validation rows; empty if there are none."""
        return self.measure(self.outputs_of_members()) if len(self._valid[1]) else {}

    def outputs_of_members(self) -> Tensor:
        """What each member gives for the validation rows, (K, n, n_out)."""
        with self._best_weights():
            return self._members.outputs(self._valid[0])

    def measure(self, outputs: Tensor, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """The loss and every metric, or these, of what some members give for the validation rows, together."""
        output = self._model.joined(outputs.transpose(0, 1)) if isinstance(self._model, Joined) else outputs[0]
        chosen = self.metrics if metrics is None else metrics
        return measured(output, self._valid, self._loss, self._loss_part, self._target, chosen)

    def change(self, name: str, value: float) -> float:
        """Set a value that the run has from the next step on; gives the old one. Validation keeps the first loss."""
        if name == "label_smoothing":
            old, self._smoothing = self._smoothing, value
            self._members.loss = part_values(LOSSES, smoothed(self._loss_part, value))
            return old
        if name == "weight_decay":
            old, self._members.decays = self._members.decays[0], [value] * self._count
            return old
        if self._dropouts:
            self._members.dropout = [value] * self._count
        return set_dropout(self._model, value)

    def snapshot(self) -> Mapping[str, Tensor]:
        """A copy of weights and buffers."""
        with self._best_weights():
            return {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights and buffers back from a snapshot."""
        self._model.load_state_dict(weights)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; the tensors are the learner's own, no copies."""
        return {
            "network": network_state(self._model),
            "members": self._members.state(),
            "average": self._average.state() if self._average is not None else None,
            "made": self._made,
            "smoothing": self._smoothing,
            "parts": self._gradients.count,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, in a learner of the same spec and data."""
        load_network(self._model, state["network"])
        if state.get("smoothing", self._smoothing) != self._smoothing:
            self.change("label_smoothing", state["smoothing"])
        self._members.load_state(state["members"])
        if self._average is not None:
            self._average.load(state["average"])
        self._made, self._gradients.count = state["made"], state.get("parts", 1)
