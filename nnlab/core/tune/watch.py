"""Who watches one trial of a study."""

import contextlib
import math
import time
from typing import TYPE_CHECKING, Protocol

from nnlab.core.controls import Controls
from nnlab.core.events import EpochDone, Event, Progress, Started, Warned
from nnlab.core.tune.strategies import Judged

if TYPE_CHECKING:
    import optuna


BEAT = "beat"  # the attribute of a running trial that says when its process was last seen
EVERY = 60.0  # seconds between two beats


class Searching(Protocol):
    """What a trial's watcher asks of the search, and tells it."""

    controls: Controls
    shared: bool  # whether processes of other machines may wait to see a sign of life

    @property
    def late(self) -> bool:
        """Whether the minutes are over."""

    @property
    def over(self) -> bool:
        """Whether no further trial shall begin."""

    def show(self, event: Event) -> None:
        """Hand an event to the view."""

    def warn(self, message: str) -> None:
        """Tell the view, each thing once."""


class Watch:
    """The sink of one run: ends and pauses it with the study, tells the view, and prunes the trial that it is of.

    judged: by what a pruner judges the trial.
    """

    def __init__(
        self, search: Searching, metric: str, trial: "optuna.Trial | None" = None, judged: Judged = "epochs"
    ) -> None:
        self.controls = Controls()
        self.shown = True
        self.score: float | None = None
        self.value = math.nan  # of the last epoch
        self.epochs = self._epochs = 0
        self._beat = time.time()
        self._search, self._trial, self._metric, self._judged = search, trial, metric, judged

    def __call__(self, event: Event) -> None:
        self.follow_study()
        if isinstance(event, Started):
            self._epochs = event.spec.epochs
        if isinstance(event, EpochDone):
            self._judge(event)
        if isinstance(event, (Started, Progress, EpochDone)) and self.shown:
            self._search.show(event)
        elif isinstance(event, Warned) and not event.about:  # that some trials go wrong is what a search is for
            self._search.warn(event.message)

    def follow_study(self) -> None:
        """End or pause the trial if the study is."""
        study = self._search.controls
        if study.stop_reason or self._search.late:
            self.controls.stop(study.stop_reason or "stopped")
        else:
            self.controls.pause(study.paused)

    def _judge(self, done: EpochDone) -> None:
        self.epochs = done.epoch
        self.value = value = done.valid.get(self._metric, math.nan)
        if done.best and math.isfinite(value):
            self.score = value
        if self._trial is None:
            return
        with contextlib.suppress(OSError):  # a disk that fails costs the pruning of this epoch, not the trial
            if self._search.shared and time.time() - self._beat > EVERY:
                self._beat = time.time()
                self._trial.set_user_attr(BEAT, self._beat)
            if self._judged != "epochs":
                return
            self._trial.report(value, done.epoch)
            if done.epoch < self._epochs and self._trial.should_prune():
                self.controls.stop("pruned")
