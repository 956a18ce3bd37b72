"""A run of the store as it was trained, to do it again or to go on from one of its epochs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.device import pick_device
from nnlab.core.errors import RunError, StoreError
from nnlab.core.events import Changed, Event, Reason, Resumable, Warned
from nnlab.core.fit import Again
from nnlab.core.models.custom import Maker
from nnlab.core.record import Record
from nnlab.core.resume import data_for, what_changed
from nnlab.core.spec import CUSTOM, TrainSpec
from nnlab.core.store.checkpoint import checkpoint_of
from nnlab.core.store.facts import Facts
from nnlab.core.store.reading import read_past, understood
from nnlab.core.store.runs import Store
from nnlab.core.train import set_up, train
from nnlab.core.wording import counted

NATURAL = ("completed", "stopped_early", "diverged")  # ends that come by themselves when the same is done again


@dataclass(frozen=True, eq=False)
class Past:
    """What a run was. about: what run.json says."""

    path: Path
    about: dict[str, Any]
    facts: Facts
    record: Record

    @property
    def spec(self) -> TrainSpec:
        """What defines it, but for the data."""
        assert self.record.started is not None
        return self.record.started.spec

    @property
    def changes(self) -> tuple[Changed, ...]:
        """What was changed while it lived."""
        return tuple(self.record.changes)

    def changes_after(self, epoch: int) -> tuple[Changed, ...]:
        """Those of later epochs."""
        return tuple(change for change in self.record.changes if change.epoch > epoch)

    @property
    def threads(self) -> int | None:
        """The threads that it had, None where they are not known."""
        return (self.record.started.threads or None) if self.record.started else None

    def again(self, epoch: int = 0) -> Again:
        """What is to happen when it is done again, from an epoch on."""
        finished = self.record.finished
        assert finished is not None
        changes = self.changes_after(epoch)
        if finished.reason in NATURAL:
            return Again(changes, None, self.threads)
        reason: Reason = "interrupted" if finished.reason == "interrupted" else "stopped"
        return Again(changes, (*(finished.cut or (finished.epoch + 1, 0)), reason), self.threads)

    def notes(self, code: str | None) -> tuple[Event, ...]:
        """Why the bits need not be the same here."""
        return tuple(map(Warned, what_changed(self.about, self.facts, pick_device(self.spec.device), code)))


def past_run(store: Store, word: str) -> Past:
    """The run that is meant; StoreError for one that is broken, RunError for one that is alive or never began."""
    info = store.find(word)
    if info.state == "broken":
        raise StoreError(info.message)
    if info.state == "running":
        raise RunError(f"run {info.name or info.id} still trains; stop it first, or wait for it")
    with understood(info.path):
        about, facts, record = read_past(info.path)
    if not record.epochs:
        raise RunError(f"run {info.name or info.id} ended before its first epoch was done")
    return Past(info.path, about, facts, record)


def its_data(past: Past, data: Prepared | None, model: Maker) -> Prepared:
    """The data that it was trained on; StoreError where its network is not there."""
    found = data_for(past.facts, data)
    if past.spec.model.name == CUSTOM and model is None:
        raise StoreError(f"run {past.facts.id} trains a network of your own; give it too: model=YourNetwork")
    return found


def trunk_of(store: Store, past: Past) -> tuple[Past, int] | None:
    """The run whose first epochs it took over, and how many; None for a run that trained all of its own.

    StoreError where the store has that run no more.
    """
    origin = past.facts.origin
    if origin is None or not origin.epoch:
        return None
    shared = counted(origin.epoch, "epoch")
    try:
        while origin is not None and origin.kind == "replay":  # of a branch: it shares what the branch shares
            origin = store.find(origin.id).origin
        return (past_run(store, origin.id), origin.epoch) if origin is not None else None
    except StoreError as error:
        label = past.facts.name or past.facts.id
        raise StoreError(f"run {label} took its first {shared} over from another: {error}") from error


def state_after(store: Store, past: Past, epoch: int, data: Prepared, model: Maker, controls: Controls) -> Any:
    """The state of the run after an epoch: of a checkpoint that it kept, else by training it again so far."""
    kept = checkpoint_of(past.path, epoch)
    return kept if kept is not None else _trained_again(store, past, epoch, data, model, controls)


def _trained_again(store: Store, past: Past, epoch: int, data: Prepared, model: Maker, controls: Controls) -> Any:
    from nnlab.core.store.trees import pack_tree, unpack_tree

    trunk, shared, state = trunk_of(store, past), 0, None
    if trunk is not None:  # whose spec was another one
        shared = min(trunk[1], epoch)
        state = state_after(store, trunk[0], shared, data, model, controls)
        if shared == epoch:
            return state
    job = replace(set_up(past.spec, data, model), threads=past.threads)
    own = Controls()
    own.plan(past.changes_after(shared))
    for event in train(job, own, state):
        if isinstance(event, Resumable) and (event.epoch, event.step) == (epoch, 0):
            return unpack_tree(pack_tree(event.state()), "the state of the run")
        if controls.stop_reason:
            raise RunError(f"stopped before epoch {epoch} of run {past.facts.id} was trained again")
    raise RunError(f"run {past.facts.id} could not be trained again up to epoch {epoch}")


def events_until(past: Past, epoch: int) -> Iterator[Event]:
    """What it told until an epoch was done, without warnings."""
    for event in past.record.events():
        if isinstance(event, Warned) or getattr(event, "epoch", 0) > epoch:
            continue
        if event is not past.record.started and event is not past.record.finished:
            yield event
