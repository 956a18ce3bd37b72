"""A table as synthesizers see it and make it: numbers, categories and what is missing of them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import SYNTHESIZERS, Array
from nnlab.core.errors import DataError
from nnlab.core.params import Within

MOST_CELLS = 500_000_000

Times = Annotated[float, Within(0.0, 100.0), "new rows as a multiple of the training rows"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a table, the target among its columns.

    numbers: float64 (n, p), NaN for missing; codes: int64 (n, q) from 0 to levels[j] - 1, -1 for missing; levels: the
    number of levels of each code column; number_names, code_names: p and q names.
    """

    numbers: Array
    codes: Array
    levels: tuple[int, ...]
    number_names: tuple[str, ...]
    code_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def with_rows(self, numbers: Array, codes: Array) -> "Sample":
        """Other rows of the same columns."""
        return Sample(numbers, codes, self.levels, self.number_names, self.code_names)

    def take(self, rows: Array) -> "Sample":
        """The rows at these positions, or where this mask is True."""
        return self.with_rows(self.numbers[rows], self.codes[rows])


def new_rows(sample: Sample, times: float) -> int:
    """How many rows to make; DataError without a training row or for more cells than fit."""
    count = round(times * len(sample)) if sample.levels or sample.number_names else 0
    if times and not len(sample):
        raise DataError("synthesis got no training rows; it needs some to learn from, or synthesis=none")
    cells = count * (len(sample.number_names) + len(sample.levels))
    if cells > MOST_CELLS:
        raise DataError(
            f"synthesis would make {count} rows, {cells} cells; {MOST_CELLS} are allowed: take a smaller rows"
        )
    return count


def is_whole(present: Array) -> bool:
    """Whether all values are whole numbers."""
    return bool((present == np.round(present)).all())


def like_training(sample: Sample, numbers: Array, codes: Array) -> Sample:
    """New rows with every number within the range of its training values, and whole where all of those are."""
    kept = numbers.copy()
    for j, column in enumerate(sample.numbers.T):
        present = column[~np.isnan(column)]
        if len(present):
            rounded = np.round(numbers[:, j]) if is_whole(present) else numbers[:, j]
            kept[:, j] = np.clip(rounded, present.min(), present.max())
    return sample.with_rows(kept, codes)


@SYNTHESIZERS.add
def none(sample: Sample, rng: np.random.Generator) -> Sample:
    """No new rows."""
    return sample.take(np.arange(0))
