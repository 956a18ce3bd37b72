"""How a watcher changes a run: values written from any thread, read by the loop between steps."""

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from nnlab.core.events import Changed, Reason
from nnlab.core.steering import check_change


@dataclass(frozen=True)
class Change:
    """A new value for a hyperparameter of the running run."""

    name: str
    value: float


class Controls:
    """The one way into a running run. Methods only write; the loop reads at the next step."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()
        self._planned: list[Changed] = []
        self._end: tuple[int, int, Reason] | None = None
        self._wishes: deque[tuple[str, str]] = deque()
        self.stop_reason: Reason | None = None
        self.paused = False
        self.looking = False  # whether somebody wants to look at the network while it learns
        self.ground: Any = None  # over which; see nnlab.core.playground
        self.layers_wanted = False

    def set(self, name: str, value: float) -> None:
        """Change a value of `nnlab.core.steering.LIVE` from the next step on; patience counts at the epoch's end."""
        check_change(name, value)
        self._changes.append(Change(name, value))

    def plan(self, changes: Iterable[Changed], end: tuple[int, int, Reason] | None = None) -> None:
        """Changes that a run had seen, to be made again at the steps where they were made. end: the epoch, how many
        steps of it, and why: where the run is to stop."""
        self._planned, self._end = list(changes), end

    def reach(self, epoch: int, done: int) -> None:
        """So many steps of the epoch are done: stop where that is planned."""
        if self._end is not None and (epoch, done) >= self._end[:2]:
            self.stop(self._end[2])

    def steps_to_plan(self, epoch: int, steps: int) -> int:
        """Steps of this epoch, of so many, before the next planned change in it."""
        ends = [self._end[1]] if self._end is not None and self._end[0] == epoch else []
        return min([steps, *ends, *(change.step - 1 for change in self._planned if change.epoch == epoch)])

    def stop(self, reason: Reason = "stopped") -> None:
        """End the run after this step with its best weights; the first reason stays."""
        self.stop_reason = self.stop_reason or reason
        self.paused = False

    def pause(self, paused: bool = True) -> None:
        """Hold the run between two steps, or let it go on."""
        self.paused = paused

    def look_at(self, ground: Any) -> None:
        """Look at the network over a ground from now on."""
        self.ground, self.looking = ground, True

    def want_layers(self) -> None:
        """Look at its layers, once."""
        self.layers_wanted = True

    def steer(self, what: str, text: str) -> None:
        """Ask a study to pin, narrow, free or queue what the text says, from its next trials on."""
        self._wishes.append((what, text))

    def take_wishes(self) -> list[tuple[str, str]]:
        """What was asked for since the last call, in order."""
        return [self._wishes.popleft() for _ in range(len(self._wishes))]

    @property
    def waiting(self) -> bool:
        """Whether the loop has something to obey."""
        return bool(self._changes) or self.paused or self.stop_reason is not None

    def take_changes(self, epoch: int, step: int) -> list[Change]:
        """The changes since the last call, in order, planned ones first. step: the next one of the epoch."""
        due = [change for change in self._planned if (change.epoch, change.step) <= (epoch, step)]
        self._planned = self._planned[len(due) :]
        taken = [Change(change.name, change.new) for change in due]
        while self._changes:
            taken.append(self._changes.popleft())
        return taken


@contextlib.contextmanager
def interruptible(controls: Controls) -> Iterator[None]:
    """SIGINT ends the run at the next step, a second one raises KeyboardInterrupt. The old handler comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if controls.stop_reason:
            raise KeyboardInterrupt
        controls.stop("interrupted")

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
