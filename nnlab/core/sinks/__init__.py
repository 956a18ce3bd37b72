"""Runs told to other programs as well: one class a program, each a sink of events.

--log-to tensorboard:FOLDER, mlflow:URI or wandb:PROJECT; what stands behind the colon may be left out.
"""

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from nnlab.core.errors import RunError, SpecError, did_you_mean
from nnlab.core.events import Event
from nnlab.core.sinks.mlflow import MLflow
from nnlab.core.sinks.tensorboard import TensorBoard
from nnlab.core.sinks.wandb import WandB
from nnlab.core.store.facts import Facts


class Log(Protocol):
    """A sink that is closed however the run ends. needs: what must be there to import; made when the run begins."""

    needs: str

    def __init__(self, place: str, facts: Facts) -> None: ...
    def __call__(self, event: Event) -> None: ...
    def close(self) -> None: ...


LOGS: dict[str, type[Any]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


def checked_logs(words: str | Sequence[str]) -> tuple[str, ...]:
    """The words, or the one; SpecError for a program that is not known, RunError with the pip command for one that is
    missing."""
    words = [words] if isinstance(words, str) else words
    for word in words:
        kind = word.partition(":")[0]
        if kind not in LOGS:
            raise SpecError(f"log_to={word}: expected one of {', '.join(LOGS)}{did_you_mean(kind, LOGS)}")
        if find_spec(LOGS[kind].needs) is None:
            raise RunError(f"{kind} is not installed here; in a terminal:  pip install 'nnlab[{kind}]'")
    return tuple(words)


@contextlib.contextmanager
def logging(words: Sequence[str], facts: Facts) -> Iterator[list[Log]]:
    """Inside, the programs are there to be told."""
    logs: list[Log] = []
    try:
        for word in words:
            kind, _, place = word.partition(":")
            logs.append(LOGS[kind](place, facts))
        yield logs
    finally:
        for log in logs:
            log.close()
