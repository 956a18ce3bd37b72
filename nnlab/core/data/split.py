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
    if classes is not None:
        order, rare = stratified_order(classes, 1 + (valid > 0) + (test > 0), rng)
    cuts = np.cumsum(part_sizes(len(order), valid, test))
    part = np.zeros(rows, np.int8)
    part[order[: cuts[0]]], part[order[cuts[0] : cuts[1]]] = 1, 2
    parts = [np.flatnonzero(part == code) for code in range(3)]
    return Split(parts[0], parts[1], parts[2], rare)


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
    rows = rows[rng.permutation(len(rows))]
    own = classes[rows].astype(np.min_scalar_type(len(counts)))  # few bytes are sorted by their digits
    by_class = np.argsort(own, kind="stable")
    sizes = np.bincount(own, minlength=len(counts))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    nth = np.arange(len(rows)) - np.repeat(starts, sizes)
    place = (nth + np.repeat(rng.random(len(counts)), sizes)) / np.repeat(counts, sizes)
    return rows[by_class][_order(place)], tuple(int(code) for code in rare)


def _order(numbers: np.ndarray) -> np.ndarray:
    """The stable order, by the faster sort where no two numbers are equal."""
    order = np.argsort(numbers)
    ordered = numbers[order]
    return np.argsort(numbers, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order
