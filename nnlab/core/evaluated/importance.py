"""How much worse a run gets when the values of one column of the table are shuffled among the rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

ROWS = 5_000  # at most so many are shuffled
WORK = 2_000_000  # rows times shuffles: of a wide table fewer rows are taken
FEWEST = 500
CONFIDENCE = 0.95


class _Scored:
    """What scikit-learn asks for a score; its X holds, for each column, the row whose value is taken."""

    def __init__(self, score: Callable[[np.ndarray], float]) -> None:
        self._score = score

    def fit(self, x: Any, y: Any) -> None:
        """Nothing: the run is fitted."""

    def score(self, x: np.ndarray, y: Any) -> float:
        """Larger is better."""
        return self._score(x)


def importance(
    columns: tuple[str, ...],
    features_of: Callable[[np.ndarray], np.ndarray],
    score: Callable[[np.ndarray], float],
    rows: int,
    repeats: int,
    seed: int,
) -> "pd.DataFrame":
    """One row a column, the most important first: importance (mean loss of score), std, low and high of the mean at
    95% over the shuffles. It is scikit-learn's permutation_importance.

    features_of: the features (rows, n) for the row that each column's value is taken from (rows, columns).
    score: of features, larger is better.
    """
    import pandas as pd
    from scipy.stats import t
    from sklearn.inspection import permutation_importance

    takes = np.repeat(np.arange(rows)[:, None], len(columns), axis=1)
    scored = _Scored(lambda takes: score(features_of(takes)))
    found = permutation_importance(
        scored, takes, np.zeros(rows), scoring=_Scored.score, n_repeats=repeats, random_state=seed
    )
    mean, std = found["importances_mean"], found["importances_std"]
    with np.errstate(divide="ignore", invalid="ignore"):  # one shuffle tells no interval
        reach = t.ppf((1 + CONFIDENCE) / 2, max(repeats - 1, 1)) * std / np.sqrt(repeats - 1)
    table = pd.DataFrame({"importance": mean, "std": std, "low": mean - reach, "high": mean + reach})
    table.index = pd.Index(columns, name="column", dtype=object)
    return table.sort_values("importance", ascending=False, kind="stable")


def sampled(rows: int, columns: int, repeats: int, seed: int) -> np.ndarray:
    """Places of the rows that are taken, in order: all of a small table."""
    most = min(ROWS, max(FEWEST, WORK // max(columns * repeats, 1)))
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def assembler(pipeline: Pipeline, x: np.ndarray, table: "pd.DataFrame | None") -> Callable[[np.ndarray], np.ndarray]:
    """What makes features of the rows that each of the pipeline's columns is taken from.

    Where each column becomes features of its own, shuffling it is shuffling these, which is fast. Else the table is
    shuffled and prepared: DataError without one. x: the features of the rows, unshuffled; table: their columns.
    """
    if not (pipeline.order or pipeline.fills or pipeline.cross or pipeline.finish):
        return lambda takes: _from_blocks(pipeline, x, takes)
    if table is None:
        raise DataError("columns are prepared together, so shuffling one needs the table itself; name it: --frame df")
    return lambda takes: _from_table(pipeline, table, takes)


def _from_blocks(pipeline: Pipeline, x: np.ndarray, takes: np.ndarray) -> np.ndarray:
    made, low = x.copy(), 0
    moved = (takes != np.arange(len(x))[:, None]).any(axis=0)
    for place, feature in enumerate(pipeline.features):
        high = low + len(feature.labels)
        if moved[place]:
            made[:, low:high] = x[takes[:, place], low:high]
        low = high
    return made


def _from_table(pipeline: Pipeline, table: "pd.DataFrame", takes: np.ndarray) -> np.ndarray:
    import pandas as pd

    moved = {name: table[name].iloc[takes[:, at]].array for at, name in enumerate(pipeline.columns)}
    return pipeline.transform(pd.DataFrame(moved))
