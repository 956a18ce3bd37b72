"""One call of tune: claims trials, trains them and puts their ends on record, until the study is full or stopped."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError, SpecError, StoreError
from nnlab.core.events import Event, Sink, Steered, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.models.custom import Maker
from nnlab.core.network import member_count
from nnlab.core.options import options_of
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.store.runs import Store
from nnlab.core.tune.case import Case
from nnlab.core.tune.finals import Finals
from nnlab.core.tune.folds import folds_of
from nnlab.core.tune.header import Header
from nnlab.core.tune.knowledge import knowledge
from nnlab.core.tune.objectives import measured_objectives
from nnlab.core.tune.opening import quiet_optuna
from nnlab.core.tune.population import Claim, grouped, population_of
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.result import Result
from nnlab.core.tune.space import chosen_parts, option_for
from nnlab.core.tune.strategies import judged_by
from nnlab.core.tune.study import Study
from nnlab.core.tune.training import Group, exchange_for, parts_to_rank
from nnlab.core.tune.trials import Trials
from nnlab.core.tune.watch import Watch

if TYPE_CHECKING:
    import optuna

    from nnlab.core.tune.distributed import Far

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
        self._errors, self._paid = 0, True
        self._needed, self._timed = 0.0, False  # seconds for what follows the trials; whether time ended them
        self._far: Far | None = None
        self.shared = header.spec.storage is not None
        self._claims: list[Claim] = []  # that are not settled yet
        self._specs: dict[int, TrainSpec] = {}  # of the claims
        self._parts = parts_to_rank(header, model)
        with quiet_optuna():
            learn = None if folder is None else partial(knowledge, Store(folder.parents[1]), header, data.of({}))
            self.trials = Trials(header, folder, self._held.append, learn)
        self._study = Study(header, self.trials.journal, folder, model)

    def run(self) -> Study:
        """The whole search. KeyboardInterrupt (a second press) and RunError (nothing trains) leave a sound study."""
        header = self._header
        space = {name: str(allowed) for name, allowed in header.space.items()}
        done = self.trials.done
        self.show(StudyStarted(header.name, header.spec, done, space, header.metric, header.maximize, self._study))
        for step in self.trials.steps:
            self.show(Steered(step.trial, step.kind, step.text))
        more = (header.spec.finalists, header.spec.refit, header.spec.ensemble)
        if done >= header.spec.trials and not any(more):
            self.warn(
                f"study {header.name!r} already holds {done} trials; ask for more --trials, or --fresh to start anew"
            )
        if header.metric == "loss" and any(self._is_loss(name) for name in header.space):
            self.warn(
                "the loss itself is searched, so its values do not compare; monitor a metric, as in --monitor accuracy"
            )
        with quiet_optuna(), interruptible(self.controls):
            self._rank_parts()
            self._far = self._entered()
            try:
                while not self.over and not self._settled():
                    self._tell_held()
                    if not self._batch():
                        break
            finally:
                self._leave()
            self._timed = self.over and not self.controls.stop_reason
            self._needed = 0.0
            Finals(self, self._study, self._folds, self._model, lambda: self.over).run()
        if self.over and (note := self._study.cut_short):
            self.warn(note)
        self.show(StudyFinished(self._reason(), self.trials.done, time.perf_counter() - self._began))
        return self._study

    def _rank_parts(self) -> None:
        """Train the one network that holds all others and rank its parts, once a study, where the sampler asks it."""
        header = self._header
        if self._parts is None or self.trials.ranked or self.trials.done >= header.spec.trials:
            return
        from nnlab.core.tune.one_shot import ranked

        watch = Watch(self, header.metric)
        told: dict[str, Any] = {"view": watch, "controls": watch.controls, "name": f"{header.name} one network"}
        data = self._folds(header.first_values())[0]
        how = (self._parts["parts"], self._parts["longer"])
        run, found = ranked(header, data, *how, **told)
        if run.finished.reason in ("diverged", "failed"):
            raise RunError(f"the network that holds all others {run.finished.reason}: {run.finished.message}")
        if found:
            self.trials.keep_ranking(found)
            text = ", ".join(f"{name}={value}" for name, value in found[0][1].items())
            told_best = f"best with shared weights: {text} ({header.metric} {found[0][0]:.4g})"
            self.warn(f"one network was trained and {len(found)} parts of it ranked; {told_best}")

    def _entered(self) -> "Far | None":
        """The cluster that the study runs on; None for this machine."""
        header = self._header
        if header.spec.on is None:
            return None
        from nnlab.core.tune.distributed import Far

        return Far(header.spec.on, header, self._model)

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
    def over(self) -> bool:
        """Whether no further trial shall begin: up to half of the minutes is for what follows the trials."""
        minutes = self._header.spec.minutes or math.inf
        enough = time.perf_counter() - self._began + min(self._needed, 30 * minutes) >= 60 * minutes
        return bool(self.controls.stop_reason) or self.late or enough

    def _settled(self) -> bool:
        """Whether more trials would not pay, by the rule of --until."""
        until, trials = self._header.spec.until, self._header.spec.trials
        self._paid = until is None or not self.trials.settled(until)
        if not self._paid and self.trials.done < trials:
            self.warn(
                f"{until} trials in a row brought no gain beyond chance, so the study ends at {self.trials.done} of "
                f"{trials} trials; a larger --until goes on"
            )
        return not self._paid

    def _reason(self) -> Any:
        if self.controls.stop_reason:
            return "interrupted" if self.controls.stop_reason == "interrupted" else "stopped"
        if self.trials.done >= self._header.spec.trials:
            return "completed"
        return "time" if self.late or self._timed else "completed" if self._paid else "settled"

    def _obey(self) -> None:
        """Take the steps that were asked for by hand; what cannot be done is told."""
        for what, text in self.controls.take_wishes():
            try:
                step = self.trials.steer(what, [text])
            except SpecError as error:
                self.show(Warned(str(error)))
            else:
                self.show(Steered(step.trial, step.kind, step.text))

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
        self._obey()

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
        if self._far is not None:
            return self._far_batch(self._far)
        try:
            if not (claims := self._claimed()):
                return False
            for group in grouped(claims, self._spec_of, self._data, self._model):
                self._group(group)
            return True
        finally:
            self._give_back()

    def _claimed(self) -> list[Claim]:
        """New claims, as many as are asked for at once."""
        self._obey()
        claims: list[Claim] = []
        most = population_of(self._header.spec, self.trials.space)
        while len(claims) < most and (claim := self.trials.claim()):
            claims.append(claim)
            self._claims.append(claim)
        return claims

    def _spec_of(self, trial: "optuna.Trial") -> TrainSpec:
        """What a claimed trial trains; made once, for the grouping and the training."""
        if trial.number not in self._specs:
            claimed = {one.number for one, _ in self._claims}
            self._specs = {number: spec for number, spec in self._specs.items() if number in claimed}
            self._specs[trial.number] = self._header.trained_by(trial)
        return self._specs[trial.number]

    def _far_batch(self, far: "Far") -> bool:
        """Keep the cluster busy, and settle what has ended there; False if there is nothing left."""
        while far.free and (claims := self._claimed()):
            for group in grouped(claims, self._spec_of, self._data, self._model):
                self._group(group)
        if not far.busy:
            return False
        for event in far.listen({trial.number: trial for trial, _ in self._claims}):
            self.show(event)
        for claim, result, runs in far.ended():
            self._ended(claim, result, runs)
        return True

    def _leave(self) -> None:
        """What the cluster still does is ended and given back."""
        if self._far is None:
            return
        try:
            for claim, result, runs in self._far.stop():
                self._ended(claim, result, runs)
        finally:
            self._give_back()
            self._far.close()
            self._far = None

    def _group(self, group: list[Claim]) -> None:
        try:
            specs, folds = {trial.number: self._spec_of(trial) for trial, _ in group}, self._folds(group[0][1])
        except Exception as error:  # values that do not go together, of a trial that stands alone
            case = Case(self, (), self._header.metric, group[0][0])
            case.fail(error)
            self._ended(group[0], case.end, ())
            return
        header, exchange = (
            self._header,
            exchange_for(replace(self._header, space=self.trials.space), group[0][0].number),
        )
        if self._far is not None:
            self._far.submit(group, specs, folds, exchange)
            return
        here = Group(self, group, specs, folds, judged_by(header), exchange)
        for claim, case in here.ended(header.metric, self._model, header.name):
            self._ended(claim, case.end, case.runs)

    def _folds(self, values: Mapping[str, Value]) -> Sequence[Prepared]:
        """The data of a trial with these values."""
        return folds_of(self._data.of(values), self._header.spec.folds)

    def _valued(self, result: Result, runs: Sequence[Run], values: Mapping[str, Value]) -> Result:
        """The result with the values of all objectives, where there are several."""
        if not self._header.several or not result.is_result:
            return result
        names = self._header.spec.objectives
        return replace(result, objectives=measured_objectives(names, runs, self._folds(values)))

    def _give_back(self) -> None:
        while self._claims:
            trial, _ = self._claims.pop(0)
            self._settle(trial, Result("stopped", message="interrupted", cut=True), None)

    def _ended(self, claim: Claim, result: Result | None, runs: Sequence[Run]) -> None:
        """Put the end of a trial on record and tell it."""
        result, run = result or Result("stopped", message="interrupted", cut=True), next(iter(runs), None)
        trial, values = claim
        result = self._valued(result, runs, values)
        self._claims.remove(claim)
        best = self._settle(trial, result, run)
        if best and run is not None:
            self._needed = self._seconds_after(run.spec, trial, result)
        kept = self.trials.best()
        if run is not None and trial.number in kept:
            self._study.keep(trial.number, run, kept)
        self._tell_held()
        numbers = (result.score, result.epochs, result.seconds)
        self.show(TrialDone(trial.number, values, result.state, *numbers, best, result.message))
        self._errors += result.error is not None
        if result.error is not None and self._errors >= self._hopeless and not self.trials.any_good:
            raise RunError(
                f"no trial of study {self._header.name!r} could be trained: {result.message}"
            ) from result.error

    def _seconds_after(self, trained: TrainSpec, trial: "optuna.Trial", result: Result) -> float:
        """How long the best trial so far and the first will take with all of their members; 0 where they have them."""
        whole, some = member_count(self._header.spec_of(trial)), member_count(trained)
        return 0.0 if whole == some else 2 * result.seconds * whole / some

    @property
    def _hopeless(self) -> int:
        return min(HOPELESS, self._header.spec.trials)

    def _settle(self, trial: "optuna.Trial", result: Result, run: Run | None) -> bool:
        import optuna

        try:
            return self.trials.settle(trial, result, run)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            raise StoreError(f"the study cannot be written any more ({reason}); what it held before is safe") from error
