"""The result of a search: its trials, the best spec and the best run, in memory or in a folder of the store."""

import contextlib
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import RunError, StoreError
from nnlab.core.models.custom import Maker
from nnlab.core.params import show_value
from nnlab.core.run import Run
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec, from_json, to_json
from nnlab.core.store.files import read_json, write_json
from nnlab.core.tune.after import After
from nnlab.core.tune.ensemble import Ensemble
from nnlab.core.tune.grammar import plain
from nnlab.core.tune.luck import worth_of_choice
from nnlab.core.tune.ranges import Space, Value, typed_values
from nnlab.core.tune.ranges import from_json as range_from_json
from nnlab.core.tune.space import prepare_with, spec_with

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.trial import FrozenTrial

FORMAT = 1
HEADER, JOURNAL, LOCK = "study.json", "journal.log", "study.flock"
OPTUNA_NAME = "nnlab"
NO_MATTER = ("device", "threads")  # fields of the base that do not change what is searched
FEW = 10  # complete trials below which importances would be noise


@dataclass(frozen=True)
class Header:
    """What a study is about, as study.json holds it. data: the fingerprint of the prepared data; source: its name;
    prepare: how it was prepared."""

    name: str
    spec: TuneSpec
    base: TrainSpec
    space: Space
    data: str
    source: str
    metric: str
    maximize: bool
    prepare: PrepareSpec | None = None

    def write(self, folder: Path) -> None:
        """Put the header into the study's folder."""
        texts = {"name": self.name, "data": self.data, "source": self.source, "metric": self.metric}
        specs = {"spec": to_json(self.spec), "base": to_json(self.base)}
        specs |= {"prepare": to_json(self.prepare)} if self.prepare else {}
        space = {name: allowed.to_json() for name, allowed in self.space.items()}
        value = {"format": FORMAT, **texts, "maximize": self.maximize, **specs, "space": space}
        write_json(folder / HEADER, value | {"fingerprint": self.fingerprint})

    @classmethod
    def read(cls, folder: Path) -> "Header":
        """The header in a study's folder; StoreError if it is missing, damaged or newer than this nnlab."""
        value = read_json(folder / HEADER)
        if value.get("format") != FORMAT:
            raise StoreError(f"{folder.name}/{HEADER}: format {value.get('format')}; this nnlab reads {FORMAT}")
        try:
            space = {name: range_from_json(one) for name, one in value["space"].items()}
            spec, base = from_json(TuneSpec, value["spec"]), from_json(TrainSpec, value["base"])
            data, source, metric = (str(value[name]) for name in ("data", "source", "metric"))
            prepare = from_json(PrepareSpec, value["prepare"]) if "prepare" in value else None
            about = (data, source, metric, bool(value["maximize"]), prepare)
            return cls(str(value["name"]), spec, base, space, *about)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{folder.name}/{HEADER} cannot be used: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of data, base, space and folds: studies that agree in it can share their trials."""
        base = {name: value for name, value in to_json(self.base).items() if name not in NO_MATTER}
        space = {name: str(allowed) for name, allowed in self.space.items()}
        folds = [self.spec.folds] if self.spec.folds else []  # other scores
        return hashlib.sha256(json.dumps([self.data, base, space, *folds], sort_keys=True).encode()).hexdigest()

    def differences(self, other: "Header") -> list[str]:
        """In words, what of data, base and space is not as in the other header."""
        found = []
        if self.data != other.data:
            found.append(f"the data ({other.source} {other.data[:8]}, now {self.source} {self.data[:8]})")
        if self.spec.folds != other.spec.folds:
            found.append(f"the folds ({other.spec.folds or 'none'}, now {self.spec.folds or 'none'})")
        before, now = _flat(other.base), _flat(self.base)
        found += _changed(before, now)
        before = {name: str(allowed) for name, allowed in other.space.items()}
        now = {name: str(allowed) for name, allowed in self.space.items()}
        return found + [f"the space, {words}" for words in _changed(before, now)]


def _flat(base: TrainSpec) -> dict[str, str]:
    """Fields and the values of their parts as texts."""
    texts = {}
    for name, value in to_json(base).items():
        if name in NO_MATTER:
            continue
        texts[name] = value["name"] if isinstance(value, dict) else show_value(plain(getattr(base, name)))
        if isinstance(value, dict):
            texts |= {f"{name}.{inner}": str(one) for inner, one in value["values"].items()}
    return texts


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} ({before.get(name, 'not there')}, now {now.get(name, 'not there')})" for name in names]


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's log and its warnings of experimental parts are silent inside; the user's own level comes back."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "The reported value is ignored")  # of a trial that is trained again
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_optuna(path: Path | None, maximize: bool) -> "optuna.Study":
    """Optuna's study in the folder path, made if it is not there; in memory for None."""
    import optuna

    storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
    if path is not None:
        from nnlab.core.tune.journal import open_journal

        storage = open_journal(path / JOURNAL)
    direction = optuna.study.StudyDirection.MAXIMIZE if maximize else optuna.study.StudyDirection.MINIMIZE
    with quiet_optuna():
        return optuna.create_study(storage=storage, study_name=OPTUNA_NAME, direction=direction, load_if_exists=True)


def state_of(trial: "FrozenTrial") -> str:
    """complete, pruned, failed or running as nnlab says it; waiting or skipped for what is no trial of its own."""
    if trial.state.name in ("RUNNING", "WAITING"):
        return trial.state.name.lower()
    return str(trial.user_attrs.get("result", {}).get("state", "failed"))


def was_cut(trial: "FrozenTrial") -> bool:
    """Ended from outside (stopped, or its process was killed): it does not count, and is tried again."""
    return trial.state.is_finished() and bool(trial.user_attrs.get("result", {"cut": True}).get("cut"))


def ranked(journal: "optuna.Study", maximize: bool) -> "list[FrozenTrial]":
    """The complete trials with a score, best first, of equals the older."""
    sign = -1.0 if maximize else 1.0
    trials = [trial for trial in journal.get_trials(deepcopy=False) if state_of(trial) == "complete"]
    scored = [trial for trial in trials if trial.values]
    return sorted(scored, key=lambda trial: (sign * trial.values[0], trial.number))


class Study:
    """A search and all it found. Reads what is there now: it can be asked while the study still runs."""

    def __init__(self, header: Header, journal: "optuna.Study", path: Path | None, model: Maker = None) -> None:
        self._journal, self._model = journal, model
        self._kept: dict[int, Run] = {}
        self.header, self.after = header, After(journal, path, model)
        self.name, self.spec, self.base, self.space = header.name, header.spec, header.base, header.space
        self.metric, self.maximize, self.path = header.metric, header.maximize, path

    @classmethod
    def load(cls, folder: str | Path, model: Maker = None) -> "Study":
        """The study in a folder. model: the network of a study whose network was the user's own."""
        path = Path(folder)
        header = Header.read(path)
        if not (path / JOURNAL).is_file():
            raise StoreError(f"{path.name}/{JOURNAL} is missing: the study has no trials")
        return cls(header, open_optuna(path, header.maximize), path, model)

    def keep(self, number: int, run: Run, others: Sequence[int]) -> None:
        """Hold the run of a trial in memory, so that it need not be loaded; and of the ones before only others."""
        self._kept = {n: held for n, held in self._kept.items() if n in others} | {number: run}

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial: number, state, score (nan if none), epochs, seconds, then each searched name as typed."""
        import pandas as pd

        rows = []
        for trial in self._shown():
            result = trial.user_attrs.get("result", {})
            numbers = {"epochs": result.get("epochs", 0), "seconds": result.get("seconds", 0.0)}
            score = result.get("score")
            own = {"number": trial.number, "state": state_of(trial), "score": float("nan") if score is None else score}
            rows.append(own | numbers | self._typed(trial))
        return pd.DataFrame(rows, columns=["number", "state", "score", "epochs", "seconds", *self.space])

    def _typed(self, trial: "FrozenTrial") -> dict[str, Value]:
        """The searched values as a person types them: auto is a choice, None a name that the trial's parts lack."""
        held = typed_values(self.space, trial.params)
        return {name: "auto" if held.get(name, "") is None else held.get(name) for name in self.space}

    @property
    def messages(self) -> dict[int, str]:
        """Why trials failed or were cut short, by their number."""
        told = {trial.number: trial.user_attrs.get("result", {}).get("message", "") for trial in self._shown()}
        return {number: message for number, message in told.items() if message}

    def _shown(self) -> "list[FrozenTrial]":
        trials = self._journal.get_trials(deepcopy=False)
        return [trial for trial in trials if state_of(trial) not in ("waiting", "skipped")]

    def ranking(self) -> list[int]:
        """The numbers of the complete trials, best score first."""
        return [trial.number for trial in ranked(self._journal, self.maximize)]

    @property
    def best_trial(self) -> int | None:
        """Number of the winner: the finalist with the best mean over fresh seeds, where there are finalists, else the
        complete trial with the best score; None if none is complete."""
        winner = self.after.winner(self.maximize)
        return winner if winner is not None else next(iter(self.ranking()), None)

    @property
    def best_score(self) -> float | None:
        """Validation value of the winner's best epoch, over folds their mean; None if no trial is complete."""
        number = self.best_trial
        return None if number is None else self._trial(number).value

    @property
    def expected_score(self) -> float | None:
        """What the best of these trials is worth on rows that did not choose it, by a bootstrap over the validation
        rows (see nnlab.core.tune.luck); None for fewer than two trials that can be compared so."""
        parts = [self.result_of(number).get("parts") or () for number in self.ranking()]
        values = [one for one in parts if parts[0] and len(one) == len(parts[0])]
        return worth_of_choice(np.array(values), self.maximize) if len(values) > 1 else None

    @property
    def finalists(self) -> "pd.DataFrame":
        """One row a finalist, best first: trial, its own score, mean and std over fresh seeds, seeds."""
        import pandas as pd

        rows = [
            [number, self._trial(number).value, float(np.mean(one)), float(np.std(one, ddof=len(one) > 1)), len(one)]
            for number, scores in self.after.fresh().items()
            if (one := list(scores.values()))
        ]
        table = pd.DataFrame(rows, columns=["trial", "score", "mean", "std", "seeds"])
        return table.sort_values("mean", ascending=not self.maximize, kind="stable", ignore_index=True)

    @property
    def best(self) -> TrainSpec:
        """The spec of the winner; RunError if no trial is complete."""
        return self.spec_of(self._best_number())

    @property
    def best_prepare(self) -> PrepareSpec | None:
        """How the data of the winner was prepared; RunError if no trial is complete."""
        before = self.header.prepare
        return prepare_with(self.values_of(self._best_number()), before) if before else None

    def spec_of(self, number: int) -> TrainSpec:
        """The spec of a trial."""
        return spec_with(self.values_of(number), self.base)

    def values_of(self, number: int) -> dict[str, Value]:
        """The values of the searched names that a trial had."""
        return typed_values(self.space, self._trial(number).params)

    def result_of(self, number: int) -> Mapping[str, Any]:
        """What was kept of how a trial ended."""
        result: Mapping[str, Any] = self._trial(number).user_attrs.get("result", {})
        return result

    def _trial(self, number: int) -> "FrozenTrial":
        return self._journal.get_trials(deepcopy=False)[number]

    @property
    def best_run(self) -> Run:
        """The winner's run of the search with its weights; with folds, the one on the first of them."""
        number = self._best_number()
        run = self.run_of(number)
        if run is None:
            raise RunError(f"the run of trial {number} is not kept here; train study.best again")
        return run

    def run_of(self, number: int) -> Run | None:
        """The run of a trial, where it is kept: of the best one, and of those that an ensemble may take."""
        if number in self._kept:
            return self._kept[number]
        if self.path is None or not (self.path / best_folder(number)).is_dir():
            return None
        return Run.load(self.path / best_folder(number), model=self._model)

    @property
    def refit(self) -> Run:
        """The winner trained on training and validation rows; RunError where that was not asked for."""
        return self.after.refit()

    @property
    def ensemble(self) -> Ensemble:
        """The best few as one predictor; RunError where that was not asked for."""
        return self.after.ensemble()

    def _best_number(self) -> int:
        number = self.best_trial
        if number is None:
            raise RunError(f"study {self.name!r} has no complete trial yet; run it on, with more trials or minutes")
        return number

    @property
    def importance(self) -> dict[str, float]:
        """Each searched name's share in reaching the best quarter of trials (PED-ANOVA, Watanabe 2023); {} for few."""
        import optuna

        done = [trial for trial in self._shown() if state_of(trial) == "complete"]
        if len(done) < FEW or len({trial.value for trial in done}) < 2:
            return {}
        with quiet_optuna(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that was never varied
            judge = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
            shares = optuna.importance.get_param_importances(self._journal, evaluator=judge)
        found = dict.fromkeys(self.space, 0.0)
        for inner, share in shares.items():  # the items of a list count for the list
            found[inner if inner in found else inner.rpartition(".")[0]] += float(share)
        return dict(sorted(found.items(), key=lambda one: -one[1]))

    def __repr__(self) -> str:
        counts = Counter(state_of(trial) for trial in self._shown())
        states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none yet"
        number = self.best_trial
        best = "" if number is None else f"; best {self.metric} {self.best_score:.4g} in trial {number}"
        return f"Study {self.name!r}: {sum(counts.values())} trials ({states}){best}"


def best_folder(number: int) -> str:
    """Where a study's folder keeps the run of the trial that was best when it ended."""
    return f"best-{number}"
