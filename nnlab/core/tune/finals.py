"""What follows the trials of a search: the best few trained from fresh seeds, the winner on more rows, an ensemble."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.events import EpochDone, Event
from nnlab.core.fit import fit
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.tune.ensemble import chosen
from nnlab.core.tune.population import MOST_TOGETHER, shape_of
from nnlab.core.tune.ranges import Value
from nnlab.core.tune.study import Study
from nnlab.core.tune.training import Again, Group
from nnlab.core.tune.watch import Searching, Watch

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
        steps = [(spec.finalists, self._finalists), (refit, self._refit), (spec.ensemble, self._ensemble)]
        asked = [step for wanted, step in steps if wanted]
        for step in asked:
            if not self._over():
                step()
        if asked and self._over():
            self._search.warn("what follows the trials was cut off; the same line goes on with it")

    def _finalists(self) -> None:
        """Each from its fresh seeds, those of one shape side by side."""
        spec, study, done = self._header.spec, self._study, self._after.fresh()
        seeds = [(self._header.base.seed + 1 + at) % 2**31 for at in range(spec.seeds)]
        left = [(n, s) for n in study.ranking()[: spec.finalists] for s in seeds if s not in done.get(n, {})]
        groups: dict[str, list[tuple[int, int]]] = {}
        for at, (number, seed) in enumerate(left):
            shape = None if self._model is not None else shape_of(study.spec_of(number), self._folds(number)[0])
            groups.setdefault(shape or f"alone {at}", []).append((number, seed))
        for group in groups.values():
            for start in range(0, len(group), MOST_TOGETHER):
                self._from_seeds(group[start : start + MOST_TOGETHER])

    def _from_seeds(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Train the specs of trials from seeds, side by side where they are many, and put their scores on record."""
        specs = {at: replace(self._study.spec_of(n), seed=seed) for at, (n, seed) in enumerate(pairs)}
        claims: Any = [
            (Again(at, f"trial {n} seed {seed}"), self._study.values_of(n)) for at, (n, seed) in enumerate(pairs)
        ]
        group = Group(self._search, claims, specs, self._folds(pairs[0][0]), "nothing")
        for claim, case in group.ended(self._header.metric, self._model, self._header.name):
            if case.end is not None and not case.end.cut:
                score = case.end.score if case.end.state == "complete" else None
                self._after.put_fresh(*pairs[claim[0].number], score)

    def _refit(self) -> None:
        number = self._study.best_trial
        if number is None or self._after.refit_of == number:
            return
        watch, epochs = (
            Watch(self._search, self._header.metric),
            int(self._study.result_of(number).get("best_epoch", 0)),
        )
        told: dict[str, Any] = {"controls": watch.controls, "name": f"{self._header.name} trial {number}, all rows"}

        def view(event: Event) -> None:
            watch(event)
            if isinstance(event, EpochDone) and event.epoch >= epochs > 0:
                watch.controls.stop("stopped_early")

        data, spec = all_rows(self._folds(number)), self._study.spec_of(number)
        run = fit(data, spec=spec, model=self._model, store=False, baseline=False, view=view, **told)
        if run.finished.reason in ("completed", "stopped_early"):
            self._after.keep_refit(number, run)

    def _ensemble(self) -> None:
        numbers = self._study.ranking()[: self._header.spec.ensemble]
        if self._after.ensemble_of == numbers:
            return
        runs: dict[int, Run] = {number: run for number in numbers if (run := self._study.run_of(number)) is not None}
        if not runs:
            self._search.warn("none of the best runs is kept here, so there is no ensemble")
            return
        first = {number: self._folds(number)[0] for number in runs}
        found = chosen(self._header.name, runs, first, self._header.metric)
        self._after.keep_ensemble(numbers, found)


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
