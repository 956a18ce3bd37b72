"""A run's folder while it is written: a sink of events that no fault of the disk can turn into the end of a run.

run.json and the pipeline come with the first event, metrics.jsonl grows by a line an epoch, and BEST points at the best
weights: the blob is written and synced first, then the one small file that names it is replaced. What is due at the
same time is written together, so that a run of a moment is not mostly waiting for the disk.
"""

import contextlib
import errno
import functools
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nnlab.core.events import (
    Changed,
    EpochDone,
    Event,
    Finished,
    Probed,
    Reason,
    Resumable,
    Resumed,
    Started,
    Warned,
)
from nnlab.core.spec import to_json
from nnlab.core.store import files, lines
from nnlab.core.store.checkpoint import FIRST, SECONDS, Checkpoint, Checkpoints, Packed
from nnlab.core.store.commit import commit_of
from nnlab.core.store.facts import Facts
from nnlab.core.store.owner import current_owner

if TYPE_CHECKING:
    from torch import Tensor

    from nnlab.core.baselines import Baseline
    from nnlab.core.evaluate import Evaluation

FORMAT = 1
LINE_PAUSE = 0.5  # seconds between two writes of metrics.jsonl
BEST_PAUSE = 2.0  # seconds between two writes of the best weights, and between two tries on a failing disk
LOST = "it is not kept there; run.save(folder) keeps it elsewhere"
RECOVERED = "in the end all of it was written"
BEST_SHARE = 50  # and at least so many times as long as the last write took: 2% of the time at most
GO_ON = ("interrupted", "stopped", "failed")  # ends of a run that can be taken up again


class Part(NamedTuple):
    """What is written in one go: steps for `files.write_files`, and what to note when they are on the disk."""

    steps: tuple[Mapping[Path, bytes], ...]
    done: Callable[[], None]


class RunFolder:
    """Writes one run. After a fault it warns once (`warnings`), keeps the best weights and tries again.

    seconds: between two checkpoints inside an epoch, 0 for none at all.
    """

    def __init__(
        self, path: Path, facts: Facts, clock: Callable[[], float] = time.monotonic, seconds: float = SECONDS
    ) -> None:
        self.path, self.facts = path, facts
        self.warnings: list[str] = []
        self._clock = clock
        self._first: dict[str, bytes] = {}  # files still to be written before the weights
        self._last: dict[str, bytes] = {}  # and after them
        self._packed: Packed | None = None  # a checkpoint still to be written
        self._unsynced: set[Path] = set()  # folders with names that a power loss could take away
        self._names_due = 0.0
        self._began = clock()
        self._sums: dict[str, str] = {}
        self._journal = files.LineFile(path / "metrics.jsonl")
        self._checkpoints = Checkpoints(path, seconds, clock)
        self._lines: list[str] = []
        self._best: tuple[int, Mapping[str, Tensor]] | None = None  # what BEST does not name yet
        self._blob = ""
        self._epoch = 0
        self._best_epoch: int | None = None
        self._metrics: Mapping[str, float] = {}  # of the best epoch
        self._lines_due = self._best_due = 0.0
        self._ended = False
        self._reason = ""
        self.kept = False  # the run has ended and all of it is on disk

    def claim(self) -> None:
        """Make the folder; FileExistsError if there is one of this name already. It lasts with its first files."""
        self._unsynced = {*files.new_folders(self.path.parent), self.path.parent}
        os.mkdir(self.path)

    def go_on(self, checkpoint: Checkpoint, about: Mapping[str, Any]) -> None:
        """Make this the writer of a run that is there, from a checkpoint on. about: what run.json shall say."""
        best, events = checkpoint.state["best"], lines.from_lines(checkpoint.lines)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / "manifest.json")  # from here on the run has not ended
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / "evaluation.json")
        begun = {"status.json": _running(), "run.json": files.seal(about)}
        files.write_files(self._paths(begun))
        self._sums = {"run.json": files.sum_of(begun["run.json"]), **about["files"]}
        self._journal.go_on(checkpoint.lines)
        self._checkpoints.go_on(checkpoint.generation)
        done = [event for event in events if isinstance(event, EpochDone)]
        self._epoch, self._best_epoch = len(done), best["epoch"]
        if best["epoch"] is not None:
            self._best = (best["epoch"], best["weights"])
            self._metrics = next((dict(e.valid) for e in done if e.epoch == best["epoch"]), {})

    def __call__(self, event: Event) -> None:
        """Take an event; write what is due."""
        if isinstance(event, Resumable):
            if self._checkpoints.due(event):
                self._keep(event)
            return
        urgent = self._take(event)
        now = self._clock()
        lines, best = self._lines and now >= self._lines_due, self._best and now >= self._best_due
        if urgent or lines or best or self._names_wait(now):
            self._write(now, urgent)

    def complete(self, evaluation: "Evaluation | None", baselines: "Sequence[Baseline]" = ()) -> None:
        """The last word after Finished: evaluation, baselines, and the manifest that names every file with its sum."""
        worked = self._write(self._clock(), urgent=True)  # what a failing disk has left to be done
        if evaluation is not None:
            self._last["evaluation.json"] = files.seal(evaluation.to_json())
        if baselines:
            self._last["baselines.json"] = files.seal({"baselines": [baseline.to_json() for baseline in baselines]})
        self.kept = worked and self._guarded(self._write_manifest)
        if not self.kept:
            self._commit([self._last_part])
        if self._reason not in GO_ON and not self._checkpoints.lasting:
            self._checkpoints.remove()
        if self.warnings:
            self.warnings = [f"{self.warnings[0]}; {RECOVERED if self.kept else LOST}"]

    def close(self, message: str = "", reason: Reason = "failed") -> None:
        """End the folder of a run that told no Finished, because something else than training broke."""
        if not self._ended:
            self(Finished(reason, self._epoch, self._best_epoch, 0.0, message))

    def degrade(self, error: Exception) -> None:
        """Note that the disk fails; the first time only."""
        if not self.warnings:
            self.warnings.append(f"the run could not be written to disk: {_reason(error, self.path)}")

    def _take(self, event: Event) -> bool:
        """Note what there is to write; whether it must not wait."""
        if isinstance(event, EpochDone):
            self._lines.append(lines.to_line(event))
            self._epoch = event.epoch
            if event.best and event.weights is not None:
                self._best, self._best_epoch = (event.epoch, event.weights), event.epoch
                self._metrics = dict(event.valid)
            return event.epoch == 1
        if isinstance(event, (Changed, Probed, Resumed, Warned)):
            self._lines.append(lines.to_line(event))
            if isinstance(event, Changed):
                self._lines_due = 0.0  # a resumed run makes it again
        elif isinstance(event, Started):
            if event.resumed_from is None:
                self._describe(event)
            return True
        elif isinstance(event, Finished):
            self._ended, self._reason = True, event.reason
            self._last["status.json"] = files.seal(
                {"state": event.reason, "finished": vars(event), "metrics": lines.plain_all(self._metrics)}
            )
            return True
        return False

    def _describe(self, started: Started) -> None:
        from nnlab.core.store.tensors import pack_arrays

        facts, (pipeline, arrays) = self.facts, self.facts.pipeline
        self._first = {
            "pipeline.json": files.seal(pipeline),
            "pipeline.safetensors": pack_arrays(arrays),
            "data.json": files.seal(facts.summary),
        }
        sums = {name: files.sum_of(data) for name, data in self._first.items()}
        told = {k: v for k, v in vars(started).items() if k not in ("spec", "task", "resumed_from")}
        about = {"format": FORMAT, "versions": versions(), "commit": commit_of(Path.cwd()), "id": facts.id}
        about |= {"name": facts.name, "line": facts.line, "code": facts.code, "began": facts.began.isoformat()}
        about |= {"task": started.task, "target": facts.summary["target"], "data": facts.summary["name"]}
        about |= {"fingerprint": facts.fingerprint, "choices": vars(facts.choices)}
        about |= {} if facts.origin is None else {"origin": vars(facts.origin)}
        about |= {"spec": to_json(started.spec), "started": told, "files": sums}
        self._first["status.json"] = _running()
        self._first["run.json"] = files.seal(about)

    def _keep(self, event: Resumable) -> None:
        """Write a checkpoint. That of a run's last epoch goes with the end, which comes next."""

        def pack() -> None:
            self._packed = self._checkpoints.pack(event)

        kept = self._guarded(pack)
        if kept and not event.lasting:
            kept = self._commit(self._parts())
            self._packed = None
        if not kept:
            self._checkpoints.postpone(BEST_PAUSE)

    def _write(self, now: float, urgent: bool) -> bool:
        """Write what is due; whether that worked."""
        with_best = self._best is not None and (urgent or now >= self._best_due)
        names = self._names_wait(now)
        together = urgent or with_best or names or self._first
        worked = self._commit(self._parts(with_best, names)) if together else self._guarded(self._append)
        if not worked:
            self._lines_due = self._best_due = now + BEST_PAUSE
        return worked

    def _names_wait(self, now: float) -> bool:
        """Whether names have waited long enough for files that they could be synced with."""
        return bool(self._unsynced) and now >= self._names_due

    def _parts(self, with_best: bool = False, names: bool = False) -> list[Callable[[], Part]]:
        """What there is to write at this moment."""
        there = (
            (self._first_part, self._first),
            (self._lines_part, self._lines or names),
            (self._best_part, with_best),
            (self._checkpoint_part, self._packed),
            (self._last_part, self._last),
        )
        return [part for part, due in there if due]

    def _commit(self, parts: Sequence[Callable[[], Part]]) -> bool:
        """Write parts together, or where that fails each for itself: what is small may find room, and how a run ended
        is written even where its weights cannot be. Whether all of it worked."""
        if not parts or self._guarded(lambda: self._put(parts)):
            return True
        return len(parts) > 1 and all([self._guarded(partial(self._put, [part])) for part in parts])

    def _guarded(self, write: Callable[[], None]) -> bool:
        """Whether it worked. Any fault at all is a warning: a run must not end because it is written down."""
        try:
            write()
        except Exception as error:
            self.degrade(error)
            return False
        return True

    def _put(self, makers: Sequence[Callable[[], Part]]) -> None:
        parts = [make() for make in makers]
        together = zip_longest(*(part.steps for part in parts), fillvalue={})
        steps = [{path: data for some in step for path, data in some.items()} for step in together]
        now = self._clock()
        # Names of a short run wait for the next files, which soon come, or for LINE_PAUSE.
        short = now < self._began + FIRST and self._reason not in GO_ON
        files.write_files(*steps, sync=self._sync, folders=self._unsynced, last=not short)
        self._unsynced = {self.path} if short and any(steps) else set()
        self._names_due = now + LINE_PAUSE
        for part in parts:
            part.done()

    def _sync(self, descriptors: Sequence[int]) -> None:
        """Make files durable that are about to have their names, and the journal's lines until now with them."""
        if self._lines or self._journal.size:
            self._append(lambda journal: files.sync_all([*descriptors, journal]))
        else:
            files.sync_all(descriptors)

    def _append(self, sync: Callable[[int], None] | None = None) -> None:
        self._journal.append(self._lines, sync)
        self._lines.clear()
        self._lines_due = self._clock() + LINE_PAUSE

    def _first_part(self) -> Part:
        if not self.path.is_dir():
            self.claim()
        return Part((self._paths(self._first),), lambda: self._written(self._first))

    def _lines_part(self) -> Part:
        """They go before every part, for BEST and LATEST name no epoch without its line; and so do names that wait."""
        return Part((), lambda: None)

    def _best_part(self) -> Part:
        from nnlab.core.store.tensors import pack_weights

        assert self._best is not None
        began, (epoch, weights) = self._clock(), self._best
        data = pack_weights(weights)
        digest = files.sum_of(data)
        name = f"best-{digest[:16]}.safetensors"
        pointer = files.seal({"file": name, "sum": digest, "bytes": len(data), "epoch": epoch})

        def done() -> None:
            self._remove_blobs({name, self._blob})  # the one before stays, for whoever is reading it now
            self._sums |= {name: digest, "BEST": files.sum_of(pointer)}
            self._best, self._blob = None, name
            now = self._clock()
            self._best_due = now + max(BEST_PAUSE, BEST_SHARE * (now - began))

        return Part((self._paths({name: data}), self._paths({"BEST": pointer})), done)

    def _checkpoint_part(self) -> Part:
        assert self._packed is not None
        packed = self._packed

        def done() -> None:
            self._checkpoints.written(packed)
            self._packed = None

        steps = self._checkpoints.steps(packed, self._journal.after(self._lines))
        self._unsynced.add(self.path)  # the folder of checkpoints may be new
        return Part(steps, done)

    def _last_part(self) -> Part:
        return Part(({}, self._paths(self._last)), lambda: self._written(self._last))

    def _paths(self, contents: Mapping[str, bytes]) -> dict[Path, bytes]:
        return {files.inside(self.path, name): data for name, data in contents.items()}

    def _written(self, contents: dict[str, bytes]) -> None:
        self._sums |= {name: files.sum_of(data) for name, data in contents.items()}
        contents.clear()

    def _remove_blobs(self, kept: set[str]) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                if name.startswith("best-") and name not in kept:
                    os.unlink(self.path / name)
                    self._sums.pop(name, None)

    def _write_manifest(self) -> None:
        sums = self._sums | {name: files.sum_of(data) for name, data in self._last.items()}
        sums = {name: digest for name, digest in sums.items() if name == self._blob or not name.startswith("best-")}
        if self._journal.size:
            sums["metrics.jsonl"] = files.sum_of(files.read_file(self.path / "metrics.jsonl"))
        manifest = {"manifest.json": files.seal({"files": sums})}
        files.write_files(self._paths(self._last), self._paths(manifest), folders=self._unsynced)
        self._unsynced.clear()
        self._written(self._last)
        self._remove_blobs({self._blob})


def _running() -> bytes:
    return files.seal({"state": "running", "owner": current_owner()})


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        with contextlib.suppress(OSError):
            place = next(folder for folder in path.parents if folder.exists())
            return f"disk full, {shutil.disk_usage(place).free / 1e6:.1f} MB free at {place}"
        return f"disk full at {path.parent}"
    what = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return f"{what or error} ({path})"


@functools.cache  # they are read from disk, and stay as long as the process
def versions() -> Mapping[str, str]:
    """Of Python and the packages whose numbers a run depends on."""
    found = {"python": platform.python_version()}
    for name in ("nnlab", "torch", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
