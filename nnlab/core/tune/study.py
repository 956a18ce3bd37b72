"""The result of a search: its trials, the best spec and the best run, in memory or in a folder of the store."""

import warnings
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import RunError, StoreError
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.spec import PrepareSpec, TrainSpec
from nnlab.core.tune.after import FIRST, After
from nnlab.core.tune.ensemble import Ensemble
from nnlab.core.tune.header import Header
from nnlab.core.tune.luck import worth_of_choice
from nnlab.core.tune.objectives import front
from nnlab.core.tune.opening import JOURNAL, open_optuna, quiet_optuna
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.space import prepare_with
from nnlab.core.tune.standing import LEARNT, NOT_OWN, costs, objectives_of, ranked, state_of, was_cut
from nnlab.core.tune.steering import Steerable
from nnlab.core.tune.strategies import judged_by
from nnlab.core.wording import counted

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.trial import FrozenTrial

ABOUT_DATA = "data.json"  # what the data are like, in plain values
TREES = 24  # of a forest that tells shares of variance
FEW = 10  # complete trials below which importances would be noise


def fact(name: str, searched: Container[str]) -> str:
    """How a table of trials calls what they came to: the epochs are not those that a trial was asked for."""
    return f"{name} reached" if name in searched else name


class Study(Steerable):
    """A search and all it found. Reads what is there now: it can be asked while the study still runs."""

    def __init__(self, header: Header, journal: "optuna.Study", path: Path | None, model: Maker = None) -> None:
        self._journal, self._model = journal, model
        self._kept: dict[int, Run] = {}
        self.header, self.after = header, After(journal, path, model)
        self.name, self.spec, self.base, self.space = header.name, header.spec, header.base, header.space
        self.metric, self.maximize, self.path = header.metric, header.maximize, path

    @classmethod
    def load(cls, folder: str | Path, model: Maker = None, storage: str | None = None) -> "Study":
        """The study in a folder. model: the network of a study whose network was the user's own.

        storage: the URL of its database, where it has one with a password.
        """
        path = Path(folder)
        header = Header.read(path)
        if storage is not None:
            header = replace(header, spec=replace(header.spec, storage=storage))
        if header.spec.storage is None and not (path / JOURNAL).is_file():
            raise StoreError(f"{path.name}/{JOURNAL} is missing: the study has no trials")
        return cls(header, open_optuna(header, path), path, model)

    def keep(self, number: int, run: Run, others: Sequence[int]) -> None:
        """Hold the run of a trial in memory, so that it need not be loaded; and of the ones before only others."""
        self._kept = {n: held for n, held in self._kept.items() if n in others} | {number: run}

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial: number, state, score (nan if none; of a stopped one that of its best epoch so far), epochs,
        seconds, then each searched name as typed.

        What a trial came to is called as in `fact` where its name is searched too: "epochs reached"."""
        import pandas as pd

        rows = []
        for trial in self._shown():
            result = trial.user_attrs.get("result", {})
            numbers = {"epochs": result.get("epochs", 0), "seconds": result.get("seconds", 0.0)}
            score = result.get("score")
            own = {"number": trial.number, "state": state_of(trial), "score": float("nan") if score is None else score}
            others = dict(zip(self.spec.objectives[1:], objectives_of(trial)[1:], strict=False))
            facts = {fact(name, self.space): one for name, one in (own | others | numbers).items()}
            rows.append(facts | self._typed(trial))
        own_columns = ["number", "state", "score", *self.spec.objectives[1:], "epochs", "seconds"]
        return pd.DataFrame(rows, columns=[*(fact(name, self.space) for name in own_columns), *self.space])

    @property
    def front(self) -> "pd.DataFrame":
        """The trials of `trials` that no other dominates (Pareto), the winner first, then best in the first objective
        first; with one objective the winner alone. Finalists have the means over their fresh seeds, by which they are
        compared. `spec_of(number)` gives what one of them trained."""
        winner = self.best_trial
        if winner is None or not self.header.several:
            return self.rows_of(() if winner is None else (winner,))
        rows, means = self.rows_of(self._front()), self.after.means(len(self.header.upwards))
        names = ["score", *(fact(name, self.space) for name in self.spec.objectives[1:])]
        for at, number in enumerate(rows["number"]):
            rows.loc[at, names] = means.get(number, rows.loc[at, names])
        return rows

    def _front(self) -> list[int]:
        """The numbers of its trials; finalists first, by their means."""
        upwards, order = self.header.upwards, ranked(self._journal, self.header.upwards)
        means = self.after.means(len(upwards))
        table = np.array([objectives_of(trial) for trial in order]).reshape(len(order), len(upwards))
        fresh = np.array([means.get(trial.number, [np.nan] * len(upwards)) for trial in order]).reshape(table.shape)
        best = [trial.number for trial, kept in zip(order, front(table, upwards, fresh), strict=True) if kept]
        return sorted(best, key=lambda number: costs(means[number], upwards) if number in means else [np.inf])

    def rows_of(self, numbers: Sequence[int]) -> "pd.DataFrame":
        """The rows of `trials` of these, in their order."""
        return self.trials.set_index("number", drop=False).loc[list(numbers)].reset_index(drop=True)

    def _typed(self, trial: "FrozenTrial") -> dict[str, Value]:
        """The searched values as a person types them: auto is a choice, None a name that the trial's parts lack."""
        held = self.header.values_of(trial)
        return {name: "auto" if held.get(name, "") is None else held.get(name) for name in self.space}

    @property
    def inheritance(self) -> "pd.DataFrame":
        """Of population-based training, what trials took over: trial, epoch, source, then the values they went on with.

        `spec_of` gives a trial's last values; its run has its own past, which no spec gives again."""
        import pandas as pd

        rows = [
            {"trial": trial.number, "epoch": one["epoch"], "source": one["source"]} | one["values"]
            for trial in self._shown()
            for one in trial.user_attrs.get("result", {}).get("inherited", ())
        ]
        return pd.DataFrame(rows, columns=None if rows else ["trial", "epoch", "source"])

    @property
    def courses(self) -> "pd.DataFrame":
        """The monitored value after each epoch: a row an epoch, a column a trial, nan where it had ended. Without the
        trials whose epochs are not compared: of several objectives, of --pruner wilcoxon, of --sampler pbt."""
        import pandas as pd

        by_epoch = judged_by(self.header) == "epochs"
        told = {trial.number: trial.intermediate_values for trial in self._shown() if by_epoch}
        return pd.DataFrame({number: values for number, values in told.items() if values}).sort_index()

    @property
    def learnt(self) -> list[str]:
        """What it knew before its first trial: how many earlier runs, and why others were left out."""
        return list(self._journal.user_attrs.get(LEARNT, ()))

    @property
    def messages(self) -> dict[int, str]:
        """Why trials failed or were cut short, by their number."""
        told = {trial.number: trial.user_attrs.get("result", {}).get("message", "") for trial in self._shown()}
        return {number: message for number, message in told.items() if message}

    @property
    def began(self) -> datetime | None:
        """When its first trial began, in UTC; None before there is one."""
        starts = [trial.datetime_start for trial in self._shown() if trial.datetime_start is not None]
        return min(starts).astimezone(UTC) if starts else None

    def _shown(self) -> "list[FrozenTrial]":
        trials = self._journal.get_trials(deepcopy=False)
        return [trial for trial in trials if state_of(trial) not in NOT_OWN]

    def ranking(self) -> list[int]:
        """The numbers of the trials that are results, best score first: the complete ones, and those that were cut when
        an epoch had been validated until they have been tried again."""
        return [trial.number for trial in ranked(self._journal, self.header.upwards)]

    @property
    def best_trial(self) -> int | None:
        """Number of the winner: the trial that is best with all members, where trials had fewer, but trial 0 where no
        other is expected to beat it; else the finalist with the best mean over fresh seeds, where there are finalists,
        else the first of `ranking`; of several objectives the first of `front`. None if there is none."""
        if self.header.several:
            return next(iter(self._front()), None)
        winner = self.after.best_whole(self.maximize, lambda: self._luck() or 0.0)
        winner = self.after.winner(self.maximize) if winner is None else winner
        return winner if winner is not None else next(iter(self.ranking()), None)

    @property
    def best_score(self) -> float | None:
        """Validation value of the winner's best epoch, over folds their mean, with all members where it was trained so;
        None if there is no winner."""
        number = self.best_trial
        if number is None:
            return None
        whole = self.whole_score(number)
        return self.score_of(number) if whole is None else whole

    def whole_score(self, number: int) -> float | None:
        """The score of a trial with all members, where trials had fewer; None if it was not trained so."""
        return self.after.whole().get(number, {}).get("score")

    @property
    def whole(self) -> "pd.DataFrame":
        """Where trials had fewer members than their runs: one row a trial that was trained with all, best first. Its
        number, score as a trial, score with all members; trial 0 is the run that the search began with."""
        import pandas as pd

        told = self.after.whole().items()
        rows = [[n, self.score_of(n), one["score"]] for n, one in told if one["score"] is not None]
        table = pd.DataFrame(rows, columns=["trial", "score", "whole"])
        return table.sort_values("whole", ascending=not self.maximize, kind="stable", ignore_index=True)

    @property
    def expected_score(self) -> float | None:
        """What the winner is worth on rows that did not choose it, by a bootstrap over the validation rows (see
        nnlab.core.tune.luck); None for fewer than two trials that can be compared so.

        Where the winner is not the trial that scored best, but was chosen with all members or as a finalist, its luck
        is taken to be that of the choice among trials, whose rows are the same; where it is trial 0 because no other
        was expected to be better, nothing was chosen."""
        luck, own = self._luck(), self.best_score
        if luck is None or own is None:
            return None
        return own if self.first_stays else own - luck if self.maximize else own + luck

    @property
    def first_stays(self) -> bool:
        """Whether trial 0 is the winner because no other was expected to beat it with all members."""
        return self.best_trial == FIRST and len(self.after.whole()) > 0

    def _luck(self) -> float | None:
        """How far the choice among trials flatters the best of them; None for fewer than two that can be compared."""
        order = self.ranking()
        parts = [self.result_of(number).get("parts") or () for number in order]
        values = [one for one in parts if parts[0] and len(one) == len(parts[0])]
        best = self.score_of(order[0]) if order else None
        if len(values) < 2 or best is None:
            return None
        worth = worth_of_choice(np.array(values), self.maximize)
        return max(best - worth if self.maximize else worth - best, 0.0)

    @property
    def finalists(self) -> "pd.DataFrame":
        """One row a finalist, best first: trial, its own score, mean and std over fresh seeds, seeds."""
        import pandas as pd

        rows = [
            [
                number,
                self.score_of(number),
                float(np.mean(one)),
                float(np.std(one, ddof=len(one) > 1)),
                len(one),
            ]
            for number, seeds in self.after.fresh().items()
            if (one := [values[0] for values in seeds.values()])
        ]
        table = pd.DataFrame(rows, columns=["trial", "score", "mean", "std", "seeds"])
        return table.sort_values("mean", ascending=not self.maximize, kind="stable", ignore_index=True)

    @property
    def best(self) -> TrainSpec:
        """The run of the winner as a spec, with all members; RunError if no trial is complete."""
        return self.spec_of(self._best_number())

    @property
    def best_prepare(self) -> PrepareSpec | None:
        """How the data of the winner was prepared; RunError if no trial is complete."""
        before = self.header.prepare
        return prepare_with(self.values_of(self._best_number()), before) if before else None

    def spec_of(self, number: int) -> TrainSpec:
        """The run that a trial stands for, with all members; `header.trained_by` gives what it trained."""
        return self.header.spec_of(self._trial(number))

    def values_of(self, number: int) -> dict[str, Value]:
        """The values of the searched names that a trial had."""
        return self.header.values_of(self._trial(number))

    def result_of(self, number: int) -> Mapping[str, Any]:
        """What was kept of how a trial ended."""
        result: Mapping[str, Any] = self._trial(number).user_attrs.get("result", {})
        return result

    def score_of(self, number: int) -> float | None:
        """The score of a trial, of a stopped one that of its best epoch so far; None where there is none."""
        return next(iter(objectives_of(self._trial(number))), None)

    def _trial(self, number: int) -> "FrozenTrial":
        trials = self._journal.get_trials(deepcopy=False)
        if not 0 <= number < len(trials):
            there = f"its trials are 0 to {len(trials) - 1}" if trials else "it has none yet"
            raise RunError(f"study {self.header.name!r} has no trial {number}; {there}")
        return trials[number]

    @property
    def best_run(self) -> Run:
        """The winner's run of the search with its weights, with all members where it was trained so; with folds, the
        one on the first of them."""
        number = self._best_number()
        run = self.run_of(number)
        if run is None:
            raise RunError(f"the run of trial {number} is not kept here; train study.best again")
        return run

    def run_of(self, number: int) -> Run | None:
        """The run of a trial, where it is kept: of the best one, and of those that an ensemble may take; with all
        members where it was trained so."""
        if (whole := self.after.whole_run(number)) is not None:
            return whole
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
            raise RunError(f"study {self.name!r} has no complete trial yet; {self._way_to_one()}")
        return number

    def cut_after(self, number: int) -> str:
        """Where a trial was cut, as in "cut after 3 of 32 epochs"; "" for one that ran to its end."""
        if not was_cut(self._trial(number)) or self.whole_score(number) is not None:
            return ""
        epochs = self.result_of(number).get("epochs", 0)
        return f"cut after {epochs} of {counted(self.spec_of(number).epochs, 'epoch')}"

    @property
    def cut_short(self) -> str:
        """What there is to know and to do where no trial came to its end, as the first of them were cut; else ""."""
        number = self.best_trial
        if number is not None and (cut := self.cut_after(number)):
            return (
                f"trial {number} is the best by its best epoch so far; it was {cut}. The same line tries it again from "
                "its start, so give it more time"
            )
        cut_ones = [trial for trial in self._shown() if was_cut(trial)]
        return f"there is no result yet: {self._way_to_one()}" if number is None and cut_ones else ""

    def _way_to_one(self) -> str:
        """What to do where no trial has come to anything."""
        cut = next((trial.number for trial in self._shown() if was_cut(trial)), None)
        if cut is None:
            return "run it on, with more trials or minutes"
        return (
            f"trial {cut} was cut before an epoch was validated; run it on with more minutes, or start one with fewer "
            "rows or a smaller network"
        )

    @property
    def importance(self) -> dict[str, float]:
        """Each searched name's share in reaching the best quarter of trials (PED-ANOVA, Watanabe 2023); {} for few."""
        return self._shares("PedAnovaImportanceEvaluator", target_quantile=0.25)

    @property
    def variance(self) -> dict[str, float]:
        """Each searched name's share of the variance of the score over the space, by a forest (fANOVA, Hutter et al.
        2014); {} for few trials. Names under a condition have none."""
        return self._shares("FanovaImportanceEvaluator", n_trees=TREES, seed=0)

    def _shares(self, evaluator: str, **values: Any) -> dict[str, float]:
        """What an evaluator of Optuna's says of each searched name, the largest first."""
        import optuna

        done = [trial for trial in self._shown() if trial.state.name == "COMPLETE"]
        if len(done) < FEW or len({trial.values[0] for trial in done}) < 2:
            return {}
        with quiet_optuna(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that was never varied
            target = (lambda trial: trial.values[0]) if self.header.several else None
            judge = getattr(optuna.importance, evaluator)(**values)
            shares = optuna.importance.get_param_importances(self._journal, evaluator=judge, target=target)
        found = dict.fromkeys(self.space, 0.0)
        for inner, share in shares.items():  # the items of a list count for the list
            found[inner if inner in found else inner.rpartition(".")[0]] += float(share)
        return dict(sorted(found.items(), key=lambda one: -one[1]))

    def __repr__(self) -> str:
        counts = Counter(state_of(trial) for trial in self._shown())
        states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none yet"
        number = self.best_trial
        cut = "" if number is None else self.cut_after(number)
        best = "" if number is None else f"; best {self.metric} {self.best_score:.4g} in trial {number}"
        return f"Study {self.name!r}: {sum(counts.values())} trials ({states}){best}{cut and ', '}{cut}"


def best_folder(number: int) -> str:
    """Where a study's folder keeps the run of the trial that was best when it ended."""
    return f"best-{number}"
