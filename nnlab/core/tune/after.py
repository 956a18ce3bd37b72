"""The record of what followed a search's trials, in Optuna's study and beside it in the study's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import RunError
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.tune.ensemble import Ensemble

if TYPE_CHECKING:
    import optuna

FRESH, REFIT, ENSEMBLE = "fresh", "refit", "ensemble"


class After:
    """Finalists, refit and ensemble of a study. path: its folder, None for one in memory."""

    def __init__(self, journal: "optuna.Study", path: Path | None, model: Maker) -> None:
        self._journal, self._path, self._model = journal, path, model
        self._held: dict[str, Any] = {}

    def fresh(self) -> dict[int, dict[int, float]]:
        """Scores of finalists by their trial and seed; nan for a run that failed."""
        found: dict[int, dict[int, float]] = {}
        for key, value in self._journal.user_attrs.items():
            kind, _, rest = key.partition(" ")
            if kind == FRESH:
                number, seed = map(int, rest.split())
                found.setdefault(number, {})[seed] = np.nan if value is None else float(value)
        return found

    def put_fresh(self, number: int, seed: int, score: float | None) -> None:
        """Put a finalist's score from one seed on record; None: it failed."""
        self._journal.set_user_attr(f"{FRESH} {number} {seed}", score)

    def winner(self, maximize: bool) -> int | None:
        """The finalist with the best mean, of those with the most seeds; None where there are no finalists."""
        fresh = self.fresh()
        most = max((len(scores) for scores in fresh.values()), default=0)
        means = {n: float(np.mean(list(scores.values()))) for n, scores in fresh.items() if len(scores) == most}
        sign = -1.0 if maximize else 1.0
        sound = {number: sign * mean for number, mean in means.items() if np.isfinite(mean)}
        return min(sound, key=lambda number: (sound[number], number)) if sound else None

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
            what.path = what.save(self._path / kind)
        self._journal.set_user_attr(kind, about)  # only now does it count

    def _kept(self, kind: str, cls: Any) -> Any:
        if kind in self._held:
            return self._held[kind]
        if self._path is None or not (self._path / kind).is_dir():
            raise RunError(f"this study has no {kind}; run it with --{kind}{' 10' if kind == ENSEMBLE else ''}")
        self._held[kind] = cls.load(self._path / kind, self._model)
        return self._held[kind]
