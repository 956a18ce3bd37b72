"""Files of the store: the one atomic writer, the one path function, and readers that trust no byte.

A file is written under a temporary name, synced, and put in place by one rename; `sync_folder` then makes the names
durable. Whoever dies in between leaves the old file or the new one, never half of one.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnlab.core.errors import StoreError

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # names that nnlab chooses; a user's word is never one
SUM = "sha256"
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
    if not folder.is_dir():
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        sync_folder(folder.parent)


def write_file(path: Path, data: bytes) -> str:
    """Replace path by data in one step and give the SHA-256; OSError leaves the old file. `sync_folder` comes after."""
    temporary = path.with_name(f"{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return sum_of(data)


def write_all(descriptor: int, data: bytes) -> None:
    """All of data: one call may take only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    if os.name == "nt":
        return  # Windows opens no folders; its renames are journalled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def write_json(path: Path, value: Mapping[str, Any]) -> str:
    """Replace path by the sealed value in one step."""
    return write_file(path, seal(value))


def read_json(path: Path) -> dict[str, Any]:
    """The value that `write_json` wrote; StoreError if it is missing or damaged."""
    return unseal(read_file(path, LARGEST_JSON), f"{path.parent.name}/{path.name}")


class LineFile:
    """A file that grows by whole lines; a torn end, left by a fault, is cut off before the next line is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0  # bytes that are known to be whole lines
        self._digest = hashlib.sha256()

    @property
    def sum(self) -> str:
        """SHA-256 of the whole lines."""
        return self._digest.hexdigest()

    def go_on(self, lines: list[str]) -> None:
        """Go on behind these lines; what follows them in the file is cut off with the next append."""
        data = _joined(lines)
        self.size, self._digest = len(data), hashlib.sha256(data)

    def append(self, lines: list[str], sync: bool) -> None:
        """Add the lines, or on OSError none of them."""
        data = _joined(lines)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
        try:
            self.size = min(self.size, os.fstat(descriptor).st_size)
            os.ftruncate(descriptor, self.size)
            os.lseek(descriptor, self.size, os.SEEK_SET)
            write_all(descriptor, data)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.size += len(data)
        self._digest.update(data)


def _joined(lines: list[str]) -> bytes:
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
