"""The doctor at the bedside: what it can tell while a run lives, in the words that it has afterwards, each once."""

import contextlib
import time
from collections.abc import Generator

from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.doctor import living_look
from nnlab.core.diagnose.mending import mending_words
from nnlab.core.diagnose.registry import Verdict
from nnlab.core.events import EpochDone, Event, Probed, Warned
from nnlab.core.run import Run

SHARE = 0.01  # of the run's time, at most
FREE = 0.003  # seconds that may be spent at any time, so that what goes wrong at once is said at once


class Watch:
    """Looks at a run after epochs and looks into its layers. run: whose record takes the events before this does."""

    def __init__(self, run: Run, data: Prepared) -> None:
        self._run, self._data = run, data
        self._began, self._spent = time.process_time(), 0.0
        self._baseline: tuple[float | None] | None = None

    def __call__(self, event: Event) -> list[Warned]:
        """What is newly found; nothing at other events, and as long as too much time was spent on it."""
        if not isinstance(event, (EpochDone, Probed)):
            return []
        now = time.process_time()
        if self._spent > FREE + SHARE * (now - self._began):
            return []
        try:
            return [self._told(verdict) for verdict in living_look(self._case(), self._run.record.told)]
        finally:
            self._spent += time.process_time() - now

    def _case(self) -> Case:
        """The run as it is now. The loss of a constant prediction stays the same."""
        case = Case(self._run, self._data)
        if self._baseline is None:
            self._baseline = (case.baseline,)
        (case.baseline,) = self._baseline
        return case

    def _told(self, verdict: Verdict) -> Warned:
        words = mending_words(self._run, verdict, self._data)
        return Warned(f"{verdict}; this would {verdict.effect}: {words}" if words else str(verdict), about=verdict.name)


def watched(events: Generator[Event, None, None], run: Run, data: Prepared) -> Generator[Event, None, None]:
    """The events, with what is found right behind those that showed it. run: it lives, its record takes the events."""
    watch = Watch(run, data)
    with contextlib.closing(events):
        for event in events:
            yield event
            yield from watch(event)
