"""A power loss at any moment: what a disk may then hold of a run, names and bytes apart, and that it can be read."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nnlab.core.evaluate import Evaluation
from nnlab.core.events import Progress, Resumable
from nnlab.core.store import files
from nnlab.core.store.checkpoint import FOLDER, POINTER, read_checkpoint
from nnlab.core.store.facts import new_facts
from nnlab.core.store.folder import RunFolder
from nnlab.core.store.reading import read_info, read_run
from tests.core.store.store_training import Training

Disk = dict[Path, bytes]
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file is synced")


class Clock:
    """Time that goes on by a step at each event."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        return self.now


class Power:
    """Notes at every sync and every new name what a power loss could leave: bytes that were synced, by names that were
    synced, each newer name there or not. Nothing is really synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, top: Path) -> None:
        self.top, self.left = top, list[Disk]()
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self._lock = threading.Lock()
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, self._noted(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _noted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            found = real(*args, **options)
            with self._lock:
                self.left.extend(self._possible())
            return found

        return call

    def _fsync(self, descriptor: int) -> None:
        with self._lock:
            facts = os.fstat(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if stat.S_ISDIR(facts.st_mode):
                self._names[path] = self._seen(path)
            else:
                self._bytes[facts.st_ino] = path.read_bytes()
            self.left.extend(self._possible())

    @staticmethod
    def _seen(folder: Path) -> dict[str, int]:
        return {one.name: one.inode() for one in os.scandir(folder) if ".tmp-" not in one.name}

    def _possible(self) -> Iterator[Disk]:
        """None of the newer names there, all, each alone, and all but each."""
        folders = [place for place in (self.top, self.top / FOLDER) if place.is_dir()]
        now = {place / name: node for place in folders for name, node in self._seen(place).items()}
        then = {place / name: node for place in folders for name, node in self._names.get(place, {}).items()}
        newer = frozenset(path for path in {**now, **then} if now.get(path) != then.get(path))
        for chosen in {frozenset(), newer} | {one for path in newer for one in (frozenset({path}), newer - {path})}:
            there = {path: now.get(path) if path in chosen else then.get(path) for path in {*now, *then}}
            lost = {path for path in there if path.parent != self.top and there.get(path.parent) is None}
            found = {path: node for path, node in there.items() if node is not None and path not in lost}
            yield {path: self._bytes.get(node, b"") for path, node in found.items() if not path.is_dir()}


def place(epoch: int, lasting: bool = False) -> Resumable:
    return Resumable(epoch, 0, lambda: {"w": torch.full((3,), float(epoch))}, lasting, lasting)


def trained(folder: RunFolder, training: Training, clock: Clock) -> None:
    """Three epochs with checkpoints, the last one for a longer run."""
    started, *epochs, finished = training.events(3)
    between = [event for epoch, done in enumerate(epochs, 1) for event in (done, place(epoch, lasting=epoch == 3))]
    for event in (started, *between, finished):
        folder(event)
        clock.now += clock.step
    folder.complete(Evaluation(20, ("no", "yes"), ((1, 2), (3, 4))))


@pytest.mark.parametrize(
    ("step", "checkpoints"), [(0.0, {0, 3}), (0.6, {0, 2, 3}), (10.0, {0, 1, 2, 3})]
)  # seconds an event; short runs sync their names later than long ones
def test_a_power_loss_at_any_moment_leaves_what_can_be_read(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch, step: float, checkpoints: set[int]
) -> None:
    path, clock = tmp_path / "20260101T000000-00000001", Clock(step)
    with monkeypatch.context() as patch:
        power = Power(patch, path)
        folder = RunFolder(path, new_facts(training.data), clock)
        folder.claim()
        trained(folder, training, clock)
    assert folder.kept and not folder.warnings
    left = {tuple(sorted(disk.items())): disk for disk in power.left}.values()
    seen = [_read(dict(disk), path, tmp_path / "left" / str(number) / path.name) for number, disk in enumerate(left)]
    assert {best for best, _, _ in seen} >= {0, 1, 3}
    assert {state for _, state, _ in seen} == {"", "running", "completed"}  # this process lives on
    assert {resumable for _, _, resumable in seen} == checkpoints
    assert _read(power.left[-1], path, tmp_path / "end" / path.name) == (3, "completed", 3), "in the end all is durable"


def _read(disk: Disk, run: Path, target: Path) -> tuple[int, str, int]:
    """The epochs of the weights and the newest checkpoint that a disk holds, 0 for none, and the state of the run."""
    for path, data in disk.items():
        there = target / path.relative_to(run)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(data)
    if not (target / "BEST").exists():
        assert not (target / "manifest.json").exists()
        assert not (target / POINTER).exists()
        return 0, "", 0
    saved, (best,) = read_run(target), {tensor.unique().item() for tensor in read_run(target).weights.values()}
    assert [done.epoch for done in saved.record.epochs][: int(best)] == list(range(1, int(best) + 1))
    assert files.read_json(target / "BEST")["epoch"] == best
    if (target / "manifest.json").exists():
        assert saved.evaluation is not None and saved.info.state == "completed"
        for name, digest in files.read_json(target / "manifest.json")["files"].items():
            assert files.sum_of((target / name).read_bytes()) == digest, name
    resumable = read_checkpoint(target).state["w"][0].item() if (target / POINTER).exists() else 0
    return int(best), saved.info.state, int(resumable)


def test_names_that_wait_are_synced_in_half_a_second(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock, synced = tmp_path / "20260101T000000-00000001", Clock(0.0), list[Path]()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(os.readlink(f"/proc/self/fd/{handle}"))))
    folder = RunFolder(path, new_facts(training.data), clock)
    folder.claim()
    folder(training.started())
    folder(training.epoch(1))
    synced.clear()
    for clock.now in (0.0, 0.4, 0.6, 0.7):
        folder(Progress(2, 1, 4, 1.0))
        assert sorted(synced) == ([] if clock.now < 0.5 else [path, path / "metrics.jsonl"])


def test_a_run_that_is_cut_waits_for_nothing(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "20260101T000000-00000001"
    with monkeypatch.context() as patch:
        power = Power(patch, path)
        folder = RunFolder(path, new_facts(training.data), Clock(0.0))
        folder.claim()
        for event in (training.started(), training.epoch(1), training.epoch(2)):
            folder(event)
        folder.close(reason="interrupted")
    assert _read(power.left[-1], path, tmp_path / "end" / path.name) == (2, "interrupted", 0)


def test_what_is_small_is_written_where_a_checkpoint_has_no_room(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = files.write_files

    def full(*steps: Disk, **options: Any) -> None:
        if any(path.parent.name == FOLDER for step in steps for path in step):
            raise OSError(28, "No space left on device")
        real(*steps, **options)

    monkeypatch.setattr(files, "write_files", full)
    clock = Clock(0.0)
    folder = RunFolder(tmp_path / "20260101T000000-00000001", new_facts(training.data), clock)
    folder.claim()
    trained(folder, training, clock)
    assert "disk full" in folder.warnings[0]
    assert {tensor.unique().item() for tensor in read_run(folder.path).weights.values()} == {3.0}
    assert (read_info(folder.path).state, folder.kept) == ("completed", False)


def test_files_are_synced_at_the_same_time_and_a_fault_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=20)
    monkeypatch.setattr(os, "fsync", lambda descriptor: together.wait())
    files.sync_all([1, 2, 3])
    synced: list[int] = []

    def failing(descriptor: int) -> None:
        synced.append(descriptor)
        if descriptor == 2:
            raise OSError(5, "injected")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="injected"):
        files.sync_all([1, 2, 3])
    assert sorted(synced) == [1, 2, 3]

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    synced.clear()
    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(OSError, match="injected"):
        files.sync_all([1, 2, 3])
    assert sorted(synced) == [1, 2, 3]
