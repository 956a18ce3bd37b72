"""One call of tune: claims trials, trains them and puts their ends on record, until the study is full or stopped."""

import contextlib
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls, interruptible
from nnlab.core.errors import NNLabError, RunError, StoreError
from nnlab.core.events import Event, Sink, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.fit import fit
from nnlab.core.models.custom import Maker
from nnlab.core.options import options_of
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.population import Claim, Member, Watching, grouped, population_of, trained
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.space import chosen_parts, option_for, spec_with
from nnlab.core.tune.study import Header, Study, quiet_optuna
from nnlab.core.tune.trials import Result, Trials
from nnlab.core.tune.watch import Watch

if TYPE_CHECKING:
    import optuna

HOPELESS = 3  # errors at the start that end a study


class Search:
    """The study's trials from one process, until there are none left to claim or somebody stops it."""

    def __init__(
        self,
        header: Header,
        folder: Path | None,
        data: Preparations,
        model: Maker,
        view: Sink | None,
        controls: Controls,
    ) -> None:
        self._header, self._data, self._model = header, data, model
        self._view, self.controls = view, controls
        self._began = time.perf_counter()
        self._told: set[str] = set()
        self._held: list[str] = []
        self._errors = 0
        self._claims: list[Claim] = []  # that are not settled yet
        self._population = population_of(header.spec, header.space)
        with quiet_optuna():
            self.trials = Trials(header, folder, self._held.append)
        self._study = Study(header, self.trials.journal, folder, model)

    def run(self) -> Study:
        """The whole search. KeyboardInterrupt (a second press) and RunError (nothing trains) leave a sound study."""
        header = self._header
        space = {name: str(allowed) for name, allowed in header.space.items()}
        done = self.trials.done
        self.show(StudyStarted(header.name, header.spec, done, space, header.metric, header.maximize))
        if done >= header.spec.trials:
            self.warn(
                f"study {header.name!r} already holds {done} trials; ask for more --trials, or --fresh to start anew"
            )
        if header.metric == "loss" and any(self._is_loss(name) for name in header.space):
            self.warn(
                "the loss itself is searched, so its values do not compare; monitor a metric, as in --monitor accuracy"
            )
        with quiet_optuna(), interruptible(self.controls):
            while not self._over:
                self._tell_held()
                if not self._batch():
                    break
        self.show(StudyFinished(self._reason(), self.trials.done, time.perf_counter() - self._began))
        return self._study

    def _is_loss(self, name: str) -> bool:
        chosen = chosen_parts(self._header.base)
        option = option_for(name, options_of(TrainSpec, chosen), chosen)
        return option is not None and option.field == "loss"

    @property
    def late(self) -> bool:
        """Whether the minutes are over."""
        minutes = self._header.spec.minutes
        return minutes is not None and time.perf_counter() - self._began >= 60 * minutes

    @property
    def _over(self) -> bool:
        """Whether no further trial shall begin."""
        return bool(self.controls.stop_reason) or self.late

    def _reason(self) -> Any:
        if self.controls.stop_reason:
            return "interrupted" if self.controls.stop_reason == "interrupted" else "stopped"
        return "time" if self.late and self.trials.done < self._header.spec.trials else "completed"

    def show(self, event: Event) -> None:
        """Hand an event to the view; a view that fails is left out, and the study goes on."""
        if self._view is None:
            return
        try:
            self._view(event)
        except Exception as error:
            self._view = None
            message = f"the view failed and was left out: {type(error).__name__}: {error}"
            warnings.warn(f"nnlab: {message}", RuntimeWarning, stacklevel=2)

    def warn(self, message: str) -> None:
        """Tell the view, each thing once."""
        if message not in self._told:
            self._told.add(message)
            self.show(Warned(message))

    def _tell_held(self) -> None:
        while self._held:
            self.warn(self._held.pop(0))

    def _batch(self) -> bool:
        """Claim some trials and train them, those of one shape as one stack; False if there are none."""
        try:
            while len(self._claims) < self._population and (claim := self.trials.claim()):
                self._claims.append(claim)
            if not self._claims:
                return False
            for group in grouped(self._claims, self._header.base, self._data, self._model):
                self._group(group)
            return True
        finally:
            self._give_back()

    def _group(self, group: list[Claim]) -> None:
        if len(group) > 1 and not self._over:
            group = self._stacked(group)
        for claim in group:
            if self._over:
                break
            self._ended(claim, *self._outcome(*claim))

    def _stacked(self, group: list[Claim]) -> list[Claim]:
        """Train trials as one stack; gives those that are left to be trained alone, as the stack broke."""
        members = [
            Member(claim, spec_with(claim[1], self._header.base), Watch(self, claim[0], self._header.metric))
            for claim in group
        ]
        with contextlib.closing(trained(members, self._data.of(group[0][1]), self._header.name)) as ended:
            for member in ended:
                if member.run is not None:
                    self._ended(member.claim, self._judged(member.run, member.watch), member.run)
                elif member.error is not None:
                    failed = _failed(member.error, member.watch.epochs, member.seconds)
                    self._ended(member.claim, failed, None)
        return [claim for claim in group if claim in self._claims]

    def _give_back(self) -> None:
        while self._claims:
            trial, _ = self._claims.pop(0)
            self._settle(trial, Result("stopped", message="interrupted", cut=True), None)

    def _ended(self, claim: Claim, result: Result, run: Run | None) -> None:
        """Put the end of a trial on record and tell it."""
        self._claims.remove(claim)
        trial, values = claim
        best = self._settle(trial, result, run)
        if best and run is not None:
            self._study.keep(trial.number, run)
        self._tell_held()
        numbers = (result.score, result.epochs, result.seconds)
        self.show(TrialDone(trial.number, values, result.state, *numbers, best, result.message))
        self._errors += result.error is not None
        if result.error is not None and self._errors >= self._hopeless and not self.trials.any_good:
            raise RunError(
                f"no trial of study {self._header.name!r} could be trained: {result.message}"
            ) from result.error

    @property
    def _hopeless(self) -> int:
        return min(HOPELESS, self._header.spec.trials)

    def _settle(self, trial: "optuna.Trial", result: Result, run: Run | None) -> bool:
        try:
            return self.trials.settle(trial, result, run)
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"the study cannot be written any more ({reason}); what it held before is safe") from error

    def _outcome(self, trial: "optuna.Trial", values: dict[str, Value]) -> tuple[Result, Run | None]:
        """Train the trial's spec; whatever goes wrong in it is the trial's end, not the study's."""
        watch = Watch(self, trial, self._header.metric)
        began = time.perf_counter()
        try:
            spec, name = spec_with(values, self._header.base), f"{self._header.name} trial {trial.number}"
            told: dict[str, Any] = {"view": watch, "controls": watch.controls, "name": name}
            run = fit(self._data.of(values), spec=spec, model=self._model, store=False, baseline=False, **told)
        except Exception as error:
            return _failed(error, watch.epochs, time.perf_counter() - began), None
        return self._judged(run, watch), run

    def _judged(self, run: Run, watch: Watching) -> Result:
        reason, score = run.finished.reason, watch.score
        numbers = (run.finished.epoch, run.finished.seconds)
        if reason in ("stopped", "interrupted"):
            if not self.late:
                self.controls.stop(reason)
            message = "the time was over" if self.late and not self.controls.stop_reason else reason
            return Result("stopped", None, *numbers, message, cut=True)
        if reason == "pruned":
            return Result("pruned", score, *numbers)
        if reason in ("diverged", "failed") or score is None:
            return Result("failed", None, *numbers, run.finished.message or f"{reason} without a finite score")
        return Result("complete", score, *numbers)


def _failed(error: Exception, epochs: int, seconds: float) -> Result:
    text = str(error) if isinstance(error, NNLabError) else f"{type(error).__name__}: {error}"
    return Result("failed", None, epochs, seconds, text.partition("\n")[0], error=error)
