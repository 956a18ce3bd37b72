"""How much the rows of each class count: one over the frequency of their class, wherever that is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def balanced_weights(counts: Sequence[float] | Array) -> Array:
    """float64 (classes,): n / (K n_k) for the K classes that have rows, 1 for the others.

    The balanced weights of scikit-learn, after King and Zeng, "Logistic Regression in Rare Events Data", 2001. A row
    weighs 1 on average; a class without rows gets that average.
    """
    rows = np.asarray(counts, np.float64)
    present = rows > 0
    weights = np.ones(len(rows))
    weights[present] = rows.sum() / (present.sum() * rows[present])
    return weights
