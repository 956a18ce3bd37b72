"""Go on from an epoch of a run with other settings: `branch("last", 12, data, lr=1e-4)` is a run of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError, StoreError
from nnlab.core.events import Changed, EpochDone, Event, Sink, Started, Warned
from nnlab.core.fit import Again, Where, as_store, carried, concluded, drive, living, ready, saying
from nnlab.core.models.custom import Maker
from nnlab.core.options import resolve
from nnlab.core.pace import batch_of
from nnlab.core.past import Past, events_until, its_data, past_run, state_after
from nnlab.core.record import Record
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.sinks import checked_logs, logging
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.steering import AMOUNTS, LIVE, steerable
from nnlab.core.store.checkpoint import SECONDS
from nnlab.core.store.facts import Facts, Origin, new_facts
from nnlab.core.store.room import check_room
from nnlab.core.store.runs import Store
from nnlab.core.train import set_up, train

# What may be otherwise besides the values that can be changed while a run lives.
FREE = ("epochs", "schedule", "warmup", "dropout_schedule", "decay_schedule", "batch_growth", "min_delta")
FREE_TOO = ("batch_size", "patience")  # these are such values, too, but fields of the spec


@dataclass(frozen=True, eq=False)
class Branching:
    """A run that leaves another. spec: its own; epoch: the last one that it shares with `past`. again: what changes
    after that, and where it is stopped; said: what to tell when it begins."""

    past: Past
    epoch: int
    data: Prepared
    spec: TrainSpec
    model: Maker
    facts: Facts
    store: Store
    checkpoint_seconds: float
    again: Again
    said: tuple[Event, ...]
    log_to: tuple[str, ...] = ()


def branch(  # noqa: PLR0913 (the front door of plain Python)
    word: str,
    epoch: int,
    data: Prepared | None = None,
    *,
    model: Maker = None,
    name: str | None = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    checkpoint_seconds: float = SECONDS,
    line: str | None = None,
    code: str | None = None,
    background: bool = False,
    log_to: str | Sequence[str] = (),
    **options: Any,
) -> Run:
    """Train on from an epoch of a run of the store, whose weights, moments and random states are taken over.

    options: what is to be otherwise: what can be changed while a run lives, the schedules, epochs, patience. Where the
    run kept no checkpoint of the epoch, it is trained again so far. data, model: as for `replay`. SpecError for another
    option and for an epoch that the run did not reach; other errors as for `resume`.
    """
    place = as_store(store)
    past = past_run(place, word)
    data = its_data(past, data, model)
    done = past.record.epochs[-1].epoch
    if not 1 <= epoch <= done:
        raise SpecError(f"run {past.facts.name or past.facts.id} has epochs 1 to {done}, none {epoch}")
    spec = resolve(TrainSpec, options, past.spec)
    if other := unlike(past.spec, spec):
        raise SpecError(
            f"{other} cannot differ from that of run {past.facts.name or past.facts.id}, whose state is taken over; "
            f"these can: {', '.join([*LIVE, *FREE])}"
        )
    if spec.epochs <= epoch:
        raise SpecError(f"epochs={spec.epochs}: {epoch} are done already; a branch needs more")
    facts = new_facts(data, name, line, code or past.facts.code, past.facts.choices)
    facts = replace(facts, origin=Origin("branch", past.facts.id, epoch))
    words = {word for option in options for word in option.split(".")}  # lr of optimizer.lr
    again = Again(tuple(_turns(past, epoch, spec, data, words)), None, None)
    said = (Warned(f"branches off run {past.facts.name or past.facts.id} after epoch {epoch}"),)
    logs = checked_logs(log_to)
    order = Branching(past, epoch, data, spec, model, facts, place, checkpoint_seconds, again, said, logs)
    if background:
        from nnlab.core.background.run import begun

        return begun(facts, spec, partial(branch_off, order), view)
    return branch_off(order, view, controls or Controls())


def branch_off(order: Branching, view: Sink | None, controls: Controls) -> Run:
    """Train what was ordered, in this process."""
    past, data = order.past, order.data
    with interruptible(controls):
        state = state_after(order.store, past, order.epoch, data, order.model, controls)
    job = ready(set_up(order.spec, data, order.model), order.facts.choices)
    check_room(order.store.root, job.learner.model)
    events = train(job, controls, state)
    try:
        started = next(events)
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise StoreError(f"the state of run {past.facts.id} does not fit the branch: {error}") from error
    assert isinstance(started, Started)
    controls.plan(order.again.changes, order.again.end)
    folder = order.store.create_run(order.spec, data, facts=order.facts, seconds=order.checkpoint_seconds)
    folder(replace(started, resumed_from=None))
    best, record = state["best"], Record()
    for event in events_until(past, order.epoch):
        kept = isinstance(event, EpochDone) and event.epoch == best["epoch"]
        folder(replace(event, weights=best["weights"]) if kept else event)
    drive(iter([started, *events_until(past, order.epoch)]), *(sink for sink in (record, view) if sink is not None))
    run = living(record, job, folder.facts)
    with logging(order.log_to, folder.facts) as programs:
        spent = carried(saying(order.said, events), controls, run, data, folder, view, *programs)
    return concluded(record, job, folder, folder.facts, spent)


def _turns(past: Past, epoch: int, spec: TrainSpec, data: Prepared, said: set[str]) -> list[Changed]:
    """What is otherwise from the first step of the branch on. said: names of options that were given, which hold also
    where the run began with the same and was changed since."""
    before, now = (_values(one, data) for one in (past.spec, spec))
    held = {**before, **{change.name: change.new for change in past.changes if change.epoch <= epoch}}
    differing = [name for name in now if name in before and (now[name] != before[name] or name in said)]
    return [Changed(epoch + 1, 1, name, held[name], now[name]) for name in differing if now[name] != held[name]]


def _values(spec: TrainSpec, data: Prepared) -> Mapping[str, float]:
    return steerable(spec, data.task, batch_of(spec, len(data.train.y)))


def unlike(old: TrainSpec, new: TrainSpec) -> str:
    """The first option in which a branch may not differ, "" if there is none."""
    for field in fields(TrainSpec):
        if field.name not in (*FREE, *FREE_TOO) and _fixed(getattr(old, field.name)) != _fixed(
            getattr(new, field.name)
        ):
            return field.name
    return ""


def _fixed(value: Any) -> Any:
    """A value of a spec without what of it can be changed while a run lives."""
    if isinstance(value, Part):
        return value.name, {name: one for name, one in _all_values(value).items() if name not in LIVE}
    if isinstance(value, tuple) and any(isinstance(one, Part) for one in value):
        return tuple(one.name if one.name in AMOUNTS else _fixed(one) for one in value)
    return value


def _all_values(part: Part) -> Mapping[str, Any]:
    from nnlab.core.losses import LOSSES
    from nnlab.core.models import MODELS
    from nnlab.core.optimizers import OPTIMIZERS

    known = next((one for one in (OPTIMIZERS, MODELS, LOSSES) if part.name in one), None)
    return part.values if known is None else part_values(known, part)
