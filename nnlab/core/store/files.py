"""Files of the store: the one atomic writer, the one path function, and readers that trust no byte.

A file is written under a temporary name, synced, and put in place by one rename; `sync_folders` then makes the names
durable. Whoever dies in between leaves the old file or the new one, never half of one. Files that belong together are
synced at the same time: a disk takes as long for one as for ten.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnlab.core.errors import StoreError

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # names that nnlab chooses; a user's word is never one
SUM = "sha256"
Sync = Callable[[Sequence[int]], None]  # makes open files durable
LARGEST_JSON = 1 << 28
LARGEST_BLOB = 1 << 36
_BINARY = getattr(os, "O_BINARY", 0)
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no links; a named pipe must not block


def store_root(root: str | Path | None = None) -> Path:
    """The folder of the store: root, else $NNLAB_HOME, else .nnlab in the working directory; StoreError if neither."""
    try:
        return Path(root or os.environ.get("NNLAB_HOME") or ".nnlab").expanduser().absolute()
    except (OSError, RuntimeError) as error:  # the working directory or the home folder is gone
        raise StoreError(f"the place of the store cannot be told: {error}") from error


def inside(folder: Path, name: str) -> Path:
    """folder/name for a name that nnlab could have chosen; StoreError for any other, so no text becomes a path."""
    if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
        raise StoreError(f"{folder.name}: {name!r} is not a file name of the store")
    return folder / name


def make_folder(folder: Path) -> None:
    """The folder and its parents, durably; nothing if it is there."""
    sync_folders(new_folders(folder))


def new_folders(folder: Path) -> list[Path]:
    """Make the folder and its parents; gives the folders in which there are new names, to be synced."""
    if folder.is_dir():
        return []
    changed = [*new_folders(folder.parent), folder.parent]
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
    return changed


def write_file(path: Path, data: bytes) -> None:
    """Replace path by data in one step; OSError leaves the old file. `sync_folders` comes after."""
    with _written([(path, data)], sync_all, ()) as ((temporary, _),):
        os.replace(temporary, path)


def write_files(
    *steps: Mapping[Path, bytes], sync: Sync | None = None, folders: Iterable[Path] = (), last: bool = True
) -> None:
    """Replace files in steps; OSError leaves of each the old or the new one.

    The bytes of all are durable before the first of them has its name, and the names of a step before those of the
    next, which may name them; with last=False, those of the last step are left to the caller. sync: makes the bytes
    durable, and what else shall be by then; default `sync_all`. folders: where other names are new; they are durable
    with the bytes.
    """
    steps = tuple(filter(None, steps))
    files = [(path, data) for step in steps for path, data in step.items()]
    with _written(files, sync or sync_all, folders) as waiting:
        for number, step in enumerate(steps, 1):
            for path in step:
                temporary, _ = waiting.pop(0)
                os.replace(temporary, path)
            if last or number < len(steps):
                sync_folders({path.parent for path in step})


@contextlib.contextmanager
def _written(
    files: Iterable[tuple[Path, bytes]], sync: Sync, folders: Iterable[Path]
) -> Iterator[list[tuple[Path, Path]]]:
    """The files under temporary names, durably; each with the name that it shall have. None is left after a fault."""
    names = [(path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}"), path) for path, _ in files]
    try:
        with contextlib.ExitStack() as opened:
            descriptors = []
            for (temporary, _), (_, data) in zip(names, files, strict=True):
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
                opened.callback(os.close, descriptor)
                write_all(descriptor, data)
                descriptors.append(descriptor)
            sync([*descriptors, *_folders(folders, opened)])
        yield names.copy()
    except BaseException:
        for temporary, _ in names:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """All of data: one call may take only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_all(descriptors: Sequence[int]) -> None:
    """Make open files durable, all at the same time: to a disk that is one turn. Raises the first fault."""
    faults: list[Exception] = []

    def sync(descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except Exception as error:
            faults.append(error)

    rest, threads = list(descriptors), []
    with contextlib.suppress(RuntimeError):  # no more threads are to be had
        while len(rest) > 1:
            thread = threading.Thread(target=sync, args=(rest[-1],))
            thread.start()
            threads.append(thread)
            rest.pop()
    for descriptor in rest:
        sync(descriptor)
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in folders durable."""
    with contextlib.ExitStack() as opened:
        sync_all(_folders(folders, opened))


def _folders(folders: Iterable[Path], opened: contextlib.ExitStack) -> list[int]:
    descriptors: list[int] = []
    for folder in folders if os.name != "nt" else ():  # Windows opens no folders; its renames are journalled
        descriptors.append(os.open(folder, os.O_RDONLY))
        opened.callback(os.close, descriptors[-1])
    return descriptors


def read_file(path: Path, limit: int = LARGEST_BLOB) -> bytes:
    """The bytes of a plain file of at most limit bytes; StoreError if it is missing, a link, or anything else."""
    where = f"{path.parent.name}/{path.name}"
    try:
        descriptor = os.open(path, os.O_RDONLY | _BINARY | _CAREFUL)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise StoreError(f"{where} is not a plain file")
            if facts.st_size > limit:
                raise StoreError(f"{where} has {facts.st_size} bytes; at most {limit} are read")
            return file.read(facts.st_size)
    except FileNotFoundError:
        raise StoreError(f"{where} is missing") from None
    except OSError as error:
        raise StoreError(f"{where} cannot be read: {error.strerror or error}") from error


def sum_of(data: bytes) -> str:
    """SHA-256 as hex."""
    return hashlib.sha256(data).hexdigest()


def seal(value: Mapping[str, Any]) -> bytes:
    """JSON text for people, with the checksum of its content in it."""
    entries = [f" {json.dumps(name)}: {_in_lines(item)}" for name, item in value.items()]
    found = json.loads(f"{{{','.join(entries)}}}")  # what a reader will see: text for names, lists for tuples
    text = ",\n".join([*entries, f' "{SUM}": "{_content_sum(found)}"'])
    return f"{{\n{text}\n}}".encode()


def _in_lines(value: Any) -> str:
    """A line for each item of a list of mappings. json's own indentation takes ten times as long."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, dict) for item in value):
        return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
    return json.dumps(value)


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """What `seal` was given; StoreError naming the file if one byte of the content has changed."""
    try:
        plain = json.loads(data)
        expected = plain.pop(SUM)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{where} is damaged: it is not a JSON file of the store") from error
    if _content_sum(plain) != expected:
        raise StoreError(f"{where} fails its checksum: it was changed or damaged")
    return plain


def _content_sum(plain: Mapping[str, Any]) -> str:
    return sum_of(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace path by the sealed value in one step."""
    write_file(path, seal(value))


def read_json(path: Path) -> dict[str, Any]:
    """The value that `write_json` wrote; StoreError if it is missing or damaged."""
    return unseal(read_file(path, LARGEST_JSON), f"{path.parent.name}/{path.name}")


class LineFile:
    """A file that grows by whole lines; a torn end, left by a fault, is cut off before the next line is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0  # bytes that are known to be whole lines
        self._digest = hashlib.sha256()

    def after(self, lines: Sequence[str] = ()) -> dict[str, Any]:
        """Bytes and SHA-256 of the whole lines, these behind them."""
        data, digest = _joined(lines), self._digest.copy()
        digest.update(data)
        return {"bytes": self.size + len(data), "sum": digest.hexdigest()}

    def go_on(self, lines: Sequence[str]) -> None:
        """Go on behind these lines; what follows them in the file is cut off with the next append."""
        data = _joined(lines)
        self.size, self._digest = len(data), hashlib.sha256(data)

    def append(self, lines: Sequence[str], sync: Callable[[int], None] | None = None) -> None:
        """Add the lines, or on OSError none of them. sync: makes the open file durable."""
        data = _joined(lines)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
        try:
            self.size = min(self.size, os.fstat(descriptor).st_size)
            os.ftruncate(descriptor, self.size)
            os.lseek(descriptor, self.size, os.SEEK_SET)
            write_all(descriptor, data)
            if sync is not None:
                sync(descriptor)
        finally:
            os.close(descriptor)
        self.size += len(data)
        self._digest.update(data)


def _joined(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def whole_lines(data: bytes) -> list[str]:
    """The complete lines; a torn end is left out."""
    return data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines()


@contextlib.contextmanager
def replaced_folder(target: Path, mark: str, what: str) -> Iterator[Path]:
    """A folder to write into, which then takes the place of target; on a fault target stays as it was.

    mark: the file by which a folder of this kind is known; only such a folder, or an empty one, is replaced. what: the
    kind, for the StoreError otherwise.
    """
    if target.exists() and not (target / mark).exists() and (target.is_file() or any(target.iterdir())):
        raise StoreError(f"{target} is there and holds no {what}; give the name of a new folder")
    aside = target.with_name(f".{target.name[:100]}-{secrets.token_hex(4)}")
    try:
        yield aside
        swap_folder(aside, target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def swap_folder(new: Path, target: Path) -> None:
    """Put a folder in place of another, which comes back if that fails."""
    if not target.exists():
        new.replace(target)
        return
    old = new.with_name(f"{new.name}-old")
    target.replace(old)
    try:
        new.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old)
