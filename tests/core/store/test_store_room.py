"""Disks that are full, or too small for the files of a run: told before it begins where that can be known."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import StoreError
from nnlab.core.store import files, room
from nnlab.core.store.trees import unpack_tree
from tests.core.resuming import await_checkpoint, written
from tests.core.store.store_training import small_training

ROOT = Path(__file__).parent.parent.parent.parent
Usage = namedtuple("Usage", "total used free")
SMALL: dict[str, Any] = {"hidden": 8, "epochs": 2, "baseline": False, "probe": False}


@pytest.fixture(scope="module")
def data() -> Prepared:
    return small_training().data


def test_a_run_without_room_is_refused_before_it_begins(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 9 * 4 * nnlab.fit(data, store=False, **SMALL).parameters + 1_000_000
    asked: list[Path] = []

    def usage(place: Path, free: int) -> Usage:
        asked.append(place)
        return Usage(10**9, 0, free)

    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: usage(place, needed - 1))
    with pytest.raises(
        StoreError, match=r"disk full: the run needs 1.0 MB .*, 1.0 MB are free at .*NNLAB_HOME"
    ) as error:
        nnlab.fit(data, store=tmp_path / "not" / "yet", **SMALL)
    assert "\n" not in str(error.value)
    assert asked == [tmp_path]
    assert not list(tmp_path.iterdir()), "nothing is left of it"
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: usage(place, needed))
    assert nnlab.fit(data, store=tmp_path, **SMALL).path is not None


def test_nobody_asks_for_a_run_that_is_kept_nowhere_or_a_disk_that_tells_nothing(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(place: Path) -> Usage:
        raise OSError("not supported")

    monkeypatch.setattr(room.shutil, "disk_usage", silent)
    assert nnlab.fit(data, store=tmp_path, **SMALL).state == "completed"
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: Usage(1, 1, 0))
    assert nnlab.fit(data, store=False, **SMALL).state == "completed"


LIMITED = """
import resource, sys
from pathlib import Path
import nnlab
from tests.core.resuming import await_checkpoint, written
from tests.core.store.store_training import small_training
data = small_training().data
run = nnlab.fit(data, store=False, hidden="8", epochs=1, baseline=False)  # imports all
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
run = nnlab.fit(data, store=Path(sys.argv[1]), hidden="200,200", epochs=3, patience=None, baseline=False)
print(run.state, run.finished.epoch, run.score(data.valid)["accuracy"] > 0.5)
print("\\n".join(run.warnings))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process")
def test_a_real_limit_of_the_disk_costs_no_training(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "store")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, told = found.stdout.splitlines()
    assert first == "completed 3 True"
    assert told.startswith("the run could not be written to disk: File too large (")
    assert told.endswith("run.save(folder) keeps it elsewhere")


SAVING = """
import os, sys, time
from pathlib import Path
import torch
from nnlab.core.events import Resumable
from nnlab.core.store import files
from nnlab.core.store.checkpoint import Checkpoints
run, weights = Path(sys.argv[1]), torch.arange(5_000_000, dtype=torch.float32)
def save(writer, epoch):
    state = {"weights": weights + epoch, "epoch": epoch}
    packed = writer.pack(Resumable(epoch, 0, lambda: state, False, False))
    files.write_files(*writer.steps(packed, files.LineFile(run / "metrics.jsonl").after()), folders=[run])
    writer.written(packed)
began = time.perf_counter()
save(Checkpoints(run), 1)
print(time.perf_counter() - began, flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        epoch, writer = int(line), Checkpoints(run)
        while True:
            epoch += 1
            save(writer, epoch)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")
def test_a_process_killed_while_it_saves_20_mb_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    last, grown, draw = 1, 0, random.Random(0)
    command = [sys.executable, "-c", SAVING, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        assert server.stdin and server.stdout
        took = float(server.stdout.readline())
        for kill in range(40):
            before = written(tmp_path)
            server.stdin.write(f"{last}\n")
            child = int(server.stdout.readline())
            if kill % 2:  # however slow the machine has become
                await_checkpoint(tmp_path, before, child)
            time.sleep(took * 3.0 * draw.random())
            os.kill(child, signal.SIGKILL)
            assert server.stdout.readline() == "dead\n"
            state = _newest(tmp_path)
            assert state["weights"][:2].tolist() == [state["epoch"], state["epoch"] + 1]
            assert state["epoch"] >= last
            grown += state["epoch"] > last
            last = state["epoch"]
        server.stdin.close()
    assert grown >= 20, "checkpoints were written between the kills"


def _newest(run: Path) -> Any:
    """The state that LATEST names first, its checksum right."""
    blob = files.read_json(run / "LATEST")["generations"][0]
    data = files.read_file(run / "ckpt" / blob["file"])
    assert files.sum_of(data) == blob["sum"]
    return unpack_tree(data, blob["file"])
