"""What follows the trials of a search: the best few trained again, from fresh seeds or with all of their members, the
winner on more rows, an ensemble."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.events import EpochDone, Event
from nnlab.core.fit import fit
from nnlab.core.models.custom import Maker
from nnlab.core.network import member_count
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.after import FIRST
from nnlab.core.tune.case import Case
from nnlab.core.tune.ensemble import chosen
from nnlab.core.tune.objectives import measured_objectives
from nnlab.core.tune.population import MOST_TOGETHER, shape_of
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.study import Study
from nnlab.core.tune.training import Again, Group
from nnlab.core.tune.watch import Searching, Watch

WHOLE = 2  # best trials that are trained with all members, where trials have fewer
Pair = tuple[int, int]
FoldsOf = Callable[[Mapping[str, Value]], Sequence[Prepared]]


class Finals:
    """Does what is asked for and not done yet. folds: the data of a trial by its values; over: whether the search was
    stopped or its time is up."""

    def __init__(self, search: Searching, study: Study, folds: FoldsOf, model: Maker, over: Callable[[], bool]) -> None:
        self._search, self._study, self._model, self._over = search, study, model, over
        self._folds_of = folds
        self._header, self._after = study.header, study.after

    def _folds(self, number: int) -> Sequence[Prepared]:
        return self._folds_of(self._study.values_of(number))

    def run(self) -> None:
        """All of it; what a stop cut off is left out and done by the next call of the same study."""
        if self._study.best_trial is None:
            return
        spec = self._header.spec
        refit = spec.folds is not None if spec.refit is None else spec.refit
        steps = [
            (spec.finalists, self._finalists),
            (self._header.members, self._whole),
            (refit, self._refit),
            (spec.ensemble, self._ensemble),
        ]
        done = [not self._over() and step() for wanted, step in steps if wanted]
        if not all(done):
            self._search.warn("what follows the trials was cut off; the same line goes on with it")

    def _finalists(self) -> bool:
        """Each from its fresh seeds, those of one shape side by side. Each step gives whether nothing is left of it."""
        spec = self._header.spec
        seeds = [(self._header.base.seed + 1 + at) % 2**31 for at in range(spec.seeds)]
        numbers = self._study.ranking()[: spec.finalists]

        def left() -> list[tuple[int, int]]:
            done = self._after.fresh()
            return [(number, seed) for number in numbers for seed in seeds if seed not in done.get(number, {})]

        titles = {pair: f"trial {pair[0]} seed {pair[1]}" for pair in left()}
        specs = {pair: replace(self._study.spec_of(pair[0]), seed=pair[1]) for pair in titles}
        for pair, case in self._again(specs, titles):
            self._after.put_fresh(*pair, self._values(pair[0], case))
        return not left()

    def _values(self, number: int, case: Case) -> Sequence[float | None]:
        """Of each objective, from one seed; None where it failed."""
        several, score = self._header.several, _score(case)
        if score is None:
            return [None] * max(len(self._header.spec.objectives), 1)
        return measured_objectives(self._header.spec.objectives, case.runs, self._folds(number)) if several else [score]

    def _whole(self) -> bool:
        """The best few trials and the first, each with all of its members; of finalists the winner and the first."""
        study, after = self._study, self._after
        winner = after.winner(study.maximize)
        best = study.ranking()[:WHOLE] if winner is None else [winner]
        numbers = list(dict.fromkeys([best[0], FIRST, *best[1:]]))
        left = {(number, 0): study.spec_of(number) for number in numbers if number not in after.whole()}
        for pair, spec in list(left.items()):
            score = study.score_of(pair[0])
            if self._header.is_whole(spec) and score is not None and not study.cut_after(pair[0]):
                after.keep_whole(pair[0], score, int(study.result_of(pair[0]).get("best_epoch", 0)), None)
                del left[pair]
        titles = {pair: f"trial {pair[0]}, {member_count(spec)} members" for pair, spec in left.items()}
        for (number, _), case in self._again(left, titles):
            after.keep_whole(number, _score(case), case.end.best_epoch if case.end else 0, case.run)
        return all(number in after.whole() for number in numbers)

    def _again(self, specs: Mapping[Pair, TrainSpec], titles: Mapping[Pair, str]) -> Iterator[tuple[Pair, Case]]:
        """Train runs once more, those of one shape side by side; gives each that was not cut off when it has ended.
        specs: by the trial that they are of and a number that tells those of one trial apart; titles: of the runs."""
        groups: dict[str, list[Pair]] = {}
        for at, (pair, spec) in enumerate(specs.items()):
            shape = None if self._model is not None else shape_of(spec, self._folds(pair[0])[0])
            groups.setdefault(shape or f"alone {at}", []).append(pair)
        for group in groups.values():
            for start in range(0, len(group), MOST_TOGETHER):
                pairs = group[start : start + MOST_TOGETHER]
                claims: Any = [
                    (Again(at, titles[pair]), self._study.values_of(pair[0])) for at, pair in enumerate(pairs)
                ]
                own, folds = {at: specs[pair] for at, pair in enumerate(pairs)}, self._folds(pairs[0][0])
                here = Group(self._search, claims, own, folds, "nothing")
                for claim, case in here.ended(self._header.metric, self._model, self._header.name):
                    if case.end is not None and not case.end.cut:
                        yield pairs[claim[0].number], case

    def _refit(self) -> bool:
        number = self._study.best_trial
        if number is None or self._after.refit_of == number:
            return True
        told: Mapping[str, Any] = self._after.whole().get(number) or self._study.result_of(number)
        watch, epochs = Watch(self._search, self._header.metric), int(told.get("best_epoch", 0))
        named: dict[str, Any] = {"controls": watch.controls, "name": f"{self._header.name} trial {number}, all rows"}

        def view(event: Event) -> None:
            watch(event)
            if isinstance(event, EpochDone) and event.epoch >= epochs > 0:
                watch.controls.stop("stopped_early")

        data, spec = all_rows(self._folds(number)), self._study.spec_of(number)
        run = fit(data, spec=spec, model=self._model, store=False, baseline=False, view=view, **named)
        if run.finished.reason in ("completed", "stopped_early"):
            self._after.keep_refit(number, run)
        return run.finished.reason not in ("stopped", "interrupted")

    def _ensemble(self) -> bool:
        """Of the best trials, and of those with all members, the winner first: with it the greedy choice begins."""
        study = self._study
        whole = sorted(map(int, study.whole["trial"]), key=lambda number: number != study.best_trial)
        numbers = list(dict.fromkeys([*whole, *study.ranking()[: self._header.spec.ensemble]]))
        if self._after.ensemble_of == numbers:
            return True
        runs: dict[int, Run] = {number: run for number in numbers if (run := study.run_of(number)) is not None}
        if not runs:
            self._search.warn("none of the best runs is kept here, so there is no ensemble")
            return True
        first = {number: self._folds(number)[0] for number in runs}
        found = chosen(self._header.name, runs, first, self._header.metric)
        self._after.keep_ensemble(numbers, found)
        return True


def _score(case: Case) -> float | None:
    return case.end.score if case.end is not None and case.end.state == "complete" else None


def all_rows(folds: Sequence[Prepared]) -> Prepared:
    """The data with its validation rows among the training rows; the preparation stays as it was learned.

    Of folds the one with most rows, which in a split by time is the last.
    """
    data = max(folds, key=lambda fold: len(fold.train.y) + len(fold.valid.y))
    train, valid = data.train, data.valid
    weight = None
    if train.weight is not None or valid.weight is not None:
        parts = (np.ones(len(rows.y), np.float64) if rows.weight is None else rows.weight for rows in (train, valid))
        weight = np.concatenate(list(parts))
    x, y, index = (np.concatenate([getattr(train, name), getattr(valid, name)]) for name in ("x", "y", "index"))
    nothing = Rows(valid.x[:0], valid.y[:0], valid.index[:0], None, "valid", valid.source)
    return replace(data, train=Rows(x, y, index, weight, "train", train.source), valid=nothing, folds=())
