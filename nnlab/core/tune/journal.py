"""Optuna's journal on disk, safe against kill -9: a lock that the kernel frees, and torn tails are cut off.

Imports Optuna; import this module only where a study is opened.
"""

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._storage import JournalOperation

from nnlab.core.errors import StoreError

NO_FLOCK = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # some network file systems


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file path, exclusive among processes and threads. A killed holder frees it at once."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        if not _flocked(handle):
            with _open_lock(path):
                yield
        else:
            yield
    finally:
        os.close(handle)


def _flocked(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_FLOCK:
            raise
        return False
    return True


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[None]:
    """Lock by exclusive creation; that of a killed holder is broken after 30 s."""
    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
