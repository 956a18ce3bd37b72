"""Checkpoints on a disk that fails, tears and flips bytes: the newest whole one is found, or none was promised."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnlab.core.errors import StoreError
from nnlab.core.events import Finished, Resumable
from nnlab.core.store import files
from nnlab.core.store.checkpoint import FOLDER, POINTER, Checkpoints, place_of, read_checkpoint
from nnlab.core.store.facts import new_facts
from nnlab.core.store.folder import RunFolder
from nnlab.core.store.trees import pack_tree, unpack_tree
from tests.core.store.store_training import Faults, Training


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def place(epoch: int, step: int = 0, must: bool = True) -> Resumable:
    """A place whose state tells which one it is."""
    return Resumable(epoch, step, lambda: {"place": (epoch, step), "w": torch.full((3,), float(epoch))}, must)


def write(writer: Checkpoints, event: Resumable, journal: files.LineFile) -> None:
    packed = writer.pack(event)
    files.write_files(*writer.steps(packed, journal.after()))
    writer.written(packed)


def state_of(path: Path) -> tuple[int, int]:
    found = read_checkpoint(path).state
    assert torch.equal(found["w"], torch.full((3,), float(found["place"][0])))
    return tuple(found["place"])  # type: ignore[return-value]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "20260101T000000-00000001"
    path.mkdir()
    return path


def test_a_tree_of_values_comes_back_as_it_was() -> None:
    wide = torch.arange(12.0).reshape(3, 4).T
    tree = {
        "none": None,
        "numbers": [True, 2**70, -0.0, float("inf"), 1e-320],
        3: ("a", {"$": 1}),
        "tensors": [
            wide,
            torch.zeros(()),
            torch.zeros(0, 2),
            torch.tensor([True]),
            torch.ones(2, dtype=torch.bfloat16),
        ],
        "array": np.arange(3, dtype=np.uint32),
    }
    found = unpack_tree(pack_tree(tree), "here")
    assert repr(found) == repr(tree)
    assert found["tensors"][0].stride() == wide.stride()  # it decides how a product groups its sums
    with pytest.raises(TypeError, match="a set cannot be kept"):
        pack_tree({"x": {1}})
    for data in (b"", b"\x00" * 30, pack_tree(tree)[:-5]):
        with pytest.raises(StoreError, match="here is not"):
            unpack_tree(data, "here")


def test_when_a_place_is_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    writer = Checkpoints(run, 30.0, clock)
    assert not writer.due(place(1, must=False))  # a run of a moment is as soon made again
    assert writer.due(place(1))
    clock.now = 2.0
    assert writer.due(place(1, must=False))
    assert not writer.due(place(0, 3, must=False))
    slow = Resumable(1, 0, lambda: setattr(clock, "now", 2.5) or {})  # half a second
    write(writer, slow, files.LineFile(run / "metrics.jsonl"))
    assert not writer.due(place(1))  # it is there
    clock.now = 49.9
    assert not writer.due(place(2, must=False))  # with this one it would be more than 2% of the time
    clock.now = 50.0
    assert writer.due(place(2, must=False))
    assert writer.due(place(1, 4, must=False))
    write(writer, place(2), files.LineFile(run / "metrics.jsonl"))  # takes no time
    assert writer.due(place(3, must=False))
    clock.now = 79.9
    assert not writer.due(place(2, 4, must=False))  # inside an epoch only after 30 seconds
    clock.now = 80.0
    assert writer.due(place(2, 4, must=False))
    assert not Checkpoints(run, 0.0, clock).due(place(2))


def two(path: Path) -> Checkpoints:
    writer, journal = Checkpoints(path, 30.0, Clock()), files.LineFile(path / "metrics.jsonl")
    for epoch in (1, 2):
        journal.append([f"line {epoch}"], os.fsync)
        write(writer, place(epoch), journal)
    return writer


def test_two_generations_are_kept(run: Path) -> None:
    writer = two(run)
    journal = files.LineFile(run / "metrics.jsonl")
    journal.go_on(["line 1", "line 2"])
    write(writer, place(3), journal)
    assert sorted(name.split("-")[0] for name in os.listdir(run / FOLDER)) == ["2", "3"]
    assert (state_of(run), place_of(run)) == ((3, 0), (3, 0))
    writer.remove()
    assert os.listdir(run) == ["metrics.jsonl"]
    with pytest.raises(StoreError, match="has no checkpoint"):
        read_checkpoint(run)


@contextlib.contextmanager
def flipped(path: Path, at: int) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    yield
    path.write_bytes(whole)


def test_a_flipped_byte_is_noticed_and_the_generation_before_is_taken(run: Path) -> None:
    two(run)
    older, newest = sorted((run / FOLDER).iterdir())
    for at in random.Random(0).sample(range(newest.stat().st_size), 20):
        with flipped(newest, at):
            found = read_checkpoint(run)
            assert (tuple(found.state["place"]), found.lines) == ((1, 0), ["line 1"])
            assert found.notes == [
                f"{run.name}/ckpt/{newest.name} fails its checksum: it was changed or damaged; "
                "the checkpoint before it, of epoch 1, is taken"
            ]
            with flipped(older, at), pytest.raises(StoreError, match=f"{newest.name} fails.*{older.name} fails"):
                read_checkpoint(run)
    with flipped(run / POINTER, 40), pytest.raises(StoreError, match="LATEST"):
        read_checkpoint(run)
    with flipped(run / "metrics.jsonl", 9):  # in the second line, which the older generation does not need
        assert read_checkpoint(run).lines == ["line 1"]
    with flipped(run / "metrics.jsonl", 2), pytest.raises(StoreError, match=r"metrics.jsonl fails its checksum"):
        read_checkpoint(run)
    newest.unlink()
    assert state_of(run) == (1, 0)
    older.unlink()
    with pytest.raises(StoreError, match="is missing"):
        read_checkpoint(run)


def test_what_comes_after_the_checkpoint_does_not_matter(run: Path) -> None:
    two(run)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'line 3\n{"torn')
    assert read_checkpoint(run).lines == ["line 1", "line 2"]


@pytest.mark.parametrize("kind", ["eio", "enospc", "short", "death"])
def test_a_fault_at_any_call_leaves_the_old_checkpoint_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    faults, died = Faults(monkeypatch), False
    real = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: None if died else real(path))
    for at in range(1, 40):
        run = tmp_path / str(at)
        run.mkdir()
        journal, writer = files.LineFile(run / "metrics.jsonl"), Checkpoints(run, 30.0, Clock())
        journal.append(["line"], os.fsync)
        write(writer, place(1), journal)
        faults.arm(at, "eio" if kind == "death" else kind)
        died = kind == "death"  # a dead process cleans up nothing
        with contextlib.suppress(OSError):
            write(writer, place(2), journal)
        died = False
        with faults.healed():
            assert state_of(run) in ((1, 0), (2, 0))
            left = [path.name for path in run.rglob("*") if ".tmp-" in path.name]
            assert kind == "death" or not left
            write(writer, place(3), journal)
            assert state_of(run) == (3, 0)
            assert len(os.listdir(run / FOLDER)) == 2
        if not faults.hit:
            break
    assert at > 8


def test_a_full_disk_is_said_and_the_run_goes_on(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "20260101T000000-00000001", new_facts(training.data), Clock())
    folder.claim()
    folder(training.started())
    folder(training.epoch(1))
    folder(place(1))
    real: Any = files.write_files

    def full(*steps: dict[Path, bytes], **options: Any) -> None:
        if any(path.parent.name == FOLDER for step in steps for path in step):
            raise OSError(28, "No space left on device")
        real(*steps, **options)

    monkeypatch.setattr(files, "write_files", full)
    folder(training.epoch(2))
    folder(place(2))
    assert "disk full" in folder.warnings[0]
    assert state_of(folder.path) == (1, 0)
    monkeypatch.undo()
    folder(place(2, 1))
    assert state_of(folder.path) == (2, 1)
    folder(Finished("interrupted", 2, 2, 1.0))
    folder.complete(None)
    assert state_of(folder.path) == (2, 1)  # it can be resumed
    assert "all of it was written" in folder.warnings[0]
