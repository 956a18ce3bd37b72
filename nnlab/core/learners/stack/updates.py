"""Steps of the weights of all members: one fused call a group where members agree, else one a member and group."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat, Group
from nnlab.core.learners.stack.private import adam_step, sgd_step

Values = dict[str, Any]


class Update:
    """An optimizer over a flat buffer. values: as of the registered one; decays: weight decay of each member."""

    def __init__(self, flat: Flat, name: str, values: Values) -> None:
        self._flat = flat
        self.decays = [float(values["weight_decay"])] * flat.members
        self._fused, moments = BY_HAND[name](values, flat.values.device.type)
        self.moments = [flat.like() for _ in range(moments)]
        self.made = torch.zeros((), device=flat.values.device)
        self._counts = name in ("adam", "adamw")
        self._parts = [self._of_all(group) for group in flat.groups]
        self._own = [[self._of_one(group, k) for k in range(flat.members)] for group in flat.groups]

    def _buffers(self) -> list[Tensor]:
        return [self._flat.values, self._flat.gradients, *self.moments]

    def _of_all(self, group: Group) -> list[list[Tensor]]:
        return [[buffer[group.start : group.stop]] for buffer in self._buffers()]

    def _of_one(self, group: Group, member: int) -> list[list[Tensor]]:
        return [self._flat.parts(buffer, group, member) for buffer in self._buffers()]

    def step(self, lrs: Sequence[float]) -> None:
        """One step with these gradients and a step size for each member."""
        if self._counts:
            self.made.add_(1)
        agree = all(lr == lrs[0] for lr in lrs) and all(decay == self.decays[0] for decay in self.decays)
        for group, whole, own in zip(self._flat.groups, self._parts, self._own, strict=True):
            if group.start == group.stop:
                continue
            for k, parts in enumerate([whole] if agree else own):
                decay = self.decays[k] if group.decays else 0.0
                counts = ([self.made] * len(parts[0]),) if self._counts else ()
                self._fused(*_arguments(parts), *counts, lr=lrs[k] * group.factor, weight_decay=decay)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"moments": self.moments, "made": self.made, "decays": torch.tensor(self.decays, dtype=torch.float64)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for own, kept in zip(self.moments, state["moments"], strict=True):
            own.copy_(kept)
        self.made.copy_(state["made"])
        self.decays = state["decays"].tolist()


def _arguments(parts: list[list[Tensor]]) -> list[Any]:
    """Weights, gradients and moments; SGD without momentum wants an empty list for these."""
    return parts if len(parts) > 2 else [*parts, []]


def _adam(values: Values, device: str, decoupled: bool) -> tuple[Callable[..., None], int]:
    fixed = {name: values[name] for name in ("beta1", "beta2", "eps")}
    return partial(adam_step(device), decoupled=decoupled, **fixed), 2


def _sgd(values: Values, device: str, nesterov: bool) -> tuple[Callable[..., None], int]:
    momentum = values.get("momentum", 0.0)
    return partial(sgd_step(device), momentum=momentum, nesterov=nesterov), 1 if momentum else 0


def _nesterov(values: Values, device: str) -> tuple[Callable[..., None], int]:
    return _sgd(values | {"momentum": values["momentum"] or 1e-12}, device, nesterov=True)


BY_HAND: dict[str, Callable[[Values, str], tuple[Callable[..., None], int]]] = {
    "adam": partial(_adam, decoupled=False),
    "adamw": partial(_adam, decoupled=True),
    "sgd": partial(_sgd, nesterov=False),
    "momentum": partial(_sgd, nesterov=False),
    "nesterov": _nesterov,
}
