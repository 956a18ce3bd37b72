import pytest

from tests.core.store.store_training import Training, small_training


@pytest.fixture(scope="session")
def training() -> Training:
    return small_training()
