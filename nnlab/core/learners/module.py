"""Trains any nn.Module by autograd, with the data as tensors on the device and no DataLoader."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.augments import augmented
from nnlab.core.batch import Batch, Pass
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError, SpecError
from nnlab.core.gradients import GRADIENTS, apply_rules
from nnlab.core.learners.calls import training_call
from nnlab.core.learners.pieces import Pieces
from nnlab.core.learners.start import (
    average_of,
    class_counts,
    first_network,
    laid_out,
    measured,
    penalties_of,
    tensors_of,
)
from nnlab.core.learners.state import load_network, network_state, set_dropout
from nnlab.core.losses import LOSSES, make_loss
from nnlab.core.members import together
from nnlab.core.metrics import metrics_for
from nnlab.core.models import custom
from nnlab.core.network import loss_of, members_apart
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.parameter_groups import decay_groups, groups_of
from nnlab.core.precision import dtype_of
from nnlab.core.predict import forward_of_members
from nnlab.core.randomness import put_states, take_states
from nnlab.core.spec import TrainSpec, make, part_values
from nnlab.core.steering import amount_of, part_with, smoothed
from nnlab.core.terms import TERMS


class ModuleLearner:
    """The learner for networks that autograd differentiates.

    maker: the user's own network instead of the spec's. steps: of the whole run.
    """

    name = "module"
    draws = True
    why = ""  # not the stack: what of the run it cannot do

    def __init__(
        self, spec: TrainSpec, data: Prepared, device: str, maker: custom.Maker = None, *, steps: int = 1
    ) -> None:
        self.device = device
        self.metrics = metrics_for(data.task, spec.metrics)
        self._target = data.target
        self._loss_part = loss_of(spec, data.target)
        self._model: nn.Module = laid_out(first_network(spec, data, maker).to(device), spec).train()
        self.parameters = sum(p.numel() for p in self._model.parameters())
        self._x, self._y, self._weights_of_rows = tensors_of(data.train, spec, data, device)
        self._valid = tensors_of(data.valid, spec, data, device)
        self._counts = class_counts(data)
        self._loss = self._learned_loss = make_loss(self._loss_part, self._counts)
        self._steered: dict[str, float] = {}
        self._pieces = Pieces(self._model, self._loss, device, spec.accumulate)
        self._forward = training_call(self._model, spec, device, self._pieces)
        self.scaler = torch.amp.GradScaler(device) if spec.precision == "fp16" else None
        decaying, fixed = decay_groups(self._model)
        if not decaying and not fixed:
            raise RunError("the model has no weights that can be trained")
        self._optimizer = optimizer_for(spec, groups_of(self._model, spec))
        self._searches = needs_closure(spec)
        if self._searches and self.scaler is not None:
            raise SpecError(f"precision=fp16 does not go with {spec.optimizer}, which evaluates the loss several times")
        self._weights = [*decaying, *fixed]
        self._take_techniques(spec, data, steps)
        self._weight_decay = part_values(OPTIMIZERS, spec.optimizer).get("weight_decay", 0.0)
        self._sum = torch.zeros((), dtype=dtype_of(spec), device=device)
        self._seen = 0

    def _take_techniques(self, spec: TrainSpec, data: Prepared, steps: int) -> None:
        """What is done to rows, loss, gradients and weights besides the plain step; mostly nothing."""
        self._apart = members_apart(spec)
        self._rules = [(GRADIENTS[part.name].make, part.values) for part in spec.gradients]
        self._penalties = penalties_of(spec, self._model, len(data.feature_names))
        self._own_augments, self._augments = spec.augments, list(spec.augments)
        self._terms = [(TERMS[part.name].make, part.values) for part in spec.terms]
        self._adding: list[Any] = [layer for layer in self._model.modules() if hasattr(layer, "added_loss")]
        self._average = average_of(spec, self._model, steps)
        codes = data.pipeline.codes
        places = torch.zeros(len(data.feature_names), dtype=torch.bool, device=self.device)
        places[list(codes)] = True
        self._codes = places if codes else None
        self._made = 0
        self._going: list[int] | None = None  # members that still learn, where some have left

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        return self._model

    def steps(self, batches: Sequence[Tensor], lrs: Sequence[float]) -> None:
        """As in `Learner`."""
        for rows, lr in zip(batches, lrs, strict=True):
            self.step(rows, lr)

    def step(self, rows: Tensor, lr: float) -> None:
        """One step on the training rows with these numbers."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group.get("factor", 1.0)
        weight = None if self._weights_of_rows is None else self._weights_of_rows.index_select(0, rows)
        batch = Batch(self._x.index_select(0, rows), self._y.index_select(0, rows), weight, self._codes)
        batch = augmented(batch, self._augments)
        if self._searches:
            loss = self._search(batch)
        else:
            loss = self._gradient(batch)
            if self.scaler is None:
                self._optimizer.step()
            else:
                self.scaler.step(self._optimizer)
                self.scaler.update()
        if self._penalties:
            with torch.no_grad():
                for penalize in self._penalties:
                    penalize(lr)
        if self._average is not None:
            self._average.update()
        self._made += 1
        self._sum += loss * len(rows)
        self._seen += len(rows)

    def _backward(self, batch: Batch) -> Tensor:
        """The loss of rows, its gradients added to those of the weights."""
        output = self._forward(batch.x)
        value = loss = batch.loss(output, self._learned_loss)
        for layer in self._adding:
            if layer.added_loss is not None:
                loss = loss + layer.added_loss * batch.part
        for term, values in self._terms:
            loss = loss + term(Pass(batch, output, value, self._forward, self._learned_loss), **values)
        torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))
        return loss.detach()

    def _gradient(self, batch: Batch) -> Tensor:
        """The loss of a step's rows, its gradients in the weights."""
        for weight in self._weights:
            weight.grad = None
        loss = self._pieces(batch, self._backward)
        if self.scaler is not None:
            self.scaler.unscale_(self._optimizer)
        if self._rules:
            apply_rules(self._rules, self._weights, self._made, self._apart)
        return loss

    def _search(self, batch: Batch) -> Tensor:
        """A step that evaluates the loss several times, each with the same dropout; running means see it once."""
        state, losses = take_states(self.device), list[Tensor]()
        norms: list[Any] = [layer for layer in self._model.modules() if getattr(layer, "track_running_stats", False)]

        def closure() -> Tensor:
            if losses:
                put_states(self.device, state)
                for layer in norms:
                    layer.track_running_stats = False
            losses.append(self._gradient(batch))
            return losses[-1]

        try:
            self._optimizer.step(closure)  # type: ignore[arg-type]
        finally:
            for layer in norms:
                layer.track_running_stats = True
        return losses[0]

    @contextlib.contextmanager
    def _best_weights(self) -> Iterator[None]:
        """Inside, the network has the weights that the run would give: those of an average, if there is one."""
        getattr(self._optimizer, "eval", lambda: None)()
        try:
            with self._average.inside() if self._average is not None else contextlib.nullcontext():
                yield
        finally:
            getattr(self._optimizer, "train", lambda: None)()

    def take_notes(self) -> list[str]:
        """What the user should know of the steps since the last call."""
        notes, self._pieces.notes[:] = list(self._pieces.notes), []
        return notes

    def take_loss(self) -> float:
        """Mean training loss over the rows seen since the last call; nan if there were none."""
        mean = self._sum.item() / self._seen if self._seen else float("nan")
        self._sum.zero_()
        self._seen = 0
        return mean

    def keep(self, members: Sequence[int]) -> None:
        """As in `Ensemble`. The others are still computed."""
        self._going = list(members)

    def outputs_of_members(self) -> Tensor:
        """As in `Learner`."""
        with self._best_weights():
            outputs = forward_of_members(self._model, self._valid[0], self.device)
        return outputs if self._going is None else outputs[self._going]

    def measure(self, outputs: Tensor, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """As in `Learner`."""
        output, chosen = together(self._model, outputs), self.metrics if metrics is None else metrics
        return measured(output, self._valid, self._loss, self._loss_part, self._target, chosen)

    def change(self, name: str, value: float) -> float:
        """Set a value that the run has from the next step on; gives the old one. Validation keeps the first loss."""
        if name not in ("weight_decay", "dropout"):
            return self._steer(name, value)
        if name == "weight_decay":
            for group in self._optimizer.param_groups:
                if group["decays"]:
                    group["weight_decay"] = value
            old, self._weight_decay = self._weight_decay, value
            return float(old)
        return set_dropout(self._model, value)

    def _steer(self, name: str, value: float) -> float:
        """Another label smoothing, or amount of an augmentation."""
        if name == "label_smoothing":
            usual = part_values(LOSSES, self._loss_part)[name]
            self._learned_loss = make_loss(smoothed(self._loss_part, value), self._counts)
        else:
            usual = next(amount_of(name, part.values) for part in self._own_augments if part.name == name)
        old = self._steered.get(name, usual)
        self._steered[name] = value
        parts = [part_with(part, self._steered) for part in self._own_augments]
        self._augments = [part for part in parts if amount_of(part.name, part.values)]
        return old

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
            "optimizer": self._optimizer.state_dict(),
            "weight_decay": self._weight_decay,
            "steered": dict(self._steered),
            "average": self._average.state() if self._average is not None else None,
            "loss": {"sum": self._sum, "seen": self._seen},
            "made": self._made,
            "scaler": self.scaler.state_dict() if self.scaler is not None else None,
            "pieces": self._pieces.count,
            "going": self._going,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, in a learner of the same spec and data."""
        load_network(self._model, state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._weight_decay = state["weight_decay"]
        for name, value in state.get("steered", {}).items():
            self.change(name, value)
        if self._average is not None:
            self._average.load(state["average"])
        self._sum.copy_(state["loss"]["sum"])
        self._seen, self._made = state["loss"]["seen"], state["made"]
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self._pieces.count = state["pieces"]
        self._going = state.get("going")


def optimizer_for(spec: TrainSpec, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer of a spec with what is put around it; SpecError for two that do not go together."""
    if OPTIMIZERS[spec.optimizer.name].facts.get("closure"):
        for part in spec.wrappers:
            if WRAPPERS[part.name].facts.get("closure"):
                raise SpecError(f"{part.name} cannot be put around {spec.optimizer}, which searches by itself")
    optimizer: torch.optim.Optimizer = make(OPTIMIZERS, spec.optimizer, groups)
    for part in spec.wrappers:
        optimizer = make(WRAPPERS, part, optimizer)
    return optimizer


def needs_closure(spec: TrainSpec) -> bool:
    """Whether a step of the optimizer evaluates the loss several times."""
    entries = [OPTIMIZERS[spec.optimizer.name], *(WRAPPERS[part.name] for part in spec.wrappers)]
    return any(entry.facts.get("closure") for entry in entries)
