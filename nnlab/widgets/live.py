"""The live view in a notebook: events in, a widget that moves, and static output when the work is over."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from IPython import get_ipython
from ipywidgets import Widget

from nnlab.core.controls import Controls
from nnlab.core.events import Earlier, Event, Finished, Grounded, Started, StudyFinished, StudyStarted
from nnlab.magics.front_end import VS_CODE, front_end
from nnlab.report.blocks import Block, Sentence
from nnlab.report.tables import Table
from nnlab.widgets.controls import NO_PUMP
from nnlab.widgets.pump import Pump
from nnlab.widgets.slot import Slot, StaticOutput
from nnlab.widgets.study import StudyPanel
from nnlab.widgets.training import TrainPanel

OPEN_AFTER = 0.5  # seconds; a run that is over by then has its final picture, and does not pay for widgets
PUMP_EVERY = 0.04  # seconds; a press on a button is seen after this time and one step of the training
DRAW_EVERY = 0.5  # seconds at least
REST = 200  # a drawing of t seconds of CPU is followed by 200 t without; ipykernel's own thread spends as much again
SILENT_AFTER = 8.0  # seconds without word that the widget is drawn: a slow page on a slow line takes some
STAND_IN_EVERY = 10.0  # what a notebook holds that is saved meanwhile is at most so old
NO_ANSWER = "nothing has come from this front end yet: if Stop does nothing, the interrupt key (square) stops the run"
NO_WIDGETS = "; nothing here has drawn the live view, so this stands in for it; the interrupt key stops the run."
DEEDS = {"train": "Training", "tune": "Search"}
SAVED = {
    "train": ". If nothing moves, the notebook was saved meanwhile: %nn_runs lists the run, %nn_attach shows it.",
    "tune": ". If nothing moves, the notebook was saved meanwhile: %nn_tune --resume goes on with the study.",
}
LOG = logging.getLogger(__name__)


class Panel(Protocol):
    """What is shown while a run or a study lives."""

    @property
    def root(self) -> Widget: ...
    def take(self, event: Event) -> None: ...
    def draw(self) -> None: ...
    def tell(self, line: str) -> None: ...
    def forget(self, line: str) -> None: ...
    @property
    def progress(self) -> str: ...
    @property
    def figures(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]: ...


class LiveView:
    """A view for %nn_train ("train") or %nn_tune ("tune"): takes events, writes to the controls, never ends the work.

    Main thread only. `close` must be called however the work ends. fields: in place of sliders, which screen readers
    name only where the page runs the script of `look.CSS`: ipywidgets gives them no label.

    The place in the cell is taken when the work begins; the widgets come there once a run has lasted for a while.
    """

    def __init__(self, controls: Controls, kind: Literal["train", "tune"] = "train", fields: bool = False) -> None:
        self._controls, self._kind, self._fields = controls, kind, fields
        self._pump, self._slot = Pump(), Slot()
        self._panel: Panel | None = None
        self._failed, self._wait = False, OPEN_AFTER
        self._told: list[Event] = []  # before the run began
        self._opens = self._next_pump = self._next_draw = self._took = self._next_note = self._silent_from = 0.0
        self._opened = self._answered = self._silent = False
        self._shown: tuple[Any, ...] = ()
        self._outcome = "training ended without a result"

    def __call__(self, event: Event) -> None:
        try:
            self._take(event)
        except Exception as error:  # a view that cannot be drawn is no reason to lose a training
            self._fail(error)

    def _take(self, event: Event) -> None:
        if isinstance(event, (Finished, StudyFinished)):
            self._outcome = f"training ended: {event.reason.replace('_', ' ')}"
        if isinstance(event, (Earlier, Grounded)):
            self._told.append(event)
            return
        now = time.perf_counter()
        if self._panel is None and not self._failed:
            self._begin(event, now)
        if now >= self._next_pump:
            self._next_pump = now + PUMP_EVERY
            self._listen()
        if self._panel is not None and not self._failed:
            self._panel.take(event)
            if not self._opened and (now < self._opens or isinstance(event, Finished)):
                return
            if not self._opened:
                self._open(self._panel, now)
            self._draw(now, event)
            if self._pump.ok and not self._answered:
                self._wait_for_answer(self._panel, now)
            if now >= self._next_note:
                self._next_note = now + STAND_IN_EVERY
                self._slot.note(self._note(self._panel))

    def _listen(self) -> None:
        """Handle the presses that wait; say so once if that works no longer."""
        worked = self._pump.ok
        self._pump()
        if worked and not self._pump.ok and self._panel is not None:
            self._panel.tell(NO_PUMP)

    def _begin(self, event: Event, now: float) -> None:
        """Make the panel, and take its place in the cell."""
        if self._kind == "train" and isinstance(event, Started):
            self._panel = TrainPanel(event, self._controls, self._pump.ok, sliders=not self._fields)
            self._opens = now + self._wait
        elif self._kind == "tune" and isinstance(event, StudyStarted):
            self._panel = StudyPanel(event, self._controls, self._pump.ok)
        if self._panel is not None:
            for told in self._told:
                self._panel.take(told)
            if now < self._opens:
                self._slot.reserve()

    def _open(self, panel: Panel, now: float) -> None:
        """Show the widgets."""
        self._slot.show(panel.root, self._note(panel))
        self._opened, self._next_note, self._silent_from = True, now + STAND_IN_EVERY, now + SILENT_AFTER

    def _note(self, panel: Panel) -> list[Block]:
        """What is read where the widget is not seen: in a notebook that was saved meanwhile, or without widgets."""
        columns, rows = panel.figures
        rest = NO_WIDGETS if self._silent else SAVED[self._kind]
        table = [Table(columns, rows, align="l" + "r" * (len(columns) - 1))] if rows else []
        return [Sentence(f"{DEEDS[self._kind]}: {panel.progress}", rest), *table]

    def _wait_for_answer(self, panel: Panel, now: float) -> None:
        """Until the front end says that it has drawn the widget: what is told where none does, or where none hears."""
        if self._slot.drawn:
            self._answered, self._silent = True, False
            panel.forget(NO_ANSWER)
        elif now >= self._silent_from and not self._silent:
            panel.tell(NO_ANSWER)
            self._silent = front_end(get_ipython()).name != VS_CODE  # has widgets, but may be mute while a cell runs
            self._silent_from, self._next_note = math.inf, now

    def _draw(self, now: float, event: Event) -> None:
        """Draw when it is time, and at once when somebody has pressed a button."""
        assert self._panel is not None
        ended = isinstance(event, (Finished, StudyFinished))
        pressed = (self._controls.paused, self._controls.stop_reason, ended, getattr(self._panel, "pressed", None))
        if now < self._next_draw and pressed == self._shown:
            return
        self._shown, began = pressed, time.thread_time()  # CPU time: others on a busy machine do not make it rarer
        self._panel.draw()
        before, self._took = self._took, time.thread_time() - began
        rest = max(DRAW_EVERY, REST * min(before, self._took))  # one hiccup does not count
        self._next_draw = time.perf_counter() + rest

    def _fail(self, error: Exception) -> None:
        """Say once what is wrong, and go on without drawing; Stop and the sliders still work."""
        if self._failed:
            return
        self._failed = True
        LOG.debug("the live view failed", exc_info=True)
        line = f"the live view stopped, the training goes on: {type(error).__name__}: {error}"
        print(f"nnlab: {line}")

    def close(self, outputs: Sequence[StaticOutput] = ()) -> None:
        """Replace the widget by the first output, show the rest below, and leave nothing in the kernel."""
        try:
            self._pump.close()
        except Exception:
            LOG.warning("held messages could not be given back", exc_info=True)
        finally:
            self._slot.replace(outputs, self._outcome)
            self._panel = None


class BackgroundView(LiveView):
    """A view of a run in another process, shown by a cell that has returned. Events come from one other thread.

    since: when the run began, in seconds of perf_counter. below: a line under the panel. The kernel is idle and hears
    the buttons by itself, so nothing is pumped.
    """

    def __init__(self, controls: Controls, since: float, below: str, fields: bool = False) -> None:
        super().__init__(controls, fields=fields)
        self._since, self._wait = since, 0.0
        self._pump.ok = True
        self._slot.reserve(below)

    def _listen(self) -> None:
        pass

    def _begin(self, event: Event, now: float) -> None:
        super()._begin(event, now)
        if isinstance(self._panel, TrainPanel):
            self._panel.began = self._since
