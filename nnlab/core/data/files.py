"""CSV, TSV and Parquet files, packed or not, as frames."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nnlab.core.data.columns import MISSING
from nnlab.core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")
TEXT = {".csv": None, ".txt": None, ".tsv": "\t", ".tab": "\t"}
HEAD = 1 << 16  # characters that decide separator and decimal point
NEEDS_ARROW = 'reading {} needs pyarrow: pip install "nnlab[data]"'


def read_file(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The frame or Arrow table in a file, and what had to be assumed; DataError where it cannot be read."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in UNPACK]
    kind = suffixes[-1] if suffixes else ""
    if not path.exists():
        raise DataError(f"no file {str(path)!r}{_sibling(path)}")
    if path.is_dir() or kind not in (*PARQUET, *TEXT):
        raise DataError(f"{str(path)!r} cannot be read as a table; expected .csv, .tsv, .txt or .parquet, also .gz")
    try:
        return (_read_parquet(path), ()) if kind in PARQUET else _read_text(path, TEXT[kind])
    except DataError:
        raise
    except Exception as error:  # each reader has errors of its own; a broken file must not show their tracebacks
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        if type(error).__name__.startswith("Parser"):  # of pandas, in words about its own options
            found = re.search(r"line (\d+)", reason)
            reason = f"{f'line {found[1]}' if found else 'a line'} has more cells than the line of column names"
        raise DataError(f"{str(path)!r} cannot be read: {reason}") from None


def _sibling(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {str(path.parent)!r} is not there"
    return did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.is_file()])


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise DataError(f"{str(path)!r} holds {len(names)} files; unpack it and name the one to read")
    return io.BytesIO(archive.read(names[0]))


def _open_zstd(path: Path) -> IO[bytes]:
    try:
        import pyarrow
    except ImportError:
        raise DataError(NEEDS_ARROW.format(".zst")) from None
    return pyarrow.input_stream(str(path), compression="zstd")


UNPACK: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _open_zip,
    ".zst": _open_zstd,
}


def _open_plain(path: Path) -> IO[bytes]:
    return open(path, "rb")


def _open(path: Path) -> Any:
    return UNPACK.get(path.suffix.lower(), _open_plain)(path)


def _read_parquet(path: Path) -> Any:
    try:
        from pyarrow.parquet import read_table
    except ImportError:
        raise DataError(NEEDS_ARROW.format("Parquet")) from None
    if path.suffix.lower() not in UNPACK:
        return read_table(path)
    with _open(path) as opened:
        return read_table(io.BytesIO(opened.read()))


def _read_text(path: Path, separator: str | None) -> tuple["pd.DataFrame", tuple[str, ...]]:
    with _open(path) as opened:
        wide = opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            with io.TextIOWrapper(_open(path), encoding=encoding, newline="") as opened:
                head = opened.read(HEAD)
            frame = _parse(path, encoding, head, separator or sniff(head))
        except UnicodeDecodeError:
            continue
        odd = encoding == "cp1252"
        return frame, (f"{path.name} is not UTF-8 and was read as Windows-1252",) if odd else ()
    raise DataError(f"{str(path)!r} is neither UTF-8 nor Windows-1252 text; save it as UTF-8")


def _parse(path: Path, encoding: str, head: str, separator: str) -> "pd.DataFrame":
    import pandas as pd

    _check_header(path, head, separator)
    words = {spelled for word in MISSING for spelled in (word, word.upper(), word.title())} | {"NaN", "NaT"}
    with _open(path) as opened, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop the cells that are too many
        frame = pd.read_csv(
            opened,
            sep=separator,
            decimal=_decimal(head, separator),
            encoding=encoding,
            index_col=False,
            skipinitialspace=True,
            na_values=sorted(words),
            keep_default_na=False,
            low_memory=False,
        )
    frame.columns = frame.columns.astype(str).str.strip()
    return frame


def _check_header(path: Path, head: str, separator: str) -> None:
    """pandas would rename equal names in silence."""
    names = [name.strip() for name in next(csv.reader(io.StringIO(head), delimiter=separator), [])]
    if not names:
        raise DataError(f"{str(path)!r} is empty; expected a line of column names and rows below it")
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise DataError(
            f"{path.name} has several columns of the same name: {', '.join(map(repr, twice[:5]))}; "
            "rename them, or write a first line of column names if there is none"
        )


def _decimal(head: str, separator: str) -> str:
    """',' where semicolons part the cells and numbers are written 1,5."""
    comma = re.search(r"(^|;)\s*-?\d+,\d+\s*(;|$)", head, re.MULTILINE)
    point = re.search(r"(^|;)\s*-?\d+\.\d+\s*(;|$)", head, re.MULTILINE)
    return "," if separator == ";" and comma and not point else "."


def sniff(head: str) -> str:
    """The separator of a CSV by its first lines: the one that parts all of them into the same, largest number of cells.

    >>> sniff("a;b;c\\n1,5;2;x\\n")
    ';'
    """
    lines = [line for line in head.splitlines()[:21] if line.strip()]
    best, most = ",", 1
    for separator in (",", ";", "\t", "|"):
        widths = {len(row) for row in csv.reader(lines[:-1] or lines, delimiter=separator, skipinitialspace=True)}
        if len(widths) == 1 and max(widths) > most:
            best, most = separator, max(widths)
    return best
