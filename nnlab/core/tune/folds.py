"""Which rows a study compares its trials on."""

from collections.abc import Sequence

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError


def folds_of(data: Prepared, count: int | None) -> Sequence[Prepared]:
    """The first so many folds of the data; for None, a holdout, the data alone. DataError if there are not so many."""
    if count is None:
        return (data,)
    if count > len(data.folds):
        there = f"has {len(data.folds)} folds" if data.folds else "has no folds"
        raise DataError(f"--folds {count}: the data {there}; prepare it with --folds {count}")
    return data.folds[:count]
