"""Checkpoints of a run: content-named blobs in ckpt/, and LATEST, the one file that names the newest two of them.

Each blob holds the whole state, so nothing else must agree with it but the journal, of which LATEST keeps the length
and the checksum: a resumed run goes on with just those lines.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnlab.core.errors import StoreError
from nnlab.core.events import Resumable
from nnlab.core.store import files

FOLDER, POINTER = "ckpt", "LATEST"
GENERATIONS = 2
FIRST = 2.0  # seconds of a run before its first checkpoint; a shorter one is as soon made again
SHARE = 50  # all checkpoints with the next one take one part in so many of the time since the run began: 2% at most
SECONDS = 30.0  # between two checkpoints inside an epoch


@dataclass(frozen=True)
class Packed:
    """A checkpoint that is about to be written. blob: how LATEST will name it; began: when it was packed."""

    blob: Mapping[str, Any]
    data: bytes = field(repr=False)
    lasting: bool
    began: float


class Checkpoints:
    """Makes the checkpoints of one run's folder. seconds: between two inside an epoch, 0 for no checkpoints at all."""

    def __init__(self, run: Path, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._seconds, self._clock = run, seconds, clock
        self._generations: list[dict[str, Any]] = []
        self._kept: list[dict[str, Any]] = []  # what they will be when the steps are written
        self._began = self._last = clock()
        self._spent = 0.0
        self._allowed = self._began + min(FIRST, seconds)
        self.lasting = False  # the run has ended and could be made longer

    def due(self, event: Resumable) -> bool:
        """Whether this place shall be kept: one that must be, else after an epoch or some seconds."""
        if not self._seconds or (self._generations and self._place(event) == self._place(self._generations[0])):
            return False
        now = self._clock()
        return event.must or (now >= self._allowed and (not event.step or now >= self._last + self._seconds))

    def pack(self, event: Resumable) -> "Packed":
        """The state of this moment, to be written."""
        from nnlab.core.store.trees import pack_tree

        began = self._clock()
        data = pack_tree(event.state())
        digest = files.sum_of(data)
        name = f"{event.epoch}-{event.step}-{digest[:16]}.safetensors"
        blob = {"file": name, "sum": digest, "bytes": len(data), "epoch": event.epoch, "step": event.step}
        return Packed(blob, data, event.lasting, began)

    def steps(self, packed: "Packed", journal: Mapping[str, Any]) -> tuple[dict[Path, bytes], dict[Path, bytes]]:
        """What is to be written in two steps, for `files.write_files`: the state, and LATEST which names it.

        journal: bytes and sum of what will be on the disk by then.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._run / FOLDER)
        self._kept = [{**packed.blob, "journal": dict(journal)}]
        self._kept += [old for old in self._generations if old["file"] != packed.blob["file"]][: GENERATIONS - 1]
        blob = {files.inside(self._run / FOLDER, packed.blob["file"]): packed.data}
        return blob, {self._run / POINTER: files.seal({"generations": self._kept})}

    def written(self, packed: "Packed") -> None:
        """Its steps are on the disk."""
        self._generations, self.lasting = self._kept, packed.lasting
        self._remove_but({generation["file"] for generation in self._kept})
        self._last = self._clock()
        took = self._last - packed.began
        self._spent += took
        self._allowed = self._began + SHARE * (self._spent + took)

    def go_on(self, taken: Mapping[str, Any]) -> None:
        """Keep the generation that a resumed run began with, and none that came after it."""
        self._generations = [dict(taken)]

    def postpone(self, seconds: float) -> None:
        """Try again later: the disk fails."""
        self._allowed = self._clock() + seconds

    def remove(self) -> None:
        """The run has ended and needs them no more."""
        self._generations = []
        with contextlib.suppress(OSError):
            (self._run / POINTER).unlink(missing_ok=True)
            self._remove_but(set())
            (self._run / FOLDER).rmdir()

    def _remove_but(self, kept: set[str]) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self._run / FOLDER):
                if name not in kept:
                    os.unlink(self._run / FOLDER / name)

    @staticmethod
    def _place(found: Any) -> tuple[int, int]:
        return (found.epoch, found.step) if isinstance(found, Resumable) else (found["epoch"], found["step"])


@dataclass(frozen=True)
class Checkpoint:
    """One that was read. generation: how LATEST names it; newest: epochs and steps of the newest that it names.

    lines: of the journal until then; later: those behind it, as far as they are whole; notes: what was wrong with
    newer checkpoints.
    """

    generation: Mapping[str, Any]
    newest: tuple[int, int] | None
    state: Mapping[str, Any]
    lines: list[str]
    later: list[str]
    notes: list[str] = field(default_factory=list)


def place_of(run: Path) -> tuple[int, int] | None:
    """Epochs and steps that the newest checkpoint holds, None where there is none or LATEST is damaged."""
    try:
        newest = files.read_json(run / POINTER)["generations"][0]
        return int(newest["epoch"]), int(newest["step"])
    except (StoreError, LookupError, TypeError, ValueError):
        return None


def read_checkpoint(run: Path) -> Checkpoint:
    """The newest checkpoint that is whole; StoreError that names what is missing or damaged if none is."""
    if not (run / POINTER).exists():
        raise StoreError(f"run {run.name} has no checkpoint; it ended before its first one")
    notes: list[str] = []
    for generation in files.read_json(run / POINTER)["generations"]:
        try:
            return _read(run, generation, notes)
        except StoreError as error:
            notes.append(str(error))
    raise StoreError(f"run {run.name} cannot be resumed: {'; '.join(notes)}")


def checkpoint_of(run: Path, epoch: int) -> Mapping[str, Any] | None:
    """The state after an epoch, where a whole checkpoint of it is there."""
    try:
        generations = files.read_json(run / POINTER)["generations"]
        place = next(one for one in generations if (one["epoch"], one["step"]) == (epoch, 0))
        return _read(run, place, []).state
    except (StoreError, LookupError, TypeError, ValueError, StopIteration):
        return None


def _read(run: Path, generation: Mapping[str, Any], before: list[str]) -> Checkpoint:
    from nnlab.core.store.trees import unpack_tree

    path = files.inside(run / FOLDER, generation["file"])
    where = f"{run.name}/{FOLDER}/{path.name}"
    data = files.read_file(path, int(generation["bytes"]))
    if files.sum_of(data) != generation["sum"]:
        raise StoreError(f"{where} fails its checksum: it was changed or damaged")
    size = int(generation["journal"]["bytes"])
    whole = files.read_file(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else b""
    journal = whole[:size]
    if len(journal) != size or files.sum_of(journal) != generation["journal"]["sum"]:
        raise StoreError(f"{run.name}/metrics.jsonl fails its checksum: it was changed or damaged")
    notes = [f"{text}; the checkpoint before it, of epoch {generation['epoch']}, is taken" for text in before]
    lines = (files.whole_lines(journal), files.whole_lines(whole[size:]))
    return Checkpoint(generation, place_of(run), unpack_tree(data, where), *lines, notes)
