"""How good new rows are: near to the training rows in distribution, useful to learn from, and not copies of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core import showing
from nnlab.core.data.steps.registries import Array
from nnlab.core.data.synthesis.sample import Sample
from nnlab.core.wording import counted

MOST_ROWS_TO_LEARN = 20_000
MOST_ROWS_TO_COMPARE = 2_000
MOST_ROWS_NEAR = 20_000
ROWS_AT_ONCE = 200
MOST_CATEGORIES = 255  # of a column in scikit-learn's histogram gradient boosting


@dataclass(frozen=True)
class ColumnDistance:
    """kind "ks": the largest gap between the distribution functions of a number's present values, missing: the gap
    between the shares of missing ones. kind "tv": half the summed gaps between the shares of levels, missing as one.

    All from 0, the same, to 1. missing is 0 for codes.
    """

    name: str
    kind: str
    distance: float
    missing: float = 0.0


@dataclass(frozen=True, repr=False)
class Quality:
    """Synthetic rows beside the training rows.

    columns: one distance each. score: "accuracy", "R2", or "" without a target; synthetic_score, real_score: on the
    validation rows by a model of the synthetic and of the training rows, None where one cannot be had (the test rows
    stay put away). synthetic_to_train, valid_to_train: median distance to the closest training row, 1 for a standard
    deviation or another level; copies, valid_copies: the shares of rows that are in the training rows; synthetic rows
    that are nearer or more often copies than validation rows are remembered rather than made. None without rows.
    """

    columns: tuple[ColumnDistance, ...]
    score: str
    synthetic_score: float | None
    real_score: float | None
    synthetic_to_train: float | None
    valid_to_train: float | None
    copies: float | None
    valid_copies: float | None

    def __repr__(self) -> str:
        beside = {
            self.score: (self.synthetic_score, self.real_score),
            "distance": (self.synthetic_to_train, self.valid_to_train),
            "copies": (self.copies, self.valid_copies),
        }
        known = {word: pair for word, pair in beside.items() if word and None not in pair}
        words = [f"{word} {made:.3g} (real {real:.3g})" for word, (made, real) in known.items()]
        return f"Quality({', '.join([*words, counted(len(self.columns), 'column')])})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return showing.report(self)._repr_mimebundle_(include, exclude)


def quality(
    real_train: Sample,
    synthetic: Sample,
    real_valid: Sample,
    target: tuple[int | None, int | None],
    rng: np.random.Generator,
) -> Quality:
    """The quality of synthetic rows; large tables by rows drawn from them.

    target: its position among the code columns and that among the number columns, None for not there.
    Train on synthetic, test on real (here on validation rows): Esteban, Hyland and Raetsch, 2017.
    """
    target_codes, target_number = target
    score, position = ("R2", target_number) if target_codes is None else ("accuracy", target_codes)
    seed = int(rng.integers(2**31))
    return Quality(
        tuple(column_distances(real_train, synthetic)),
        "" if position is None else score,
        None if position is None else learned_score(synthetic, real_valid, (score, position), seed),
        None if position is None else learned_score(real_train, real_valid, (score, position), seed),
        median_to_closest(synthetic, real_train, rng),
        median_to_closest(real_valid, real_train, rng),
        share_of_copies(synthetic, real_train),
        share_of_copies(real_valid, real_train),
    )


def column_distances(real: Sample, made: Sample) -> list[ColumnDistance]:
    """Of each number, then of each code column; 1 where just one of the two has values."""
    found = []
    for name, a, b in zip(real.number_names, real.numbers.T, made.numbers.T, strict=True):
        missing = abs(_share(np.isnan(a)) - _share(np.isnan(b)))
        found.append(ColumnDistance(name, "ks", _ks(a[~np.isnan(a)], b[~np.isnan(b)]), missing))
    for name, levels, a, b in zip(real.code_names, real.levels, real.codes.T, made.codes.T, strict=True):
        shares = [np.bincount(codes + 1, minlength=levels + 1) / max(len(codes), 1) for codes in (a, b)]
        apart = float(np.abs(shares[0] - shares[1]).sum() / 2) if len(a) and len(b) else float(len(a) != len(b))
        found.append(ColumnDistance(name, "tv", apart))
    return found


def learned_score(train: Sample, test: Sample, target: tuple[str, int], seed: int) -> float | None:
    """Accuracy or R2 on test rows by gradient boosting on train rows; None where either has too few with a target.

    target: "accuracy" or "R2", and the position of the target among the codes or numbers.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    (x, y, nominal), (test_x, test_y, _) = _task(train, target), _task(test, target)
    if len(y) < 2 or len(test_y) < 2:
        return None
    chosen = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS_TO_LEARN]
    x, y = x[chosen], y[chosen]
    makes = HistGradientBoostingRegressor if target[0] == "R2" else HistGradientBoostingClassifier
    model = makes(
        categorical_features=nominal,
        min_samples_leaf=max(1, min(20, len(y) // 10)),
        early_stopping=False,
        random_state=seed,
    )
    if target[0] == "accuracy" and len(np.unique(y)) == 1:
        model = DummyClassifier()
    return float(model.fit(x, y).score(test_x, test_y))


def median_to_closest(rows: Sample, train: Sample, rng: np.random.Generator) -> float | None:
    """The median over rows of the distance to the closest row of train; None without rows.

    Euclidean: numbers in standard deviations of train, 1 for another level and where just one number is missing.
    """
    from scipy.spatial.distance import cdist

    if not len(rows) or not len(train):
        return None
    average, spread = _center(train.numbers)
    here, there = _some(rows, MOST_ROWS_TO_COMPARE, rng), _some(train, MOST_ROWS_NEAR, rng)
    a, b = (np.nan_to_num((part.numbers - average) / spread) for part in (here, there))
    levels = [np.hstack([part.codes, np.isnan(part.numbers)]) for part in (here, there)]
    nearest = []
    for at in range(0, len(a), ROWS_AT_ONCE):
        chunk = slice(at, at + ROWS_AT_ONCE)
        squares = cdist(a[chunk], b, "sqeuclidean") if a.shape[1] else np.zeros((len(a[chunk]), len(b)))
        squares += levels[0].shape[1] * cdist(levels[0][chunk], levels[1], "hamming") if levels[0].shape[1] else 0.0
        nearest.append(squares.min(axis=1))
    return float(np.median(np.sqrt(np.concatenate(nearest))))


def share_of_copies(rows: Sample, train: Sample) -> float | None:
    """The share of rows that are in train, to the last digit; None without rows."""
    if not len(rows):
        return None
    known = set(_row_bytes(train))
    return sum(row in known for row in _row_bytes(rows)) / len(rows)


def _share(mask: Array) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _ks(a: Array, b: Array) -> float:
    """The Kolmogorov-Smirnov statistic of two samples."""
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    values = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(part), values, side="right") / len(part) for part in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _task(sample: Sample, target: tuple[str, int]) -> tuple[Array, Array, Array]:
    """Features, the target, and which features are categories, of the rows that have a target."""
    score, j = target
    levels = np.array(sample.levels, np.int64)
    if score == "accuracy":
        y, known = sample.codes[:, j], sample.codes[:, j] >= 0
        codes, levels, numbers = np.delete(sample.codes, j, 1), np.delete(levels, j), sample.numbers
    else:
        y, known = sample.numbers[:, j], ~np.isnan(sample.numbers[:, j])
        codes, numbers = sample.codes, np.delete(sample.numbers, j, 1)
    blank = np.where(codes < 0, np.nan, codes)
    constant = np.zeros((len(y), 1))  # a table of the target alone has a model too
    nominal = np.concatenate([np.zeros(1 + numbers.shape[1], bool), levels <= MOST_CATEGORIES])
    return np.hstack([constant, numbers, blank])[known], y[known], nominal


def _center(numbers: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the present values of each column; 0 and 1 where there is none."""
    present = ~np.isnan(numbers)
    size = np.abs(np.where(present, numbers, 0.0)).max(axis=0, initial=0.0)
    size = np.where(size > 0, size, 1.0)  # squares of large numbers are too large
    parts, count = np.where(present, numbers, 0.0) / size, np.maximum(present.sum(axis=0), 1)
    average = parts.sum(axis=0) / count
    spread = np.sqrt((np.where(present, parts - average, 0.0) ** 2).sum(axis=0) / count)
    return average * size, np.where(spread > 1e-12, spread, 1.0) * size


def _some(sample: Sample, most: int, rng: np.random.Generator) -> Sample:
    """At most that many of the rows, at random."""
    return sample if len(sample) <= most else sample.take(rng.choice(len(sample), most, replace=False))


def _row_bytes(sample: Sample) -> list[bytes]:
    """Each row as bytes, the same for equal rows."""
    numbers = np.where(np.isnan(sample.numbers), np.nan, sample.numbers + 0.0)  # one NaN, and no -0
    return [a.tobytes() + b.tobytes() for a, b in zip(numbers, sample.codes, strict=True)]
