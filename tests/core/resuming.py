"""Runs that are cut at any step and taken up again, and what must be the same in the end."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from nnlab.core import train as training
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import Changed, EpochDone, Event, Finished, Resumable
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, TrainSpec
from nnlab.core.store.checkpoint import POINTER
from nnlab.core.store.trees import pack_tree, unpack_tree


@dataclass
class Ended:
    """What a run leaves, all that must come out to the same bits."""

    epochs: dict[int, tuple[Any, ...]]
    weights: dict[str, torch.Tensor]
    reason: str
    best: int | None

    def same(self, other: "Ended", since: int = 0) -> bool:
        """Whether the epochs from `since` on, the weights and the end are equal."""
        mine, theirs = ({n: v for n, v in one.epochs.items() if n > since} for one in (self, other))
        if (repr(mine), self.reason, self.best) != (repr(theirs), other.reason, other.best):
            return False
        return all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop speaks after each step."""
    monkeypatch.setattr(training, "TICK", 0.0)


def spec_of(own: Any = None, **options: Any) -> TrainSpec:
    base = TrainSpec(model=Part(CUSTOM, {"name": "own", "code": ""})) if own is not None else None
    return resolve(TrainSpec, options, base)


def ended(events: Iterator[Event], job: training.Job, at_each: Callable[[Event], None] = lambda event: None) -> Ended:
    """Let it run to its end."""
    epochs, last = {}, None
    for event in events:
        at_each(event)
        if isinstance(event, EpochDone):
            epochs[event.epoch] = (dict(event.train), dict(event.valid), event.lr, event.best)
        last = event
    assert isinstance(last, Finished)
    weights = {name: tensor.clone() for name, tensor in job.learner.model.state_dict().items()}
    return Ended(epochs, weights, last.reason, last.best_epoch)


def whole_run(data: Prepared, spec: TrainSpec, model: Any = None, changes: Mapping[int, Any] | None = None) -> Any:
    """An uninterrupted run, and the place and the bytes of its state after each step. changes: name, value by step."""
    job, controls = training.set_up(spec, data, model), Controls()
    kept: list[tuple[Resumable, bytes]] = []

    def keep(event: Event) -> None:
        if isinstance(event, Resumable):
            kept.append((event, pack_tree(event.state())))
            for name, value in (changes or {}).get(len(kept), ()):
                controls.set(name, value)

    return ended(training.train(job, controls), job, keep), kept


def taken_up(
    data: Prepared,
    spec: TrainSpec,
    state: bytes,
    model: Any = None,
    spoil: Callable[[Any], None] = lambda state: None,
) -> Ended:
    """The rest of a run, by a job that is built anew from bytes alone. spoil: changes the state before."""
    found = unpack_tree(state, "here")
    spoil(found)
    job = training.set_up(spec, data, model)
    return ended(training.train(job, Controls(), found), job)


def written(root: Path) -> set[int]:
    """When the newest checkpoints were written: that of a run's folder, or those of a store's runs."""
    return {path.stat().st_mtime_ns for runs in (".", "runs/*") for path in root.glob(f"{runs}/{POINTER}")}


def await_checkpoint(root: Path, before: set[int], writer: int) -> None:
    """Wait until one is written that was not there before; ProcessLookupError if the process of that number ends."""
    while written(root) <= before:
        os.kill(writer, 0)
        time.sleep(0.001)


__all__ = [
    "Changed",
    "Ended",
    "await_checkpoint",
    "ended",
    "every_step",
    "spec_of",
    "taken_up",
    "whole_run",
    "written",
]
