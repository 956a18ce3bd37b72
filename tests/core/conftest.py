import numpy as np
import pytest

from nnlab.core.data.prepare import Prepared, prepare


@pytest.fixture(scope="session")
def classes() -> Prepared:
    """600 rows, 5 features, three classes that a small net learns."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 5))
    return prepare((x, (x @ draw.normal(size=(5, 3))).argmax(1)), task="multiclass", scale="standard")


@pytest.fixture(scope="session")
def numbers() -> Prepared:
    """600 rows, 5 features, a smooth target around 1000."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 5))
    return prepare((x, 1000 + 50 * x[:, 0] - 20 * np.sin(2 * x[:, 1]) + draw.normal(size=600)), scale="standard")
