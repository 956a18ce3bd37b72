"""Search for good hyperparameters: `tune(data, trials=30)`. A trial is an ordinary run, watched through its events."""

import contextlib
import math
import os
import secrets
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError, NNLabError, RunError, SpecError, StoreError, did_you_mean
from nnlab.core.events import EpochDone, Event, Progress, Sink, Started, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.fit import Where, as_store, fit, own_part
from nnlab.core.metrics import check_monitor, metrics_for
from nnlab.core.models.custom import Maker
from nnlab.core.options import options_of, resolve
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.spec import OWN_NETWORK, TrainSpec, TuneSpec
from nnlab.core.store.files import make_folder
from nnlab.core.store.runs import Store
from nnlab.core.tune.population import Claim, Member, Watching, grouped, population_of, trained
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Space, Value
from nnlab.core.tune.space import chosen_parts, option_for, parse, spec_with
from nnlab.core.tune.study import HEADER, Header, Study, quiet_optuna
from nnlab.core.tune.trials import Result, Trials
from nnlab.core.tune.usual import default_space

if TYPE_CHECKING:
    import optuna

HOPELESS = 3  # errors at the start that end a study


def tune(  # noqa: PLR0913 - the arguments are what a user may choose
    data: Prepared,
    *,
    spec: TuneSpec | None = None,
    base: TrainSpec | None = None,
    model: Maker = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    code: str | None = None,
    frame: Any = None,
    **options: Any,
) -> Study:
    """Search on prepared data and give the study; the same call again continues it, also after a killed kernel.

    base: the run to start from. options: those of `TuneSpec`, and of `TrainSpec`, which are then kept fixed. model,
    code and store are as in `fit`. frame: the table that data was prepared from, where steps of the preparation are
    searched and it is no file. Stopping or interrupting ends the running trial and gives the study.
    """
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if not len(data.valid.y):
        raise DataError(
            "a study compares trials on validation rows and there are none; prepare the data with --valid 0.16"
        )
    if isinstance(model, (str, Part)):
        options["model"], model = model, None
    spec, base, fixed = _specs(spec or TuneSpec(), base if base or model is None else OWN_NETWORK, options)
    if model is not None:
        base = replace(base, model=own_part(model, code))
    space = parse(spec.space, base) if spec.space else default_space(base, fixed, len(data.train.y))
    prepared = Preparations(data, space, frame)
    header = _header(spec, base, space, data)
    folder = None if store is False else _folder_for(as_store(store), header)
    search = _Search(header, folder, prepared, model, view, controls or Controls())
    return search.run()


def _specs(spec: TuneSpec, base: TrainSpec | None, options: Mapping[str, Any]) -> tuple[TuneSpec, TrainSpec, list[str]]:
    """The options given to the two specs; and the names of those for the run."""
    words = {name.replace("-", "_"): value for name, value in options.items()}
    if "space" in words:
        words["space"] = _lines(words["space"])
    chosen = {name: words.get(name, getattr(spec, name)) for name in ("sampler", "pruner")}
    own = options_of(TuneSpec, chosen)
    for_run = {name: value for name, value in words.items() if name not in own}
    known = options_of(TrainSpec, chosen_parts(base or TrainSpec(), for_run))
    for name in for_run:
        if name not in known and (near := did_you_mean(name, own)):
            raise SpecError(f"no option {name!r}{near}")
    spec = resolve(TuneSpec, {name: value for name, value in words.items() if name in own}, spec)
    return spec, resolve(TrainSpec, for_run, base), list(for_run)


def _lines(space: Any) -> list[str]:
    """A space as Python users write it: lines, one text of lines, or a mapping of names to ranges."""
    if isinstance(space, Mapping):
        return [f"{name}={allowed}" for name, allowed in space.items()]
    return space.splitlines() if isinstance(space, str) else list(space)


def _header(spec: TuneSpec, base: TrainSpec, space: Space, data: Prepared) -> Header:
    """The study's header; without a name it is called after what it is about, so that the same cell finds it again."""
    maximize = check_monitor(base.monitor, metrics_for(data.task, base.metrics))
    if not space:
        raise SpecError('nothing is left to search: give a space, as in --space "lr=1e-4..1e-1 log"')
    about = (data.fingerprint, str(data.name), base.monitor, maximize, data.spec)
    header = Header(spec.name or "", spec, base, space, *about)
    return header if spec.name else replace(header, name=f"study-{header.fingerprint[:8]}")


def _folder_for(store: Store, header: Header) -> Path:
    """The study's folder with this header in it; fresh moves an old study to the trash first."""
    folder = store.study_folder(header.name)
    if header.spec.fresh and (folder / HEADER).exists():
        _set_aside(folder, header.name, store.root / "trash")
        folder = store.study_folder(header.name)
    _write_header(folder, header)
    return folder


def _write_header(folder: Path, header: Header) -> None:
    """Put the header into the study's folder; SpecError if another study is in it."""
    if (folder / HEADER).exists() and (different := header.differences(Header.read(folder))):
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise SpecError(
            f"study {header.name!r} is about something else: {'; '.join(different[:3])}{more}\n"
            "give another --name, or --fresh to start anew"
        )
    try:
        header.write(folder)
    except OSError as error:
        raise StoreError(
            f"the study cannot be kept in {folder}: {error.strerror or error}; give another store"
        ) from error


def _set_aside(folder: Path, name: str, trash: Path) -> None:
    with contextlib.suppress(StoreError):  # a damaged study has no living owner that could be asked
        for owner in Trials(Header.read(folder), folder, lambda message: None).owned():
            raise RunError(f"study {name!r} is running in process {owner['pid']} on {owner['host']}; stop it first")
    make_folder(trash)
    os.replace(folder, trash / f"{folder.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(2)}")


class _Search:
    """One call of tune: claims trials, runs them and puts their ends on record until the study is full or stopped."""

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
            Member(claim, spec_with(claim[1], self._header.base), _Watch(self, claim[0], self._header.metric))
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
        watch = _Watch(self, trial, self._header.metric)
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


class _Watch:
    """The sink of one trial: prunes it by its validation values, ends and pauses it with the study, tells the view."""

    def __init__(self, search: _Search, trial: "optuna.Trial", metric: str) -> None:
        self.controls = Controls()
        self.shown = True
        self.score: float | None = None
        self.epochs = self._epochs = 0
        self._search, self._trial, self._metric = search, trial, metric

    def __call__(self, event: Event) -> None:
        self.follow_study()
        if isinstance(event, Started):
            self._epochs = event.spec.epochs
        if isinstance(event, EpochDone):
            self._judge(event)
        if isinstance(event, (Started, Progress, EpochDone)) and self.shown:
            self._search.show(event)
        elif isinstance(event, Warned):
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
        value = done.valid.get(self._metric, math.nan)
        if done.best and math.isfinite(value):
            self.score = value
        with contextlib.suppress(OSError):  # a disk that fails costs the pruning of this epoch, not the trial
            self._trial.report(value, done.epoch)
            if done.epoch < self._epochs and self._trial.should_prune():
                self.controls.stop("pruned")
