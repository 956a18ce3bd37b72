"""What is done about classes with few rows; on the training rows only."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from nnlab.core.class_weights import balanced_weights
from nnlab.core.data.steps.mixed_smote import check_installed, more_rows
from nnlab.core.data.steps.registries import BALANCES, Array
from nnlab.core.errors import DataError
from nnlab.core.params import Within
from nnlab.core.wording import counted

MOST_ROWS = 20_000_000


@dataclass(frozen=True, eq=False)
class Classed:
    """Training rows: x float32 (n, f); y: int64 codes of the classes (0: a number).

    groups: columns of x that are one category together (one-hot, flags), None where steps on the matrix mixed them.
    """

    x: Array
    y: Array
    classes: int
    groups: tuple[tuple[int, ...], ...] | None = ()


@dataclass(frozen=True, eq=False)
class Balanced:
    """Training rows after balancing: rows of x that are kept or repeated, then new ones.

    rows: int64 (n,) positions in x; new_x: float32 (m, f); new_y: int64 (m,); weights: float32 (n + m,) in that order
    or None; note: what was done, in words, or "".
    """

    rows: Array
    new_x: Array
    new_y: Array
    weights: Array | None = None
    note: str = ""


@BALANCES.add
def none(data: Classed, rng: np.random.Generator) -> Balanced:
    """The rows as they are."""
    return _only(data.x, np.arange(len(data.y)))


@BALANCES.add
def weights(data: Classed, rng: np.random.Generator) -> Balanced:
    """Rows of rare classes weigh more in the loss, so that every class weighs the same (balanced of scikit-learn)."""
    each = balanced_weights(_counts(data.y, data.classes))[data.y].astype(np.float32)
    note = f"rows weigh {each.min():.3g} to {each.max():.3g} by class" if len(each) else ""
    return _only(data.x, np.arange(len(data.y)), each, note)


@BALANCES.add
def oversample(
    data: Classed,
    rng: np.random.Generator,
    ratio: Annotated[float, Within(0.01, 1.0), "rows of each class for one of the largest class, at least"] = 1.0,
) -> Balanced:
    """Rows of rare classes are repeated at random; each row of a class as often as any other, or once more."""
    y, counts = data.y, _counts(data.y, data.classes)
    wanted = _raised(counts, ratio)
    more = [
        np.resize(rng.permutation(np.flatnonzero(y == code)), wanted[code] - counts[code])
        for code in np.flatnonzero(wanted > counts)
    ]
    rows = np.concatenate([np.arange(len(y)), *more])
    return _only(data.x, rows, note=f"{counted(len(rows) - len(y), 'row')} of rare classes repeated" if more else "")


@BALANCES.add
def undersample(
    data: Classed,
    rng: np.random.Generator,
    ratio: Annotated[float, Within(0.01, 1.0), "rows of the smallest class for one of any other, at least"] = 1.0,
) -> Balanced:
    """Rows of frequent classes are dropped at random."""
    y, counts = data.y, _counts(data.y, data.classes)
    most = round(int(counts[counts > 0].min(initial=len(y))) / ratio)
    kept = np.ones(len(y), bool)
    for code in np.flatnonzero(counts > most):
        kept[rng.permutation(np.flatnonzero(y == code))[most:]] = False
    rows = np.flatnonzero(kept)
    dropped = len(y) - len(rows)
    return _only(data.x, rows, note=f"{dropped} of {len(y)} rows dropped, of frequent classes" if dropped else "")


@BALANCES.add
def smote(
    data: Classed,
    rng: np.random.Generator,
    ratio: Annotated[float, Within(0.01, 1.0), "rows of each class for one of the largest class, at least"] = 1.0,
    neighbors: Annotated[int, Within(1, 100), "near rows of the class to mix with; fewer in small classes"] = 5,
) -> Balanced:
    """New rows of rare classes, each between a row and near ones; categories as most of the near rows have them.

    Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002, with SMOTE-NC for tables with categories
    and SMOTE-N for those of nothing else, by imbalanced-learn; plain SMOTE where the columns of the categories are no
    longer known. Classes of one row stay as they are. DataError where imbalanced-learn is not installed.
    """
    check_installed()
    x, counts = data.x, _counts(data.y, data.classes)
    wanted = _raised(counts, ratio)
    single = int(((counts == 1) & (wanted > 1)).sum())
    raised = np.flatnonzero((wanted > counts) & (counts > 1))
    alone = ("1 class of one row stays as it is", f"{single} classes of one row stay as they are")[single > 1]
    alone = alone if single else ""
    if not len(raised):
        return _only(x, np.arange(len(x)), note=alone)
    near = min(neighbors, int(counts[raised].min()) - 1)
    sizes = {int(code): int(wanted[code]) for code in raised}
    new_x, new_y = more_rows(x, data.y, data.groups, sizes, near, int(rng.integers(2**31)))
    words = [f"{len(new_y)} new rows of rare classes from {near} near rows each", alone]
    words.append("" if data.groups is not None else "features were selected or reduced: categories get fractions")
    return Balanced(np.arange(len(x)), new_x, new_y, note="; ".join(filter(None, words)))


def _counts(y: Array, classes: int) -> Array:
    """Rows of each class; DataError where the target has none."""
    if not classes:
        raise DataError("balance works on classes, and the target is a number; leave it at none")
    return np.bincount(y, minlength=classes)


def _raised(counts: Array, ratio: float) -> Array:
    """Rows of each class with the rare ones brought up to ratio of the largest; classes without rows stay so."""
    wanted = np.where(counts > 0, np.maximum(counts, round(ratio * int(counts.max(initial=0)))), 0)
    total = int(wanted.sum())
    if total > max(MOST_ROWS, int(counts.sum())):
        raise DataError(
            f"balance would make {total} rows out of {counts.sum()}, more than {MOST_ROWS}; "
            "take a smaller ratio, or balance=weights"
        )
    return wanted


def _only(x: Array, rows: Array, row_weights: Array | None = None, note: str = "") -> Balanced:
    """Rows of x without new ones."""
    return Balanced(rows, np.empty((0, x.shape[1]), np.float32), np.empty(0, np.int64), row_weights, note)
