"""Columns and matrices in files of the folder for temporary files, mapped only while they are looked at.

The folder is the one that the environment names (TMPDIR); files of columns go when the column does, those of matrices
have no name and go with the last array that looks at them.
"""

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from nnlab.core.data.columns import NO_LEVELS, Column
from nnlab.core.data.sources import size_text
from nnlab.core.errors import DataError

if TYPE_CHECKING:
    from nnlab.core.data.features import Feature

ZEROS = 1 << 20  # bytes written at a time where the system cannot reserve them
STORED: dict[str, str] = {"bool": "int8", "text": "int32", "date": "datetime64[us]"}
Kind = Literal["number", "bool", "text", "date"]


class Filed:
    """An array (rows,) in a file, mapped anew for each look at it; the file goes when the object does."""

    def __init__(self, path: Path, dtype: np.dtype, rows: int) -> None:
        self._path, self._dtype, self._rows = path, dtype, rows
        weakref.finalize(self, path.unlink, missing_ok=True)

    def mapped(self) -> np.ndarray:
        """The whole array, read-only; MemoryError where there is no room for it in the process's addresses."""
        if not self._rows:
            return np.empty(0, self._dtype)
        try:
            return np.memmap(self._path, self._dtype, "r", shape=(self._rows,))
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            raise MemoryError(f"{size_text(self._rows * self._dtype.itemsize)} cannot be mapped") from None

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return np.asarray(self.mapped()[rows])


class SpooledColumn(Column):
    """A column whose data are in a file; each look at `data` maps them anew."""

    def __init__(self, name: str, kind: Kind, levels: np.ndarray, filed: Filed, aware: bool | None = None) -> None:
        fields = {"name": name, "kind": kind, "levels": levels, "filed": filed, "aware": aware}
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    filed: Filed

    @property
    def data(self) -> np.ndarray:
        return self.filed.mapped()


@dataclass(frozen=True, eq=False)
class Texts:
    """The cells of a spooled column of free text. table: its levels, then "" for missing ones."""

    column: Column
    table: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.table[self.column.data[rows]]


class Spool:
    """The place of a table that is larger than memory. Used in a `with`, behind which no column can be read."""

    def __init__(self) -> None:
        self._made = 0

    def __enter__(self) -> "Spool":
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="nnlab-", ignore_cleanup_errors=True)
        except OSError as error:
            raise DataError(f"no folder for temporary files can be made: {error}; TMPDIR names another") from None
        self.folder = Path(self._folder.name)
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def new_path(self) -> Path:
        """A file that is not there yet."""
        self._made += 1
        return self.folder / str(self._made)

    def append(self, path: Path, data: np.ndarray) -> None:
        """Write an array to the end of a file; DataError where the disk is full."""
        raw = np.ascontiguousarray(data).view(np.uint8)
        with full_disk(self.folder, raw.nbytes), open(path, "ab") as opened:
            opened.write(raw.data)

    def filed(self, data: np.ndarray) -> Filed:
        """An array (rows,) in a file of its own."""
        path = self.new_path()
        self.append(path, data)
        return Filed(path, data.dtype, len(data))

    def keep(self, column: Column) -> Column:
        """The column in a file; one that is in a file stays where it is."""
        if isinstance(column, SpooledColumn):
            return column
        return SpooledColumn(column.name, column.kind, column.levels, self.filed(column.data), column.aware)

    def values(self, feature: "Feature", column: Column) -> Any:
        """What the feature's `values` gives, in a file; numbers and dates are where the column has them."""
        from nnlab.core.data.free_text import FreeText

        if isinstance(feature, FreeText):
            return Texts(column, np.append(column.levels, ""))
        if isinstance(column, SpooledColumn) and column.kind in ("number", "date"):
            return column.filed
        return self.filed(feature.values(column)[0])

    def hold(self, feature: "Feature", column: Column, values: np.ndarray) -> Any:
        """The same, of values that were made already."""
        from nnlab.core.data.free_text import FreeText

        if isinstance(feature, FreeText):
            return Texts(column, np.append(column.levels, ""))
        return self.filed(values)

    def zeros(self, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """A matrix of zeros, mapped; DataError where the disk has not so much room."""
        size = dtype.itemsize * shape[0] * shape[1]
        if not size:
            return np.zeros(shape, dtype)
        check_room(self.folder, size)
        with full_disk(self.folder, size), tempfile.TemporaryFile(dir=self.folder.parent, prefix="nnlab-") as opened:
            _reserve(opened, size)
            try:
                return np.memmap(opened, dtype, "r+", shape=shape)
            except OSError as error:
                if error.errno != errno.ENOMEM:
                    raise
        raise MemoryError(f"a matrix of {shape[0]:,} x {shape[1]:,} ({size_text(size)}) cannot be mapped")


def _reserve(opened: IO[bytes], size: int) -> None:
    """Room on the disk for the whole file: a write into a map of a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(opened.fileno(), 0, size)
        return
    for low in range(0, size, ZEROS):
        opened.write(bytes(min(ZEROS, size - low)))
    opened.flush()


def check_room(folder: Path, size: int) -> None:
    """DataError where the disk of a folder has less room than so many bytes."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(_no_room(folder, size, free))


@contextmanager
def full_disk(folder: Path, size: int) -> Iterator[None]:
    """Inside, a full disk is a DataError. size: bytes that are written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DataError(_no_room(folder, size, shutil.disk_usage(folder).free)) from None


def _no_room(folder: Path, size: int, free: int) -> str:
    return (
        f"the disk of {str(folder.parent)!r} is full: {size_text(size)} are needed and {size_text(free)} are free; "
        "make room, or set TMPDIR to a folder on another disk"
    )


@dataclass(frozen=True)
class Stretch:
    """The rows that one batch gave. empty: not one cell has a value, so the kind is not known."""

    kind: Kind
    dtype: np.dtype
    rows: int
    empty: bool


class Growing:
    """A column that grows by batches, in a file of its own, with one growing dictionary of levels."""

    def __init__(self, name: str, spool: Spool) -> None:
        self.name = name
        self.stretches: list[Stretch] = []
        self._spool, self._path = spool, spool.new_path()
        self._levels: dict[str, int] = {}
        self._aware: bool | None = None
        self._fixed: np.ndarray = NO_LEVELS  # the levels of a bool column, whose codes are the same in all batches

    def add(self, column: Column) -> None:
        """The rows of the next batch."""
        data = column.data
        empty = column.kind == "number" and data.dtype.kind == "f" and bool(np.isnan(data).all())
        if column.kind == "text":
            codes = [self._levels.setdefault(level, len(self._levels)) for level in column.levels]
            data = np.array([*codes, -1], np.int32)[data]  # code -1 reads the last entry
        elif column.kind == "bool":
            self._fixed = column.levels
        elif column.kind == "date":
            self._aware = column.aware
        self._spool.append(self._path, data)
        self.stretches.append(Stretch(column.kind, data.dtype, len(data), empty))

    @property
    def kinds(self) -> set[str]:
        """The kinds of the batches that have a value."""
        return {stretch.kind for stretch in self.stretches if not stretch.empty}

    @property
    def levels(self) -> np.ndarray:
        """The levels so far, in the order of their first cells."""
        return np.array(list(self._levels), object) if self._levels else self._fixed

    def column(self) -> SpooledColumn:
        """The whole column. All batches that have a value must be of one kind."""
        (kind,) = self.kinds or {"number"}
        rows = sum(stretch.rows for stretch in self.stretches)
        dtype = np.dtype(STORED[kind]) if kind in STORED else np.result_type(*(s.dtype for s in self.stretches))
        if any(stretch.dtype != dtype for stretch in self.stretches):
            self._rewrite(kind, dtype)
        filed = Filed(self._path, dtype, rows)
        own = (self.levels, filed, self._aware)
        return SpooledColumn(self.name, kind, *own)  # type: ignore[arg-type]  # kinds are those of columns

    def _rewrite(self, kind: str, dtype: np.dtype) -> None:
        """The file anew, all stretches of one type and empty ones as missing cells."""
        old, self._path = self._path, self._spool.new_path()
        missing = np.array("NaT" if kind == "date" else -1).astype(dtype)
        with open(old, "rb") as opened:
            for stretch in self.stretches:
                data = np.fromfile(opened, stretch.dtype, stretch.rows)
                if stretch.empty and kind != "number":
                    data = np.full(stretch.rows, missing)
                self._spool.append(self._path, data.astype(dtype))
        old.unlink()

    def discard(self) -> None:
        """Remove what no column was made of."""
        self._path.unlink()
