"""What differs between two runs: spec, data, code, environment, and metrics, judged against noise."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError, StoreError
from nnlab.core.evaluate import Evaluation
from nnlab.core.events import Changed
from nnlab.core.noise import FEWEST_SEEDS, Judged, row_noise, seed_noise
from nnlab.core.options import override_values
from nnlab.core.params import params_of
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, PrepareSpec, TrainSpec, from_json, part_values
from nnlab.core.store import files
from nnlab.core.store.facts import Facts
from nnlab.core.store.folder import versions
from nnlab.core.store.reading import RunInfo, read_beginning, told_events, understood
from nnlab.core.store.runs import Store

if TYPE_CHECKING:
    from nnlab.core.run import Run

WHOLE = ("completed", "stopped_early")  # runs that ended by themselves, so that another seed can be set beside them
SPLIT = ("seed", "test", "valid", "split", "group", "time", "gap", "part", "folds", "drop_rows")  # decide who validates
SHORT = 12  # hex digits of a checksum that are shown


@dataclass(frozen=True)
class Change:
    """One thing that differs. section: spec, data, environment or course. None: the run has no such thing."""

    section: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True, eq=False)
class Difference:
    """What differs between the runs a and b, which are their labels. code: a unified diff of their cells.

    metrics: all that both have measured, each with a judgement. same_rows: they were measured on the same rows.
    """

    a: str
    b: str
    changes: tuple[Change, ...]
    code: tuple[str, ...]
    metrics: tuple[Judged, ...]
    same_rows: bool

    def __repr__(self) -> str:
        told = "".join(f", {judged.name} {judged.verdict}" for judged in self.metrics)
        return f"Difference of {self.a!r} and {self.b!r}: {len(self.changes) + bool(self.code)} differences{told}"


@dataclass(frozen=True)
class _Side:
    """A run as it is compared. about: what run.json says. changes: what was changed while it lived."""

    run: "Run | RunInfo"
    about: Mapping[str, Any]
    facts: Facts
    spec: TrainSpec
    evaluation: Evaluation | None
    course: Mapping[str, Any]
    changes: tuple[Changed, ...]

    @property
    def lines(self) -> list[str]:
        """The user's code."""
        return (self.facts.code or "").strip("\n").splitlines()

    @property
    def prepare(self) -> dict[str, Any]:
        """The options of the preparation; as they are written where this version cannot read them."""
        plain = self.facts.summary.get("spec", {})
        try:
            return settings(from_json(PrepareSpec, plain))
        except (SpecError, LookupError, TypeError, AttributeError):
            return {name: value for name, value in plain.items() if value}


def diff(a: "Run | RunInfo | str", b: "Run | RunInfo | str", store: str | Path | None = None) -> Difference:
    """What differs between two runs, from a to b: runs, or words for runs of the store (last, numbers, ids, names).

    Metrics are judged by the spread over seeds where the store holds three runs or more that differ from one of the two
    in nothing but the seed, and both were measured on the same rows; else by a bootstrap over validation rows, which
    leaves out the luck of the seed. See `nnlab.core.noise`. store: default that of the runs. StoreError for a run that
    cannot be read.
    """
    kept = Store(Path(store) if store else _root_of(a, b))
    first, second = (_side(kept.find(run) if isinstance(run, str) else run) for run in (a, b))
    label, other = _labels(first, second)
    same = _same_rows(first, second)
    changes = [
        *_changed("spec", settings(first.spec), settings(second.spec)),
        *_data_changes(first, second),
        *_changed("environment", _environment(first), _environment(second)),
        *_changed("course", first.course, second.course),
    ]
    code = difflib.unified_diff(first.lines, second.lines, label, other, lineterm="")
    return Difference(label, other, tuple(changes), tuple(code), tuple(_judged(first, second, kept.runs(), same)), same)


def _root_of(*runs: "Run | RunInfo | str") -> Path | None:
    """The store that one of the runs lies in; None where they do not tell."""
    paths = (run.path for run in runs if not isinstance(run, str))
    return next((path.parent.parent for path in paths if path is not None and path.parent.name == "runs"), None)


def _labels(a: _Side, b: _Side) -> tuple[str, str]:
    """What the runs are called: their names, with the end of their ids where these are the same."""
    first, second = (side.run.name or side.run.id or "a run" for side in (a, b))
    if first != second:
        return first, second
    if a.run.id == b.run.id:
        return first, f"{second} (again)"
    return f"{first} · {a.run.id[-8:]}", f"{second} · {b.run.id[-8:]}"


def settings(spec: Any) -> dict[str, Any]:
    """Every option of a spec with its value, those of its parts too: optimizer.lr."""
    found: dict[str, Any] = {}
    for name, param in params_of(type(spec)).items():
        value = getattr(spec, name)
        if param.kind is Part and param.many:
            for part in value:
                given = part_values(param.domain, part)
                found |= {part.name if at == 0 else f"{part.name}.{word}": given[word] for at, word in enumerate(given)}
        elif isinstance(value, Part):
            custom = value.name == CUSTOM or value.name not in param.domain
            found[name] = str(value.values.get("name") or value.name)
            given = {} if custom else part_values(param.domain, value)
            found |= {f"{name}.{word}": one for word, one in given.items()}
        else:
            found[name] = param.unset if value is None else value
    return found | (override_values(spec) if isinstance(spec, PrepareSpec) else {})


def _side(run: "Run | RunInfo") -> _Side:
    if not isinstance(run, RunInfo):
        course = {"state": run.state, "epochs": run.finished.epoch, "best epoch": run.best_epoch}
        about = {"versions": versions(), "started": vars(run.started)} | _written(run.path)
        course |= {"parameters": run.parameters} | _lived(run.facts, run.changes)
        return _Side(run, about, run.facts, run.spec, run.evaluation, course, tuple(run.changes))
    if run.state == "broken":
        raise StoreError(run.message)
    with understood(run.path):
        about, facts, spec = read_beginning(run.path)
        there = (run.path / "evaluation.json").exists()
        evaluation = Evaluation.from_json(files.read_json(run.path / "evaluation.json")) if there else None
        course = {"state": run.state, "epochs": run.epochs, "best epoch": run.best_epoch}
        changes = _changes(run)
        course |= {"parameters": int(about["started"]["parameters"])} | _lived(facts, changes)
        return _Side(run, about, facts, spec, evaluation, course, changes)


def _changes(run: RunInfo) -> tuple[Changed, ...]:
    return tuple(event for event in told_events(run.path) if isinstance(event, Changed))


def _lived(facts: Facts, changes: Iterable[Changed]) -> dict[str, Any]:
    """Where a run comes from, and each value that was changed while it lived, with the places."""
    told: dict[str, Any] = {}
    if facts.origin is not None:
        place = f", epoch {facts.origin.epoch}" if facts.origin.kind == "branch" else ""
        told["origin"] = f"{facts.origin.kind} of {facts.origin.id}{place}"
    for change in changes:
        name = f"{change.name} changed"
        place = f"{change.new:g} in epoch {change.epoch}, step {change.step}"
        told[name] = f"{told[name]}; {place}" if name in told else place
    return told


def _written(path: Path | None) -> dict[str, Any]:
    with contextlib.suppress(StoreError):
        return files.read_json(path / "run.json") if path is not None else {}
    return {}


def _changed(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*a, *b)):
        first, second = a.get(name), b.get(name)
        if _comparable(first) != _comparable(second):
            yield Change(section, name, first, second)


def _comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _environment(side: _Side) -> dict[str, Any]:
    began = side.about.get("started", {})
    facts = {str(name): str(version) for name, version in side.about.get("versions", {}).items()}
    return facts | {"git commit": side.about.get("commit"), **{name: began.get(name) for name in ("device", "learner")}}


def _data_changes(a: _Side, b: _Side) -> Iterator[Change]:
    yield from _changed("data", _data(a), _data(b))
    yield from _changed("data", a.prepare, b.prepare)
    first, second = _columns(a), _columns(b)
    for name in dict.fromkeys((*first, *second)):
        if first.get(name) != second.get(name):
            told = (f"content {sums[name][:8]}" if name in sums else None for sums in (first, second))
            yield Change("data", f"column {name}", *told)


def _data(side: _Side) -> dict[str, Any]:
    summary = side.facts.summary
    parts = {f"{part} rows": count for part, count in summary.get("rows", {}).items()}
    told = {name: summary.get(name) for name in ("source", "name", "task", "features")}
    return {"fingerprint": side.facts.fingerprint[:SHORT], **told, **parts}


def _columns(side: _Side) -> dict[str, str]:
    """A checksum of each column; of data without them the names alone."""
    listed = [column for column in side.facts.summary.get("columns", ()) if isinstance(column, Mapping)]
    names = {str(column.get("name")): "unknown" for column in listed}
    return names | {str(name): str(digest) for name, digest in side.facts.summary.get("sums", {}).items()}


def _same_rows(a: _Side, b: _Side) -> bool:
    """Whether both were measured on the same validation rows: one fingerprint, or one split of the same targets."""
    if a.facts.fingerprint == b.facts.fingerprint:
        return True
    summaries = [side.facts.summary for side in (a, b)]
    targets = [_columns(side).get(str(side.facts.summary.get("target"))) for side in (a, b)]
    known = targets[0] not in (None, "unknown") and targets[0] == targets[1]
    alike = all(a.prepare.get(name) == b.prepare.get(name) for name in SPLIT)
    return known and alike and summaries[0].get("rows") == summaries[1].get("rows")


def _judged(a: _Side, b: _Side, runs: list[RunInfo], same_rows: bool) -> Iterator[Judged]:
    alike = _kind(a) == _kind(b)
    groups = [_with_other_seeds(side, runs) for side in (a, b)] if same_rows else [[], []]
    both = (a.run.metrics, b.run.metrics)
    by_rows = row_noise(a.evaluation, b.evaluation, both, same_rows) if a.evaluation and b.evaluation else {}
    for name, first in both[0].items():
        if name not in both[1]:
            continue
        values = [[metrics[name] for metrics in group if name in metrics] for group in groups]
        noise, source = seed_noise(values[0], values[1], alike), _seeds(values, alike)
        if noise is None and name in by_rows:
            noise, paired = by_rows[name]
            source = "validation rows, paired" if paired else "validation rows"
        elif noise is None:
            source = f"needs {FEWEST_SEEDS} runs with other seeds" if same_rows else "needs the same validation rows"
        yield Judged(name, first, both[1][name], noise, source)


def _seeds(values: list[list[float]], alike: bool) -> str:
    counts = [len(group) for group in values[: 1 if alike else 2] if len(group) >= FEWEST_SEEDS]
    return f"{' and '.join(map(str, counts))} seeds"


def _kind(side: _Side) -> tuple[Any, ...]:
    """What runs share that differ in nothing but the seed."""
    return replace(side.spec, seed=0), side.facts.fingerprint, (side.facts.code or "").strip(), side.changes


def _with_other_seeds(side: _Side, runs: Iterable[RunInfo]) -> list[Mapping[str, float]]:
    """Metrics of the run and of those like it, each seed once: the same seed again tells nothing new."""
    found = {side.spec.seed: side.run.metrics}
    for run in runs:
        if run.spec is None or run.state not in WHOLE or replace(run.spec, seed=0) != replace(side.spec, seed=0):
            continue
        about = _written(run.path)
        told = (about.get("fingerprint"), str(about.get("code") or "").strip())
        alike = told == (side.facts.fingerprint, (side.facts.code or "").strip())
        if alike and _changes(run) == side.changes:  # what was turned by hand is no luck of the seed
            found.setdefault(run.spec.seed, run.metrics)
    return list(found.values())
