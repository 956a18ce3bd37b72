"""The panel of a study: every trial a dot, the best so far as a line, and the top trials."""

import contextlib
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from ipywidgets import HBox, Layout, ToggleButtons, VBox

from nnlab.core.controls import Controls
from nnlab.core.events import EpochDone, Event, Started, Steered, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.tune.study import fact
from nnlab.magics.verbs import shown_value
from nnlab.widgets import look
from nnlab.widgets.controls import NO_PUMP, Buttons
from nnlab.widgets.curves import CHARTS_HEIGHT, Chart
from nnlab.widgets.steering import SteerRow
from nnlab.widgets.trial_charts import FRONT, VIEWS, shown

HISTORY = "History"
TOP = 5  # trials in the table
NOTES = 3
COUNTED = ("complete", "pruned", "failed")
RESULTS = ("complete", "stopped")
FAR = 0.9  # worse scores than those of this share of the trials are drawn at the edge, or they would flatten the rest


class StudyPanel:
    """`take` is called with every event and only keeps numbers; `draw` shows them. Both in the main thread."""

    def __init__(self, started: StudyStarted, controls: Controls, live: bool) -> None:
        self._started, self._controls = started, controls
        self._began = time.perf_counter()
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._trials: list[TrialDone] = []
        self._others = _ended(started, ())  # those of before, and of other kernels
        self._stale = False  # whether another kernel has taken a number in between
        self._drawn: tuple[int, str] = (0, HISTORY)
        self._running: Started | None = None
        self._epoch: EpochDone | None = None
        self._finished = False
        self._text = look.Texts()
        self._head, self._below = self._text(), self._text()
        self._buttons = Buttons(controls, self.tell, pausable=False)
        self._chart: Chart | None = None
        self._chart_box = VBox(layout=Layout(width="100%", min_height=CHARTS_HEIGHT))
        self._plots = self._text()
        self._views = _views(started)
        self._steer = SteerRow(started, controls, self.tell, self._text)
        if ranked := self._ranked():
            self._steer.offer(ranked[0].values)
        if not live:
            self.tell(NO_PUMP)
            self._buttons.disable()
            self._steer.disable()
        row = HBox(
            [*self._buttons.widgets, self._views], layout=Layout(width="100%", flex_flow="row wrap", margin="4px 0")
        )
        parts = [self._text(look.CSS), self._head, row, self._chart_box, self._plots, *self._steer.widgets, self._below]
        self.root = VBox(parts)
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
        """How far the study is, in a few words."""
        return f"{self._done} of {self._started.spec.trials} trials"

    @property
    def _done(self) -> int:
        here = self._trials if self._started.study is None else self._everything
        before = self._started.done if self._started.study is None else 0
        return before + sum(trial.state in COUNTED for trial in here)

    def take(self, event: Event) -> None:
        """Keep what the event says; costs microseconds."""
        if isinstance(event, EpochDone):
            self._epoch = event
        elif isinstance(event, Started):
            self._running, self._epoch = event, None
        elif isinstance(event, TrialDone):
            self._stale |= event.number > 1 + max((t.number for t in self._everything), default=event.number)
            self._trials.append(event)
            self._running = None
            if event.best:
                self._steer.offer(event.values)
            if event.message:
                self.tell(f"trial {event.number}: {event.message}")
        elif isinstance(event, Steered):
            self.tell(self._steer.take(event))
        elif isinstance(event, Warned):
            self.tell(event.message)
        elif isinstance(event, StudyFinished):
            self._finished = True

    def draw(self) -> None:
        """Show the newest state; chart and table only after a new trial."""
        self._buttons.follow()
        if self._stale:
            self._others += _ended(self._started, [trial.number for trial in self._everything])
            self._stale = False
        self._draw_head()
        columns, rows = self.figures
        table = look.table(columns, rows) if rows else ""
        self._below.value = table + look.notes(tuple(self._notes))
        if (now := (len(self._everything), self._views.value)) != self._drawn:
            self._drawn = now
            self._draw_view()

    @property
    def pressed(self) -> object:
        """What the user chose to see, and what is told: it is shown at once when it changes."""
        return self._views.value, tuple(self._notes)

    def _draw_view(self) -> None:
        """The chart that was chosen."""
        study, history = self._started.study, self._views.value == HISTORY
        self._chart_box.layout.display = None if history else "none"
        if history or study is None:
            self._draw_chart()
        self._plots.value = "" if history or study is None else shown(self._views.value, study)

    @property
    def state(self) -> str:
        """A few words for what the study is doing."""
        if self._finished:
            return "drawing the result"
        return "stopping" if self._controls.stop_reason else "searching"

    def _draw_head(self) -> None:
        total, done = self._started.spec.trials, self._done
        ranked = self._ranked()
        elapsed = time.perf_counter() - self._began
        left = max(total - done, 0) * elapsed / max(done - self._started.done, 1) if self._trials else None
        which = f", trial {ranked[0].number}" if ranked else ""
        items = [
            (f"{done}", f" / {total}", "trials"),
            (look.number(ranked[0].score if ranked else None), "", f"best {self._started.metric}{which}"),
            self._trial_now(),
            (look.clock(elapsed), f"  about {look.clock(left)} left" if left else "", "elapsed"),
        ]
        share = done + self._share_of_trial()
        self._head.value = look.facts(items, self.state, bool(self._controls.stop_reason)) + look.bar(share / total)

    def _trial_now(self) -> tuple[str, str, str]:
        """How far the running trial is."""
        if self._running is None:
            return ("–", "", "epoch of the running trial")
        epoch = self._epoch.epoch if self._epoch else 0
        return (f"{epoch}", f" / {self._running.spec.epochs}", "epoch of the running trial")

    def _share_of_trial(self) -> float:
        if self._running is None or self._epoch is None:
            return 0.0
        return self._epoch.epoch / self._running.spec.epochs

    @property
    def _everything(self) -> list[TrialDone]:
        return [*self._others, *self._trials]

    def _ranked(self) -> list[TrialDone]:
        """The trials that have a score and were not pruned, best first; one that was cut until it is tried again."""
        sign = -1.0 if self._started.maximize else 1.0
        done = [t for t in self._everything if t.state in RESULTS and t.score is not None and math.isfinite(t.score)]
        complete = [t.values for t in done if t.state == "complete"]
        scored = [t for t in done if t.state == "complete" or t.values not in complete]
        return sorted(scored, key=lambda trial: sign * (trial.score or 0.0))

    @property
    def figures(self) -> tuple[list[str], list[list[str]]]:
        names = list(self._started.space)
        rows = [
            [f"{t.number}", look.number(t.score), f"{t.epochs}{' cut' * (t.state == 'stopped')}", f"{t.seconds:.1f}"]
            + [shown_value(name, t.values[name]) if name in t.values else "–" for name in names]
            for t in self._ranked()[:TOP]
        ]
        return ["trial", self._started.metric, fact("epochs", names), "seconds", *names], rows

    def _draw_chart(self) -> None:
        scored = [t for t in self._everything if t.score is not None and math.isfinite(t.score)]
        scored.sort(key=lambda trial: trial.number)
        if not scored:
            return
        scores = np.array([t.score for t in scored], dtype=float)
        numbers = np.array([t.number for t in scored], dtype=float)
        pruned = np.array([t.state == "pruned" for t in scored])
        sign = -1.0 if self._started.maximize else 1.0
        shown = sign * np.minimum(sign * scores, np.quantile(sign * scores, FAR)) if len(scores) > TOP else scores
        best = sign * np.minimum.accumulate(np.where(pruned, np.inf, sign * scores))
        dots = [(numbers[~pruned], shown[~pruned]), (numbers[pruned], shown[pruned])]
        chart = self._chart or Chart([look.BEST], [look.VALID, look.TRAIN], first=0, steps=True)
        chart.draw(numbers, np.where(np.isfinite(best), best, np.nan)[None, :], dots)
        if self._chart is None:
            self._chart = chart
            legend = [("best so far", look.BEST, False), ("trial", look.VALID, True), ("pruned", look.TRAIN, True)]
            self._chart_box.children = [self._text(look.title(self._started.metric, legend)), chart.widget]


def _ended(started: StudyStarted, known: Sequence[int]) -> list[TrialDone]:
    """The trials on record that have ended, without those that are known."""
    study = started.study
    if study is None:
        return []
    table = study.trials
    table = table[table["state"].isin((*COUNTED, *RESULTS)) & ~table["number"].isin(known)]
    names = [fact(name, study.space) for name in ("number", "state", "score", "epochs", "seconds")]
    return [
        TrialDone(number, study.values_of(number), state, score, epochs, seconds, best=False)
        for number, state, score, epochs, seconds in table[names].itertuples(index=False, name=None)
    ]


def _views(started: StudyStarted) -> Any:
    """The row of words that choose the chart; the front where there are several objectives."""
    words = [HISTORY, *(word for word in VIEWS if word != FRONT or len(started.spec.objectives) > 1)]
    made = ToggleButtons(options=words if started.study is not None else [HISTORY])
    made.style.button_width = "auto"
    made.add_class("nnl-views")
    return made
