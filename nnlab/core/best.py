"""Which weights a run keeps: those of its best epoch, or of the best epoch of each member of an ensemble."""

import math
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from torch import Tensor

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.learners.protocol import Ensemble, Learner
from nnlab.core.metrics import check_monitor, metrics_for
from nnlab.core.network import member_count, members_apart
from nnlab.core.spec import TrainSpec

Weights = Mapping[str, Tensor]
MOST_OUTPUTS = 10_000_000  # numbers for validation rows that are kept beside the weights


class Best(Protocol):
    """What the loop asks of it."""

    spread: Mapping[str, float]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The best epoch of each member, where each keeps its own; else empty."""

    @property
    def epoch(self) -> int | None:
        """The epoch whose weights are kept, None while there is none."""

    @property
    def outputs(self) -> Tensor | None:
        """What the members give with these weights for the validation rows, (K, n, n_out), if it was kept."""

    def measure(self, epoch: int, loss: float, patience: float) -> tuple[dict[str, float], Weights | None]:
        """Validation values of the epoch that is over, and what shall be kept from now on if that is new.

        loss: of the training rows; what comes of one that is no finite number is not kept. patience: epochs without
        improvement after which a member keeps what it has.
        """

    @property
    def doubt(self) -> str:
        """What to say where no epoch is the best, and the model is as it began."""

    def waited(self, epoch: int) -> float:
        """Epochs since the last true improvement."""

    def restore(self) -> None:
        """Put the weights that are kept into the network."""

    def state(self) -> dict[str, Any]:
        """All of it, for a resumed run."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""


def best_of(spec: TrainSpec, data: Prepared, learner: Learner) -> Best:
    """The one that a run asks for."""
    sign = -1.0 if check_monitor(spec.monitor, metrics_for(data.task, spec.metrics)) else 1.0
    count = own_best_of(spec)
    shared = [name for name, weight in learner.model.named_parameters() if weight.shape[:1] != (count,)]
    if count > 1 and shared:
        raise SpecError(f"own_best=on: members of this network share weights: {shared[0]}")
    if count > 1 and len(data.valid):
        return BestOfMembers(spec, cast(Ensemble, learner), sign, count)
    return BestEpoch(spec, learner, sign, validates=len(data.valid) > 0)


def own_best_of(spec: TrainSpec) -> int:
    """How many members keep their own best epoch; 1 where a run does not ask for it, or its network is one alone.

    SpecError for members that share weights.
    """
    apart = members_apart(spec) or 1
    if spec.own_best and member_count(spec) > apart:
        raise SpecError(f"own_best=on: members of {spec.model} share weights; it is for --model packed or realmlp")
    return apart if spec.own_best else 1


class Course:
    """The best value so far of one network, and how long nothing became better."""

    def __init__(self, delta: float) -> None:
        self.epoch: int | None = None
        self.value = math.inf
        self._improved, self._reached, self._delta = 0, math.inf, delta

    def takes(self, epoch: int, value: float) -> bool:
        """Whether the value, which shall be small, is the best so far; of equals the last is."""
        if not math.isfinite(value) or value > self.value:
            return False
        if value < self._reached - self._delta or not math.isfinite(self._reached):
            self._improved, self._reached = epoch, value
        self.epoch, self.value = epoch, value
        return True

    def waited(self, epoch: int) -> int:
        """Epochs since the last true improvement."""
        return epoch - self._improved

    def state(self) -> dict[str, Any]:
        """All of it, for a resumed run."""
        own = {"epoch": self.epoch, "value": self.value}
        return own | {"improved": self._improved, "reached": self._reached}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.epoch, self.value = state["epoch"], state["value"]
        self._improved, self._reached = state["improved"], state["reached"]


class BestEpoch:
    """The best epoch so far of the whole network; without validation always the last."""

    epochs: tuple[int, ...] = ()
    spread: Mapping[str, float] = {}

    def __init__(self, spec: TrainSpec, learner: Learner, sign: float, validates: bool) -> None:
        self._learner, self._monitor, self._sign, self._validates = learner, spec.monitor, sign, validates
        self._course = Course(spec.min_delta)
        self.outputs: Tensor | None = None
        # Epoch and weights change in one assignment, so that an interrupt never parts them.
        self._kept: tuple[int | None, Weights] = (None, learner.snapshot())

    @property
    def epoch(self) -> int | None:
        """The epoch whose weights are kept, None while there is none."""
        return self._kept[0]

    def measure(self, epoch: int, loss: float, patience: float) -> tuple[dict[str, float], Weights | None]:
        """As in `Best`."""
        outputs = self._learner.outputs_of_members() if self._validates else None
        valid = {} if outputs is None else self._learner.measure(outputs)
        value = self._sign * valid[self._monitor] if valid else -float(epoch)
        if not math.isfinite(loss) or not self._course.takes(epoch, value):
            return valid, None
        weights = self._learner.snapshot()
        self._kept = (epoch, weights)
        self.outputs = None if outputs is None or outputs.numel() > MOST_OUTPUTS else outputs.clone()
        return valid, weights

    @property
    def doubt(self) -> str:
        """As in `Best`."""
        return "" if self.epoch is not None else _doubt(self._monitor)

    def waited(self, epoch: int) -> float:
        """As in `Best`."""
        return self._course.waited(epoch)

    def restore(self) -> None:
        """As in `Best`."""
        self._learner.restore(self._kept[1])

    def state(self) -> dict[str, Any]:
        """As in `Best`."""
        epoch, weights = self._kept
        return self._course.state() | {"epoch": epoch, "weights": dict(weights)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """As in `Best`."""
        self._course.load_state(state)
        self._kept, self.outputs = (state["epoch"], state["weights"]), None


class BestOfMembers:
    """The best epoch of each member by its own validation value; past its patience it keeps what it has, and leaves.

    An epoch is told as what would be kept if the run ended with it: members at their own best, together. The spread is
    that of members as they are, or as they were kept.
    """

    def __init__(self, spec: TrainSpec, learner: Ensemble, sign: float, count: int) -> None:
        self._learner, self._monitor, self._sign = learner, spec.monitor, sign
        self._courses = [Course(spec.min_delta) for _ in range(count)]
        self._going = list(range(count))  # members that learn; the last ones of all stay, should patience become longer
        self._left: dict[int, dict[str, float]] = {}  # what members that have left are worth by themselves
        self.spread: Mapping[str, float] = {}  # over members, of the last epoch
        self.outputs: Tensor | None = None  # of each member at its best, for the validation rows
        # As in `BestEpoch`; epochs: of the members, 0 for none.
        self._kept: tuple[int | None, tuple[int, ...], Weights] = (None, (0,) * count, learner.snapshot())

    @property
    def epoch(self) -> int | None:
        """The last epoch that a member was best in."""
        return self._kept[0]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The best epoch of each member, 0 for one that has none."""
        return self._kept[1]

    def measure(self, epoch: int, loss: float, patience: float) -> tuple[dict[str, float], Weights | None]:
        """As in `Best`."""
        outputs = self._together(self._learner.outputs_of_members())
        alone = [self._left.get(k) or self._alone(each) for k, each in enumerate(outputs)]
        self.spread = {name: float(np.std([each[name] for each in alone], ddof=1)) for name in alone[0]}
        values = [self._sign * each[self._monitor] for each in alone]
        taken = [k for k in self._going if math.isfinite(loss) and self._courses[k].takes(epoch, values[k])]
        if taken:
            self._keep(epoch, taken, outputs)
        kept = self.outputs if self.outputs is not None else outputs
        valid, weights = self._learner.measure(kept), self._kept[2] if taken else None
        going = [k for k in self._going if self._courses[k].waited(epoch) < patience]
        if going and len(going) < len(self._going):
            self._learner.keep(going)
            self._go_on_with(going)
        return valid, weights

    def _go_on_with(self, going: list[int]) -> None:
        if self.outputs is not None:
            left = [k for k in range(len(self._courses)) if k not in going]
            self._left = {k: self._left.get(k) or self._alone(self.outputs[k]) for k in left}
        self._going = going

    def _together(self, outputs: Tensor) -> Tensor:
        """What all members give, those that have left at their best."""
        if self.outputs is None or len(outputs) == len(self.outputs):
            return outputs
        whole = self.outputs.clone()
        whole[self._going] = outputs
        return whole

    def _alone(self, outputs: Tensor) -> dict[str, float]:
        metrics = () if self._monitor == "loss" else (self._monitor,)
        return self._learner.measure(outputs.unsqueeze(0), metrics)

    def _keep(self, epoch: int, taken: list[int], outputs: Tensor) -> None:
        """The weights of these members as they are now, of the others as they were."""
        _, epochs, before = self._kept
        others = [k for k in range(len(epochs)) if k not in taken]
        weights = self._learner.snapshot()
        for name, weight in weights.items():
            if weight.ndim and len(weight) == len(epochs):  # what members share does not change
                weight[others] = before[name][others].to(weight)
        if self.outputs is not None:
            outputs[others] = self.outputs[others]
        self.outputs = outputs
        self._kept = (epoch, tuple(epoch if k in taken else old for k, old in enumerate(epochs)), weights)

    @property
    def doubt(self) -> str:
        """As in `Best`."""
        without = sum(not epoch for epoch in self.epochs)
        if not without or without == len(self.epochs):
            return _doubt(self._monitor) if without else ""
        return f"{without} of {len(self.epochs)} members are untrained: {self._monitor} was never a finite number there"

    def waited(self, epoch: int) -> float:
        """Epochs since the last true improvement of a member that still goes on."""
        return min(self._courses[k].waited(epoch) for k in self._going)

    def restore(self) -> None:
        """As in `Best`."""
        self._learner.restore(self._kept[2])

    def state(self) -> dict[str, Any]:
        """As in `Best`."""
        epoch, epochs, weights = self._kept
        courses = [course.state() for course in self._courses]
        return {
            "epoch": epoch,
            "epochs": list(epochs),
            "weights": dict(weights),
            "courses": courses,
            "going": self._going,
            "outputs": self.outputs,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """As in `Best`."""
        self._kept = (state["epoch"], tuple(state["epochs"]), state["weights"])
        outputs = state["outputs"]
        self.outputs = None if outputs is None else outputs.to(self._learner.device)
        self._go_on_with(list(state.get("going", self._going)))
        for course, own in zip(self._courses, state["courses"], strict=True):
            course.load_state(own)


def _doubt(monitor: str) -> str:
    return f"{monitor} was a finite number in no epoch, so the model is untrained; choose another --monitor"
