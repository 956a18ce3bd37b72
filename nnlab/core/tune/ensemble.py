"""Several runs as one predictor, chosen from the best of a search by greedy selection (Caruana et al. 2004)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.errors import DataError, RunError, StoreError
from nnlab.core.losses import levels_of
from nnlab.core.metrics import METRICS, measure
from nnlab.core.network import loss_of
from nnlab.core.run import Run
from nnlab.core.scores import Scores, key_of, note_test_score
from nnlab.core.store.files import make_folder, read_json, replaced_folder, write_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
FILE = "ensemble.json"
ROUNDS = 50  # of selection; a run may be chosen several times, which is its weight


@dataclass(eq=False, repr=False)
class Ensemble:
    """Runs with whole weights. Classes: the mean of their probabilities; a regression: the mean of their predictions.

    valid: what it and the best run alone reach on the validation rows that chose it, by name. path: where it is kept.
    """

    name: str
    members: Mapping[int, Run]
    weights: Mapping[int, int]
    metric: str
    valid: Mapping[str, float]
    path: Path | None = None

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return self._first.task

    @property
    def _first(self) -> Run:
        return next(iter(self.members.values()))

    def __repr__(self) -> str:
        shares = ", ".join(f"trial {number} x{weight}" for number, weight in self.weights.items())
        values = f"validation {self.metric} {self.valid['ensemble']:.4g}, the best alone {self.valid['best']:.4g}"
        return f"Ensemble of {self.name!r}: {shares}; {values}"

    def predict(self, frame: Any) -> np.ndarray:
        """Labels, or for a regression values in the target's units, one a row of a raw frame (columns go by name)."""
        output = self._output({n: run.pipeline.transform(frame) for n, run in self.members.items()})
        if self.task == "regression":
            return output[:, 0].numpy()
        return np.asarray(self._first.pipeline.target.decode(output.argmax(1).numpy()))

    def predict_proba(self, frame: Any) -> np.ndarray:
        """Probabilities (n, classes) in the order of `pipeline.target.classes`; RunError for a regression."""
        if self.task == "regression":
            raise RunError("predict_proba is for classes; this ensemble predicts numbers: use predict")
        output = self._output({n: run.pipeline.transform(frame) for n, run in self.members.items()})
        return np.asarray(output.exp().numpy())

    def score(self, data: Any) -> Scores:
        """The metrics of a frame with its target, of Rows, or of the test rows of the Prepared that chose it; as
        `Run.score` counts them."""
        rows = data.test if isinstance(data, Prepared) else data
        if isinstance(rows, Rows):
            for run in self.members.values():
                if rows.source not in ("", run.fingerprint):
                    raise DataError("this data is not what all runs of the ensemble were trained on; score the frame")
            given, y = dict.fromkeys(self.members, rows.x), rows.y
        else:
            labelled = {number: run.pipeline.labelled(rows) for number, run in self.members.items()}
            given, y = {number: x for number, (x, _) in labelled.items()}, next(iter(labelled.values()))[1]
        if not len(y):
            raise DataError("there are no rows to score")
        level = levels_of(loss_of(self._first.spec, self._first.pipeline.target))[:1]
        found = measure(self._first.started.metrics, self._output(given), truth_of(self._first, y), level)
        if not (isinstance(rows, Rows) and rows.part == "test" and rows.source):
            return Scores(found)
        key = key_of(rows.index, rows.y, self._first.pipeline.target.name)
        return Scores(found, note_test_score(self.path, f"ensemble {self.name}", key, found))

    def _output(self, x: Mapping[int, np.ndarray]) -> "Tensor":
        outputs = [predicted(run, x[number]) for number, run in self.members.items()]
        return mixed(outputs, [self.weights[number] for number in self.members])

    def save(self, folder: str | Path) -> Path:
        """Write all of it into a folder; `Ensemble.load` reads it. An ensemble there is replaced."""
        target = Path(folder).absolute()
        weights = {str(number): weight for number, weight in self.weights.items()}
        told = {"format": FORMAT, "name": self.name, "metric": self.metric, "valid": dict(self.valid)}
        with replaced_folder(target, FILE, "ensemble") as aside:
            make_folder(aside)
            for number, run in self.members.items():
                run.save(aside / f"trial-{number}")
            write_json(aside / FILE, told | {"weights": weights})
        return target

    @classmethod
    def load(cls, folder: str | Path, model: Any = None) -> "Ensemble":
        """The ensemble in a folder. model: the network of a study whose network was the user's own."""
        path = Path(folder).absolute()
        told = read_json(path / FILE)
        try:
            if int(told["format"]) > FORMAT:
                raise StoreError(f"{path.name}/{FILE}: format {told['format']}; this nnlab reads {FORMAT}")
            weights = {int(number): int(weight) for number, weight in told["weights"].items()}
            valid = {str(name): float(value) for name, value in told["valid"].items()}
            name, metric = str(told["name"]), str(told["metric"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{path.name}/{FILE} is not understood: {error}") from error
        members = {number: Run.load(path / f"trial-{number}", model) for number in weights}
        return cls(name, members, weights, metric, valid, path)


def predicted(run: Run, x: np.ndarray) -> "Tensor":
    """Log probabilities (n, classes), or predictions (n, 1) in the target's units."""
    import torch

    output = run.outputs(x).double()
    if run.task != "regression":
        return output.log_softmax(1)
    return torch.from_numpy(np.asarray(run.pipeline.target.decode(output[:, 0].numpy()), np.float64)).unsqueeze(1)


def truth_of(run: Run, y: np.ndarray) -> "Tensor":
    """Codes of classes as they are, scaled targets in their own units."""
    import torch

    if run.task != "regression":
        return torch.from_numpy(y)
    return torch.from_numpy(np.asarray(run.pipeline.target.decode(y), np.float64))


def mixed(outputs: "Sequence[Tensor]", weights: Sequence[int]) -> "Tensor":
    """The weighted mean of predictions (n, 1), or the log of that of probabilities (n, classes)."""
    import torch

    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    stacked = torch.stack(list(outputs))
    if stacked.shape[-1] == 1:
        return (shares[:, None, None] * stacked).sum(0)
    return (shares.log()[:, None, None] + stacked).logsumexp(0)


def chosen(
    name: str, runs: Mapping[int, Run], data: Mapping[int, Prepared], metric: str, rounds: int = ROUNDS
) -> Ensemble:
    """The ensemble that is best on the validation rows. runs: by their trials' numbers, best first; data: of each.

    From the best run on, that one is added whose addition makes the metric best, each as often as it helps; of all the
    rounds the best counts. The metric loss stands for log loss or mean squared error, as runs may differ in theirs.
    """
    first, numbers = next(iter(runs.values())), list(runs)
    outputs = [predicted(run, data[number].valid.x) for number, run in runs.items()]
    truth = truth_of(first, data[numbers[0]].valid.y)
    sign = -1.0 if metric != "loss" and METRICS[metric].facts["maximize"] else 1.0
    counts, best, course = Counter([0]), _value(metric, outputs[0], truth), list[tuple[float, Counter[int]]]()
    course.append((sign * best, Counter(counts)))
    for _ in range(rounds - 1):
        tried = []
        for at in range(len(outputs)):
            some = counts + Counter([at])
            tried.append((sign * _value(metric, mixed([outputs[i] for i in some], list(some.values())), truth), at))
        value, at = min(tried)
        counts[at] += 1
        course.append((value, Counter(counts)))
    value, counts = min(course, key=lambda one: (one[0], sum(one[1].values())))
    weights = {numbers[at]: counts[at] for at in sorted(counts)}
    valid = {"ensemble": sign * value, "best": best}
    return Ensemble(name, {number: runs[number] for number in weights}, weights, metric, valid)


def _value(metric: str, output: "Tensor", truth: "Tensor") -> float:
    """The metric of combined predictions; nan counts as the worst."""
    if metric != "loss":
        value = measure((metric,), output, truth)[metric]
    elif truth.is_floating_point():
        value = float((output[:, 0] - truth).square().mean())
    else:
        value = float(-output.gather(1, truth.unsqueeze(1)).mean())
    return value if np.isfinite(value) else float("inf")
