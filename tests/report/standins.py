"""Values of the shape that reports read, for what short real runs lack: faults, many classes, hostile names."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from nnlab.core.baselines import Baseline
from nnlab.core.evaluate import Evaluation
from nnlab.core.events import Changed, Finished, Resumed
from nnlab.core.options import resolve
from nnlab.core.record import Record
from nnlab.core.spec import TrainSpec
from nnlab.core.store.facts import Choices

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "{{7*7}} {x}",
    r"$\frac$",
    "a|b`c`|**d**",
    "line\nbreak\r\x1b[31m",
    "\u202eoverride",
    "[a](javascript:alert(1))",
    "```\n<script>",
    "\ud800",
    "x" * 5000,
)


def history(epochs: int, metric: str = "accuracy") -> pd.DataFrame:
    """Curves that fall and rise a little, always the same."""
    x = np.arange(1, epochs + 1)
    noise = np.random.default_rng(0).normal(size=(3, epochs))
    columns = {
        "train_loss": 0.6 * np.exp(-x / (epochs / 6)) + 0.02 + 0.001 * noise[0] ** 2,
        "valid_loss": 0.5 * np.exp(-x / (epochs / 6)) + 0.1 + 0.01 * noise[1] ** 2,
        f"valid_{metric}": 1 - 0.4 * np.exp(-x / (epochs / 8)) - 0.02 + 0.005 * noise[2],
        "lr": 0.001 * (1 + np.cos(np.pi * x / epochs)) / 2,
        "seconds": np.full(epochs, 0.1),
    }
    return pd.DataFrame(columns, index=pd.Index(x, name="epoch"))


@dataclass
class RunStandIn:
    """A run of 43 epochs whose best is epoch 23."""

    name: str | None = None
    id: str = "20260102T030405-0a1b2c3d"
    spec: TrainSpec = field(default_factory=lambda: resolve(TrainSpec, {"lr": 0.01}))
    history: pd.DataFrame = field(default_factory=lambda: history(43))
    best_epoch: int | None = 23
    best_epochs: tuple[int, ...] = ()
    reason: str = "stopped_early"
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    resumptions: list[Resumed] = field(default_factory=list)
    temperature: float | None = None
    classes: tuple[str, ...] = ("benign", "malignant")
    line: str | None = None
    code: str | None = None
    parameters: int = 1234
    device: str = "cpu"
    target: str = "diagnosis"
    beside: tuple[Baseline, ...] = ()
    record: Record = field(default_factory=Record)
    task: str = "binary"
    path: Path | None = None
    fingerprint: str = "0f" * 32
    summary: dict[str, Any] = field(default_factory=lambda: {"name": "table", "rows": {"train": 300, "valid": 100}})
    learner: str = "stack"

    @property
    def finished(self) -> Finished:
        return Finished(self.reason, len(self.history), self.best_epoch, 4.2, self.message)

    @property
    def state(self) -> str:
        return self.reason

    @property
    def facts(self) -> Any:
        return SimpleNamespace(began=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), choices=Choices())

    @property
    def pipeline(self) -> Any:
        return SimpleNamespace(target=SimpleNamespace(name=self.target))

    @property
    def metrics(self) -> dict[str, float]:
        if self.best_epoch is None:
            return {}
        row = self.history.loc[self.best_epoch]
        return {name.removeprefix("valid_"): float(row[name]) for name in row.index if name.startswith("valid_")}

    @property
    def by_class(self) -> pd.DataFrame:
        return (self.evaluation or Evaluation(0)).by_class()

    @property
    def evaluation(self) -> Evaluation | None:
        if self.best_epoch is None or not self.classes:
            return None
        count = len(self.classes)
        confusion = np.eye(count, dtype=int) * 40
        confusion[0, 1] = 11
        return Evaluation(int(confusion.sum()), self.classes, tuple(map(tuple, confusion.tolist())))
