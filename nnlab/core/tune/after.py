"""The record of what followed a search's trials, in Optuna's study and beside it in the study's folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import RunError
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.tune.ensemble import Ensemble

if TYPE_CHECKING:
    import optuna

FIRST = 0  # the trial that the search begins with
FRESH, WHOLE, REFIT, ENSEMBLE = "fresh", "whole", "refit", "ensemble"


class After:
    """Finalists, runs with all members, refit and ensemble of a study. path: its folder, None for one in memory."""

    def __init__(self, journal: "optuna.Study", path: Path | None, model: Maker) -> None:
        self._journal, self._path, self._model = journal, path, model
        self._held: dict[str, Any] = {}

    def fresh(self) -> dict[int, dict[int, tuple[float, ...]]]:
        """Values of finalists by their trial and seed, of each objective, the score first; nan where a run failed."""
        found: dict[int, dict[int, tuple[float, ...]]] = {}
        for key, value in self._journal.user_attrs.items():
            kind, _, rest = key.partition(" ")
            if kind == FRESH:
                number, seed = map(int, rest.split())
                values = value if isinstance(value, list) else [value]
                found.setdefault(number, {})[seed] = tuple(np.nan if one is None else float(one) for one in values)
        return found

    def put_fresh(self, number: int, seed: int, values: Sequence[float | None]) -> None:
        """Put a finalist's values from one seed on record, of each objective; None: it failed."""
        self._journal.set_user_attr(f"{FRESH} {number} {seed}", list(values))

    def means(self, count: int = 1) -> dict[int, list[float]]:
        """The mean values of the finalists with the most seeds, of so many objectives each, by their trials; without
        finalists of which a run failed."""
        fresh = self.fresh()
        most = max((len(seeds) for seeds in fresh.values()), default=0)
        full = {number: list(seeds.values()) for number, seeds in fresh.items() if len(seeds) == most}
        means = {number: np.mean([row[:count] for row in rows], axis=0) for number, rows in full.items()}
        return {
            number: mean.tolist() for number, mean in means.items() if len(mean) == count and np.isfinite(mean).all()
        }

    def winner(self, maximize: bool) -> int | None:
        """The finalist with the best mean score; None where there are no finalists."""
        sign, means = -1.0 if maximize else 1.0, self.means()
        return min(means, key=lambda number: (sign * means[number][0], number)) if means else None

    def whole(self) -> dict[int, Mapping[str, Any]]:
        """What trials came to with all members, by their numbers: score (None: it failed) and best_epoch."""
        told = self._journal.user_attrs.items()
        return {int(key.partition(" ")[2]): value for key, value in told if key.startswith(f"{WHOLE} ")}

    def keep_whole(self, number: int, score: float | None, best_epoch: int, run: Run | None) -> None:
        """Put a trial with all members on record. run: where it is another than the trial's own."""
        told = {"score": score, "best_epoch": best_epoch}
        if run is None:
            self._journal.set_user_attr(f"{WHOLE} {number}", told)
        else:
            self._keep(f"{WHOLE} {number}", told, run)

    def whole_run(self, number: int) -> Run | None:
        """The run of a trial with all members; None where there is none but the trial's own."""
        return self._held_or_loaded(f"{WHOLE} {number}", Run)

    def best_whole(self, maximize: bool, luck: Callable[[], float]) -> int | None:
        """The trial that is best with all members, but the first one unless the score of the best less the luck of the
        choice is better; None where none was trained so. luck: in the score of the best of the trials."""
        sign = -1.0 if maximize else 1.0
        told = {number: sign * one["score"] for number, one in self.whole().items() if one["score"] is not None}
        best = min(told, key=lambda number: (told[number], number), default=None)
        if best in (None, FIRST) or FIRST not in told:
            return best
        return best if told[best] + luck() < told[FIRST] else FIRST

    @property
    def refit_of(self) -> int | None:
        """The trial whose spec was refit."""
        return self._journal.user_attrs.get(REFIT)

    def keep_refit(self, number: int, run: Run) -> None:
        """Keep the winner's run on all rows."""
        self._keep(REFIT, number, run)

    def refit(self) -> Run:
        """That run; RunError where there is none."""
        return self._kept(REFIT, Run)

    @property
    def ensemble_of(self) -> list[int] | None:
        """The trials that the ensemble was chosen from."""
        return self._journal.user_attrs.get(ENSEMBLE)

    def keep_ensemble(self, numbers: Sequence[int], ensemble: Ensemble) -> None:
        """Keep the ensemble that was chosen from these trials."""
        self._keep(ENSEMBLE, list(numbers), ensemble)

    def ensemble(self) -> Ensemble:
        """That ensemble; RunError where there is none."""
        return self._kept(ENSEMBLE, Ensemble)

    def _keep(self, kind: str, about: Any, what: Run | Ensemble) -> None:
        self._held[kind] = what
        if self._path is not None:
            what.path = what.save(self._path / kind.replace(" ", "-"))
        self._journal.set_user_attr(kind, about)  # only now does it count

    def _kept(self, kind: str, cls: Any) -> Any:
        found = self._held_or_loaded(kind, cls)
        if found is None:
            count = " 10" if kind == ENSEMBLE else ""
            raise RunError(f"this study has no {kind}; run it with --{kind}{count}, to its end")
        return found

    def _held_or_loaded(self, kind: str, cls: Any) -> Any:
        folder = None if self._path is None else self._path / kind.replace(" ", "-")
        if kind not in self._held and folder is not None and folder.is_dir():
            self._held[kind] = cls.load(folder, self._model)
        return self._held.get(kind)
