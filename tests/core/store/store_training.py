"""A small real preparation and network, the events that a training of them tells, and a disk that fails."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.events import EpochDone, Event, Finished, Started
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec

CALLS = ("open", "write", "fsync", "replace", "mkdir", "ftruncate", "lseek")
SPEC = TrainSpec(model=Part("mlp", {"hidden": (8,), "dropout": 0.0}), epochs=3)


@dataclass
class Training:
    """What the writer needs of a training: data, network, and its events."""

    data: Prepared
    spec: TrainSpec
    network: nn.Module

    def started(self) -> Started:
        parameters = sum(p.numel() for p in self.network.parameters())
        return Started(self.spec, self.data.task, 100, 4, parameters, "cpu", "module", ("accuracy",), "loss", False)

    def weights(self, value: float) -> dict[str, Tensor]:
        """Weights that all have one value, so that a file's content tells its epoch."""
        return {name: torch.full_like(tensor, value) for name, tensor in self.network.state_dict().items()}

    def epoch(self, number: int, best: bool = True) -> EpochDone:
        """The epoch of this number; its best weights are all equal to the number."""
        valid = {"loss": 1.0 / number, "accuracy": 0.5}
        weights = self.weights(float(number)) if best else None
        return EpochDone(number, {"loss": 2.0 / number}, valid, 0.1, 0.01, 1e4, best, weights)

    def events(self, epochs: int) -> Iterator[Event]:
        yield self.started()
        for number in range(1, epochs + 1):
            yield self.epoch(number)
        yield Finished("completed", epochs, epochs, 0.5)


def small_frame(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "c": rng.choice(["x", "y"], rows)})
    frame["label"] = np.where(frame.a + (frame.c == "x") > 0, "yes", "no")
    return frame


class Faults:
    """Fails the call number `at` of those that touch the disk, or stays broken from it on: with an error, or after half
    of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.kind, self.count, self.hit, self.stays = 0, "eio", 0, False, False
        self.log: list[str] = []
        self._counting = threading.Lock()  # files are synced by several threads
        for name in CALLS:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def arm(self, at: int, kind: str, stays: bool = False) -> None:
        self.at, self.kind, self.count, self.hit, self.stays = at, kind, 0, False, stays

    @contextlib.contextmanager
    def healed(self) -> Iterator[None]:
        """A disk that works, for a look at what is there."""
        at, count, self.at = self.at, self.count, 0
        yield
        self.at, self.count = at, count

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with self._counting:
                self.count += 1
                self.log.append(name)
                broken = self.at and (self.count >= self.at if self.stays else self.count == self.at)
            if not broken:
                return real(*args, **options)
            self.hit = True
            if self.kind == "short" and name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            raise OSError(errno.EIO if self.kind == "eio" else errno.ENOSPC, "injected")

        return call


def small_training() -> Training:
    data = prepare(small_frame(), target="label")
    network = nn.Sequential(nn.Linear(len(data.feature_names), 8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 2))
    return Training(data, SPEC, network)
