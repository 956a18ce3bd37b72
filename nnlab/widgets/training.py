"""The panel of a training run: what it knows from events, and how it shows that."""

import contextlib
import functools
import time
from collections import deque

from ipywidgets import HBox, Layout, VBox, Widget

from nnlab.core.controls import Controls
from nnlab.core.events import (
    Changed,
    Earlier,
    EpochDone,
    Event,
    Finished,
    Grounded,
    Lookable,
    Looked,
    Progress,
    Resumed,
    Started,
    Warned,
)
from nnlab.core.pace import batch_of
from nnlab.core.steering import steerable
from nnlab.widgets import look
from nnlab.widgets.controls import NO_PUMP, Buttons, live_controls
from nnlab.widgets.curves import CHARTS_HEIGHT
from nnlab.widgets.history import History
from nnlab.widgets.playground import PlaygroundView

TOOLS_AFTER = 4.0  # seconds; what the charts can be asked for costs as much again
NOTES = 4  # the newest of them are shown


class TrainPanel:
    """`take` is called with every event and only keeps numbers; `root` makes the widgets, and `draw` shows the numbers
    there. All in the main thread."""

    def __init__(self, started: Started, controls: Controls, live: bool, sliders: bool = True) -> None:
        self._started, self._controls, self._live, self._sliders = started, controls, live, sliders
        self.began = time.perf_counter()
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._progress = Progress(1, 0, started.steps, 0.0)
        self._last: EpochDone | None = None
        self._best: EpochDone | None = None
        self._drawn: EpochDone | None = None
        self._durations: deque[float] = deque(maxlen=10)
        self._finished = False
        self._grounded: Grounded | None = None
        self._playground: PlaygroundView | None = None
        self._text = look.Texts()
        self._history = History(started, self._text)

    @functools.cached_property
    def root(self) -> Widget:
        """The widget."""
        self._head, self._below = self._text(), self._text()
        self._charts = VBox(layout=Layout(width="100%", min_height=CHARTS_HEIGHT))
        self._buttons = Buttons(self._controls, self.tell)
        spec, rows = self._started.spec, self._started.rows
        values = steerable(spec, self._started.task, batch_of(spec, rows))
        steered = live_controls(spec, values, self._controls, self.tell, self._sliders)
        if not self._live:
            self.tell(NO_PUMP)
            for widget in (*self._buttons.widgets, *steered):
                widget.disabled = True
        row = HBox(
            [*self._buttons.widgets, *steered], layout=Layout(width="100%", flex_flow="row wrap", margin="4px 0")
        )
        parts = [self._text(look.CSS), self._head, row, self._charts]
        if self._grounded is not None:
            self._playground = PlaygroundView(self._grounded.ground, self._controls, self._text)
            parts.append(self._playground.root)
        root = VBox([*parts, self._below])
        root.add_class("nnl")
        self._draw_head()
        return root

    def tell(self, line: str) -> None:
        """Show a line under the table; may be called from any thread."""
        self._notes.append(line)

    def forget(self, line: str) -> None:
        """Take away a line that is so no more."""
        with contextlib.suppress(ValueError):
            self._notes.remove(line)

    @property
    def progress(self) -> str:
        """How far the run is, in a few words."""
        return f"epoch {self._last.epoch if self._last else 0:,} of {self._started.spec.epochs:,}"

    @property
    def pressed(self) -> tuple[int, ...]:
        """How often the curves were wanted otherwise."""
        return self._history.pressed

    def take(self, event: Event) -> None:
        """Keep what the event says; costs microseconds."""
        if isinstance(event, Progress):
            self._progress = event
        elif isinstance(event, EpochDone):
            self._take_epoch(event)
        elif isinstance(event, Changed):
            self._history.changed_in(event.epoch)
            self.tell(f"epoch {event.epoch}: {event.name.replace('_', ' ')} {event.old:.4g} → {event.new:.4g}")
        elif isinstance(event, Resumed):
            self._history.resumed(self._last)
            self.tell(f"resumed after epoch {event.epoch}")
        elif isinstance(event, Earlier):
            self._history.earlier(event)
        elif isinstance(event, Grounded):
            self._grounded = event
        elif isinstance(event, (Lookable, Looked)) and self._playground is not None:
            self._playground.take(event)
        elif isinstance(event, Warned):
            self.tell(f"{look.DOCTOR} {event.message}" if event.about else event.message)
        elif isinstance(event, Finished):
            self._finished = True

    def _take_epoch(self, event: EpochDone) -> None:
        self._last = event
        if event.best:
            self._best = event
        self._durations.append(event.seconds)
        self._history.add(event)

    @property
    def state(self) -> str:
        """One word for what the run is doing."""
        if self._finished:
            return "drawing the result"
        if self._controls.stop_reason:
            return "stopping"
        return "paused" if self._controls.paused else f"training on {self._started.device}"

    def draw(self) -> None:
        """Show the newest state; charts and table only after a new epoch."""
        self._buttons.follow()
        self._draw_head()
        table = look.table(*self.figures) if self._last else ""
        self._below.value = table + look.notes(tuple(self._notes))
        if self._last is None or (self._last is self._drawn and not self._history.changed):
            return
        if self._history.made:
            if not self._history.equipped and time.perf_counter() - self.began > TOOLS_AFTER:
                self._history.equip()
            self._history.draw()
        elif not self._finished:  # whose final picture comes next
            self._charts.children = self._history.make()
        if self._history.made:
            self._drawn = self._last

    def _draw_head(self) -> None:
        epochs, now = self._started.spec.epochs, self._progress
        done = self._last.epoch if self._last else 0
        share = 0.0 if now.epoch <= done else now.step / now.steps
        best = self._best.valid.get(self._started.monitor) if self._best else None
        pace = now.rows_per_second or (self._last.rows_per_second if self._last else 0.0)
        which = f", epoch {self._best.epoch}" if self._best else ""
        items = [
            (f"{min(done + 1, epochs):,}", f" / {epochs:,}", "epoch"),
            (look.number(best), "", f"best {self._started.monitor}{which}"),
            (f"{pace:,.0f}" if pace else "–", "", "rows per second"),
            (look.clock(time.perf_counter() - self.began), self._left(epochs - done - share), "elapsed"),
        ]
        held = bool(self._controls.paused or self._controls.stop_reason)
        self._head.value = look.facts(items, self.state, held) + look.bar((done + share) / epochs)

    def _left(self, epochs: float) -> str:
        """How long the remaining epochs take, judged by the last ones or, in the first, by its pace."""
        if self._durations:
            each = sum(self._durations) / len(self._durations)
        elif self._progress.rows_per_second:
            each = self._started.rows / self._progress.rows_per_second
        else:
            return ""
        bound = "up to " if self._started.spec.patience else ""
        return f"  {bound}{look.clock(epochs * each)} left"

    @property
    def figures(self) -> tuple[list[str], list[list[str]]]:
        names = list(self._last.valid) if self._last else []
        rows = []
        for label, event in (("last", self._last), ("best", self._best)):
            if event is not None:
                values = [look.number(event.valid.get(name)) for name in names]
                name = f"{label}, epoch {event.epoch}"
                rows.append([name, look.number(event.train.get("loss")), *values, f"{event.lr:.3g}"])
        shown = ["validation loss" if name == "loss" else name for name in names]
        return ["", "training loss", *shown, "lr"], rows
