"""Views without widgets: one updating line for terminals, and none at all."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from nnlab.core.events import EpochDone, Event, Finished, Progress, Resumed, Started, StudyStarted, TrialDone, Warned
from nnlab.magics.verbs import shown_value
from nnlab.report.bundle import Bundle

EVERY = 0.25  # seconds between two updates of the line
SHOWN = 3  # metrics that fit beside the losses


class SilentView:
    """Shows nothing while the work goes on, then its bundles. show: how a bundle is shown; None hides them."""

    def __init__(self, show: Callable[[Bundle], None] | None) -> None:
        self._show = show

    def __call__(self, event: Event) -> None:
        pass

    def close(self, bundles: Sequence[Bundle]) -> None:
        """Show the result."""
        if self._show is not None:
            for bundle in bundles:
                self._show(bundle)


class TextView:
    """One line of text that is written over, at most four times a second; then the bundles."""

    def __init__(
        self,
        show: Callable[[Bundle], None],
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show, self._out, self._clock = show, out, clock
        self._next = 0.0
        self._line = self._shown = ""
        self._started: Started | None = None
        self._study: StudyStarted | None = None
        self._best = ""
        self._trials = 0
        self._began = clock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started, self._began = event, self._clock()
        elif isinstance(event, StudyStarted):
            self._study, self._trials = event, event.done
        elif isinstance(event, EpochDone) and self._study is None:
            self._write(self._epoch(event))
        elif isinstance(event, Progress) and event.paused:
            self._write(f"epoch {event.epoch}  paused")
        elif isinstance(event, TrialDone):
            self._write(self._trial(event))
        elif isinstance(event, Resumed):
            self._say(f"resumed after epoch {event.epoch}")
        elif isinstance(event, Warned):
            self._say(f"{'doctor' if event.about else 'warning'}: {event.message}")
        elif isinstance(event, Finished) and self._study is None:
            self._write(self._line, now=True)

    def close(self, bundles: Sequence[Bundle]) -> None:
        """End the line and show the result."""
        if self._line:
            self._write(self._line, now=True)
            self._put("\n")
        for bundle in bundles:
            self._show(bundle)

    def _epoch(self, event: EpochDone) -> str:
        epochs = self._started.spec.epochs if self._started else event.epoch
        if event.best:
            self._best = f"  best {event.epoch}"
        before = (self._started and self._started.resumed_from) or 0  # done in another process, at no cost to this one
        left = (self._clock() - self._began) / max(event.epoch - before, 1) * (epochs - event.epoch)
        valid = dict(event.valid)
        losses = f"loss {_number(event.train.get('loss'))}  valid {_number(valid.pop('loss', None))}"
        shown = "  ".join(f"{name} {_number(value)}" for name, value in list(valid.items())[:SHOWN])
        speed = f"{event.rows_per_second:,.0f} rows/s  {left:.0f} s left"
        return f"epoch {event.epoch}/{epochs}  {losses}  {shown}{self._best}  {speed}"

    def _trial(self, event: TrialDone) -> str:
        self._trials += event.state != "stopped"  # what was cut does not count
        total = self._study.spec.trials if self._study else self._trials
        score = "" if event.score is None else f"  {_number(event.score)}"
        if event.best:
            self._best = f"  best {_number(event.score)} in trial {event.number} {_values(event.values)}"
        return f"{self._trials}/{total} trials  trial {event.number} {event.state}{score}{self._best}"

    def _write(self, line: str, now: bool = False) -> None:
        self._line = _printable(line)
        if (self._out or sys.stdout).isatty():  # a line that wraps could not be written over
            self._line = self._line[: max(shutil.get_terminal_size().columns - 1, 1)]
        if not now and self._clock() < self._next:
            return
        self._next = self._clock() + EVERY
        if self._line != self._shown:
            self._put("\r" + self._line.ljust(len(self._shown)))
        self._shown = self._line

    def _say(self, message: str) -> None:
        self._put("\r" + _printable(message).ljust(len(self._shown)) + "\n")
        self._shown = ""

    def _put(self, text: str) -> None:
        out = self._out or sys.stdout
        out.write(text)
        out.flush()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _values(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={shown_value(name, value)}" for name, value in values.items())


def _printable(text: str) -> str:
    """Column names may hold control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)
