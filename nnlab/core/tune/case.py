"""A trial in the making: a run on each fold, and what they come to."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import NNLabError
from nnlab.core.fit import fit
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.luck import parts_of_score
from nnlab.core.tune.result import Result
from nnlab.core.tune.strategies import Judged
from nnlab.core.tune.watch import Searching, Watch

if TYPE_CHECKING:
    import optuna


class Case:
    """A trial, or a finalist that is trained again (trial None). end: how it ended, once it did.

    folds: the data of each of its runs; a single one for a holdout. judged: by the course on the first of them, so that
    a trial is judged by the same rows as the others, by the scores of the folds that are done, or not at all.
    """

    def __init__(
        self,
        search: Searching,
        folds: Sequence[Prepared],
        metric: str,
        trial: "optuna.Trial | None" = None,
        judged: Judged = "epochs",
    ) -> None:
        self.end: Result | None = None
        self.runs: list[Run] = []
        self.watch = Watch(search, metric, trial, judged)
        self._trial, self._judged_by = trial, judged
        self._search, self._folds, self._metric = search, folds, metric
        self._began = time.perf_counter()
        self._scores: list[float] = []
        self._parts: list[list[float]] = []

    @property
    def run(self) -> Run | None:
        """That of the first fold."""
        return self.runs[0] if self.runs else None

    @property
    def is_open(self) -> bool:
        """Whether the run of another fold would count: until its end, and of a cut one until its last fold."""
        return self.end is None or (self.end.cut and self.end.folds_left > 0)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began

    def train(self, spec: TrainSpec, model: Maker, name: str) -> None:
        """Make its runs one after the other; whatever goes wrong in them is its end, not the study's."""
        try:
            for data in self._folds:
                told: dict[str, Any] = {"view": self.watch, "controls": self.watch.controls, "name": name}
                self.take(fit(data, spec=spec, model=model, store=False, baseline=False, **told))
                if self.end is not None:
                    return
        except Exception as error:
            self.fail(error)

    def take(self, run: Run) -> None:
        """The run of the next fold, which `watch` has seen."""
        at = len(self.runs)
        self.runs.append(run)
        ended = self._judged(run)
        if not ended.is_result or ended.score is None:
            self.end = ended
            return
        self._scores.append(ended.score)
        self._parts.append(parts_of_score(run, self._folds[at], self._metric))
        left = len(self._folds) - len(self.runs)
        if left and not ended.cut:
            if self._is_hopeless():
                self.end = Result("pruned", float(np.mean(self._scores)), ended.epochs, ended.seconds)
            self.watch = Watch(self._search, self._metric)
            return
        numbers = (max(one.finished.epoch for one in self.runs), sum(one.finished.seconds for one in self.runs))
        best = round(float(np.mean([one.best_epoch or 0 for one in self.runs])))
        parts = [value for fold in self._parts for value in fold] if all(self._parts) else []
        scores = tuple(self._scores) if len(self._folds) > 1 else ()
        more: dict[str, Any] = {"best_epoch": best, "scores": scores, "parts": tuple(parts), "folds_left": left}
        about = (ended.message, ended.cut)
        self.end = Result(ended.state, float(np.mean(self._scores)), *numbers, *about, **more)

    def _is_hopeless(self) -> bool:
        """Whether the folds that are done say that the trial is worse than the best."""
        if self._trial is None or self._judged_by != "folds":
            return False
        self._trial.report(self._scores[-1], len(self._scores))
        return self._trial.should_prune()

    def fail(self, error: Exception) -> None:
        """It ends with what went wrong."""
        text = str(error) if isinstance(error, NNLabError) else f"{type(error).__name__}: {error}"
        first = self._where() + text.partition("\n")[0]
        self.end = Result("failed", None, self.watch.epochs, self.seconds, first, error=error)

    def _where(self) -> str:
        return f"fold {len(self._scores) + 1}: " if len(self._folds) > 1 else ""

    def _judged(self, run: Run) -> Result:
        search, reason, score = self._search, run.finished.reason, self.watch.score
        numbers = (run.finished.epoch, sum(one.finished.seconds for one in self.runs))
        if reason in ("stopped", "interrupted"):
            if not search.late:
                search.controls.stop(reason)
            late = search.late and not search.controls.stop_reason
            message = "the time was over" if late else str(reason)
            return Result("stopped", score, *numbers, message, cut=True)
        if reason == "pruned":
            return Result("pruned", score, *numbers)
        if reason in ("diverged", "failed") or score is None:
            message = run.finished.message or f"{reason} without a finite score"
            return Result("failed", None, *numbers, self._where() + message)
        return Result("complete", score, *numbers)
