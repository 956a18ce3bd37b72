"""What a linear model and gradient-boosted trees reach on the same rows: the figures that a network must beat.

They are fitted when the run is over, so they change no bit of it and delay nothing that is seen while it lives. Their
cost is foretold from rows, features and classes by times that were measured; trees and rows are cut until it fits.
"""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.losses import LOSSES
from nnlab.core.store.lines import floats, plain_all

if TYPE_CHECKING:
    import pandas as pd

    from nnlab.core.data.prepare import Prepared, Rows
    from nnlab.core.registry import Part

SHARE = 0.1  # of the run's CPU time that all baselines together may take
LEAST = 0.005  # seconds below which nothing worth its name can be fitted
FEWEST_ROWS = 300
ROUND_ROWS = tuple(digit * 10**power for power in range(9, 1, -1) for digit in (5, 2, 1))
MOST_LEVELS = 255  # that boosted trees take as categories
LINEAR, BOOSTING = "linear", "HistGradientBoosting"


@dataclass(frozen=True)
class Baseline:
    """One baseline. metrics: of the validation rows, {} where it was not fitted. rows: fitted on, of so many training
    rows. note: what was cut, or why it was left out."""

    name: str
    metrics: Mapping[str, float]
    rows: int
    of: int
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        return vars(self) | {"metrics": plain_all(self.metrics)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Baseline":
        """The baseline that `to_json` gave."""
        counts = (int(plain["rows"]), int(plain["of"]))
        return cls(str(plain["name"]), floats(plain["metrics"]), *counts, str(plain["note"]))


@dataclass(frozen=True)
class Size:
    """What the cost of a baseline depends on. outputs: functions that are fitted, one for two classes."""

    rows: int
    features: int
    outputs: int


@dataclass(frozen=True)
class Trees:
    """How many boosted trees of how many leaves; fewer of them learn faster."""

    rounds: int
    leaves: int
    rate: float


DEFAULT = Trees(100, 31, 0.1)  # scikit-learn's
SMALLER = (DEFAULT, Trees(50, 15, 0.2), Trees(30, 8, 0.3), Trees(20, 8, 0.4))  # hardly worse on small tables


def fit_baselines(data: "Prepared", loss: "Part", metrics: Sequence[str], spent: float) -> tuple[Baseline, ...]:
    """Both baselines, in at most a tenth of `spent`, the seconds that the run took. loss: the run's.

    An interrupt leaves out what is not done yet; a fault is that baseline's note.
    """
    if not len(data.valid) or not metrics:
        return ()
    found: dict[str, Baseline] = {}
    budget, why = SHARE * spent, _senseless(loss)
    try:
        for name, fit in {LINEAR: _linear, BOOSTING: _boosting}.items():
            found[name], cost = (_left_out(name, data, why), 0.0) if why else _guarded(name, fit, data, metrics, budget)
            budget -= cost
    except KeyboardInterrupt:
        for name in (LINEAR, BOOSTING):
            found.setdefault(name, _left_out(name, data, "interrupted"))
    return tuple(found.values())


def table_of(baselines: Sequence[Baseline]) -> "pd.DataFrame":
    """One row a baseline: its metrics, rows and note."""
    import pandas as pd

    rows = [{**each.metrics, "rows": each.rows, "note": each.note} for each in baselines]
    metrics = dict.fromkeys(name for each in baselines for name in each.metrics)
    index = pd.Index([each.name for each in baselines], name="baseline", dtype=object)
    return pd.DataFrame(rows, index=index, columns=[*metrics, "rows", "note"])


Fit = Callable[["Prepared", Sequence[str], float], tuple[Baseline, float]]


def _guarded(name: str, fit: Fit, data: "Prepared", metrics: Sequence[str], budget: float) -> tuple[Baseline, float]:
    """The baseline and its foretold cost."""
    if budget < LEAST:
        return _left_out(name, data, "the run was too short for it"), 0.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps that were not enough: more of them would change little
            return fit(data, metrics, budget)
    except Exception as error:
        return _left_out(name, data, f"{type(error).__name__}: {error}"[:200]), 0.0


def _left_out(name: str, data: "Prepared", why: str) -> Baseline:
    return Baseline(name, {}, 0, len(data.train), f"left out: {why}")


def _senseless(loss: "Part") -> str:
    """Why the baselines' losses are no measure for a network that learns this one; '' if they are."""
    if "code" in LOSSES[loss.name].facts:
        return f"{loss.name} is a loss of your own"
    return "the run learned quantiles" if loss.name == "quantile" else ""


def _linear(data: "Prepared", metrics: Sequence[str], budget: float) -> tuple[Baseline, float]:
    """Logistic or ridge regression, with scikit-learn's penalties; a column for each level of an embedded category."""
    from nnlab.core.plain_models import Logistic, Ridge

    codes = {place: found.cardinality for place, found in data.pipeline.codes.items()}
    size = _size(data, len(data.feature_names) + sum(codes.values()))
    rows = next((rows for rows in _cuts(size.rows) if linear_cost(size, rows) <= budget), 0)
    if not rows:
        return _left_out(LINEAR, data, "it would take more than a tenth of the run"), 0.0
    model = Logistic() if data.target.classes else Ridge()
    values = _measured(model, data, rows, lambda x: _spread(x, codes), metrics)
    return Baseline(LINEAR, values, rows, size.rows, _cut_rows(rows, size.rows)), linear_cost(size, rows)


def _boosting(data: "Prepared", metrics: Sequence[str], budget: float) -> tuple[Baseline, float]:
    """Boosted trees; one-hot columns of a category are one feature again."""
    if SHARE * loading_cost() > budget:
        why = "loading scikit-learn would take longer than the run; where it is loaded before, it is here"
        return _left_out(BOOSTING, data, why), 0.0
    merge = Merged(data)
    size = _size(data, merge.features)
    plans = ((rows, trees) for rows in _cuts(size.rows) for trees in SMALLER)
    found = next(((rows, trees) for rows, trees in plans if boosting_cost(size, rows, trees) <= budget), None)
    if found is None:
        return _left_out(BOOSTING, data, "it would take more than a tenth of the run"), 0.0
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    rows, trees = found
    make = HistGradientBoostingClassifier if data.target.classes else HistGradientBoostingRegressor
    how = {"max_iter": trees.rounds, "max_leaf_nodes": trees.leaves, "learning_rate": trees.rate, "random_state": 0}
    values = _measured(make(**how, categorical_features=merge.categories or None), data, rows, merge, metrics)
    notes = [_cut_rows(rows, size.rows)] if rows < size.rows else []
    notes += [] if trees is DEFAULT else [f"{trees.rounds} trees of {trees.leaves} leaves for 100 of 31"]
    return Baseline(BOOSTING, values, rows, size.rows, ", ".join(notes)), boosting_cost(size, rows, trees)


def _cut_rows(rows: int, of: int) -> str:
    return f"fitted on {rows:,} of {of:,} rows" if rows < of else ""


def _size(data: "Prepared", features: int) -> Size:
    classes = len(data.target.classes)
    return Size(len(data.train), features, 1 if classes <= 2 else classes)


def _cuts(rows: int) -> list[int]:
    """All rows, then fewer and fewer."""
    return [rows, *(fewer for fewer in ROUND_ROWS if FEWEST_ROWS <= fewer < rows)]


def loading_cost() -> float:
    """Seconds of CPU that importing scikit-learn's trees takes: once in a process, so up to as many as the run took."""
    if "sklearn.ensemble" in sys.modules:
        return 0.0
    return 0.3 if "sklearn.utils" in sys.modules else 1.0


def linear_cost(size: Size, rows: int) -> float:
    """Seconds of CPU, foretold."""
    return 3e-3 + 4e-8 * rows * size.features * size.outputs + 5e-11 * (rows + size.features) * size.features**2


def boosting_cost(size: Size, rows: int, trees: Trees) -> float:
    """Seconds of CPU, foretold: features are binned once, then each leaf of each tree sums histograms."""
    leaf = 2e-6 * min(1.0, 0.4 + rows / 3500)  # in small tables few of the bins are in use
    each = 3e-4 + size.features * (leaf * min(trees.leaves, rows / 20) + 5e-9 * rows) + 2e-8 * rows
    return 5e-3 + 1e-7 * rows * size.features + 1.1 * trees.rounds * size.outputs * each


def _measured(
    model: Any, data: "Prepared", rows: int, see: Callable[[np.ndarray], np.ndarray], metrics: Sequence[str]
) -> dict[str, float]:
    """The metrics of the validation rows, the model fitted on so many training rows; see: what it sees of features."""
    import torch
    from threadpoolctl import threadpool_limits

    from nnlab.core.metrics import measure

    x, y, weight = _some(data.train, rows)
    with threadpool_limits(1):  # on all cores a tenth of the CPU time could be most of the run's seconds
        model.fit(see(x), y, sample_weight=weight)
        output = _output(model, see(data.valid.x), data)
    truth = data.valid.y if data.target.classes else np.asarray(data.target.decode(data.valid.y), np.float64)
    return measure(tuple(metrics), torch.from_numpy(output), torch.from_numpy(truth))


def _some(train: "Rows", rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    if rows == len(train):
        return train.x, train.y, train.weight
    kept = np.sort(np.random.default_rng(0).choice(len(train), rows, replace=False))
    return train.x[kept], train.y[kept], None if train.weight is None else train.weight[kept]


def _output(model: Any, x: np.ndarray, data: "Prepared") -> np.ndarray:
    """Log-probabilities (n, classes), whose softmax they are, or (n, 1) predictions in the target's units."""
    if not data.target.classes:
        return np.asarray(data.target.decode(model.predict(x)), np.float64)[:, None]
    shares = np.full((len(x), len(data.target.classes)), 1e-12)  # a class that no fitted row had
    shares[:, model.classes_] = np.maximum(model.predict_proba(x), 1e-12)
    logs: np.ndarray = np.log(shares)
    return logs


def _spread(x: np.ndarray, codes: Mapping[int, int]) -> np.ndarray:
    """Columns of codes as a column of 0 and 1 for each level."""
    if not codes:
        return x
    parts = [np.delete(x, list(codes), axis=1), *(x[:, [at]] == np.arange(levels) for at, levels in codes.items())]
    return np.concatenate(parts, axis=1, dtype=x.dtype)


class Merged:
    """Features with the one-hot columns of a category as one column of codes, 0 where none of them is set.

    categories: places of columns of codes. features: how many there are.
    """

    def __init__(self, data: "Prepared") -> None:
        from nnlab.core.data.groups import category_groups

        x = data.train.x[:1000]
        groups = [group for group in category_groups(data.pipeline) or () if _is_one_hot(x[:, list(group)])]
        self._groups = groups + [(place,) for place in data.pipeline.codes]
        inside = {place for group in self._groups for place in group}
        self._others = [place for place in range(x.shape[1]) if place not in inside]
        levels = [len(group) + 1 for group in groups] + [found.cardinality for found in data.pipeline.codes.values()]
        self.categories = [at for at, count in enumerate(levels) if count <= MOST_LEVELS]
        self.features = len(self._groups) + len(self._others)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x (n, features as prepared) as (n, self.features)."""
        codes = [_codes(x[:, list(group)]) for group in self._groups]
        return np.column_stack([*codes, x[:, self._others]])


def _is_one_hot(columns: np.ndarray) -> bool:
    return columns.shape[1] > 1 and bool(((columns == 0) | (columns == 1)).all()) and bool((columns.sum(1) <= 1).all())


def _codes(columns: np.ndarray) -> np.ndarray:
    if columns.shape[1] == 1:
        return columns[:, 0]
    codes: np.ndarray = np.where(columns.max(1) > 0, columns.argmax(1) + 1, 0).astype(columns.dtype)
    return codes
