"""What stands in for missing numbers: one number for the column; imputers of the whole table stand in tables.py."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import IMPUTERS, Array
from nnlab.core.params import Within


def middle(numbers: Array) -> float:
    """The median of numbers without NaN, by one selection: np.median selects both middle ones, which is slower."""
    at = len(numbers) // 2
    parted = np.partition(numbers, at)
    upper = parted[at]
    return float(upper if len(numbers) % 2 else np.mean([parted[:at].max(), upper]))


@IMPUTERS.add(scope="column")
def median(present: Array) -> float:
    """The median of the column."""
    return middle(present)


@IMPUTERS.add(scope="column")
def mean(present: Array) -> float:
    """The mean of the column."""
    return float(present.mean())


@IMPUTERS.add(scope="column")
def most_frequent(present: Array) -> float:
    """The most frequent number, of equals the smallest."""
    found, counts = np.unique(present, return_counts=True)
    return float(found[counts.argmax()])


@IMPUTERS.add(scope="column")
def constant(
    present: Array, value: Annotated[float, Within(-1e30, 1e30), "what stands in for missing numbers"] = 0.0
) -> float:
    """A number of your own."""
    return value
