"""A run's folder, read: what the list shows (`read_info`) and everything (`read_run`). No byte is trusted."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from nnlab.core.errors import SpecError, StoreError
from nnlab.core.events import Finished, Reason, Started
from nnlab.core.record import Record
from nnlab.core.spec import TrainSpec, from_json
from nnlab.core.store import files, lines
from nnlab.core.store.checkpoint import POINTER, place_of
from nnlab.core.store.facts import Choices, Facts, Origin
from nnlab.core.store.folder import FORMAT
from nnlab.core.store.owner import is_alive

if TYPE_CHECKING:
    from torch import Tensor

RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
MISUNDERSTOOD = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True)
class RunInfo:
    """A run as the list shows it. state: running, a reason of `Finished`, crashed (its process is gone) or broken; then
    message says why. metrics: validation values of the best epoch. data: the frame in the user's words. origin: the run
    that this one repeats or branches off."""

    id: str
    name: str | None
    state: str
    started: datetime
    task: str
    target: str
    epochs: int
    best_epoch: int | None
    metrics: Mapping[str, float]
    spec: TrainSpec | None
    path: Path
    message: str = ""
    data: str = ""
    monitor: str = "loss"
    line: str | None = None
    origin: Origin | None = None

    def status(self) -> dict[str, Any]:
        """What status.json says now: the state, and while the run is unfinished its owner."""
        return files.read_json(self.path / "status.json")


@dataclass(frozen=True)
class Saved:
    """All that a run's folder holds."""

    info: RunInfo
    facts: Facts
    started: Started
    record: Record
    weights: "dict[str, Tensor]"
    evaluation: Mapping[str, Any] | None = field(default=None)
    baselines: Mapping[str, Any] | None = field(default=None)


def read_info(path: Path) -> RunInfo:
    """The run of a folder, without its weights; never fails: what cannot be read is state broken with a message."""
    try:
        with understood(path):
            if path.is_symlink():
                raise StoreError(f"{path.name} is a link; only folders of the store itself are read")
            return _describe(path, _about(path), None)[0]
    except StoreError as error:
        return RunInfo(path.name, None, "broken", _time_of(path), "", "", 0, None, {}, None, path, str(error))


def read_run(path: Path) -> Saved:
    """Everything, each file checked; StoreError names what is missing, damaged or not understood."""
    from nnlab.core.store.tensors import unpack_arrays, unpack_weights

    with understood(path):
        sums = _manifest(path)
        about = _about(path)
        sums = {**about["files"], **sums}
        info, started, record = _describe(path, about, sums)
        pipeline = _json(path, "pipeline.json", sums)
        arrays = unpack_arrays(_checked(path, "pipeline.safetensors", sums), f"{path.name}/pipeline.safetensors")
        summary = _json(path, "data.json", sums)
        evaluation, baselines = (_later(path, name, sums) for name in ("evaluation.json", "baselines.json"))
        name, data = _best_blob(path)
        facts = _facts(about, summary, (pipeline, arrays))
        return Saved(info, facts, started, record, unpack_weights(data, name), evaluation, baselines)


def read_beginning(path: Path) -> tuple[dict[str, Any], Facts, TrainSpec]:
    """What run.json says, the facts of the run, and its spec; its pipeline is that of the data, so it is not read."""
    about = _about(path)
    summary = _json(path, "data.json", about["files"])
    return about, _facts(about, summary, ({}, {})), from_json(TrainSpec, about["spec"])


def read_past(path: Path) -> tuple[dict[str, Any], Facts, Record]:
    """What run.json says, the facts of the run without its pipeline, and all that it told."""
    about, facts, _ = read_beginning(path)
    return about, facts, _describe(path, about, {})[2]


def best_weights(path: Path) -> "dict[str, Tensor]":
    """The weights of the best epoch; StoreError where there are none."""
    from nnlab.core.store.tensors import unpack_weights

    with understood(path):
        name, data = _best_blob(path)
        return unpack_weights(data, name)


def _facts(about: Mapping[str, Any], summary: Mapping[str, Any], pipeline: Any) -> Facts:
    began = datetime.fromisoformat(about["began"]).astimezone(UTC)
    texts = (about["name"], about["line"], about["code"], str(about["fingerprint"]))
    choices, origin = Choices.from_json(about.get("choices", {})), Origin.from_json(about.get("origin"))
    return Facts(str(about["id"]), began, *texts, summary, pipeline, choices, origin)


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Files that are whole but say what nnlab does not know are StoreErrors too."""
    try:
        yield
    except SpecError as error:
        raise StoreError(f"run {path.name} cannot be read here: {error}") from error
    except MISUNDERSTOOD as error:
        raise StoreError(f"run {path.name} is not understood: {type(error).__name__} {error}") from error
    except OSError as error:
        raise StoreError(f"run {path.name} cannot be read: {error.strerror or error}") from error


def _about(path: Path) -> dict[str, Any]:
    about = files.read_json(path / "run.json")
    if int(about["format"]) > FORMAT:
        wrote = about["versions"].get("nnlab", "a newer one")
        raise StoreError(
            f"run {path.name} was written by nnlab {wrote} (format {about['format']}); this reads {FORMAT}"
        )
    return about


def _describe(path: Path, about: Mapping[str, Any], sums: Mapping[str, str] | None) -> tuple[RunInfo, Started, Record]:
    """The run as the list shows it, and its events. For the list (sums None) an ended run's history is not read."""
    told, spec = about["started"], from_json(TrainSpec, about["spec"])
    started = Started(spec, str(about["task"]), **{**told, "metrics": tuple(told["metrics"])})
    record = Record()
    record(started)
    status, alive = _status(path, sums or {})
    if sums is not None or status["state"] == "running":
        for event in _history(path, sums or {}):
            record(event)
    if status["state"] == "running":
        state, finished = _unfinished(path, record, alive)
        metrics = record.metrics(finished.best_epoch)
    else:
        state, finished = str(status["state"]), _finished(status["finished"])
        metrics = lines.floats(status["metrics"])
    record(finished)
    if sums is not None and finished.best_epoch is not None:
        _compare_best(path, record, finished)
    info = RunInfo(
        id=str(about["id"]),
        name=about["name"],
        state=state,
        started=datetime.fromisoformat(about["began"]).astimezone(UTC),
        task=str(about["task"]),
        target=str(about["target"]),
        epochs=finished.epoch,
        best_epoch=finished.best_epoch,
        metrics=metrics,
        spec=spec,
        path=path,
        message=finished.message,
        data=str(about["data"]),
        monitor=str(told["monitor"]),
        line=about["line"],
        origin=Origin.from_json(about.get("origin")),
    )
    return info, started, record


def told_events(path: Path) -> list[Any]:
    """What the run of a folder has told so far: its epochs, changes and looks."""
    return _history(path, {})


def _history(path: Path, sums: Mapping[str, str]) -> list[Any]:
    if "metrics.jsonl" not in sums and not (path / "metrics.jsonl").exists():
        return []
    return lines.from_lines(files.whole_lines(_checked(path, "metrics.jsonl", sums)))


def _finished(plain: Mapping[str, Any]) -> Finished:
    if plain["reason"] not in get_args(Reason):
        raise StoreError(f"unknown reason {plain['reason']!r}")
    best = plain["best_epoch"]
    place = (int(plain["epoch"]), None if best is None else int(best))
    cut = (int(plain["cut"][0]), int(plain["cut"][1])) if plain.get("cut") else None
    return Finished(plain["reason"], *place, float(plain["seconds"]), str(plain["message"]), cut)


def _status(path: Path, sums: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """What status.json says, and whether the run's process lives. One that is gone may have ended the run meanwhile."""
    status = _json(path, "status.json", sums)
    alive = status["state"] == "running" and is_alive(status["owner"], last_write(path))
    return status if alive or status["state"] != "running" else _json(path, "status.json", sums), alive


def _unfinished(path: Path, record: Record, alive: bool) -> tuple[str, Finished]:
    """Running or crashed, and how the run would stand if it ended here: with the weights that BEST names."""
    epoch = record.epochs[-1].epoch if record.epochs else 0
    best = int(_pointer(path)["epoch"]) if (path / "BEST").exists() else None
    seconds = sum(done.seconds for done in record.epochs)
    kept = "no weights are kept yet" if best is None else f"the weights of epoch {best} are kept"
    if alive:
        return "running", Finished("stopped", epoch, best, seconds, f"the run is still going on; {kept}")
    place = place_of(path)
    more = "" if place is None else f"; it can be resumed {_where(*place)}"
    return "crashed", Finished("failed", epoch, best, seconds, f"the process ended after epoch {epoch}; {kept}{more}")


def _where(epoch: int, step: int) -> str:
    return f"in epoch {epoch + 1}" if step else f"after epoch {epoch}"


def last_write(path: Path) -> float:
    """When the run wrote something, in seconds since 1970."""
    times = [0.0]
    for name in ("status.json", "metrics.jsonl", "BEST", POINTER):
        with contextlib.suppress(OSError):
            times.append((path / name).stat().st_mtime)
    return max(times)


def _compare_best(path: Path, record: Record, finished: Finished) -> None:
    """Where the disk failed, BEST may be older than the best epoch; the run then stands where its weights stand."""
    epoch = int(_pointer(path)["epoch"])
    if epoch != finished.best_epoch:
        record.warnings.append(f"the weights of epoch {finished.best_epoch} were not kept; these are of epoch {epoch}")
        record.finished = replace(finished, best_epoch=epoch)


def _manifest(path: Path) -> dict[str, str]:
    if not (path / "manifest.json").exists():
        return {}  # the run has not ended
    return dict(files.read_json(path / "manifest.json")["files"])


def _checked(path: Path, name: str, sums: Mapping[str, str]) -> bytes:
    data = files.read_file(files.inside(path, name))
    if name in sums and files.sum_of(data) != sums[name]:
        raise StoreError(f"{path.name}/{name} fails its checksum: it was changed or damaged")
    return data


def _later(path: Path, name: str, sums: Mapping[str, str]) -> dict[str, Any] | None:
    """A file that comes when a run is over, and not with every run."""
    if (path / name).exists():
        return _json(path, name, sums)
    if name in sums:
        raise StoreError(f"{path.name}/{name} is missing")
    return None


def _json(path: Path, name: str, sums: Mapping[str, str]) -> dict[str, Any]:
    return files.unseal(_checked(path, name, sums), f"{path.name}/{name}")


def _pointer(path: Path) -> dict[str, Any]:
    return files.read_json(path / "BEST")


def _best_blob(path: Path) -> tuple[str, bytes]:
    """The name and bytes of the best weights. A writer may move BEST on while we read; then the new one is read."""
    if not (path / "BEST").exists():
        raise StoreError(f"run {path.name} ended before its first epoch was kept: it has no weights")
    pointer = _pointer(path)
    while True:
        try:
            name = str(pointer["file"])
            data = files.read_file(files.inside(path, name), int(pointer["bytes"]))
            if files.sum_of(data) != pointer["sum"]:
                raise StoreError(f"{path.name}/{name} fails its checksum: it was changed or damaged")
            return name, data
        except StoreError:
            before, pointer = pointer, _pointer(path)
            if before == pointer:
                raise


def _time_of(path: Path) -> datetime:
    """The time in a run's id."""
    try:
        return datetime.strptime(path.name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
