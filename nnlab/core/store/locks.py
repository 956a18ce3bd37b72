"""A lock among processes that the kernel frees when its holder dies."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

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
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
