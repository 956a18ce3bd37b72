"""Optuna's journal on disk, safe against kill -9: a lock that the kernel frees, and torn tails are cut off.

Imports Optuna; import this module only where a study is opened.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from nnlab.core.errors import StoreError
from nnlab.core.store.locks import file_lock


class SafeJournal(JournalFileBackend):
    """The journal file. A record is on the disk before it counts; not so an epoch's value, which only pruning reads."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._threads = threading.Lock()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Cut off what a killed writer left of a record, then append."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        lasting = any(log["op_code"] != JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE for log in logs)
        with self._threads, file_lock(self._path.with_suffix(".flock")), open(self._path, "r+b") as file:
            _cut_torn_tail(file)
            file.write(lines)
            file.flush()
            if lasting:
                os.fsync(file.fileno())


def _cut_torn_tail(file: Any) -> None:
    """Leave only whole lines and the position at the end."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)


def open_journal(path: Path) -> JournalStorage:
    """Optuna's storage over the journal at path, made if missing; StoreError if it cannot be read."""
    try:
        return JournalStorage(SafeJournal(path))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise StoreError(f"the study's journal {path} is damaged: {error}; --fresh starts anew and keeps it") from error
