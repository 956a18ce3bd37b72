"""New rows from a Gaussian copula: the columns keep their distributions, normal ranks carry what they share."""

import numpy as np

from nnlab.core.data.steps.registries import SYNTHESIZERS, Array
from nnlab.core.data.synthesis.sample import Sample, Times, is_whole, like_training, new_rows

FEW = 10  # rows: covariances of fewer count as if the others were 0, for two rows can show any correlation
LARGEST = 0.995  # correlation of two latent columns
LEAST_EIGENVALUE = 1e-6
LEAST_VARIANCE = 1e-12  # of a column that is not constant, whose scores are 0 but for rounding
MOST_LEVELS_AS_FEATURES = 50  # columns with more levels have too few rows in each to order other levels by


@SYNTHESIZERS.add
def copula(sample: Sample, rng: np.random.Generator, rows: Times = 1.0) -> Sample:
    """A Gaussian copula: normal ranks with the correlations of the rows; fast and steady, sees no interactions.

    Patki, Wedge and Veeramachaneni, "The Synthetic Data Vault", 2016. Levels, and whether a number is missing, are
    intervals of a latent normal; the levels of a column are ordered by what goes with them in the other columns.
    """
    from scipy.special import ndtr

    count = new_rows(sample, rows)
    if not count:
        return sample.take(np.arange(0))
    blanks = np.isnan(sample.numbers)
    scores = _number_scores(sample.numbers)
    orders = [_level_order(sample, scores, j) for j in range(len(sample.levels))]
    ranks = [_positions(order)[codes] for order, codes in zip(orders, sample.codes.T + 1, strict=True)]
    columns = [*scores.T, *(normal_scores(blank) for blank in blanks.T), *(normal_scores(rank) for rank in ranks)]
    correlation = _nearest(_latent_correlation(np.column_stack(columns)))
    normals = rng.standard_normal((count, len(correlation))) @ np.linalg.cholesky(correlation).T
    shares = ndtr(normals)
    p = blanks.shape[1]
    numbers, codes = np.empty((count, p)), np.empty((count, len(orders)), np.int64)
    for j in range(p):
        numbers[:, j] = _number_at(sample.numbers[~blanks[:, j], j], shares[:, j])
        numbers[_step_at(blanks[:, j], shares[:, p + j]), j] = np.nan
    for j, (order, rank) in enumerate(zip(orders, ranks, strict=True)):
        codes[:, j] = order[_step_at(rank, shares[:, 2 * p + j])] - 1
    return like_training(sample, numbers, codes)


def normal_scores(values: Array) -> Array:
    """The normal quantile of each value's rank; equal values get the mean over their ranks. Variance 1 without ties."""
    from scipy.special import ndtri

    n = len(values)
    quantiles = ndtri((np.arange(n) + 0.5) / n)
    quantiles /= quantiles.std() or 1.0
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.bincount(place, quantiles[place.argsort(kind="stable").argsort()]) / counts)[place]


def _number_scores(numbers: Array) -> Array:
    """Normal scores of each column, NaN where missing."""
    scores = np.full(numbers.shape, np.nan)
    for j, column in enumerate(numbers.T):
        present = ~np.isnan(column)
        if present.any():
            scores[present, j] = normal_scores(column[present])
    return scores


def _level_order(sample: Sample, scores: Array, j: int) -> Array:
    """The codes + 1 of column j that occur, ordered along the line on which the other columns part them best.

    The first component of the level means, weighted by rows, as in correspondence analysis.
    """
    found, place, counts = np.unique(sample.codes[:, j] + 1, return_inverse=True, return_counts=True)
    if len(found) < 3:
        return found
    others = [np.nan_to_num(scores)]
    for other, levels in enumerate(sample.levels):
        if other != j and levels <= MOST_LEVELS_AS_FEATURES:
            hot = np.eye(levels + 1)[sample.codes[:, other] + 1]
            others.append(hot - hot.mean(axis=0))
    features = np.hstack(others)
    if not features.shape[1]:
        return found
    weights = np.sqrt(counts)
    sums = np.column_stack([np.bincount(place, feature) for feature in features.T])
    left = np.linalg.svd(sums / weights[:, None], full_matrices=False)[0]
    return found[np.argsort(left[:, 0] / weights, kind="stable")]


def _positions(order: Array) -> Array:
    """The place in the order of each code + 1."""
    places = np.zeros(order.max() + 1, np.int64)
    places[order] = np.arange(len(order))
    return places


def _latent_correlation(scores: Array) -> Array:
    """Correlations of the normals behind the scores (n, d), each pair over the rows that have both.

    The score of a level is the mean E of its normal Z, so that cov(E1, E2) is about r var(E1) var(E2) (Olsson,
    Drasgow and Dorans, "The polyserial correlation coefficient", 1982, exact where one of them has no ties).
    """
    present = ~np.isnan(scores)
    filled = np.where(present, scores, 0.0)
    both = present.astype(float).T @ present
    covariance = filled.T @ filled / np.maximum(both, FEW)
    variance = (filled**2).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    scale = np.where(variance > LEAST_VARIANCE, variance, np.inf)
    correlation = np.clip(covariance / np.outer(scale, scale), -LARGEST, LARGEST)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _nearest(correlation: Array) -> Array:
    """A positive definite correlation matrix near to this one: small eigenvalues raised, the diagonal 1 again."""
    values, vectors = np.linalg.eigh(correlation)
    raised = (vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T
    size = np.sqrt(np.diag(raised))
    return raised / np.outer(size, size)


def _step_at(values: Array, shares: Array) -> Array:
    """The values at these shares of the sorted rows."""
    return np.sort(values)[np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)]


def _number_at(present: Array, shares: Array) -> Array:
    """The quantiles at these shares; between the values where they seldom repeat. NaN where there are no values."""
    if not len(present):
        return np.full(len(shares), np.nan)
    if is_whole(present) or 2 * len(np.unique(present)) < len(present):
        return _step_at(present, shares)
    return np.interp(shares, np.linspace(0.0, 1.0, len(present)), np.sort(present))
