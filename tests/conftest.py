import os

# Two OpenMP threads on a busy machine wait for each other: set before torch is loaded by any test or kernel.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)  # a landing must not fail by the luck of the draw; people draw anew
if os.environ.get("CI"):
    settings.load_profile("ci")

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data sets that may lie beside a development checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets (../shared/data beside the checkout) are not here")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test has a store of its own, never the one beside the repository."""
    folder = tmp_path / "store"
    monkeypatch.setenv("NNLAB_HOME", str(folder))
    with warnings.catch_warnings():
        yield folder


@pytest.fixture
def registries() -> Iterator[None]:
    """Losses and metrics of the user's own are forgotten afterwards."""
    from nnlab.core import own

    kept = {kind: dict(registry) for kind, registry in own.KINDS.items()}
    yield
    for kind, entries in kept.items():
        own.KINDS[kind].clear()
        own.KINDS[kind].update(entries)
