"""The trials of a study as they are claimed, settled and, after a killed process, cleared away."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import SpecError, StoreError
from nnlab.core.run import Run
from nnlab.core.spec import make
from nnlab.core.store.owner import current_owner, is_alive
from nnlab.core.tune.header import OUTSIDE, RANKED, Header
from nnlab.core.tune.luck import better_beyond_chance
from nnlab.core.tune.opening import JOURNAL, LOCK, open_optuna
from nnlab.core.tune.ranges import Space, Value, held_params
from nnlab.core.tune.result import Result
from nnlab.core.tune.space import suggest
from nnlab.core.tune.standing import (
    AGAIN,
    KNOWN,
    LEARNT,
    NOT_OWN,
    folds_left,
    objectives_of,
    ranked,
    standing,
    state_of,
    was_cut,
)
from nnlab.core.tune.steering import Steer, allowed_params, steer, steered_space, steps_of
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS
from nnlab.core.tune.study import best_folder
from nnlab.core.tune.watch import BEAT

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from nnlab.core.tune.knowledge import Knowledge

ABOUT = "nnlab"  # the attribute of a study in a database that says what it is about


class Trials:
    """A study's trials in Optuna's journal, shared by every process that works on it; in memory for path None.

    learn: what a new study knows before its first trial.
    """

    def __init__(
        self,
        header: Header,
        path: Path | None,
        warn: Callable[[str], None],
        learn: "Callable[[], Knowledge] | None" = None,
    ) -> None:
        self._header, self._path, self._warn = header, path, warn
        self._open: set[int] = set()  # claimed here and not settled yet
        self.journal = open_optuna(header, path)
        with self._alone():
            self._agree()
            self.journal.pruner = make(PRUNERS, header.spec.pruner, header.base.epochs)
            self.journal.sampler = self._sampler(0)  # says at once what is wrong with it
            self._clear_orphans()
            if not self.journal.get_trials(deepcopy=False):
                self._begin_with_first()
                if learn is not None and not self._exhaustive:
                    self._take_over(learn())

    def _agree(self) -> None:
        """SpecError if the database holds another study of this name."""
        if self._header.spec.storage is None:
            return
        there = self.journal.user_attrs.get(ABOUT)
        if there is None:
            self.journal.set_user_attr(ABOUT, self._header.fingerprint)
        elif there != self._header.fingerprint:
            name = self._header.name
            raise SpecError(
                f"the database holds another study {name!r}: data, base, space or folds differ; give --name"
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process claims, settles or clears meanwhile."""
        if self._header.spec.storage is not None:
            from nnlab.core.tune.shared import shared_lock

            with shared_lock(self.journal._storage._backend, self._header.name):  # type: ignore[attr-defined]
                yield
            return
        if self._path is None:
            yield
            return
        from nnlab.core.store.locks import file_lock

        with file_lock(self._path / LOCK):
            yield

    def settled(self, until: int) -> bool:
        """Whether the last so many trials that count made the best no better than chance could: by less than the
        standard error of the difference over the same validation rows."""
        trials = [trial for trial in self.journal.get_trials(deepcopy=False) if self._counts(trial)]
        before = {trial.number for trial in sorted(trials, key=_ended)[: max(len(trials) - until, 0)]}
        order = [trial for trial in ranked(self.journal, self._header.upwards) if self._counts(trial)]
        old = next((trial for trial in order if trial.number in before), None)
        if old is None:
            return False
        new = order[0]
        if new.number == old.number:
            return True
        parts = [trial.user_attrs.get("result", {}).get("parts") or () for trial in (new, old)]
        if not parts[0] or len(parts[0]) != len(parts[1]):
            return False
        return not better_beyond_chance(np.array(parts[0]), np.array(parts[1]), self._header.maximize)

    @property
    def done(self) -> int:
        """Trials that count."""
        return sum(self._counts(trial) for trial in self.journal.get_trials(deepcopy=False))

    @staticmethod
    def _counts(trial: "FrozenTrial") -> bool:
        return trial.state.is_finished() and not was_cut(trial) and state_of(trial) not in NOT_OWN

    @property
    def any_good(self) -> bool:
        """Whether some trial was complete or pruned."""
        return any(state_of(trial) in ("complete", "pruned") for trial in self.journal.get_trials(deepcopy=False))

    def owned(self) -> list[dict[str, Any]]:
        """The living owners of running trials."""
        trials = self.journal.get_trials(deepcopy=False)
        running = [trial for trial in trials if trial.state.name == "RUNNING" and not self._is_orphan(trial)]
        return [trial.user_attrs["owner"] for trial in running]

    def claim(self) -> "tuple[optuna.Trial, dict[str, Value]] | None":
        """The next trial with its values; None if the study has all it shall have, or others are at the last ones."""
        while True:
            with self._alone():
                self._clear_orphans()
                trials = self.journal.get_trials(deepcopy=False)
                running = sum(trial.state.name == "RUNNING" for trial in trials)
                if self.done + running >= self._header.spec.trials:
                    return None
                queued = (trial.number for trial in trials if trial.state.name == "WAITING")
                self.journal.sampler = self._sampler(next(queued, len(trials)))  # the number that it will have
                if self._exhausted(trials):
                    return None
                trial = self.journal.ask()
                trial.set_user_attr("owner", current_owner() | {"thread": threading.get_ident()})
                values = self._values(trial)
                if not (self._exhaustive and self._passed_over(trial, trials)):
                    self._open.add(trial.number)
                    return trial, values
                self._tell(trial.number, {"state": "skipped"}, "FAIL")

    def _values(self, trial: "optuna.Trial") -> dict[str, Value]:
        header = self._header
        if OUTSIDE in trial.user_attrs:
            return header.first_values()
        return suggest(trial, header.space, header.base, header.prepare)

    @property
    def _exhaustive(self) -> bool:
        return hasattr(self.journal.sampler, "is_exhausted")

    def _exhausted(self, trials: "list[FrozenTrial]") -> bool:
        waiting = any(trial.state.name == "WAITING" for trial in trials)
        sampler: Any = self.journal.sampler
        return self._exhaustive and not waiting and bool(sampler.is_exhausted(self.journal))

    def _passed_over(self, trial: "optuna.Trial", trials: "list[FrozenTrial]") -> bool:
        """Points of a grid that differ only in names that their parts do not have, or in pinned ones, are one trial;
        those outside of what is left of the ranges are none, but for those that were asked for."""
        params = dict(trial.params)
        asked_for = "fixed_params" in self.journal.get_trials(deepcopy=False)[trial.number].system_attrs
        allowed = {} if asked_for else allowed_params(self._header.space, self.space)
        if any(name in params and params[name] not in one for name, one in allowed.items()):
            return True
        there = (trial for trial in trials if self._counts(trial) or trial.state.name == "RUNNING")
        return any(trial.params == params for trial in there)

    def _sampler(self, number: int) -> "optuna.samplers.BaseSampler":
        """A sampler seeded for this trial alone: a study that was killed goes on as if it had not been."""
        seed = int(np.random.SeedSequence([self._header.base.seed, number]).generate_state(1)[0])
        sampler: optuna.samplers.BaseSampler = make(SAMPLERS, self._header.spec.sampler, seed, self._points)
        if not (allowed := allowed_params(self._header.space, self.space)):
            return sampler
        from nnlab.core.tune.steered import Steered

        return Steered(sampler, allowed, seed)

    @property
    def space(self) -> Space:
        """What is searched now, as the study was steered."""
        return steered_space(self._header.space, steps_of(self.journal))

    def steer(self, kind: str, lines: Iterable[str]) -> Steer:
        """Give the search another course; SpecError for what cannot be."""
        return steer(self.journal, self._header, kind, lines)

    @property
    def steps(self) -> list[Steer]:
        """How the study was steered so far."""
        return steps_of(self.journal)

    @property
    def ranked(self) -> bool:
        """Whether the parts of one network were ranked."""
        return RANKED in self.journal.user_attrs

    def keep_ranking(self, found: "list[tuple[float, dict[str, Value]]]") -> None:
        """Put the values of a network's parts on record, best first, with what they scored with shared weights."""
        space = self._header.space
        self.journal.set_user_attr(
            RANKED, [{"score": score, "params": held_params(space, values)} for score, values in found]
        )

    def _points(self, count: int) -> dict[str, list[Value]]:
        space = self._header.space.items()
        return {inner: points for name, one in space for inner, points in one.grid(count, name).items()}

    def _begin_with_first(self) -> None:
        """The first trial is what a run would be without a search, also where that is no point of the space."""
        header = self._header
        inside = header.holds_first()
        params = held_params(header.space, header.first_values()) if inside else {}
        self.journal.enqueue_trial(params, user_attrs=None if inside else {OUTSIDE: True})

    def _take_over(self, knowledge: "Knowledge") -> None:
        """Earlier runs as trials that do not count and cannot win, and values to be tried first."""
        import optuna

        for one in knowledge.known:
            fixed: Any = optuna.trial.FixedTrial(held_params(self._header.space, one.values))
            suggest(fixed, self._header.space, self._header.base, self._header.prepare)
            state = optuna.trial.TrialState.COMPLETE
            attrs = {"result": {"state": KNOWN, "score": one.score, "message": f"run {one.run}"}}
            given: dict[str, Any] = {"params": fixed.params, "distributions": fixed.distributions, "value": one.score}
            self.journal.add_trial(optuna.trial.create_trial(state=state, user_attrs=attrs, **given))
        for values in knowledge.first:
            if values != self._header.first_values():
                self.journal.enqueue_trial(held_params(self._header.space, values))
        self.journal.set_user_attr(LEARNT, knowledge.notes)
        for note in knowledge.notes:
            self._warn(note)

    def settle(self, trial: "optuna.Trial", result: Result, run: Run | None) -> bool:
        """Put the end of a trial on record, its run first if it is one of the best; gives whether it is the best."""
        with self._alone():
            rank = self._rank(result) if run is not None and result.is_result else self.kept
            if rank < self.kept and run is not None and self._path is not None:
                self._save(run, self._path / best_folder(trial.number))
            # A failed trial is pruned to Optuna, so that the sampler learns to keep away from it.
            state = {"complete": "COMPLETE", "stopped": "FAIL"}.get(result.state, "PRUNED")
            self._tell(trial.number, result.to_json(), state)
            self._open.discard(trial.number)
            if result.cut:
                self._again(self.journal.get_trials(deepcopy=False)[trial.number])
            if rank < self.kept and self._path is not None:
                _drop_old(self._path, {best_folder(number) for number in self.best()})
            return rank == 0

    @property
    def kept(self) -> int:
        """Trials whose runs are kept: the best, finalists, and those of an ensemble."""
        return max(self._header.spec.ensemble or 1, self._header.spec.finalists or 1)

    def best(self) -> list[int]:
        """The numbers of the best trials, whose runs are kept."""
        return [trial.number for trial in ranked(self.journal, self._header.upwards)[: self.kept]]

    def _save(self, run: Run, folder: Path) -> None:
        """A full disk costs the run, not the study."""
        try:
            run.save(folder)
        except (OSError, StoreError) as error:
            self._warn(f"the best run could not be saved ({error}); its values are kept, train study.best again")

    def _rank(self, result: Result) -> int:
        """How many trials are as good or better."""
        if not result.values:
            return self.kept
        upwards = self._header.upwards
        own, order = standing(result.folds_left, result.values, upwards), ranked(self.journal, upwards)
        return sum(standing(folds_left(trial), objectives_of(trial), upwards) <= own for trial in order)

    def _tell(self, number: int, result: dict[str, Any], state: str) -> None:
        from optuna.trial import TrialState

        frozen = self.journal.get_trials(deepcopy=False)[number]
        self.journal._storage.set_trial_user_attr(frozen._trial_id, "result", result)
        if OUTSIDE in frozen.user_attrs or (self._header.several and state == "PRUNED"):
            state = "FAIL"  # its values are none that a sampler could take; of several objectives none can be pruned
        values = objectives_of(self.journal.get_trials(deepcopy=False)[number]) if state == "COMPLETE" else None
        self.journal.tell(number, values, TrialState[state])

    def _is_orphan(self, trial: "FrozenTrial") -> bool:
        """Its process is gone; or it is ours, left over from a call in this thread that did not get to its end."""
        if trial.number in self._open:
            return False
        owner = trial.user_attrs.get("owner")
        if owner is None:  # its process died between two lines of claim: we hold the lock
            return True
        if owner["pid"] == os.getpid() and owner.get("thread") == threading.get_ident():
            return True
        if self._header.spec.storage is not None:
            last_write = float(trial.user_attrs.get(BEAT, 0.0)) or _time_of(trial.datetime_start)
        else:
            last_write = (self._path / JOURNAL).stat().st_mtime if self._path else 0.0
        return not is_alive(owner, last_write)

    def _clear_orphans(self) -> None:
        """Running trials whose process is gone fail and are tried once more; one that had ended keeps its result."""
        for trial in self.journal.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or not self._is_orphan(trial):
                continue
            if (result := trial.user_attrs.get("result")) and result["state"] == "complete":
                self._tell(trial.number, result, "COMPLETE")
            elif result and not result.get("cut"):
                self._tell(trial.number, result, "PRUNED")
            else:
                message = "orphaned: its process ended before it did"
                self._warn(f"trial {trial.number} was cut off when its process ended; it does not count")
                told = result or Result("stopped", message=message, cut=True).to_json()
                self._tell(trial.number, told, "FAIL")
                if AGAIN not in trial.user_attrs:  # a second time it may be what kills the process
                    self._again(trial)

    def _again(self, trial: "FrozenTrial") -> None:
        """Queue the values of a trial that was cut."""
        from optuna.trial import TrialState, create_trial

        outside = {name: True for name in (OUTSIDE,) if name in trial.user_attrs}
        if not (trial.params or outside):
            return
        attrs: dict[str, Any] = {"fixed_params": dict(trial.params)}
        attrs |= {name: value for name, value in trial.system_attrs.items() if name in ("grid_id", "search_space")}
        again = create_trial(state=TrialState.WAITING, system_attrs=attrs, user_attrs=outside | {AGAIN: trial.number})
        self.journal.add_trial(again)


def _time_of(moment: "datetime | None") -> float:
    return moment.timestamp() if moment else 0.0


def _ended(trial: "FrozenTrial") -> tuple[float, int]:
    return _time_of(trial.datetime_complete), trial.number


def _drop_old(path: Path, kept: set[str]) -> None:
    """Delete the runs of former bests, and what a killed process left of one."""
    for folder in (*path.glob("best-*"), *path.glob(".best-*")):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
