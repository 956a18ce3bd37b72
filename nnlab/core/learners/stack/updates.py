"""Steps of the weights of all members: one fused call a group where members agree, else one a group and member."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat
from nnlab.core.learners.stack.compiled.adam import CompiledAdam
from nnlab.core.learners.stack.compiled.library import compiles
from nnlab.core.learners.stack.compiled.program import Program
from nnlab.core.stepping.private import adam_step, sgd_step

Values = dict[str, Any]


class Update:
    """An optimizer over a flat buffer. values: as of the registered one; decays: weight decay of each member."""

    def __init__(self, flat: Flat, name: str, values: Values) -> None:
        self._flat = flat
        self.decays = [float(values["weight_decay"])] * flat.members
        self._fused, moments = BY_HAND[name](values, flat.values.device.type)
        self.moments = [flat.like() for _ in range(moments)]
        self.made = torch.zeros((), device=flat.values.device)
        self._one = torch.ones_like(self.made)
        self._counts = name in ("adam", "adamw")
        buffers = [flat.values, flat.gradients, *self.moments]
        self._groups = [group for group in flat.groups if group.start < group.stop]
        self._parts = [self._given([[buffer[g.start : g.stop]] for buffer in buffers]) for g in self._groups]
        self._own = [
            [self._given([flat.parts(buffer, g, k) for buffer in buffers]) for k in range(flat.members)]
            for g in self._groups
        ]
        self._every = self._given([[buffer] for buffer in buffers])
        self._alike = all(group.factor == 1.0 for group in self._groups)
        self._apart = any(isinstance(group.factor, tuple) for group in self._groups)
        self._compiled: CompiledAdam | None = None
        if self._counts and compiles(flat.values):
            self._compiled = CompiledAdam(flat, buffers, self.made, values, decoupled=name == "adamw")

    def step(self, lrs: list[float]) -> None:
        """One step with these gradients and a step size for each member."""
        lr, decay = lrs[0], self.decays[0]
        apart = self._differ([lrs])
        if self._compiled is not None:
            self._compiled(lrs, self.decays, apart)
            return
        if self._counts:
            self.made.add_(self._one)  # a tensor: a Python number costs three times as much
        if apart:
            self._step_each(lrs)
        elif self._alike and not decay:
            self._fused(*self._every, lr=lr, weight_decay=0.0)
        else:
            for group, parts in zip(self._groups, self._parts, strict=True):
                self._fused(*parts, lr=lr * group.factor_of(0), weight_decay=decay if group.decays else 0.0)

    def _differ(self, lrs: Sequence[Sequence[float]]) -> bool:
        """Whether members differ in their step size in any step, in its factors or in their decay."""
        alike = all(own.count(own[0]) == len(own) for own in (self.decays, *lrs))
        return self._apart or not alike

    def train(self, program: Program, rows: Tensor, batches: Sequence[Tensor], lrs: Sequence[Sequence[float]]) -> bool:
        """As `CompiledAdam.train`; whether it can be done."""
        if self._compiled is not None:
            self._compiled.train(program, rows, batches, lrs, self.decays, self._differ(lrs))
        return self._compiled is not None

    def _step_each(self, lrs: list[float]) -> None:
        for group, own in zip(self._groups, self._own, strict=True):
            decays = self.decays if group.decays else repeat(0.0)
            for k, (parts, lr, decay) in enumerate(zip(own, lrs, decays, strict=False)):
                self._fused(*parts, lr=lr * group.factor_of(k), weight_decay=decay)

    def _given(self, parts: list[list[Tensor]]) -> list[list[Tensor]]:
        """What the fused step is given: Adam also the number of the step for each tensor, SGD without momentum an
        empty list for its moments."""
        if self._counts:
            return [*parts, [self.made] * len(parts[0])]
        return parts if self.moments else [*parts, []]

    def take(self, other: "Update", chosen: Sequence[int]) -> None:
        """Go on from what some members of another have."""
        for own, kept in zip(self.moments, other.moments, strict=True):
            for name in self._flat.names:
                self._flat.of(own, name).copy_(other._flat.of(kept, name)[list(chosen)])
        self.made.copy_(other.made)
        self.decays = [other.decays[k] for k in chosen]

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"moments": self.moments, "made": self.made, "decays": torch.tensor(self.decays, dtype=torch.float64)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for own, kept in zip(self.moments, state["moments"], strict=True):
            own.copy_(kept)
        self.made.copy_(state["made"])
        self.decays = state["decays"].tolist()


def _adam(values: Values, device: str, decoupled: bool) -> tuple[Callable[..., None], int]:
    fixed = {name: values[name] for name in ("beta1", "beta2", "eps")}
    return partial(_adam_on, device, decoupled=decoupled, **fixed), 2


def _adam_on(device: str, *given: Any, **values: Any) -> None:
    """torch's step is looked at when it is first taken: compiled steps never do."""
    adam_step(device)(*given, **values)


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
