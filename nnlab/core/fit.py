"""Train in one call: `fit(data, optimizer="adamw", dropout=0.2)`."""

import contextlib
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from nnlab.core.calibrate import check_calibration
from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose.watch import watched
from nnlab.core.errors import DataError, SpecError
from nnlab.core.events import Changed, Event, Reason, Sink, Warned
from nnlab.core.lr_range import found_lr, lr_range
from nnlab.core.models.custom import Maker
from nnlab.core.options import resolve
from nnlab.core.probe import Probe
from nnlab.core.recipe import recipe_for
from nnlab.core.record import Record
from nnlab.core.registry import Part
from nnlab.core.run import Run, finish
from nnlab.core.sinks import checked_logs, logging
from nnlab.core.spec import CUSTOM, OWN_NETWORK, TrainSpec, to_json
from nnlab.core.store.checkpoint import SECONDS
from nnlab.core.store.facts import Choices, Facts, new_facts
from nnlab.core.store.folder import RunFolder
from nnlab.core.store.room import check_room
from nnlab.core.store.runs import Store
from nnlab.core.train import Job, set_up, train

Stream = Generator[Event, None, None]
Where = Store | str | Path | Literal[False] | None


@dataclass(frozen=True)
class Again:
    """What another run had and this one shall have: changes, where it was stopped (see `Controls.plan`), threads."""

    changes: tuple[Changed, ...]
    end: tuple[int, int, Reason] | None
    threads: int | None


@dataclass(frozen=True, eq=False)
class Order:
    """A run as it was asked for, with every word read. said: what to tell when it begins; store: None for none."""

    data: Prepared
    spec: TrainSpec
    model: Maker
    facts: Facts
    said: tuple[Event, ...]
    store: Store | None
    checkpoint_seconds: float
    again: Again | None = None
    log_to: tuple[str, ...] = ()


def fit(  # noqa: PLR0913 (the front door of plain Python)
    data: Prepared,
    *,
    spec: TrainSpec | None = None,
    model: Maker = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    name: str | None = None,
    line: str | None = None,
    code: str | None = None,
    checkpoint_seconds: float = SECONDS,
    probe: bool = True,
    baseline: bool = True,
    calibrate: bool = False,
    chosen: TrainSpec | None = None,
    background: bool = False,
    log_to: str | Sequence[str] = (),
    **options: Any,
) -> Run:
    """Train on prepared data and give the run with its best weights.

    model: a registered name, an nn.Module, a class of it, or a function of n_in and n_out. spec: what to start from;
    every option is one of `TrainSpec` or of its parts; lr="find" tests step sizes on a copy first. loss and metrics may
    be functions of your own. store: a folder, None for the default one, False for none. line, code: the text that the
    user typed, for the record. probe: look at the layers now and then, for %nn_diagnose; it changes no
    bit of the training. calibrate: fit the temperature of predict_proba on the validation rows. baseline: fit a linear
    model and boosted trees, too, when the run is over; they take at most a tenth of its time. checkpoint_seconds:
    between two checkpoints inside an epoch, 0 for none; see `nnlab.resume`. chosen: what of `spec` the data chose, not
    the user, for reports. background: train in a process of its own and give the run at once, as a `BackgroundRun`
    that becomes the same run, bit for bit; run.wait() waits for it, and it ends with this process. log_to: programs
    that are told, too: tensorboard:FOLDER, mlflow:URI, wandb:PROJECT. Interrupting ends the run at the next step; twice
    raises.
    """
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if view is not None and not callable(view):
        raise SpecError(f"view={view!r}: expected a function of events; live views are the notebook's: %nn_train")
    if isinstance(model, (str, Part)):
        options["model"], model = model, None
    base = spec if spec or model is None else OWN_NETWORK
    chosen = recipe_for(data, options) if base is None else chosen
    spec, said = _settled(data, base or chosen, model, options)
    if model is not None:
        spec = replace(spec, model=own_part(model, code))
    choices = Choices(probe, baseline, calibrate, to_json(chosen) if chosen else None)
    facts = new_facts(data, name, line, code, choices)
    where = None if store is False else as_store(store)
    logs = checked_logs(log_to)
    order = Order(data, spec, model, facts, tuple(said), where, checkpoint_seconds, log_to=logs)
    if not background:
        return carry_out(order, view, controls or Controls())
    if controls is not None:
        raise SpecError("controls: a run in the background has its own: run.controls")
    from nnlab.core.background.run import begun

    return begun(facts, spec, partial(carry_out, order), view)


def carry_out(order: Order, view: Sink | None, controls: Controls) -> Run:
    """Train what was ordered, in this process."""
    job = ready(set_up(order.spec, order.data, order.model), order.facts.choices)
    if order.again is not None:
        job = replace(job, threads=order.again.threads)
        controls.plan(order.again.changes, order.again.end)
    record, folder = Record(), None
    if order.store is not None:
        check_room(order.store.root, job.learner.model)
        folder = order.store.create_run(order.spec, order.data, facts=order.facts, seconds=order.checkpoint_seconds)
    facts = order.facts if folder is None else folder.facts
    events, run = saying(order.said, train(job, controls)), living(record, job, facts)
    with logging(order.log_to, facts) as logs:
        spent = carried(events, controls, run, order.data, folder, view, *logs)
    return concluded(record, job, folder, facts, spent)


def living(record: Record, job: Job, facts: Facts) -> Run:
    """The run as it is while it goes on; record: that which takes its events."""
    return Run(facts, record, job.learner.model, job.data.pipeline, job.learner.device, "running")


def carried(
    events: Stream, controls: Controls, run: Run, data: Prepared, folder: RunFolder | None, *views: Sink | None
) -> float:
    """Let a run that lives happen under the interrupt key, told to those who watch; its folder is closed however it
    ends. Gives the seconds of CPU that it took, pauses and the waits of others not among them."""
    began = time.process_time()
    try:
        with interruptible(controls), contextlib.closing(watched(events, run, data)) as told:
            drive(told, *(sink for sink in (run.record, folder, *views) if sink is not None))
    except KeyboardInterrupt:  # a second press, while a watcher had the word
        if folder is not None:
            folder.close(reason="interrupted")
        raise
    finally:
        if folder is not None:
            folder.close()
    return min(time.process_time() - began, sum(done.seconds for done in run.record.epochs))


def ready(job: Job, choices: Choices) -> Job:
    """The job with somebody who looks into its layers; DataError or RunError for what cannot be calibrated."""
    if choices.calibrate:
        check_calibration(job.data)
    return replace(job, probe=Probe(job.learner.model, job.data, job.learner.device)) if choices.probe else job


def concluded(record: Record, job: Job, folder: RunFolder | None, facts: Facts, spent: float) -> Run:
    """The run of a training that has ended, with what was to be fitted after it. spent: seconds that it took."""
    choices = facts.choices
    run = finish(record, job.learner.model, job.data, folder, facts, spent if choices.baseline else None)
    if choices.calibrate and run.best_epoch is not None:
        run.calibrate(job.data)
    return run


def _settled(
    data: Prepared, base: TrainSpec | None, model: Maker, options: dict[str, Any]
) -> tuple[TrainSpec, list[Event]]:
    """The spec of the options, lr="find" by a test of step sizes; what to say of it if that finds nothing."""
    finding = found_lr(options)
    spec = resolve(TrainSpec, {name: value for name, value in options.items() if name != finding}, base)
    if finding is None:
        return spec, []
    tested = lr_range(data, spec=spec, model=model)
    if tested.rounded is not None:
        return resolve(TrainSpec, {"lr": tested.rounded}, spec), []
    return spec, [Warned(f"lr=find: no clear region, {tested.why}; the usual lr is kept")]


def saying(said: Iterable[Event], events: Stream) -> Stream:
    """The events, others said right after the first."""
    yield next(events)
    yield from said
    yield from events


def own_part(model: Maker, code: str | None) -> Part:
    """The model part of a run whose network the user wrote: its name and its text."""
    return Part(CUSTOM, {"name": str(getattr(model, "__name__", type(model).__name__)), "code": code or ""})


def as_store(where: Where) -> Store:
    """The store that is meant: itself, a folder, or the default one."""
    return where if isinstance(where, Store) else Store(Path(where) if where else None)


def drive(events: Iterator[Event], *sinks: Sink) -> None:
    """Hand every event to every sink in order. A sink that raises is left out from then on; training goes on."""
    listening = list(sinks)
    for event in events:
        for sink in tuple(listening):
            try:
                sink(event)
            except Exception as error:
                listening.remove(sink)
                message = f"{type(sink).__name__} failed and was left out: {type(error).__name__}: {error}"
                warnings.warn(f"nnlab: {message}", RuntimeWarning, stacklevel=2)
