"""Take a run up again where its last checkpoint left it: `resume("last", data)`. It ends as if it had never stopped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from nnlab.core.background.run import begun
from nnlab.core.calibrate import FILE as TEMPERATURE
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, RunError, SpecError, StoreError
from nnlab.core.events import Changed, Sink, Started, Warned
from nnlab.core.fit import Stream, Where, as_store, carried, concluded, drive, living, ready, saying
from nnlab.core.longer import what_differs
from nnlab.core.models.custom import Maker
from nnlab.core.pace import steps_by_epoch
from nnlab.core.params import params_of
from nnlab.core.record import Record
from nnlab.core.run import Run, check_fit
from nnlab.core.sinks import checked_logs, logging
from nnlab.core.spec import CUSTOM, PrepareSpec, TrainSpec, from_json, to_json
from nnlab.core.store import lines
from nnlab.core.store.checkpoint import SECONDS, Checkpoint, place_of, read_checkpoint
from nnlab.core.store.facts import Choices, Facts, summarize
from nnlab.core.store.folder import RunFolder, versions
from nnlab.core.store.locks import file_lock
from nnlab.core.store.owner import is_alive
from nnlab.core.store.reading import RunInfo, last_write, read_beginning, understood
from nnlab.core.store.room import check_room
from nnlab.core.store.runs import LAST, UNFINISHED, Store
from nnlab.core.train import Job, set_up, train
from nnlab.core.wording import counted

LOCK = "lock"


def resume(  # noqa: PLR0913 (the front door of plain Python)
    word: str = LAST,
    data: Prepared | None = None,
    *,
    model: Maker = None,
    epochs: int | None = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    checkpoint_seconds: float = SECONDS,
    code: str | None = None,
    probe: bool | None = None,
    baseline: bool | None = None,
    calibrate: bool | None = None,
    background: bool = False,
    log_to: str | Sequence[str] = (),
) -> Run:
    """Go on with a run that was killed, stopped or interrupted, and give it as if it had not been.

    word: last (the newest that can be resumed), an id or a name. data: as the run was prepared; None reads and
    prepares its file again, if it came from one. model: the network, if it was your own. epochs: another number of
    them, where the schedules allow it. probe, baseline, calibrate: as for `fit`; None: as the run began. The rest is
    the run's own. background, log_to: as for `fit`. StoreError where there is no checkpoint, or the run lives in
    another process; RunError for one that is complete; DataError for other data.
    """
    place = as_store(store)
    info = resumable_run(place, word, longer=epochs is not None)
    with understood(info.path):
        about, facts, spec = read_beginning(info.path)
    data = data_for(facts, data)
    logs = checked_logs(log_to)
    if background:
        own: dict[str, Any] = {"probe": probe, "baseline": baseline, "calibrate": calibrate}
        own |= {"model": model, "epochs": epochs, "store": place, "code": code, "log_to": logs}
        own |= {"checkpoint_seconds": checkpoint_seconds}
        planned = spec.epochs if epochs is None else params_of(TrainSpec)["epochs"].read(epochs)
        return begun(facts, replace(spec, epochs=planned), partial(resume, info.id, data, **own), view)
    if spec.model.name == CUSTOM and model is None:
        raise StoreError(
            f"run {info.id} trains a network of your own; give it too: resume({word!r}, model=YourNetwork)"
        )
    with understood(info.path):
        checkpoint = read_checkpoint(info.path)
        done = int(checkpoint.generation["epoch"])
    longer = _with_epochs(spec, epochs, len(data.train.y), done)
    choices = _chosen(facts.choices, info.path, {"probe": probe, "baseline": baseline, "calibrate": calibrate})
    job = ready(set_up(longer, data, model), choices)
    check_room(info.path, job.learner.model)
    controls = controls or Controls()
    events = train(job, controls, checkpoint.state)
    started = _first(events, job, checkpoint, info)
    again = [event for event in lines.from_lines(checkpoint.later) if isinstance(event, Changed)]
    controls.plan(again)
    said = [*checkpoint.notes, *what_changed(about, facts, job.learner.device, code), *_more(spec, longer, len(again))]
    facts = replace(facts, line=_line(facts, epochs), pipeline=data.pipeline.state(), choices=choices)
    about |= {"spec": to_json(longer), "line": facts.line, "choices": asdict(choices)}
    folder = _claimed(info, facts, checkpoint, about, checkpoint_seconds)
    record = Record()
    told = [started, *lines.from_lines(checkpoint.lines)]
    drive(iter(told), *(sink for sink in (record, view) if sink is not None))
    folder(started)
    stream = saying(map(Warned, said), events)
    with logging(logs, facts) as programs:
        spent = carried(stream, controls, living(record, job, facts), data, folder, view, *programs)
    return concluded(record, job, folder, facts, spent)


def _chosen(before: Choices, path: Path, said: Mapping[str, Any]) -> Choices:
    """What the run began with, but for what is said now. A temperature that was fitted since is fitted again."""
    before = replace(before, calibrate=before.calibrate or (path / TEMPERATURE).exists())
    changed: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return replace(before, **changed)


def resumable_run(store: Store, word: str, longer: bool = False) -> RunInfo:
    """The run that is meant; an error of one line for one that cannot be resumed. longer: a complete one can, too."""
    waiting = store.unfinished() if word == LAST else []
    info = waiting[0] if waiting else store.find(word)
    if info.state == "broken":
        raise StoreError(info.message)
    _refuse_alive(info)
    if info.state in UNFINISHED or (longer and place_of(info.path) is not None):
        return info
    ended = "is complete" if info.state == "completed" else info.state.replace("_", " ")
    more = "; with more --epochs it goes on" if place_of(info.path) is not None and not longer else ""
    more = "; its schedule has no course beyond them" if longer and info.state == "completed" else more
    raise RunError(f"run {info.name or info.id} {ended} after {info.epochs} epochs: there is nothing to resume{more}")


def _refuse_alive(info: RunInfo) -> None:
    """RunError if a process trains the run at this moment."""
    with understood(info.path):
        status = info.status()
        owner = status.get("owner") or {}
        if status["state"] == "running" and is_alive(owner, last_write(info.path)):
            raise RunError(
                f"run {info.id} is alive in process {owner.get('pid')} on {owner.get('host')}; stop it there"
            )


def data_for(facts: Facts, data: Prepared | None) -> Prepared:
    """The data that the run was trained on, of several folds the right one; DataError that names what is different."""
    if data is None:
        data = _prepared_again(facts)
    elif not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    for fold in data.folds or (data,):
        if fold.fingerprint == facts.fingerprint:
            return fold
    why = _difference(facts.summary, summarize(data))
    raise DataError(f"this is not the data of run {facts.id}: {why}")


def _prepared_again(facts: Facts) -> Prepared:
    source = facts.summary.get("source")
    if not source:
        raise DataError(
            f"run {facts.id} needs its data; prepare {facts.summary['name']} again as before and give it: "
            f"resume({facts.id!r}, data)"
        )
    return prepare(source, spec=from_json(PrepareSpec, facts.summary["spec"]))


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What of the data is another, as far as the record tells."""
    if then["target"] != now["target"]:
        return f"its target is {now['target']!r}, the run's is {then['target']!r}"
    before, after = then["sums"], now["sums"]
    for names, what in (
        ([n for n in before if n not in after], "lacks"),
        ([n for n in after if n not in before], "has"),
    ):
        if names:
            return f"it {what} column {_first_of(names)}"
    for name, value in then["spec"].items():
        if now["spec"].get(name) != value:
            return f"it was prepared with {name} {_shown(now['spec'].get(name))}, the run's with {_shown(value)}"
    if then["rows"] != now["rows"]:
        return f"it has {sum(now['rows'].values())} rows, the run's had {sum(then['rows'].values())}"
    changed = [name for name in before if before[name] != after[name]]
    if len(changed) == len(before) > 1 or not changed:
        return "its rows or their order are others"
    return f"other values in column {_first_of(changed)}"


def _first_of(names: list[str]) -> str:
    return f"{names[0]!r} and {len(names) - 1} more" if len(names) > 1 else repr(names[0])


def _shown(value: Any) -> str:
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(value)


def _with_epochs(spec: TrainSpec, epochs: int | None, rows: int, done: int) -> TrainSpec:
    """The spec with another number of epochs; SpecError where what was done so far was drawn over the old number."""
    if epochs is None:
        return spec
    longer = replace(spec, epochs=params_of(TrainSpec)["epochs"].read(epochs))
    if longer.epochs < done:
        raise SpecError(f"epochs={epochs}: {done} are done already")
    why = what_differs(spec, steps_by_epoch(spec, rows), longer, steps_by_epoch(longer, rows), done)
    if why:
        value = getattr(spec, why)
        raise SpecError(
            f"epochs={epochs}: {why} {value} is drawn over the run's {spec.epochs} epochs; "
            "only a run whose schedules do not look at their number can go on beyond them"
        )
    return longer


def _first(events: Stream, job: Job, checkpoint: Checkpoint, info: RunInfo) -> Started:
    """The first event, before which the state is taken over; StoreError where it does not fit."""
    where = f"the checkpoint of run {info.id}"
    try:
        check_fit(job.learner.model.state_dict(), checkpoint.state["learner"]["network"]["weights"], where)
        started = next(events)
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{where} does not fit the run as it is built here: {error}") from error
    assert isinstance(started, Started)
    return started


def what_changed(about: Mapping[str, Any], facts: Facts, device: str, code: str | None) -> Iterator[str]:
    """What is not as it was when the run began, so that its bits need not be the same."""
    here = versions()
    for name, before in about["versions"].items():
        if name in here and here[name] != before:
            yield f"begun with {name} {before}, resumed with {here[name]}: results need not be the same to the last bit"
    if about["started"]["device"] != device:
        yield f"begun on {about['started']['device']}, resumed on {device}: the same bits are not to be had"
    if facts.code and code and facts.code.strip() != code.strip():
        yield "the code of the network is not what the run began with"


def _line(facts: Facts, epochs: int | None) -> str | None:
    """What the user typed, and then, where the run was made longer, a comment that says so."""
    if facts.line is None or epochs is None:
        return facts.line
    first, *body = facts.line.split("\n")
    return "\n".join([f"{first}  # then: %nn_train --resume {facts.id} --epochs {epochs}", *body])


def _more(spec: TrainSpec, longer: TrainSpec, again: int) -> Iterator[str]:
    if again:
        yield f"{counted(again, 'change')} made by hand after the checkpoint will be made again at the same step"
    if spec.epochs != longer.epochs:
        yield f"the run goes on to {longer.epochs} epochs, {spec.epochs} were planned"


def _claimed(
    info: RunInfo, facts: Facts, checkpoint: Checkpoint, about: Mapping[str, Any], seconds: float
) -> RunFolder:
    """The run's folder, owned by this process; of two that resume it at once, one is refused."""
    path: Path = info.path
    try:
        with file_lock(path / LOCK):
            _refuse_alive(info)
            if place_of(path) != checkpoint.newest:
                raise RunError(f"run {info.id} was taken up by another process in this moment")
            folder = RunFolder(path, facts, seconds=seconds)
            folder.go_on(checkpoint, about)
            (path / TEMPERATURE).unlink(missing_ok=True)  # it was that of other weights
            return folder
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}; a resumed run needs its folder"
        ) from error
