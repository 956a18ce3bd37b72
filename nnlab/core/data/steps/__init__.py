"""Steps of the preparation, one decorated function each; importing this package fills the registries."""

import nnlab.core.data.steps.balance
import nnlab.core.data.steps.crosses
import nnlab.core.data.steps.encoders
import nnlab.core.data.steps.expanders
import nnlab.core.data.steps.flags
import nnlab.core.data.steps.imputers
import nnlab.core.data.steps.ordered
import nnlab.core.data.steps.outliers
import nnlab.core.data.steps.reducers
import nnlab.core.data.steps.scalers
import nnlab.core.data.steps.selectors
import nnlab.core.data.steps.tables
import nnlab.core.data.steps.texts  # noqa: F401
from nnlab.core.data.steps.encoders import Encoding
from nnlab.core.data.steps.registries import (
    BALANCES,
    CROSSES,
    ENCODERS,
    EXPANDERS,
    FLAGS,
    IMPUTERS,
    OUTLIERS,
    REDUCERS,
    SCALERS,
    SELECTORS,
    SYNTHESIZERS,
    TEXTS,
    State,
)

__all__ = [
    "BALANCES",
    "CROSSES",
    "ENCODERS",
    "EXPANDERS",
    "FLAGS",
    "IMPUTERS",
    "OUTLIERS",
    "REDUCERS",
    "SCALERS",
    "SELECTORS",
    "SYNTHESIZERS",
    "TEXTS",
    "Encoding",
    "State",
]
