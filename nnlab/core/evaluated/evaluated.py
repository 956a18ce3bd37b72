"""A run on rows that it may not have seen, and all that can be asked of its predictions there."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import DataError, DataWarning, did_you_mean
from nnlab.core.evaluate import counted_classes
from nnlab.core.evaluated import classes, dependence, importance
from nnlab.core.evaluated.slices import PARTS, slices
from nnlab.core.losses import levels_of
from nnlab.core.metrics import METRICS, main_metric, measure
from nnlab.core.network import loss_of
from nnlab.core.own import is_missing
from nnlab.core.predict import measurable
from nnlab.core.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

SMALLEST = 20  # rows that a slice must have to be among the weakest


@dataclass(frozen=True, eq=False)
class OneClass:
    """One class against all others. true: bool (n,); shares: predicted probabilities of it (n,)."""

    label: Any
    true: np.ndarray
    shares: np.ndarray

    @property
    def roc(self) -> "pd.DataFrame":
        """threshold, false_positive_rate, true_positive_rate."""
        return classes.roc(self.true, self.shares)

    @property
    def precision_recall(self) -> "pd.DataFrame":
        """threshold, recall, precision."""
        return classes.precision_recall(self.true, self.shares)

    @property
    def best_threshold(self) -> float:
        """Where F1 is largest on these rows: chosen by them, so another part shall judge it."""
        return classes.best_threshold(self.true, self.shares)

    def thresholds(self, at: Sequence[float] = classes.THRESHOLDS) -> "pd.DataFrame":
        """Counts and rates at each threshold."""
        return classes.thresholds(self.true, self.shares, at)

    def calibration(self, bins: int = classes.BINS) -> "pd.DataFrame":
        """predicted, observed and rows of each bin."""
        return classes.calibration(self.true, self.shares, bins)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluated:
    """A run on some rows. part: what they are, in words. index: their places in the user's frame. table: the rows as
    the user has them, None where that is not at hand, and lacking says why. note: what there is to say of the rows.

    x, y: features and target as the network sees them; output: probabilities (n, classes), or predictions (n,) in the
    target's units.
    """

    run: Run
    part: str
    index: np.ndarray
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    output: np.ndarray = field(repr=False)
    table: "pd.DataFrame | None" = None
    lacking: str = ""
    note: str = ""

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        return f"Evaluated({self.run.name or self.run.id} on {len(self):,} {self.part}: {values})"

    @property
    def labels(self) -> tuple[Any, ...]:
        """The classes; () for a regression."""
        return self.run.pipeline.target.classes

    @property
    def true(self) -> np.ndarray:
        """Labels, or values in the target's units (n,)."""
        return self.run.pipeline.target.decode(self.y)

    @property
    def predicted(self) -> np.ndarray:
        """Labels, or values in the target's units (n,)."""
        return self.run.pipeline.target.decode(self.output.argmax(1)) if self.labels else self.output

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The run's metrics on these rows."""
        return self._measure(self.x, self.y, self._names)

    @property
    def main(self) -> str:
        """The metric that is looked at first."""
        usual = "log_loss" if self.labels else "rmse"
        return main_metric(dict.fromkeys(self._names, 0.0), self.run.spec.monitor) or usual

    @property
    def confusion(self) -> "pd.DataFrame":
        """Counts of rows by true (index) and predicted class; empty for a regression."""
        import pandas as pd

        guess = self.output.argmax(1) if self.labels else np.zeros(0, int)
        places = [pd.Index(self.labels, name=name, dtype=object) for name in ("true", "predicted")]
        counts = np.zeros((len(self.labels),) * 2, int)
        np.add.at(counts, (self.y[: len(guess)].astype(int), guess), 1)
        return pd.DataFrame(counts, *places)

    @property
    def by_class(self) -> "pd.DataFrame":
        """Rows, precision, recall and f1 of each class."""
        guess = self.output.argmax(1) if self.labels else np.zeros(0, int)
        return counted_classes(self.y[: len(guess)].astype(int), guess, tuple(map(str, self.labels))).by_class()

    def of(self, label: Any = None) -> OneClass:
        """One class against all others; None: the second of two, else the most frequent one."""
        place = self.place_of(label)
        return OneClass(self.labels[place], self.y == place, self.output[:, place])

    def place_of(self, label: Any = None) -> int:
        """The code of a class; DataError for a regression, and for a label that there is not."""
        if not self.labels:
            raise DataError("this run predicts numbers, so there are no classes")
        if label is None:
            return 1 if len(self.labels) == 2 else int(np.bincount(self.y, minlength=len(self.labels)).argmax())
        words = list(map(str, self.labels))
        if str(label) not in words:
            raise DataError(f"no class {label!r}{did_you_mean(str(label), words)}; there are {', '.join(words[:10])}")
        return words.index(str(label))

    @property
    def residuals(self) -> "pd.DataFrame":
        """true, predicted and residual (true - predicted) of each row; the index is its place in the frame."""
        import pandas as pd

        if self.labels:
            raise DataError("residuals are of numbers; this run predicts classes")
        columns = {"true": self.true, "predicted": self.output, "residual": self.true - self.output}
        return pd.DataFrame(columns, index=pd.Index(self.index, name="row"))

    @cached_property
    def losses(self) -> np.ndarray:
        """How wrong each row is (n,): the negative log-probability of its class, or the size of its residual."""
        if not self.labels:
            return np.abs(self.true - self.output)
        return -np.log(np.maximum(self.output[np.arange(len(self)), self.y], np.finfo(float).tiny))

    def top_losses(self, rows: int = 10) -> "pd.DataFrame":
        """The rows that are most wrong, the worst first, as `rows` gives them."""
        return self.rows(np.argsort(-self.losses, kind="stable")[:rows])

    def confused(self, true: Any, predicted: Any) -> "pd.DataFrame":
        """The rows of one class that are predicted as another (or the same), the most wrong first."""
        pair = self.place_of(true), self.place_of(predicted)
        places = np.flatnonzero((self.y == pair[0]) & (self.output.argmax(1) == pair[1]))
        return self.rows(places[np.argsort(-self.losses[places], kind="stable")])

    def rows(self, places: np.ndarray) -> "pd.DataFrame":
        """Rows by place among these: true, predicted, for classes the probability of each of both, loss, and the
        columns of the table as the user has them. The index is the place in the user's frame."""
        import pandas as pd

        told: dict[str, Any] = {"true": self.true[places], "predicted": self.predicted[places]}
        if self.labels:
            told["p(true)"] = self.output[places, self.y[places]]
            told["p(predicted)"] = self.output[places].max(1)
        told["loss" if self.labels else "error"] = self.losses[places]
        found = pd.DataFrame(told, index=pd.Index(self.index[places], name="row"))
        if self.table is None:
            return found
        own = self.table.iloc[places].set_axis(found.index).drop(columns=self.run.pipeline.target.name, errors="ignore")
        return pd.concat([found, own], axis=1)

    def importance(self, repeats: int = 5, *, metric: str | None = None, seed: int = 0) -> "pd.DataFrame":
        """Loss of the metric when one column is shuffled, one row a column: importance, std, low, high."""
        name = metric or self.main
        sign = 1.0 if METRICS[name].facts["maximize"] else -1.0
        pipeline = self.run.pipeline
        chosen = importance.sampled(len(self), len(pipeline.columns), repeats, seed)
        y, table = self.y[chosen], None if self.table is None else self.table.iloc[chosen]
        features_of = importance.assembler(pipeline, self.x[chosen], table)

        def score(x: np.ndarray) -> float:
            return sign * self._measure(x, y, (name,))[name]

        with _quiet():
            return importance.importance(pipeline.columns, features_of, score, len(chosen), repeats, seed)

    def by_slice(self, column: str, parts: int = PARTS) -> "pd.DataFrame":
        """Rows and metrics of each slice of a column: of a category its levels, of numbers as many equal parts."""
        import pandas as pd

        found = {name: (int(rows.sum()), self._of_rows(rows)) for name, rows in slices(self.column(column), parts)}
        table = pd.DataFrame([{"rows": count} | values for count, values in found.values()])
        table.index = pd.Index(list(found), name=column, dtype=object)
        return table

    def weakest(self, most: int = 8) -> "pd.DataFrame":
        """The slices of single columns on which the main metric is worst: column, slice, rows and the metric."""
        import pandas as pd

        name, smallest = self.main, max(SMALLEST, len(self) // 50)
        found = []
        for column in self.run.pipeline.columns:
            for words, rows in slices(self.column(column)):
                if smallest <= rows.sum() < len(self):
                    found.append((column, words, int(rows.sum()), self._of_rows(rows, (name,))[name]))
        table = pd.DataFrame(found, columns=["column", "slice", "rows", name]).dropna()
        return table.sort_values(name, ascending=METRICS[name].facts["maximize"], kind="stable")[:most]

    def dependence(self, *columns: str, label: Any = None, seed: int = 0) -> "pd.DataFrame":
        """The mean prediction when one or two columns take each value in turn: columns, mean, low, high.

        low, high: between them lie 80% of the single rows. Of classes probabilities: of the second of two, else of
        each, in a column `class`; label: only of this one. At most 300 rows are taken.
        """
        names, table = list(columns), self._whole("partial dependence")
        for name in names:
            self.column(name)
        if not 1 <= len(names) <= 2:
            raise DataError(f"partial dependence is of one column or two, not of {len(names)}")
        rows = dependence.ROWS
        if len(table) > rows:
            table = table.iloc[np.sort(np.random.default_rng(seed).choice(len(table), rows, replace=False))]
        with _quiet():
            grids, found = dependence.curves(table, names, self._predict_table)
        if not self.labels:
            return dependence.summary(grids, found, names, [None])
        one = label is not None or len(self.labels) == 2
        places = [self.place_of(label)] if one else range(len(self.labels))
        return dependence.summary(grids, found[list(places)], names, [self.labels[place] for place in places])

    def column(self, name: str) -> "pd.Series":
        """A column of the table; DataError where there is none, or no table."""
        table = self._whole("looking at single columns")
        if name not in table:
            raise DataError(f"no column {name!r}{did_you_mean(name, list(table))}")
        return table[name]

    def _whole(self, what: str) -> "pd.DataFrame":
        if self.table is None:
            raise DataError(f"{what} needs the table: {self.lacking}")
        return self.table

    def _predict_table(self, table: "pd.DataFrame") -> np.ndarray:
        return predictions(self.run, self.run.pipeline.transform(table)).reshape(len(table), -1)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in self.run.started.metrics if not is_missing("metrics", name))

    @cached_property
    def _pair(self) -> "tuple[Tensor, Tensor]":
        return measurable(self.run.outputs(self.x), self.y, self.run.pipeline.target)

    def _of_rows(self, rows: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, float]:
        """Metrics of some of the rows, bool (n,)."""
        output, truth = self._pair
        places = np.flatnonzero(rows)
        return measure(self._names if names is None else names, output[places], truth[places], self._levels)

    def _measure(self, x: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
        return measure(names, *measurable(self.run.outputs(x), y, self.run.pipeline.target), self._levels)

    @property
    def _levels(self) -> tuple[float, ...]:
        return levels_of(loss_of(self.run.spec, self.run.pipeline.target))


def predictions(run: Run, x: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes), or predictions (n,) in the target's units."""
    output = run.outputs(x)
    if run.task == "regression":
        return np.asarray(run.pipeline.target.decode(output[:, 0].numpy()), np.float64)
    return np.asarray(output.double().softmax(1).numpy())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What is unfamiliar was said of the rows themselves; of rows that are made up it says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        yield
