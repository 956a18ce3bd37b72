"""How the trials of a study stand, by what is on record of each in Optuna's study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

KNOWN = "known"  # the state of a run from before the study
NOT_OWN = ("waiting", "skipped", KNOWN)  # states of what is no trial of the study's own
LEARNT = "learnt"  # the attribute of a study that says what it knew before its first trial
AGAIN = "again"  # the attribute of a trial that names the one which was cut and had its values


def state_of(trial: "FrozenTrial") -> str:
    """complete, pruned, failed, stopped or running; of what is none of the study's own waiting, skipped or known."""
    if trial.state.name in ("RUNNING", "WAITING"):
        return trial.state.name.lower()
    return str(trial.user_attrs.get("result", {}).get("state", "failed"))


def was_cut(trial: "FrozenTrial") -> bool:
    """Ended from outside (stopped, or its process was killed): it does not count, and is tried again."""
    return trial.state.is_finished() and bool(trial.user_attrs.get("result", {"cut": True}).get("cut"))


def ranked(journal: "optuna.Study", upwards: Sequence[bool]) -> "list[FrozenTrial]":
    """The trials that are results, best first: by the first objective, then the next; of equals the older.

    They are the complete ones, and those that were cut when an epoch had been validated until they have been tried
    again; behind all others those that were cut before their last fold.
    """
    trials = journal.get_trials(deepcopy=False)
    again = _tried_again(trials)
    results = [trial for trial in trials if _is_result(trial) and trial.number not in again and objectives_of(trial)]
    return sorted(results, key=lambda trial: (standing(folds_left(trial), objectives_of(trial), upwards), trial.number))


def _tried_again(trials: "Sequence[FrozenTrial]") -> set[int]:
    """The trials that were cut, and whose values another has had to its end."""
    before = {trial.number: trial.user_attrs.get(AGAIN) for trial in trials}
    found = set[int]()
    for trial in trials:
        number = before[trial.number] if state_of(trial) in ("complete", "pruned") else None
        while number is not None:
            found.add(number)
            number = before.get(number)
    return found


def _is_result(trial: "FrozenTrial") -> bool:
    return state_of(trial) == "complete" or (was_cut(trial) and bool(trial.user_attrs.get("result")))


def folds_left(trial: "FrozenTrial") -> int:
    """Folds that a trial which was cut has no score of."""
    return int(trial.user_attrs.get("result", {}).get("folds_left", 0))


def standing(left: int, values: Sequence[float], upwards: Sequence[bool]) -> list[float]:
    """What trials are ordered by, the smaller the better. left: folds without a score; values: of the objectives."""
    return [left, *costs(values, upwards)]


def costs(values: Sequence[float], upwards: Sequence[bool]) -> list[float]:
    """The values of the objectives as what shall be small."""
    return [-value if up else value for value, up in zip(values, upwards, strict=True)]


def objectives_of(trial: "FrozenTrial") -> list[float]:
    """The values of a trial that is a result, its score first; [] of others."""
    result = trial.user_attrs.get("result", {})
    score = result.get("score", trial.values[0] if trial.values else None)
    return [float(value) for value in result.get("objectives") or ([] if score is None else [score])]
