"""An IPython shell of its own for every test, and two small tables."""

import atexit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output
from traitlets.config import Config


class Session:
    """Runs cells as a notebook does."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.names: dict[str, Any] = shell.user_ns

    def run(self, cell: str) -> CapturedIO:
        """What the cell shows; its error is raised."""
        with capture_output() as shown:
            result = self.shell.run_cell(cell, store_history=True)
        result.raise_error()
        return shown

    def value(self, cell: str) -> Any:
        """The value of the cell's last line."""
        with capture_output():
            result = self.shell.run_cell(cell, store_history=True)
        result.raise_error()
        return result.result

    def error(self, cell: str) -> tuple[BaseException, str]:
        """The error of the cell and what the user sees of it."""
        with capture_output() as shown:
            result = self.shell.run_cell(cell, store_history=True)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None
        return error, shown.stdout + shown.stderr


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    kind = np.where(x[:, 0] + 0.3 * rng.normal(size=120) > 0, "yes", "no")
    return pd.DataFrame({"age": x[:, 0], "height": x[:, 1], "my col": x[:, 2], "label": kind})


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame) -> Iterator[Session]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "nnlab")
    shell.user_ns["df"] = table
    yield Session(shell)
    shell.run_line_magic("unload_ext", "nnlab")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


@pytest.fixture
def prepared(session: Session) -> Session:
    session.run("data = %nn_preprocess df --target label;")
    return session
