"""A run as the doctor sees it: its course, its looks into layers, and what its network says of the rows at hand."""

import math
from functools import cached_property
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.diagnose.yardstick import Forest, evenly, forest
from nnlab.core.losses import LOSSES, make_loss
from nnlab.core.network import loss_of
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.pace import steps_by_epoch
from nnlab.core.run import Run
from nnlab.core.spec import part_values

MOST_ROWS = 5000  # of a part that the network is asked about
MOST_TARGETS = 20_000  # that tell what a constant prediction loses
FEW_EPOCHS = 3
NEEDS = {
    "epochs": f"the run has fewer than {FEW_EPOCHS} epochs",
    "valid": "the run has no validation rows",
    "looks": "the run took no look into its layers (--no-probe, an older nnlab, or no layer with a weight matrix)",
    "data": "the data is not at hand; give it:  %nn_diagnose run --data data",
    "classes": "",  # of another task there is nothing to say
    "weights": "no epoch was completed, so the network is untrained",
}


class Case:
    """What diagnoses look at. data: what the run was trained on, None where it is not at hand.

    living: the run goes on; what needs its best weights or its end is not asked then.
    """

    def __init__(self, run: Run, data: Prepared | None = None) -> None:
        self.run, self.data, self.spec = run, data, run.spec
        self._done = tuple(run.record.epochs)
        self.looks = run.record.probes
        self.living = run.record.finished is None
        self.lr = float(part_values(OPTIMIZERS, self.spec.optimizer).get("lr", math.nan))

    def lacks(self, need: str) -> str | None:
        """Why the case cannot be looked at where this is needed; None if it can."""
        there = {
            "epochs": len(self._done) >= FEW_EPOCHS,
            "valid": bool(np.isfinite(self.valid).any()),
            "looks": bool(self.looks),
            "data": self.data is not None,
            "classes": self.run.task != "regression",
            "weights": self.run.best_epoch is not None,
        }
        return None if there[need] else NEEDS[need]

    @cached_property
    def epochs(self) -> np.ndarray:
        """(epochs,) their numbers."""
        return np.array([done.epoch for done in self._done], float)

    @cached_property
    def train(self) -> np.ndarray:
        """(epochs,) loss of the training rows while they were learned."""
        return np.array([done.train.get("loss", math.nan) for done in self._done], float)

    @cached_property
    def valid(self) -> np.ndarray:
        """(epochs,) loss of the validation rows; nan where there are none."""
        return np.array([done.valid.get("loss", math.nan) for done in self._done], float)

    @cached_property
    def rates_of_lr(self) -> np.ndarray:
        """(epochs,) step size at the end of each."""
        return np.array([done.lr for done in self._done], float)

    @cached_property
    def steps(self) -> np.ndarray:
        """(looks,) steps at which layers were looked at."""
        return np.array([look.step for look in self.looks], float)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that were looked at."""
        return self.looks[0].layers if self.looks else ()

    def look(self, name: str) -> np.ndarray:
        """(looks, layers) one value of all looks."""
        return np.array([look.values[name] for look in self.looks], float)

    @cached_property
    def rates(self) -> np.ndarray:
        """(looks, layers) norm of a step over that of the weights; nan in layers that began as 0 and had to grow."""
        update, weight = self.look("update"), self.look("weight")
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(weight[:1] > 0, update / weight, np.nan)

    @cached_property
    def usual_rates(self) -> np.ndarray:
        """(looks,) the median of the layers' rates; nan where no layer has one."""
        values = np.sort(self.rates, axis=1)  # nan last
        count, at = (~np.isnan(values)).sum(1), np.arange(len(values))
        return (values[at, np.maximum(count - 1, 0) // 2] + values[at, np.minimum(count // 2, values.shape[1] - 1)]) / 2

    @cached_property
    def loss_part(self) -> Any:
        """The loss that the run learned."""
        return loss_of(self.spec, self.run.pipeline.target)

    @cached_property
    def baseline(self) -> float | None:
        """The loss of a constant prediction: class shares, or the mean; None where that cannot be told."""
        if self.data is not None:
            return self._baseline_of(self.data)
        evaluation = self.run.evaluation
        if evaluation is None or self.loss_part.values:
            return None
        if self.loss_part.name == "cross_entropy" and evaluation.confusion:
            counts = np.array(evaluation.confusion, float).sum(1)
            shares = counts[counts > 0] / counts.sum()
            return float(-(shares * np.log(shares)).sum())
        target = self.run.pipeline.target
        if self.loss_part.name == "mse" and evaluation.true and not target.scaler:
            return float(np.var((np.array(evaluation.true) - target.mean) / target.scale))
        return None

    def _baseline_of(self, data: Prepared) -> float | None:
        import torch

        if LOSSES[self.loss_part.name].facts.get("outputs"):
            return None
        y = torch.from_numpy(data.train.y)
        counts = np.bincount(data.train.y).tolist() if data.target.classes else []
        one = torch.tensor(counts, dtype=torch.float32) / len(y) if counts else y.mean().reshape(1)
        if counts or LOSSES[self.loss_part.name].facts.get("rate"):
            one = one.clamp(min=1e-9).log()
        some = y[torch.from_numpy(evenly(data.train, MOST_TARGETS))]
        return float(make_loss(self.loss_part, counts)(one.expand(len(some), -1), some))

    @cached_property
    def places(self) -> np.ndarray:
        """(rows,) the validation rows that the network is asked about."""
        return evenly(self._rows, MOST_ROWS)

    @property
    def _rows(self) -> Rows:
        assert self.data is not None
        return self.data.valid

    @cached_property
    def truth(self) -> np.ndarray:
        """(rows,) codes or scaled values of these rows."""
        return self._rows.y[self.places]

    @cached_property
    def output(self) -> np.ndarray:
        """(rows, classes) logits, or (rows, 1) scaled predictions of a regression."""
        return self.run.outputs(np.asarray(self._rows.x[self.places])).double().numpy()

    @cached_property
    def shares(self) -> np.ndarray:
        """(rows, classes) probabilities."""
        shown = np.exp(self.output - self.output.max(1, keepdims=True))
        return shown / shown.sum(1, keepdims=True)

    @cached_property
    def forest(self) -> Forest:
        """What a plain model makes of the same rows."""
        assert self.data is not None
        return forest(self.data, self.places)

    @property
    def peak(self) -> float:
        """The largest step size that the run reached."""
        return max(self.lr, float(self.rates_of_lr.max())) if len(self._done) else self.lr

    @property
    def taken(self) -> int:
        """Steps of the epochs that are done."""
        return self.run.started.steps * len(self._done)

    @cached_property
    def planned(self) -> int:
        """Steps of all epochs of the spec."""
        return sum(steps_by_epoch(self.spec, self.run.started.rows))

    @property
    def lowest(self) -> float:
        """The smallest finite training loss."""
        finite = self.train[np.isfinite(self.train)]
        return float(finite.min()) if len(finite) else math.nan
