"""One look at a run by every diagnosis."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose import calibration as _calibration  # each file registers its diagnoses
from nnlab.core.diagnose import course as _course
from nnlab.core.diagnose import layers as _layers
from nnlab.core.diagnose import rows as _rows
from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.more_rows import RowsCurve, rows_curve
from nnlab.core.diagnose.registry import DIAGNOSES, Verdict
from nnlab.core.errors import DataError, RunError
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run

_FILES = (_calibration, _course, _layers, _rows)
__all__ = ["DIAGNOSES", "Diagnosis", "diagnose", "first_look"]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found in a run, the gravest first. open: what could not be looked at, by the reason why.

    curve: the loss over the number of training rows, where that was asked for.
    """

    run: Run
    verdicts: tuple[Verdict, ...]
    open: Mapping[str, tuple[str, ...]]
    curve: RowsCurve | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what was found."""
        return tuple(verdict.name for verdict in self.verdicts)

    def __repr__(self) -> str:
        found = "\n".join(f"  {verdict}" for verdict in self.verdicts) or "  nothing was found"
        unseen = "".join(f"\n  not looked at: {', '.join(names)}; {why}" for why, names in self.open.items())
        curve = f"\n  {self.curve}" if self.curve is not None else ""
        return f"Diagnosis of run {self.run.id}\n{found}{curve}{unseen}"


def diagnose(run: Run, data: Prepared | None = None, *, learning_curve: bool = False, model: Maker = None) -> Diagnosis:
    """What went wrong in a run, each with its evidence and what would mend it.

    data: what the run was trained on; without it what needs its rows is left open. DataError for another one.
    learning_curve: train on parts of the rows too, and say whether more would help; model: then the network of a run
    with one of the user's own. Otherwise nothing is trained.
    """
    if not isinstance(run, Run):
        raise RunError(f"run is a {type(run).__name__}; give a run: run = nnlab.fit(data), nnlab.load('last')")
    if data is not None and not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; give what the run was trained on: nnlab.prepare(frame, ...)")
    if data is not None and data.fingerprint != run.fingerprint:
        raise DataError("this data is not what the run was trained on")
    curve = rows_curve(run, data, model) if learning_curve else None
    found, unseen = _verdicts(Case(run, data))
    return Diagnosis(run, found, {why: tuple(names) for why, names in unseen.items() if why}, curve)


def first_look(run: Run) -> tuple[Verdict, ...]:
    """What the record of a run alone tells, the gravest first; it takes milliseconds and asks the network nothing."""
    return _verdicts(Case(run))[0]


def living_look(case: Case, told: Collection[str]) -> tuple[Verdict, ...]:
    """What a run that lives shows now, but for what was told of it and what follows from that."""
    known = {*told, *(other for name in told for other in _explained_by(name))}
    found: dict[str, Verdict] = {}
    with np.errstate(all="ignore"):
        for name, entry in DIAGNOSES.items():
            live = entry.facts.get("live")
            if live is None or name in known or len(case.looks) < live.looks or len(case.epochs) < live.epochs:
                continue
            verdict, _ = _looked(case, name, live.values)
            if verdict is not None:
                found[name] = verdict
    return tuple(_unexplained(found))


def _verdicts(case: Case) -> tuple[tuple[Verdict, ...], dict[str, list[str]]]:
    """What is found, and by the reason why what could not be looked at."""
    found: dict[str, Verdict] = {}
    unseen: dict[str, list[str]] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name in DIAGNOSES:
            verdict, why = _looked(case, name)
            if verdict is not None:
                found[name] = verdict
            elif why is not None:
                unseen.setdefault(why, []).append(name)
    kept = sorted(_unexplained(found), key=lambda verdict: -len(_explained_by(verdict.name)))
    return tuple(kept), unseen


def _looked(
    case: Case, name: str, thresholds: Mapping[str, float] = MappingProxyType({})
) -> tuple[Verdict | None, str | None]:
    """The verdict of one diagnosis, or why it could not look."""
    entry = DIAGNOSES[name]
    for need in entry.facts.get("needs", ()):
        if (why := case.lacks(need)) is not None:
            return None, why
    try:
        return entry.make(case, **thresholds), None
    except Exception as error:  # a loss or a network of the user's own may do anything
        return None, f"{type(error).__name__}: {error}"


def _explained_by(name: str) -> tuple[str, ...]:
    return tuple(DIAGNOSES[name].facts.get("explains", ()))


def _unexplained(found: Mapping[str, Verdict]) -> list[Verdict]:
    """Causes without what follows from them."""
    explained = {other for name in found for other in _explained_by(name)}
    return [verdict for name, verdict in found.items() if name not in explained]
