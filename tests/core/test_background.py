"""Runs in a process of their own, from plain Python."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nnlab
from nnlab.core.background.run import BackgroundRun, alive
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import EpochDone


def own_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(output, target, label_smoothing=0.1)


class Net(nn.Sequential):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(nn.Linear(n_in, 8), nn.Dropout(0.3), nn.Linear(8, n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.01)
        return super().forward(x)


def after_an_epoch(run: BackgroundRun) -> BackgroundRun:
    """The run when it has told an epoch."""
    there = threading.Event()
    run.watch(lambda event: there.set() if isinstance(event, EpochDone) else None)
    assert there.wait(60)
    return run


@pytest.mark.usefixtures("registries")
def test_an_own_network_and_loss_give_the_same_bits(
    classes: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "open"
    monkeypatch.setenv("GATE", str(gate))
    told: dict[str, Any] = {"model": Net, "loss": own_loss, "epochs": 2, "threads": 1}
    run = nnlab.fit(classes, background=True, store=tmp_path, name="far", **told)
    assert isinstance(run, BackgroundRun) and alive() is run
    with pytest.raises(nnlab.RunError, match="still training"):
        run.predict(None)
    with pytest.raises(nnlab.RunError, match="one at a time"):
        nnlab.fit(classes, background=True, store=False)
    gate.touch()
    draws = torch.rand(3)  # what the user draws meanwhile is no matter of the run's
    near = nnlab.fit(classes, store=False, **told)
    run.wait(120)
    assert len(draws) == 3 and type(run.model) is Net and alive() is None
    assert all(torch.equal(value, near.model.state_dict()[name]) for name, value in run.model.state_dict().items())
    assert run.metrics == near.metrics and run.state == near.state == "completed"
    assert nnlab.Store(tmp_path).load("far", Net).metrics == near.metrics


def test_a_killed_process_is_told_and_its_run_goes_on(classes: Prepared, tmp_path: Path) -> None:
    told: dict[str, Any] = {"patience": None, "schedule": "constant", "warmup": 0.0, "threads": 1}
    run = after_an_epoch(nnlab.fit(classes, background=True, store=tmp_path, epochs=1_000_000, **told))
    os.kill(run._process.pid, signal.SIGKILL)
    with pytest.raises(nnlab.RunError, match=r"signal 9.*--resume"):
        run.wait(60)
    assert run.state == "failed" and run.finished.reason == "failed" and "signal 9" in repr(run)


def test_the_run_ends_with_the_process_that_began_it(tmp_path: Path) -> None:
    code = """
import nnlab, numpy as np, threading
from nnlab.core.events import EpochDone
x = np.random.default_rng(0).normal(size=(300, 3))
data = nnlab.prepare((x, (x[:, 0] > 0).astype(int)), task="binary")
run = nnlab.fit(data, background=True, epochs=1_000_000, patience=None, baseline=False)
there = threading.Event()
run.watch(lambda event: there.set() if isinstance(event, EpochDone) else None)
there.wait(60)
print(run._process.pid)
"""
    environment = {**os.environ, "NNLAB_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for _ in range(60):
        run = nnlab.Store(tmp_path).find("last")
        if run.state != "running":
            break
        threading.Event().wait(1)
    assert run.state == "interrupted" and run.epochs >= 1
