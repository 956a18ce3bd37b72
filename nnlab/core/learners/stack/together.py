"""Runs of one shape, each with a learner of its own for the loop, whose steps are made together."""

import contextlib
import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.averaging import Average
from nnlab.core.data.prepare import Prepared
from nnlab.core.gradients import GRADIENTS, Rules, apply_rules
from nnlab.core.learners.choice import hindrance
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.learner import members_for
from nnlab.core.learners.start import Penalty, average_of, class_counts, measured, penalties_of, tensors_of
from nnlab.core.learners.state import dropouts, set_dropout
from nnlab.core.losses import LOSSES, make_loss
from nnlab.core.members import together
from nnlab.core.metrics import metrics_for
from nnlab.core.models import MODELS
from nnlab.core.network import inputs_of, loss_of, members_apart
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.pace import at_once
from nnlab.core.parameter_groups import decay_groups
from nnlab.core.spec import TrainSpec, part_values


def can_stand_together(spec: TrainSpec, data: Prepared, device: str) -> bool:
    """Whether a run can be a member: one network, that takes no random numbers from the generators of all."""
    draws = any(GRADIENTS[part.name].facts.get("draws") for part in spec.gradients)
    joint = spec.model.name in MODELS and MODELS[spec.model.name].facts.get("members")
    return not draws and not (joint and members_apart(spec) != 1) and not hindrance(spec, data, device)


def can_share(one: Prepared, other: Prepared, spec: TrainSpec) -> bool:
    """Whether runs on these data can stand in one stack: rows alike, and a loss that counts none."""
    sizes = [(len(d.train.y), len(d.valid.y), d.train.weight is None, d.target.classes) for d in (one, other)]
    counted = "counts" in inspect.signature(LOSSES[loss_of(spec, one.target).name].make).parameters
    plain = spec.embed.name == "none" and not counted and spec.class_weight == TrainSpec().class_weight
    return plain and sizes[0] == sizes[1] and inputs_of(spec, one.pipeline) == inputs_of(spec, other.pipeline)


def _joined(tables: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> Table:
    """The rows of all, one set after the other."""
    if len(tables) == 1:
        return Table(*tables[0])
    x, y = torch.cat([table[0] for table in tables]), torch.cat([table[1] for table in tables])
    weights = [table[2] for table in tables if table[2] is not None]
    return Table(x, y, torch.cat(weights) if weights else None)


class Together:
    """Runs whose specs differ in lr, its factors by role, weight_decay, dropout, what draws first weights, and seed.

    networks: of each, with its first weights. steps: of each run. own: the data of each, where they are not the same:
    `can_share` says of which.

    Per epoch: each learner puts its steps down, `steps` makes them, `measure` finds losses and outputs for all.
    """

    def __init__(
        self,
        specs: Sequence[TrainSpec],
        networks: Sequence[nn.Module],
        data: Prepared,
        device: str,
        steps: int = 1,
        own: Sequence[Prepared] | None = None,
    ) -> None:
        first = specs[0]
        self.data, self.device = data, device
        held = list(own or [data] * len(specs))
        several = list({id(one): one for one in held}.values())
        valid = {id(one): tensors_of(one.valid, first, one, device) for one in several}
        self.loss_part = loss_of(first, data.target)
        self.loss = make_loss(self.loss_part, class_counts(data))
        self.metrics = metrics_for(data.task, first.metrics)
        seeds = [spec.seed for spec in specs]
        table = _joined([tensors_of(one.train, first, one, device) for one in several])
        starts = dict(zip(map(id, several), range(0, len(table.y), len(data.train.y)), strict=True))
        self._shared = len(several) == 1 and len(set(seeds)) == 1  # all make the same steps
        joint = members_apart(first) is not None
        self.members = members_for(networks, specs, data, device, seeds, joint, table)
        self.members.decays = [float(part_values(OPTIMIZERS, spec.optimizer)["weight_decay"]) for spec in specs]
        self.members.dropout = [next((layer.p for layer in dropouts(network)), 0.0) for network in networks]
        self.learners = [
            MemberLearner(self, spec, network, at, average_of(spec, network, steps))
            for at, (spec, network) in enumerate(zip(specs, networks, strict=True))
        ]
        for learner, one in zip(self.learners, held, strict=True):
            learner.data, learner.valid, learner.start = one, valid[id(one)], starts[id(one)]
        self._first = first
        self._take_techniques()
        self.losses: list[float] = []
        self.outputs = torch.empty(0)  # of each member for the validation rows, (K, n, n_out)

    def _take_techniques(self) -> None:
        """What is done to gradients and weights besides the plain step, by each learner to its own; mostly nothing."""
        spec, flat = self._first, self.members.flat
        for learner in self.learners:
            decaying, fixed = decay_groups(learner.model)
            learner.weights = [*decaying, *fixed]
            learner.apart = members_apart(spec)
            learner.rules = [(GRADIENTS[part.name].make, part.values) for part in spec.gradients]
            learner.penalties = penalties_of(learner.spec, learner.model, len(self.data.feature_names))
            for name, weight in learner.model.named_parameters() if learner.rules else ():
                weight.grad = flat.views(flat.gradients, name)[learner.at]

    def steps(self) -> Iterator[tuple[int, int]]:
        """Make the steps that were put down, one after the other; gives how many are made, of how many."""
        planned = [learner.take_planned() for learner in self.learners]
        lrs = list(zip(*([lr for _, lr in steps] for steps in planned), strict=True))
        plain = not any(one.rules or one.penalties or one.average is not None for one in self.learners)
        done, many = 0, 1
        while done < len(lrs):
            own, began = lrs[done : done + many], time.perf_counter()
            rows = [self._rows(planned, at) for at in range(done, done + len(own))]
            if plain:
                self.members.train(rows, own)
                many = at_once((time.perf_counter() - began) / len(own))
            else:
                self._step(rows[0], own[0])
            done += len(own)
            yield done, len(lrs)

    def _step(self, rows: Tensor, lrs: Sequence[float]) -> None:
        """One with all that is done to gradients and weights besides."""
        self.members.gradients(rows)
        for learner in self.learners:
            learner.change_gradients()
        self.members.update(lrs)
        for learner, lr in zip(self.learners, lrs, strict=True):
            learner.change_weights(lr)

    def _rows(self, planned: Sequence[Sequence[tuple[Tensor, float]]], at: int) -> Tensor:
        """The rows of a step: (n,) where they are the same for all, else (K, n)."""
        if self._shared:
            return planned[0][at][0]
        pairs = zip(self.learners, planned, strict=True)
        return torch.stack([steps[at][0] + learner.start for learner, steps in pairs])

    def measure(self) -> None:
        """The losses since the last call, and the outputs for the validation rows."""
        self.losses = self.members.take_loss()
        with contextlib.ExitStack() as inside:
            for learner in self.learners:
                inside.enter_context(learner.best_weights())
            x = [learner.valid[0] for learner in self.learners]
            alike = all(one is x[0] for one in x)
            self.outputs = self.members.outputs(x[0] if alike else torch.stack(x))

    def copy(self, source: "MemberLearner", target: "MemberLearner") -> None:
        """The target goes on with what the source has learned."""
        self.members.copy(source.at, target.at)
        if source.average is not None and target.average is not None:
            target.average.load(source.average.state())

    def keep(self, chosen: Sequence["MemberLearner"]) -> None:
        """Go on with these; the networks of the others hold their weights by themselves from now on."""
        if len(chosen) == len(self.learners):
            return
        for learner in self.learners:
            if learner not in chosen:
                for weight in learner.model.parameters():
                    weight.data = weight.data.clone()
        if chosen:
            self.members = self.members.keep([learner.at for learner in chosen])
        self.learners = list(chosen)
        for at, learner in enumerate(self.learners):
            learner.at = at
        self._take_techniques()


class MemberLearner:
    """The learner of one run in a stack. spec: of the run. at: its place there. average: of its weights, if it has one.

    weights, rules, penalties, apart: what `Together` gives it for its network.
    """

    name = "stack"
    why = ""
    draws = False

    def __init__(self, stack: Together, spec: TrainSpec, network: nn.Module, at: int, average: Average | None) -> None:
        self.device, self.spec, self.at, self.average = stack.device, spec, at, average
        self.weights: list[nn.Parameter] = []
        self.rules: Rules = ()
        self.penalties: list[Penalty] = []
        self.apart: int | None = None
        self._made = 0
        self.data = stack.data
        self.valid: tuple[Tensor, Tensor, Tensor | None]
        self.start = 0  # of its rows in the table of all
        self.parameters = sum(weight.numel() for weight in network.parameters())
        self._stack, self._model = stack, network
        self._planned: list[tuple[Tensor, float]] = []

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        return self._model

    def step(self, rows: Tensor, lr: float) -> None:
        """Put a step down."""
        self._planned.append((rows, lr))

    def steps(self, batches: Sequence[Tensor], lrs: Sequence[float]) -> None:
        """Put some down."""
        self._planned += zip(batches, lrs, strict=True)

    def change_gradients(self) -> None:
        """What the rules of the run do to them before a step."""
        if self.rules:
            apply_rules(self.rules, self.weights, self._made, self.apart)

    def change_weights(self, lr: float) -> None:
        """What comes after a step."""
        self._made += 1
        if self.penalties:
            with torch.no_grad():
                for penalize in self.penalties:
                    penalize(lr)
        if self.average is not None:
            self.average.update()

    def best_weights(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the network has the weights that the run would give: those of an average, if there is one."""
        return self.average.inside() if self.average is not None else contextlib.nullcontext()

    def take_planned(self) -> list[tuple[Tensor, float]]:
        """The steps that were put down since the last call."""
        planned, self._planned = self._planned, []
        return planned

    def take_notes(self) -> list[str]:
        """Nothing."""
        return []

    def take_loss(self) -> float:
        """Mean training loss over the rows of the epoch."""
        return self._stack.losses[self.at]

    def outputs_of_members(self) -> Tensor:
        """What the network gives for the validation rows, (1, n, n_out)."""
        return self._stack.outputs[self.at : self.at + 1]

    def measure(self, outputs: Tensor, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """As in `Learner`."""
        stack, output = self._stack, together(self._model, outputs)
        chosen = stack.metrics if metrics is None else metrics
        return measured(output, self.valid, stack.loss, stack.loss_part, self.data.target, chosen)

    def change(self, name: str, value: float) -> float:
        """Set weight_decay or dropout from the next step on; gives the old value."""
        members = self._stack.members
        if name == "weight_decay":
            old, members.decays = members.decays[self.at], _with(members.decays, self.at, value)
            return old
        if dropouts(self._model):
            members.dropout = _with(members.dropout, self.at, value)
        return set_dropout(self._model, value)

    def snapshot(self) -> Mapping[str, Tensor]:
        """A copy of weights and buffers."""
        with self.best_weights():
            return {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights and buffers back from a snapshot."""
        self._model.load_state_dict(weights)

    def state(self) -> dict[str, Any]:
        """A run in a stack is not resumed."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Any]) -> None:
        """A run in a stack is not resumed."""
        raise NotImplementedError


def _with(values: Sequence[float], at: int, value: float) -> list[float]:
    return [*values[:at], value, *values[at + 1 :]]
