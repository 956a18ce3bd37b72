"""Training rows that contradict each other: equal features, different targets."""

from dataclasses import replace

import numpy as np

from nnlab.core.data.equal_rows import row_hashes
from nnlab.core.data.roles import Typed
from nnlab.core.data.split import Split
from nnlab.core.data.target import Target
from nnlab.core.errors import DataError, SpecError
from nnlab.core.spec import PrepareSpec
from nnlab.core.wording import agreeing


def without_conflicts(
    typed: list[Typed], target: Target, numbers: np.ndarray, split: Split, spec: PrepareSpec
) -> tuple[Split, list[str]]:
    """The split with fewer training rows, as spec.conflicts says, and what there is to say.

    numbers: the target of all rows. Validation and test rows stay as they are: there the contradictions are part of
    what is to be predicted. SpecError for a regression, DataError where a class has no rows left.
    """
    if spec.conflicts == "keep":
        return split, []
    if not target.classes:
        raise SpecError(f"conflicts={spec.conflicts} is for classes; the target {target.name!r} is a number")
    y = numbers[split.train].astype(np.int64)
    columns = [item.column for item in typed if item.column is not None]
    twins = np.unique(row_hashes(columns, split.train), return_inverse=True)[1]
    kept = _agreeing(twins, y, len(target.classes), majority=spec.conflicts == "majority")
    sizes = (np.bincount(rows, minlength=len(target.classes)) for rows in (y, y[kept]))
    for label, before, after in zip(target.labels, *sizes, strict=True):
        if before and not after:
            raise DataError(
                f"conflicts={spec.conflicts} leaves no training row of the class {label!r}: each has a twin of another "
                "class; conflicts=keep keeps them"
            )
    which = "the most frequent target of these stays" if spec.conflicts == "majority" else "none of these stays"
    lost = int(np.count_nonzero(~kept))
    note = f"{lost:,} of {len(y):,} training rows {agreeing(lost, 'is', 'are')} left out: "
    note += f"equal features, different targets; {which}"
    return replace(split, train=split.train[kept]), [note] if lost else []


def _agreeing(twins: np.ndarray, y: np.ndarray, classes: int, majority: bool) -> np.ndarray:
    """A flag for each row: its twins have its target only, or, for a majority, it more often than any other.

    twins: the group of equal rows of each row; y: codes.
    """
    pairs, pair, counts = np.unique(twins * classes + y, return_inverse=True, return_counts=True)
    group = pairs // classes
    different = np.bincount(group)
    if not majority:
        return different[twins] == 1
    most = np.zeros(len(different), np.int64)
    np.maximum.at(most, group, counts)
    best = counts == most[group]
    alone = np.bincount(group, weights=best)[group] == 1
    return (best & alone)[pair]
