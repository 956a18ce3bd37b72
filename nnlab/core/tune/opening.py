"""Optuna's study behind a study, opened or made."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.core.tune.header import Header

if TYPE_CHECKING:
    import optuna

JOURNAL, LOCK = "journal.log", "study.flock"
OPTUNA_NAME = "nnlab"


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


def open_optuna(header: Header, path: Path | None) -> "optuna.Study":
    """Optuna's study, made if it is not there: in its database, else in the folder path, else in memory."""
    import optuna

    storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
    name = OPTUNA_NAME
    if header.spec.storage is not None:
        from nnlab.core.tune.shared import open_shared

        storage, name = open_shared(header.spec.storage), header.name
    elif path is not None:
        from nnlab.core.tune.journal import open_journal

        storage = open_journal(path / JOURNAL)
    kinds = optuna.study.StudyDirection
    directions = [kinds.MAXIMIZE if up else kinds.MINIMIZE for up in header.upwards]
    with quiet_optuna():
        return optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
