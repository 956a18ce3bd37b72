"""A run's folder while it is written: a sink of events that no fault of the disk can turn into the end of a run.

run.json and the pipeline come with the first event, metrics.jsonl grows by a line an epoch, and BEST points at the best
weights: the blob is written and synced first, then the one small file that names it is replaced.
"""

import contextlib
import errno
import functools
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from nnlab.core.store.checkpoint import SECONDS, Checkpoint, Checkpoints
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
        """Make the folder; FileExistsError if there is one of this name already."""
        files.make_folder(self.path.parent)
        os.mkdir(self.path)
        files.sync_folder(self.path.parent)

    def go_on(self, checkpoint: Checkpoint, about: Mapping[str, Any]) -> None:
        """Make this the writer of a run that is there, from a checkpoint on. about: what run.json shall say."""
        best, events = checkpoint.state["best"], lines.from_lines(checkpoint.lines)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / "manifest.json")  # from here on the run has not ended
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / "evaluation.json")
        files.write_json(self.path / "status.json", {"state": "running", "owner": current_owner()})
        self._sums = {"run.json": files.write_json(self.path / "run.json", about), **about["files"]}
        files.sync_folder(self.path)
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
            if self._checkpoints.due(event) and not self._guarded(lambda: self._keep(event)):
                self._checkpoints.postpone(BEST_PAUSE)
            return
        urgent = self._take(event)
        now = self._clock()
        if urgent or (self._lines and now >= self._lines_due) or (self._best and now >= self._best_due):
            self._write(now, urgent)

    def complete(self, evaluation: "Evaluation | None", baselines: "Sequence[Baseline]" = ()) -> None:
        """The last word after Finished: evaluation, baselines, and the manifest that names every file with its sum."""
        if evaluation is not None:
            self._last["evaluation.json"] = files.seal(evaluation.to_json())
        if baselines:
            self._last["baselines.json"] = files.seal({"baselines": [baseline.to_json() for baseline in baselines]})
        self.kept = self._write(self._clock(), urgent=True) and self._guarded(self._write_manifest)
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
                {"state": event.reason, "finished": asdict(event), "metrics": lines.plain_all(self._metrics)}
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
        about |= {"fingerprint": facts.fingerprint, "choices": asdict(facts.choices)}
        about |= {} if facts.origin is None else {"origin": asdict(facts.origin)}
        about |= {"spec": to_json(started.spec), "started": told, "files": sums}
        self._first["status.json"] = files.seal({"state": "running", "owner": current_owner()})
        self._first["run.json"] = files.seal(about)

    def _write(self, now: float, urgent: bool) -> bool:
        """Write what is due; whether that worked."""
        worked = self._guarded(lambda: self._write_due(now, urgent))
        # How a run ended is written even where its weights could not be.
        worked = self._guarded(lambda: self._write_files(self._last)) and worked
        if not worked:
            self._lines_due = self._best_due = now + BEST_PAUSE
        return worked

    def _guarded(self, write: Callable[[], None]) -> bool:
        """Whether it worked. Any fault at all is a warning: a run must not end because it is written down."""
        try:
            write()
        except Exception as error:
            self.degrade(error)
            return False
        return True

    def _write_due(self, now: float, urgent: bool) -> None:
        if self._first and not self.path.is_dir():
            self.claim()
        self._write_files(self._first)
        write_best = self._best is not None and (urgent or now >= self._best_due)
        if self._lines and (urgent or write_best or now >= self._lines_due):  # BEST names no epoch without its line
            self._journal.append(self._lines, sync=urgent or write_best)
            self._lines.clear()
            self._lines_due = now + LINE_PAUSE
        if self._best is not None and write_best:
            self._write_best(*self._best)
            self._best_due = self._clock() + max(BEST_PAUSE, BEST_SHARE * (self._clock() - now))

    def _keep(self, event: Resumable) -> None:
        """Write a checkpoint, what was told until then before it."""
        if self._first and not self.path.is_dir():
            self.claim()
        self._write_files(self._first)
        self._journal.append(self._lines, sync=True)
        self._lines.clear()
        self._checkpoints.write(event, self._journal)

    def _write_files(self, waiting: dict[str, bytes]) -> None:
        if not waiting:
            return
        for name, data in waiting.items():
            self._sums[name] = files.write_file(files.inside(self.path, name), data)
        files.sync_folder(self.path)
        waiting.clear()

    def _write_best(self, epoch: int, weights: "Mapping[str, Tensor]") -> None:
        from nnlab.core.store.tensors import pack_weights

        data = pack_weights(weights)
        digest = files.sum_of(data)
        name = f"best-{digest[:16]}.safetensors"
        files.write_file(files.inside(self.path, name), data)
        files.sync_folder(self.path)
        pointer = files.seal({"file": name, "sum": digest, "bytes": len(data), "epoch": epoch})
        self._sums["BEST"] = files.write_file(self.path / "BEST", pointer)
        files.sync_folder(self.path)
        self._remove_blobs({name, self._blob})  # the one before stays, for whoever is reading it now
        self._sums[name] = digest
        self._best, self._blob = None, name

    def _remove_blobs(self, kept: set[str]) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                if name.startswith("best-") and name not in kept:
                    os.unlink(self.path / name)
                    self._sums.pop(name, None)

    def _write_manifest(self) -> None:
        self._remove_blobs({self._blob})
        if self._journal.size:
            self._sums["metrics.jsonl"] = files.sum_of(files.read_file(self.path / "metrics.jsonl"))
        files.write_json(self.path / "manifest.json", {"files": self._sums})
        files.sync_folder(self.path)


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
