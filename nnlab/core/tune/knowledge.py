"""What a study knows before its first trial: earlier runs on the same data, and good values from similar data."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import NNLabError, SpecError, StoreError
from nnlab.core.events import Changed
from nnlab.core.options import options_of, resolve
from nnlab.core.params import params_of, show_value
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.store.facts import summarize
from nnlab.core.store.files import read_json
from nnlab.core.store.reading import RunInfo, read_beginning, read_info, told_events, understood
from nnlab.core.store.runs import Store
from nnlab.core.tune.header import HEADER, NO_MATTER, Header
from nnlab.core.tune.light import light
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.space import base_values, chosen_parts, is_step, option_for, spec_with
from nnlab.core.tune.study import ABOUT_DATA, Study
from nnlab.core.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = 500  # runs that are looked at
NEAREST, GOOD, QUEUED = 3, 2, 5  # data sets taken over from, values of each, values in all
FREE = {"seed", "metrics", *NO_MATTER}  # fields in which an earlier run may differ


@dataclass(frozen=True)
class Known:
    """An earlier run as a trial would have been: its values, its score, and which run it was.

    whole: it had all members where trials have fewer, so that its score does not compare with theirs. steered: values
    were changed by hand while it ran."""

    run: str
    values: dict[str, Value]
    score: float
    whole: bool = False
    steered: bool = False


@dataclass(frozen=True)
class Knowledge:
    """known: runs on the same data. first: values to be tried first. notes: what to say of it."""

    known: tuple[Known, ...] = ()
    first: tuple[dict[str, Value], ...] = ()
    notes: tuple[str, ...] = ()


def knowledge(store: Store, header: Header, data: Prepared) -> Knowledge:
    """What the store knows for a new study. Nothing for several folds or objectives."""
    one = header.spec.folds is None and not header.several
    found, notes = _same_data(store, header) if header.spec.warm and one else ([], [])
    sign = -1.0 if header.maximize else 1.0
    known, whole = ([one for one in found if one.whole == kind] for kind in (False, True))
    first = [min(some, key=lambda one: sign * one.score).values for some in (whole, known) if some]
    first = first[:1] if first[1:] == first[:1] else first
    if header.spec.like:
        more, said = _similar(store, header, data)
        first, notes = first + more, notes + said
    return Knowledge(tuple(known), tuple(first[:QUEUED]), tuple(notes))


def _same_data(store: Store, header: Header) -> tuple[list[Known], list[str]]:
    known, left_out = list[Known](), Counter[str]()
    for path in sorted(store.root.glob("runs/*"), reverse=True)[:NEWEST]:
        with contextlib.suppress(StoreError), understood(path):
            _, facts, spec = read_beginning(path)
            if facts.fingerprint != header.data:
                continue
            try:
                known.append(_known(read_info(path), spec, header))
            except SpecError as error:
                left_out[str(error)] += 1
    notes = []
    if known or left_out:
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.most_common(3))
        whole = sum(one.whole for one in known)
        with_all = f"; of {whole} with all members the best is tried first" * bool(whole)
        left = f"; left out: {why}" * bool(why)
        turned = sum(one.steered for one in known)
        by_hand = f"; {turned} steered by hand, with what held in the best epoch" * bool(turned)
        count = len(known) - whole
        are = "is" if count == 1 else "are"
        notes.append(f"{counted(count, 'earlier run')} on this data {are} known to the study{with_all}{by_hand}{left}")
    return known, notes


def _known(info: RunInfo, spec: TrainSpec, header: Header) -> Known:
    """The run as a trial; SpecError says why it is none."""
    score = info.metrics.get(header.metric)
    if score is None or not math.isfinite(score):
        raise SpecError(f"without a value of {header.metric}")
    changes = _changes(info)
    for name, value in changes.items():
        with contextlib.suppress(NNLabError):
            spec = resolve(TrainSpec, {name: value}, spec)
    values = base_values(header.space, spec)
    chosen = chosen_parts(spec)
    options = options_of(TrainSpec, chosen)
    for name, allowed in header.space.items():
        asked = allowed.when is None or allowed.when.holds(values)
        if name not in values and asked and not is_step(name) and option_for(name, options, chosen):
            raise SpecError(f"with {name} outside of {allowed}")
    run = spec_with(values, header.base)
    different, whole = _differing(light(run, header.members), spec), False
    if different:
        different, whole = _differing(run, spec), True
    if different:
        raise SpecError(f"with other {', '.join(different[:3])}")
    prepared = base_values(header.space, header.prepare) if header.prepare else {}
    return Known(info.id, values | prepared, score, whole, bool(changes))


def _changes(info: RunInfo) -> Mapping[str, float]:
    """The values that were set by hand and held in the best epoch."""
    best = info.best_epoch or info.epochs
    events = (event for event in told_events(info.path) if isinstance(event, Changed))
    return {event.name: event.new for event in events if event.epoch <= best}


def _differing(one: TrainSpec, other: TrainSpec) -> list[str]:
    """Fields, or parameters of parts, that are not alike."""
    found = []
    for field in fields(TrainSpec):
        if field.name in FREE:
            continue
        first, second = (_filled(field.name, getattr(spec, field.name)) for spec in (one, other))
        if first != second:
            found.append(field.name)
    return found


def _filled(name: str, value: Any) -> Any:
    registry = params_of(TrainSpec)[name].domain
    if isinstance(value, Part) and value.name in registry:
        return value.name, {key: show_value(one) for key, one in part_values(registry, value).items()}
    return value


def _similar(store: Store, header: Header, data: Prepared) -> tuple[list[dict[str, Value]], list[str]]:
    """Good values on the nearest other data of the store, and where they are from."""
    here = meta_features(summarize(data))
    found: dict[str, tuple[float, str, list[TrainSpec]]] = {}
    for fingerprint, summary, specs in _others(store, header):
        there = meta_features(summary)
        if (there["kind"] == here["kind"]) and fingerprint != header.data:
            _, name, before = found.get(fingerprint, (0.0, str(summary["name"]), []))
            found[fingerprint] = (distance(here, there), name, [*before, *specs][:GOOD])
    nearest = sorted(found.values(), key=lambda one: one[0])[:NEAREST]
    values, names = list[dict[str, Value]](), list[str]()
    for far, name, specs in nearest:
        for spec in specs:
            own = base_values(header.space, spec)
            if own and own not in values:
                values.append(own)
                names.append(f"{name} (distance {far:.2g})")
    if not values:
        return [], ["no values of similar data lie in the space"]
    origin = ", ".join(dict.fromkeys(names[:QUEUED]))
    return values[:QUEUED], [f"{len(values[:QUEUED])} values are tried first that were good on {origin}"]


def _others(store: Store, header: Header) -> Iterator[tuple[str, Mapping[str, Any], list[TrainSpec]]]:
    """Data of the store with specs that were good on them: of studies the best trials, of runs the best one first."""
    for folder in store.root.glob(f"studies/*/{HEADER}"):
        with contextlib.suppress(StoreError, SpecError, OSError, KeyError):
            study = Study.load(folder.parent)
            specs = [study.spec_of(number) for number in study.ranking()[:GOOD]]
            yield study.header.data, read_json(folder.parent / ABOUT_DATA), specs
    runs: dict[str, list[tuple[float, Path, Any, TrainSpec]]] = {}
    for path in sorted(store.root.glob("runs/*"), reverse=True)[:NEWEST]:
        with contextlib.suppress(StoreError), understood(path):
            _, facts, spec = read_beginning(path)
            score = read_info(path).metrics.get("loss", math.nan)
            if math.isfinite(score):
                runs.setdefault(facts.fingerprint, []).append((score, path, facts.summary, spec))
    for fingerprint, ranked in runs.items():
        ranked.sort(key=lambda one: one[0])
        yield fingerprint, ranked[0][2], [spec for *_, spec in ranked[:GOOD]]


def meta_features(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a data set is like: its kind, logarithms of its sizes, and shares of its columns and cells."""
    columns = [column for column in summary["columns"] if column.get("features")]
    cells = sum(column.get("rows", 0) for column in columns) or 1
    number = sum(column["role"] == "numeric" for column in columns) / max(len(columns), 1)
    return {
        "kind": "regression" if summary["task"] == "regression" else "classes",
        "rows": math.log10(max(summary["rows"]["train"], 1)),
        "columns": math.log10(max(len(columns), 1)),
        "features": math.log10(max(summary["features"], 1)),
        "classes": math.log10(max(len(summary["classes"]), 1)),
        "numbers": number,
        "missing": sum(column.get("missing", 0) for column in columns) / cells,
    }


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Between two sets of meta-features: a factor of ten in a size counts as much as all of a share."""
    return math.sqrt(sum((one[name] - other[name]) ** 2 for name in one if name != "kind"))
