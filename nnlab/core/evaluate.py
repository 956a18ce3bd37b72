"""How a network's predictions stand to the truth, in a few numbers that a report can draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.registry import Part
from nnlab.core.spread import spread_of_metrics
from nnlab.core.store.lines import floats, plain_all

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from nnlab.core.data.prepare import Rows
    from nnlab.core.data.target import Target

MOST_CLASSES = 200  # a larger confusion matrix helps nobody and grows with the square
MOST_PAIRS = 500
MOST_SAMPLED = 20  # classes
DIGITS, LEAST_LOG = 4, -50.0  # of logarithms of probabilities


@dataclass(frozen=True)
class Evaluation:
    """Predictions against the truth; rows: how many were evaluated.

    confusion: counts, [true class][predicted class], in the order of classes. true, predicted: pairs of a sample of the
    rows of a regression, in original units. codes, logs: of a sample of the rows the true class and the logarithm of
    each class's probability; other runs on these rows have the same sample. spread: standard deviation of each metric
    over an ensemble's members.
    """

    rows: int
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    true: tuple[float, ...] = ()
    predicted: tuple[float, ...] = ()
    codes: tuple[int, ...] = ()
    logs: tuple[tuple[float, ...], ...] = ()
    spread: Mapping[str, float] = field(default_factory=dict)

    def by_class(self) -> "pd.DataFrame":
        """One row a class: its rows, precision, recall and f1; nan where there is nothing to divide by. Empty for a
        regression, and for more classes than are counted."""
        import pandas as pd

        counts = np.array(self.confusion, float).reshape(len(self.confusion), len(self.confusion))
        right, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        with np.errstate(invalid="ignore"):
            shares = {"precision": right / predicted, "recall": right / true, "f1": 2 * right / (true + predicted)}
        index = pd.Index(self.classes[: len(counts)], name="class", dtype=object)
        return pd.DataFrame({"rows": true.astype(int), **shares}, index=index)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        return vars(self) | {"spread": plain_all(self.spread)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Evaluation":
        """The evaluation that `to_json` gave."""
        confusion = tuple(tuple(int(count) for count in row) for row in plain["confusion"])
        true, predicted = (tuple(float(value) for value in plain[name]) for name in ("true", "predicted"))
        spread = floats(plain.get("spread", {}))
        codes = tuple(int(code) for code in plain.get("codes", ()))
        logs = tuple(tuple(float(value) for value in row) for row in plain.get("logs", ()))
        classes = tuple(str(label) for label in plain["classes"])
        return cls(int(plain["rows"]), classes, confusion, true, predicted, codes, logs, spread)


def evaluate(
    model: "nn.Module", outputs: "Tensor", rows: "Rows", target: "Target", loss: Part, metrics: Sequence[str] = ()
) -> Evaluation:
    """The confusion matrix of the rows, or for a regression pairs of true and predicted values.

    outputs: what the network's members give for the rows, as `nnlab.core.predict.forward_of_members` does. loss and
    metrics: the run's, for the spread of an ensemble's members.
    """
    from nnlab.core.members import together

    outputs = outputs.cpu()
    found = _mean(together(model, outputs), rows, target, loss)
    return replace(found, spread=spread_of_metrics(outputs, rows, target, loss, metrics))


def _mean(outputs: "Tensor", rows: "Rows", target: "Target", loss: Part) -> Evaluation:
    from nnlab.core.predict import points

    output = points(outputs, loss, target.task).numpy()
    if target.task == "regression":
        return _pairs(target.decode(rows.y), target.decode(output[:, 0]))
    return _with_sample(counted_classes(rows.y, output.argmax(1), target.labels), rows.y, output)


def _with_sample(found: Evaluation, y: np.ndarray, output: np.ndarray) -> Evaluation:
    """The evaluation with a sample of what it was made of; none of so many classes that it would be large."""
    if output.shape[1] > MOST_SAMPLED:
        return found
    chosen = _sample(len(y))
    kept = output[chosen].astype(np.float64)
    logs = np.maximum(kept - np.logaddexp.reduce(kept, axis=1, keepdims=True), LEAST_LOG).round(DIGITS)
    return replace(found, codes=tuple(np.asarray(y)[chosen].tolist()), logs=tuple(map(tuple, logs.tolist())))


def counted_classes(true: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> Evaluation:
    """The confusion matrix of codes (n,) and (n,); none where there are too many classes."""
    size = len(classes)
    if size > MOST_CLASSES:
        return Evaluation(len(true), classes)
    counts = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    return Evaluation(len(true), classes, tuple(map(tuple, counts.tolist())))


def _pairs(true: np.ndarray, predicted: np.ndarray) -> Evaluation:
    """A sample that is the same every time."""
    count, chosen = len(true), _sample(len(true))
    first, second = (tuple(float(value) for value in np.asarray(values)[chosen]) for values in (true, predicted))
    return Evaluation(count, (), (), first, second)


def _sample(count: int) -> np.ndarray:
    """Some of so many rows, or all."""
    if count <= MOST_PAIRS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_PAIRS, replace=False))
