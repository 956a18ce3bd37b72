"""What schedules will do over a run, known before it begins: step size, dropout, weight decay, rows per step."""

from dataclasses import dataclass

import numpy as np

from nnlab.core.bags import rows_in_bag
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.pace import steps_by_epoch
from nnlab.core.schedules import SCHEDULES, Clock, factor
from nnlab.core.spec import TrainSpec, part_values

MOST = 400  # places of the run, and epochs, at which it is told


@dataclass(frozen=True, eq=False)
class Plan:
    """The courses of a run. place: (n,) epochs that are done, with fractions; lr: (n,) of the step made there.

    epochs: (e,) counted from 1, the first and the last among them; end_lr: (e,) of the last step of each, dropout,
    weight_decay and batch_size: (e,) in each, None where the run has none. open: what the run itself decides, in words.
    """

    place: np.ndarray
    lr: np.ndarray
    epochs: np.ndarray
    end_lr: np.ndarray
    batch_size: np.ndarray
    dropout: np.ndarray | None
    weight_decay: np.ndarray | None
    open: str


def plan(spec: TrainSpec, rows: int) -> Plan:
    """The plan of a run on so many training rows."""
    steps = np.array(steps_by_epoch(spec, rows))
    before = np.cumsum(steps) - steps
    total = int(steps.sum())
    peak = float(part_values(OPTIMIZERS, spec.optimizer)["lr"])

    def lr_at(step: int) -> float:
        epoch = int(np.searchsorted(before, step, side="right")) - 1
        return peak * factor(spec.schedule, spec.warmup, Clock(step, total, epoch, spec.epochs))

    shown = np.unique(np.linspace(0, total - 1, min(MOST, total)).round().astype(int))
    epoch_of = np.searchsorted(before, shown, side="right") - 1
    place = epoch_of + (shown - before[epoch_of]) / steps[epoch_of]
    some = np.unique(np.linspace(0, spec.epochs - 1, min(MOST, spec.epochs)).round().astype(int))
    values = part_values(MODELS, spec.model) if spec.model.name in MODELS else {}
    decay = part_values(OPTIMIZERS, spec.optimizer).get("weight_decay")
    return Plan(
        place=place,
        lr=np.array([lr_at(int(step)) for step in shown]),
        epochs=some + 1,
        end_lr=np.array([lr_at(int(step)) for step in (before + steps - 1)[some]]),
        batch_size=np.ceil(rows_in_bag(spec, rows) / steps).astype(int)[some],
        dropout=_by_epoch(spec, "dropout_schedule", values.get("dropout"), some),
        weight_decay=_by_epoch(spec, "decay_schedule", decay, some),
        open=_open(spec),
    )


def _by_epoch(spec: TrainSpec, field: str, value: float | None, epochs: np.ndarray) -> np.ndarray | None:
    if value is None:
        return None
    course = getattr(spec, field)
    clocks = (Clock(int(epoch), spec.epochs, int(epoch), spec.epochs) for epoch in epochs)
    return np.array([value * factor(course, 0.0, clock) for clock in clocks])


def _open(spec: TrainSpec) -> str:
    """What no preview can know."""
    by_loss = [
        field
        for field in ("schedule", "dropout_schedule", "decay_schedule")
        if SCHEDULES[getattr(spec, field).name].facts.get("by_loss")
    ]
    names = [getattr(spec, field).name for field in by_loss]
    falls = f"{', '.join(dict.fromkeys(names))} falls when the validation values stop improving" if names else ""
    early = f"the run may end early, {spec.patience} epochs after its last improvement" if spec.patience else ""
    return "; ".join(filter(None, (falls, early)))
