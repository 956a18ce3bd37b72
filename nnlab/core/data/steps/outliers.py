"""What happens to extreme numbers of a column."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import OUTLIERS, Array, State
from nnlab.core.errors import SpecError
from nnlab.core.params import Within


@OUTLIERS.add(apply=lambda column, state: column)
def none(present: Array) -> State:
    """As they are."""
    return {}


@OUTLIERS.add(apply=lambda column, state: np.clip(column, state["low"], state["high"]))
def clip(
    present: Array,
    low: Annotated[float, Within(0.0, 1.0), "quantile below which values are raised to it"] = 0.01,
    high: Annotated[float, Within(0.0, 1.0), "quantile above which values are lowered to it"] = 0.99,
) -> State:
    """Clipped at two quantiles of the training rows."""
    if low >= high:
        raise SpecError(f"outliers clip: low={low:g} must be below high={high:g}")
    if not len(present):
        return {"low": -np.inf, "high": np.inf}
    found = np.quantile(present, [low, high])
    return {"low": float(found[0]), "high": float(found[1])}
