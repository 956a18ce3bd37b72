"""One real kernel for each file of tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from tests.widgets.live_kernel import PREPARED, Kernel


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for the tests of a file, with prepared data."""
    folder: Path = tmp_path_factory.mktemp("kernel")
    environment = {
        **os.environ,
        "IPYTHONDIR": str(folder / "ipython"),
        "NNLAB_HOME": str(folder / "store"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    manager, client = start_new_kernel(kernel_name="python3", env=environment, cwd=str(folder))
    try:
        kernel = Kernel(manager, client)
        kernel.run(PREPARED)
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Iterator[Kernel]:
    """The file's kernel, its old messages forgotten."""
    shared_kernel.published.clear()
    yield shared_kernel
