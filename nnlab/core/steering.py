"""What of a run can be changed while it lives, and between which ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nnlab.core.augments import AUGMENTS
from nnlab.core.errors import SpecError
from nnlab.core.losses import LOSSES, loss_for
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, TrainSpec, part_values


@dataclass(frozen=True)
class Ends:
    """From low to high, both allowed; `open`: high is not. whole: whole numbers only."""

    low: float = 0.0
    high: float = math.inf
    open: bool = False
    whole: bool = False

    def __contains__(self, value: float) -> bool:
        below = value < self.high if self.open else value <= self.high
        return self.low <= value and below and (not self.whole or value == math.inf or value == int(value))

    def __str__(self) -> str:
        number = "whole number" if self.whole else "number"
        if math.isinf(self.high):
            return f"{number} from {self.low:g}{', or inf' if not self.open else ''}"
        return f"{number} from {self.low:g} to {'below ' if self.open else ''}{self.high:g}"


AMOUNTS = tuple(AUGMENTS)
EACH = ("lr", "weight_decay", "dropout")  # also members of a stack can have values of their own for these
LIVE = {
    "lr": Ends(open=True),
    "weight_decay": Ends(open=True),
    "dropout": Ends(high=1.0, open=True),
    "batch_size": Ends(1, open=True, whole=True),
    "label_smoothing": Ends(high=0.999),
    "mixup": Ends(high=10.0),
    "cutmix": Ends(high=10.0),
    "input_noise": Ends(high=10.0),
    "swap_noise": Ends(high=1.0),
    "patience": Ends(1, whole=True),
}


def check_change(name: str, value: float) -> None:
    """SpecError for what no run can change, or a value that none can have."""
    if name not in LIVE:
        raise SpecError(f"{name!r} cannot be changed while a run lives; these can: {', '.join(LIVE)}")
    if not isinstance(value, (int, float)) or value not in LIVE[name]:
        raise SpecError(f"{name}={value}: expected a {LIVE[name]}")


def steerable(spec: TrainSpec, task: str, batch: int) -> dict[str, float]:
    """What of this run can be changed, with the values that it begins with. batch: rows of its first steps."""
    optimizer = part_values(OPTIMIZERS, spec.optimizer)
    found: dict[str, float] = {"lr": optimizer["lr"]}
    if "weight_decay" in optimizer:
        found["weight_decay"] = optimizer["weight_decay"]
    network: Mapping[str, float] = {} if spec.model.name == CUSTOM else part_values(MODELS, spec.model)
    if spec.model.name == CUSTOM or "dropout" in network:
        found["dropout"] = network.get("dropout", 0.0)
    if not OPTIMIZERS[spec.optimizer.name].facts.get("full_batch"):
        found["batch_size"] = batch
    loss = loss_for(task, spec.loss)
    if "label_smoothing" in LOSSES[loss.name].params:
        found["label_smoothing"] = part_values(LOSSES, loss)["label_smoothing"]
    for part in spec.augments:
        found[part.name] = amount_of(part.name, part.values)
    found["patience"] = spec.patience or math.inf
    return found


def smoothed(loss: Part, share: float) -> Part:
    """The loss with another label smoothing."""
    return Part(loss.name, {**loss.values, "label_smoothing": share})


def part_with(part: Part, amounts: Mapping[str, float]) -> Part:
    """An augmentation, with another amount where there is one for it."""
    first = next(iter(AUGMENTS[part.name].params))
    return Part(part.name, {**part.values, first: amounts[part.name]}) if part.name in amounts else part


def amount_of(name: str, values: Mapping[str, float]) -> float:
    """How much there is of an augmentation: its first value."""
    first = next(iter(AUGMENTS[name].params.values()))
    return float(values.get(first.name, first.default))
