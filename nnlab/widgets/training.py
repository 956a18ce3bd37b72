"""The panel of a training run: what it knows from events, and how it shows that."""

import contextlib
import math
import time
from collections import deque
from typing import Any

import numpy as np
from ipywidgets import HBox, Layout, VBox

from nnlab.core.controls import Controls
from nnlab.core.events import Changed, EpochDone, Event, Finished, Progress, Resumed, Started, Warned
from nnlab.core.pace import batch_of
from nnlab.core.plan import plan
from nnlab.core.steering import steerable
from nnlab.widgets import look
from nnlab.widgets.controls import NO_PUMP, Buttons, live_sliders
from nnlab.widgets.curves import CHARTS_HEIGHT, Chart, Curves

CHARTS_AFTER = 0.5  # seconds; a run that is over by then has its final picture, and does not pay for live charts
NOTES = 4  # the newest of them are shown


class TrainPanel:
    """`take` is called with every event and only keeps numbers; `draw` shows them. Both in the main thread."""

    def __init__(self, started: Started, controls: Controls, live: bool) -> None:
        self._started, self._controls = started, controls
        self.began = time.perf_counter()
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._progress = Progress(1, 0, started.steps, 0.0)
        self._last: EpochDone | None = None
        self._best: EpochDone | None = None
        self._drawn: EpochDone | None = None
        self._resumed: EpochDone | None = None  # the last epoch of the process before
        self._durations: deque[float] = deque(maxlen=10)
        self._changed: list[tuple[int, float]] = []  # epochs with a change, and their validation loss
        self._finished = False
        self._metric = started.monitor if started.monitor != "loss" else next(iter(started.metrics), None)
        self._loss, self._scores, self._lr = Curves(2), Curves(1), Curves(1)
        self._charts: list[Chart] = []
        self._plan = plan(started.spec, started.rows)
        self._build(live)

    def _build(self, live: bool) -> None:
        self._text = look.Texts()
        self._head, self._below = self._text(), self._text()
        self._chart_row = HBox(layout=Layout(width="100%", min_height=CHARTS_HEIGHT, flex_flow="row wrap"))
        self._buttons = Buttons(self._controls, self.tell)
        spec, rows = self._started.spec, self._started.rows
        values = steerable(spec, self._started.task, batch_of(spec, rows))
        sliders = live_sliders(spec, values, self._controls, self.tell)
        if not live:
            self.tell(NO_PUMP)
            for widget in (*self._buttons.widgets, *sliders):
                widget.disabled = True
        row = HBox(
            [*self._buttons.widgets, *sliders], layout=Layout(width="100%", flex_flow="row wrap", margin="4px 0")
        )
        self.root = VBox([self._text(look.CSS), self._head, row, self._chart_row, self._below])
        self.root.add_class("nnl")
        self._draw_head()

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

    def take(self, event: Event) -> None:
        """Keep what the event says; costs microseconds."""
        if isinstance(event, Progress):
            self._progress = event
        elif isinstance(event, EpochDone):
            self._take_epoch(event)
        elif isinstance(event, Changed):
            self._changed.append((event.epoch, math.nan))
            self.tell(f"epoch {event.epoch}: {event.name.replace('_', ' ')} {event.old:.4g} → {event.new:.4g}")
        elif isinstance(event, Resumed):
            self._resumed = self._last
            self.tell(f"resumed after epoch {event.epoch}")
        elif isinstance(event, Warned):
            self.tell(f"{look.DOCTOR} {event.message}" if event.about else event.message)
        elif isinstance(event, Finished):
            self._finished = True

    def _take_epoch(self, event: EpochDone) -> None:
        nan = float("nan")
        self._last = event
        loss = event.valid.get("loss", nan)
        self._changed = [(epoch, loss if epoch == event.epoch else at) for epoch, at in self._changed]
        if event.best:
            self._best = event
        self._durations.append(event.seconds)
        self._loss.add(event.epoch, event.train.get("loss", nan), loss)
        self._scores.add(event.epoch, event.valid.get(self._metric or "", nan))
        self._lr.add(event.epoch, event.lr)

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
        table = look.table(*self._figures()) if self._last else ""
        self._below.value = table + look.notes(tuple(self._notes))
        if self._last is None or self._last is self._drawn:
            return
        if self._charts:
            self._draw_charts()
        elif time.perf_counter() - self.began > CHARTS_AFTER:
            self._make_charts()
        if self._charts:
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

    def _figures(self) -> tuple[list[str], list[list[str]]]:
        names = list(self._last.valid) if self._last else []
        rows = []
        for label, event in (("last", self._last), ("best", self._best)):
            if event is not None:
                values = [look.number(event.valid.get(name)) for name in names]
                name = f"{label}, epoch {event.epoch}"
                rows.append([name, look.number(event.train.get("loss")), *values, f"{event.lr:.3g}"])
        shown = ["validation loss" if name == "loss" else name for name in names]
        return ["", "training loss", *shown, "lr"], rows

    def _make_charts(self) -> None:
        loss = Chart([look.TRAIN, look.VALID], [look.BEST, look.FAINT, look.CHANGE])
        legend = [("training", look.TRAIN, False), ("validation", look.VALID, False), ("best", look.BEST, True)]
        legend += [("resumed", look.FAINT, True)] * (self._resumed is not None)
        legend += [("changed", look.CHANGE, True)]
        columns = [self._column(look.title("loss", legend), loss, 3)]
        self._charts = [loss]
        if self._metric and self._last and self._metric in self._last.valid:
            scores = Chart([look.VALID])
            columns.append(self._column(look.title(self._metric, [("validation", look.VALID, False)]), scores, 3))
            self._charts.append(scores)
        self._charts.append(Chart([look.FAINT, look.TRAIN]))
        columns.append(self._column(look.title("learning rate", [("planned", look.FAINT, False)]), self._charts[-1], 2))
        self._draw_charts()  # before they are shown: bqplot has no good picture of an empty chart
        self._chart_row.children = columns

    def _draw_charts(self) -> None:
        self._charts[0].draw(*self._loss.thinned(), dots=[_dot(self._best), _dot(self._resumed), self._dots()])
        if len(self._charts) == 3:
            self._charts[1].draw(*self._scores.thinned())
        self._charts[-1].draw(*self._lr_course())

    def _dots(self) -> tuple[np.ndarray, np.ndarray]:
        """The epochs in which something was changed."""
        there = dict(place for place in self._changed if math.isfinite(place[1]))
        return np.array(list(there), float), np.array(list(there.values()))

    def _lr_course(self) -> tuple[np.ndarray, np.ndarray]:
        """The step size as planned over all epochs, and as it was until now, at the points that either needs."""
        done, (so_far,) = self._lr.thinned()
        x = np.union1d(self._plan.epochs, done)
        now = np.interp(x, done, so_far)
        now[x > done[-1]] = np.nan
        return x, np.stack([np.interp(x, self._plan.epochs, self._plan.end_lr), now])

    def _column(self, title: str, chart: Chart, grow: int) -> Any:
        """A chart under its heading, in a row that wraps where it is narrow."""
        layout = Layout(flex=f"{grow} 1 {80 * grow}px", min_width="200px")
        return VBox([self._text(title), chart.widget], layout=layout)


def _dot(event: EpochDone | None) -> tuple[np.ndarray, np.ndarray]:
    """The validation loss of an epoch as a set of one dot; none where there is no such epoch."""
    there = event is not None and "loss" in event.valid
    return (np.array([float(event.epoch)]), np.array([event.valid["loss"]])) if there and event else (np.array([]),) * 2
