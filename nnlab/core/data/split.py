"""Rows parted into training, validation and test rows, before anything is fitted."""

from dataclasses import dataclass, field

import numpy as np

from nnlab.core.errors import DataError, SpecError

FEWEST_ROWS = 4
NO_CLASSES: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Split:
    """Ascending row positions (int64) of the three parts; rare: codes of the classes that are all in training.

    left_out: the rows in none of the parts, e.g. those in the gap between two stretches of time.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    rare: tuple[int, ...] = ()
    left_out: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def split_rows(rows: int, classes: np.ndarray | None, valid: float, test: float, rng: np.random.Generator) -> Split:
    """Random parts of the given shares of all rows, stratified where classes (codes) are given."""
    check_shares(rows, valid, test)
    order, rare = rng.permutation(rows), NO_CLASSES
    if classes is None:
        lengths = np.append(part_sizes(rows, valid, test), 0)
        lengths[2] = rows - lengths.sum()
    else:
        order, lengths, rare = _stratified(classes, order, valid, test, rng)
    part = np.empty(rows, np.int8)
    part[order] = np.repeat(np.tile(np.array([1, 2, 0], np.int8), len(lengths) // 3), lengths)
    parts = [np.flatnonzero(part == code) for code in range(3)]
    return Split(parts[0], parts[1], parts[2], rare)


def _stratified(
    classes: np.ndarray, order: np.ndarray, valid: float, test: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """The order of rows by class, how many of each class go to validation, test and training, and the rare classes."""
    sizes, own = _by_class(classes, order)
    rare = np.flatnonzero((sizes > 0) & (sizes < 1 + (valid > 0) + (test > 0)))
    counts = sizes.copy()
    counts[rare] = 0
    for_valid, for_test = part_sizes(int(counts.sum()), valid, test)
    valid_rows = _drawn(counts, for_valid, rng)
    test_rows = _drawn(counts - valid_rows, for_test, rng)
    lengths = np.stack([valid_rows, test_rows, sizes - valid_rows - test_rows], axis=1)
    return own, lengths.ravel(), tuple(rare.tolist())


def _by_class(classes: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each class, and the rows class by class, those of a class in the given order."""
    sizes = np.bincount(classes)
    codes = classes.astype(np.min_scalar_type(len(sizes)))  # few bytes are sorted by their digits
    return sizes, order[np.argsort(codes[order], kind="stable")]


def _drawn(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many of the rows each class gives so that they are `total`: its share of them, rounded up or down at random.

    A systematic sample of one random start (Madow and Madow, 1944); whole numbers, so that the sum is exact.
    """
    rows = int(counts.sum())
    if not total:
        return np.zeros_like(counts)
    ends = (np.cumsum(counts) * total + rng.integers(rows)) // rows
    return np.diff(ends, prepend=0)


def check_shares(rows: int, valid: float, test: float) -> None:
    """SpecError for shares that leave no training rows, DataError for a table with too few rows."""
    if valid + test >= 1:
        raise SpecError(f"valid={valid:g} and test={test:g} leave no rows to train on; together they must be below 1")
    if rows < FEWEST_ROWS:
        raise DataError(f"the table has too few rows: {rows}; at least {FEWEST_ROWS} are needed")


def part_sizes(rows: int, valid: float, test: float) -> np.ndarray:
    """Rows of the validation and the test part: at least 1 for a share above 0, and 2 are left for training."""
    sizes = [max(1, round(share * rows)) if share else 0 for share in (valid, test)]
    while sum(sizes) > max(rows - 2, 0):
        sizes[int(np.argmax(sizes))] -= 1
    return np.array(sizes)


def stratified_order(classes: np.ndarray, parts: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...]]:
    """An order of rows in which every stretch has all classes in proportion; classes too rare for it are left out.

    Row i of the m rows of a class gets the place (i + a random share of a step) / m on a line from 0 to 1, and places
    are sorted: any stretch of the line holds each class in proportion, within two rows.
    """
    counts = np.bincount(classes)
    rare = np.flatnonzero((counts > 0) & (counts < parts))
    rows = np.flatnonzero(~np.isin(classes, rare)) if len(rare) else np.arange(len(classes))
    sizes, own = _by_class(classes, rows[rng.permutation(len(rows))])
    sizes[rare] = 0
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    nth = np.arange(len(rows)) - np.repeat(starts, sizes)
    place = (nth + np.repeat(rng.random(len(counts)), sizes)) / np.repeat(counts, sizes)
    return own[_order(place)], tuple(int(code) for code in rare)


def _order(numbers: np.ndarray) -> np.ndarray:
    """The stable order, by the faster sort where no two numbers are equal."""
    order = np.argsort(numbers)
    ordered = numbers[order]
    return np.argsort(numbers, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order
