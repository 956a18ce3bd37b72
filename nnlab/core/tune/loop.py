"""One call of tune: claims trials, trains them and puts their ends on record, until the study is full or stopped."""

import contextlib
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared
from nnlab.core.device import pick_device
from nnlab.core.errors import RunError, SpecError, StoreError
from nnlab.core.events import Event, Sink, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.learners.stack.together import can_stand_together
from nnlab.core.models.custom import Maker
from nnlab.core.options import options_of
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.store.runs import Store
from nnlab.core.tune.case import Case
from nnlab.core.tune.finals import Finals
from nnlab.core.tune.folds import folds_of
from nnlab.core.tune.header import Header
from nnlab.core.tune.knowledge import knowledge
from nnlab.core.tune.objectives import measured_objectives
from nnlab.core.tune.pbt import Exchange
from nnlab.core.tune.population import Claim, Member, grouped, population_of, trained
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.space import chosen_parts, option_for
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS
from nnlab.core.tune.study import Study, quiet_optuna
from nnlab.core.tune.trials import Result, Trials
from nnlab.core.tune.watch import Judged

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
        self._errors, self._paid = 0, True
        self.shared = header.spec.storage is not None
        self._claims: list[Claim] = []  # that are not settled yet
        folds_of(data.of({}), header.spec.folds)  # says at once if there are not so many
        self._check_exchange()
        self._population = population_of(header.spec, header.space)
        with quiet_optuna():
            learn = None if folder is None else partial(knowledge, Store(folder.parents[1]), header, data.of({}))
            self.trials = Trials(header, folder, self._held.append, learn)
        self._study = Study(header, self.trials.journal, folder, model)

    def run(self) -> Study:
        """The whole search. KeyboardInterrupt (a second press) and RunError (nothing trains) leave a sound study."""
        header = self._header
        space = {name: str(allowed) for name, allowed in header.space.items()}
        done = self.trials.done
        self.show(StudyStarted(header.name, header.spec, done, space, header.metric, header.maximize))
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
            while not self._over and not self._settled():
                self._tell_held()
                if not self._batch():
                    break
            Finals(self, self._study, self._folds, self._model, lambda: self._over).run()
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
        return "time" if self.late else "completed" if self._paid else "settled"

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
            for group in grouped(self._claims, self._header, self._data, self._model):
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
            self._ended(claim, self._alone(claim))

    def _folds(self, values: Mapping[str, Value]) -> Sequence[Prepared]:
        """The data of a trial with these values."""
        return folds_of(self._data.of(values), self._header.spec.folds)

    def _case(self, claim: Claim, folds: Sequence[Prepared]) -> Case:
        return Case(self, folds, self._header.metric, claim[0], self._judged)

    @property
    def _judged(self) -> Judged:
        """By what the pruner judges trials: not those of several objectives, nor those that inherit."""
        if self._header.several or self._exchanges:
            return "nothing"
        return "folds" if PRUNERS[self._header.spec.pruner.name].facts.get("folds") else "epochs"

    @property
    def _exchanges(self) -> bool:
        """Whether trials take over from one another; then none is pruned."""
        return bool(SAMPLERS[self._header.spec.sampler.name].facts.get("exchange"))

    def _exchange(self, number: int) -> Exchange | None:
        """What happens between the epochs of a stack whose first trial has this number."""
        header = self._header
        if not self._exchanges:
            return None
        values = part_values(SAMPLERS, header.spec.sampler)
        seed = int(np.random.SeedSequence([header.base.seed, number]).generate_state(1)[0])
        return Exchange(header.space, header.maximize, seed, **values)

    def _check_exchange(self) -> None:
        """SpecError where trials cannot train side by side, and so take over nothing."""
        if not self._exchanges:
            return
        base, sampler = self._header.base, self._header.spec.sampler
        if self._header.spec.folds is not None:
            raise SpecError(
                f"sampler {sampler} and --folds: a trial that inherits has one course, not one for each fold"
            )
        if self._model is not None or not can_stand_together(base, self._data.of({}), pick_device(base.device)):
            raise SpecError(
                f"sampler {sampler} trains trials side by side, which {base.model} as it is set cannot; "
                "write --model mlp or resnet"
            )

    def _valued(self, result: Result, case: Case, values: Mapping[str, Value]) -> Result:
        """The result with the values of all objectives, where there are several."""
        if not self._header.several or result.state != "complete":
            return result
        names = self._header.spec.objectives
        return replace(result, objectives=measured_objectives(names, case.runs, self._folds(values)))

    def _stacked(self, group: list[Claim]) -> list[Claim]:
        """Train trials as one stack for each fold; gives those left to be trained alone, as a stack broke."""
        cases = {claim[0].number: self._case(claim, self._folds(claim[1])) for claim in group}
        specs = {claim[0].number: self._header.spec_of(claim[0]) for claim in group}
        for data in self._folds(group[0][1]):
            alive = [claim for claim in group if cases[claim[0].number].end is None]
            members = [Member(claim, specs[claim[0].number], cases[claim[0].number].watch) for claim in alive]
            came = 0
            exchange = self._exchange(group[0][0].number)
            with contextlib.closing(trained(members, data, self._header.name, exchange)) as ended:
                for member in ended:
                    case = cases[member.claim[0].number]
                    if member.run is not None:
                        case.take(member.run)
                    elif member.error is not None:
                        case.fail(member.error)
                    if exchange is not None and case.end is not None:
                        case.end = replace(case.end, inherited=tuple(exchange.history.get(member.number, ())))
                    came += 1
                    if case.end is not None:
                        self._ended(member.claim, case)
            if came < len(alive):
                break
        return [claim for claim in group if claim in self._claims]

    def _give_back(self) -> None:
        while self._claims:
            trial, _ = self._claims.pop(0)
            self._settle(trial, Result("stopped", message="interrupted", cut=True), None)

    def _ended(self, claim: Claim, case: Case) -> None:
        """Put the end of a trial on record and tell it."""
        run = case.run
        result = case.end or Result("stopped", message="interrupted", cut=True)
        trial, values = claim
        result = self._valued(result, case, values)
        self._claims.remove(claim)
        best = self._settle(trial, result, run)
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

    def _alone(self, claim: Claim) -> Case:
        """Train the trial's spec by itself."""
        try:
            spec, folds = self._header.spec_of(claim[0]), self._folds(claim[1])
        except Exception as error:
            case = self._case(claim, ())
            case.fail(error)
            return case
        case = self._case(claim, folds)
        case.train(spec, self._model, f"{self._header.name} trial {claim[0].number}")
        return case
