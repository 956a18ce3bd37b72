"""The writer of a run under faults: the disk fails, the process is killed, the network is unusual."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from nnlab.core.errors import StoreError
from nnlab.core.events import Changed, EpochDone, Finished, Warned
from nnlab.core.record import Record
from nnlab.core.store.facts import new_facts
from nnlab.core.store.folder import RunFolder
from nnlab.core.store.reading import read_info, read_run
from nnlab.core.store.runs import Store
from tests.core.store.store_training import Faults, Training


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, training: Training, clock: Clock) -> RunFolder:
    writer = RunFolder(tmp_path / "20260101T000000-00000001", new_facts(training.data, "first"), clock)
    writer.claim()
    return writer


def best_on_disk(path: Path) -> int:
    """The epoch whose weights load; checks that they are the weights of the epoch that BEST names."""
    saved = read_run(path)
    values = {tensor.unique().item() for tensor in saved.weights.values()}
    epoch = json.loads((path / "BEST").read_text())["epoch"]
    assert values == {float(epoch)}
    return int(epoch)


def test_the_folder_tells_all_that_the_events_told(folder: RunFolder, training: Training) -> None:
    told = Record()
    for event in (training.started(), training.epoch(1), Changed(2, 3, "lr", 0.1, 0.01), Warned("<b>'\n")):
        folder(event)
        told(event)
    for event in (training.epoch(2, best=False), Finished("stopped_early", 2, 1, 1.5, "why")):
        folder(event)
        told(event)
    folder.complete(None)
    saved = read_run(folder.path)
    assert folder.warnings == []
    assert saved.started == training.started()
    assert saved.record.epochs == told.epochs
    assert (saved.record.changes, saved.record.warnings) == (told.changes, told.warnings)
    assert saved.record.finished == told.finished
    assert saved.info.metrics == {"loss": 1.0, "accuracy": 0.5}
    assert (saved.info.state, saved.info.name, saved.info.target) == ("stopped_early", "first", "label")
    assert saved.record.history.equals(told.history)


def test_numbers_that_json_lacks_come_back(folder: RunFolder, training: Training) -> None:
    folder(training.started())
    folder(training.epoch(1))
    folder(EpochDone(2, {"loss": float("nan")}, {"loss": float("inf")}, 1.0, 0.1, 1.0, False))
    folder(Finished("diverged", 2, 1, 1.0))
    history = read_run(folder.path).record.history
    assert history.train_loss.isna().tolist() == [False, True]
    assert history.valid_loss.tolist() == [1.0, float("inf")]
    for line in (folder.path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_best_weights_are_written_at_once_then_every_two_seconds_then_at_the_end(
    folder: RunFolder, training: Training, clock: Clock
) -> None:
    folder(training.started())
    assert "no weights are kept yet" in read_info(folder.path).message
    written = []
    for number, now in enumerate([0.0, 0.1, 1.9, 2.1, 3.9, 4.0, 4.2], start=1):
        clock.now = now
        folder(training.epoch(number))
        written.append(best_on_disk(folder.path))
    assert written == [1, 1, 1, 4, 4, 4, 7]
    folder(training.epoch(8))
    folder(Finished("completed", 8, 8, 1.0))
    assert best_on_disk(folder.path) == 8
    folder.complete(None)
    assert len(list(folder.path.glob("best-*"))) == 1, "older weights are removed"


def test_lines_are_written_at_most_twice_a_second(folder: RunFolder, training: Training, clock: Clock) -> None:
    folder(training.started())
    for number in range(1, 11):
        clock.now = number / 10
        folder(training.epoch(number, best=number == 1))
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert read_info(folder.path).epochs == 6


@pytest.mark.parametrize("kind", ["eio", "full", "short"])
def test_every_failing_call_keeps_the_last_weights_and_the_training(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    faults = Faults(monkeypatch)
    points = 0
    for at in range(1, 1000):
        clock = Clock()
        writer = RunFolder(tmp_path / f"run-{kind}-{at}", new_facts(training.data), clock)
        faults.arm(at, kind)
        for event in training.events(3):
            writer(event)
            clock.now += 3.0
            with faults.healed():
                if (writer.path / "BEST").exists():
                    best_on_disk(writer.path)
        writer.complete(None)
        assert not list(writer.path.glob("*.tmp-*"))
        if not faults.hit:
            break
        points += 1
        assert best_on_disk(writer.path) == 3, "the disk came back, so all is there in the end"
        assert [done.epoch for done in read_run(writer.path).record.epochs] == [1, 2, 3]
        assert len(writer.warnings) == 1
        assert ("in the end all of it" if writer.kept else "not kept") in writer.warnings[0]
    assert writer.warnings == []
    assert points > 60


def test_a_disk_that_stays_full_warns_once_and_the_earlier_weights_load(
    folder: RunFolder, training: Training, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(training.started())
    folder(training.epoch(1))
    with monkeypatch.context() as patch:
        full = Faults(patch)
        for number in range(2, 30):
            clock.now += 5.0
            full.arm(1, "full", stays=True)
            folder(training.epoch(number))
        full.arm(1, "full", stays=True)
        folder(Finished("completed", 29, 29, 1.0))
        full.arm(1, "full", stays=True)
        folder.complete(None)
    assert len(folder.warnings) == 1
    assert "disk full" in folder.warnings[0]
    assert best_on_disk(folder.path) == 1


def test_a_folder_that_is_deleted_while_the_run_lives_does_not_come_back(folder: RunFolder, training: Training) -> None:
    folder(training.started())
    subprocess.run(["rm", "-r", str(folder.path)], check=True)
    folder(training.epoch(1))
    folder(Finished("completed", 1, 1, 1.0))
    folder.complete(None)
    assert len(folder.warnings) == 1
    assert not folder.path.exists()


def test_weights_lost_by_a_failing_disk_are_told_of(folder: RunFolder, training: Training) -> None:
    folder(training.started())
    folder(training.epoch(1))
    strange = EpochDone(2, {"loss": 1.0}, {"loss": 0.1}, 0.1, 0.1, 1.0, True, {"w": "no tensor"})  # type: ignore[dict-item]
    folder(strange)
    folder(Finished("completed", 2, 2, 1.0))
    assert "AttributeError" in folder.warnings[0]
    folder.complete(None)
    assert "not kept" in folder.warnings[0]
    assert read_info(folder.path).state == "completed"
    assert best_on_disk(folder.path) == 1
    record = read_run(folder.path).record
    assert record.best_epoch == 1
    assert record.warnings == ["the weights of epoch 2 were not kept; these are of epoch 1"]


def test_tied_and_flat_weights_come_back(folder: RunFolder, training: Training) -> None:
    flat = torch.arange(10.0)
    weights = {
        "a": flat[:4].view(2, 2),
        "b": flat[4:],
        "tied": flat[:4].view(2, 2),
        "n": torch.tensor(3),
        "e": flat[:0],
    }
    weights["t"] = torch.arange(6.0).view(2, 3).t()
    weights["half"] = torch.ones(3, dtype=torch.bfloat16)
    folder(training.started())
    folder(EpochDone(1, {"loss": 1.0}, {"loss": 1.0}, 0.1, 0.1, 1.0, True, weights))
    assert folder.warnings == []
    back = read_run(folder.path).weights
    assert all(torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype for name, tensor in weights.items())


def test_a_run_without_a_last_word_is_closed_as_failed(folder: RunFolder, training: Training) -> None:
    folder(training.started())
    folder(training.epoch(1))
    folder.close("the view broke")
    folder.close("twice")
    info = read_info(folder.path)
    assert (info.state, info.message, info.epochs, info.best_epoch) == ("failed", "the view broke", 1, 1)


KILLED = """
import signal, sys
from dataclasses import replace
from pathlib import Path
from torch import nn
from nnlab.core.store.runs import Store
from tests.core.store.store_training import SPEC, small_training
training = small_training()
features, wide = len(training.data.feature_names), int(sys.argv[2])
training = replace(training, network=nn.Sequential(nn.Linear(features, wide), nn.ReLU(), nn.Linear(wide, 2)))
store = Store(Path(sys.argv[1]))
time, left = 0.0, int(sys.argv[3])
while True:
    folder = store.create_run(SPEC, training.data, name="killed")
    folder._clock = lambda: time
    for event in training.events(30):
        folder(event)
        time += 10.0
        print(flush=True)
        left -= 1
        if not left:
            signal.pause()
    folder.complete(None)
"""


@pytest.mark.slow
def test_a_process_killed_at_any_time_leaves_weights_that_load(tmp_path: Path) -> None:
    rng = random.Random(0)
    seen: list[str] = []
    for kill in range(8):
        store = Store(tmp_path / "store")
        told = 32 * rng.randrange(3) + rng.randrange(2, 28)  # a run has 32 events
        until = told + 2 if kill % 2 else -1  # every other one waits in its run, so that what it leaves is no chance
        command = [sys.executable, "-c", KILLED, str(store.root), str(rng.choice([8, 20_000])), str(until)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as child:
            try:
                assert child.stdout is not None
                for _ in range(told):
                    assert child.stdout.readline() == b"\n"
                time.sleep(0.03 * rng.random())
            finally:
                child.send_signal(signal.SIGKILL)
        for info in store.runs():
            assert info.state in ("completed", "crashed", "broken")
            if info.state == "broken":
                assert "run.json is missing" in info.message
            elif (info.path / "BEST").exists():
                assert best_on_disk(info.path) >= max(info.epochs - 1, 1)
            else:
                assert info.epochs <= 1
            seen.append(info.state)
        shutil.rmtree(store.root, ignore_errors=True)  # a process that dies early has not made it yet
    assert seen.count("crashed") >= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_dies_at_any_call_leaves_the_last_weights_or_the_new(tmp_path: Path, training: Training) -> None:
    points = 0
    for at in range(1, 1000):
        path = tmp_path / f"run-{at}"
        child = os.fork()
        if child == 0:
            _die_at(at, path, training)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == 9
        points += 1
        if not (path / "run.json").exists():
            continue
        info = read_info(path)
        assert info.state in ("crashed", "completed"), info.message
        if (path / "BEST").exists():
            assert best_on_disk(path) >= max(info.epochs - 1, 1)
        else:
            assert info.epochs <= 1
            with pytest.raises(StoreError, match="no weights"):
                read_run(path)
    assert points > 60
    assert best_on_disk(path) == 3


def _die_at(at: int, path: Path, training: Training) -> None:
    left, counting = [at], threading.Lock()

    def dying(real):  # type: ignore[no-untyped-def]
        def call(*args, **options):  # type: ignore[no-untyped-def]
            with counting:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
            return real(*args, **options)

        return call

    for name in ("open", "write", "fsync", "replace", "mkdir", "unlink", "ftruncate"):
        setattr(os, name, dying(getattr(os, name)))
    clock = Clock()
    writer = RunFolder(path, new_facts(training.data), clock)
    for event in training.events(3):
        writer(event)
        clock.now += 10.0
    writer.complete(None)
    os._exit(0 if not writer.warnings else 1)
