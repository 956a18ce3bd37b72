"""CSV, TSV, JSON lines, Parquet, Arrow, Feather and Excel files, packed or not, as frames.

Rows of a text file that have more cells than its first line are refused, never cut: the DataError counts them and
names the lines of the first three. Those that have fewer are counted in a warning. A first line of nothing but numbers
and missing cells is taken for a row where a later row is made of the same; the columns are then column_1, column_2,
..., and a warning says so.
"""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from nnlab.core.data.columns import MISSING
from nnlab.core.data.ragged import too_short, too_wide
from nnlab.core.data.sheets import choose_sheet, listed, split_sheet
from nnlab.core.errors import DataError, did_you_mean

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
LINES = (".jsonl", ".ndjson")
EXCEL = (".xlsx",)
TEXT = {".csv": None, ".txt": None, ".tsv": "\t", ".tab": "\t"}
EXPECTED = ".csv, .tsv, .txt, .jsonl, .parquet, .arrow, .feather or .xlsx, also packed as .gz or .zst"
HEAD = 1 << 16  # characters that decide separator, decimal point and whether there are names
LONGEST = 1 << 24  # characters of a line that is read to decide this
LONGEST_CELL = (1 << 31) - 1  # the most that fits everywhere
NEEDS_ARROW = 'reading {} needs pyarrow: pip install "nnlab[data]"'
NEEDS_EXCEL = 'reading .xlsx needs openpyxl: pip install "nnlab[excel]"'
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
Found = tuple[Any, tuple[str, ...]]  # a frame or Arrow table, and what had to be assumed


def kind_of(path: Path) -> str:
    """The suffix that tells what a file holds, in lower case, or ''."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in UNPACK]
    return suffixes[-1] if suffixes else ""


def read_file(path: Path, readers: Mapping[str, Callable[[Path], Found]] | None = None) -> Found:
    """The frame or Arrow table in a file, and what had to be assumed; DataError where it cannot be read.

    path: of a workbook also book.xlsx::sheet. readers: by suffix, where others than those of whole files shall read it.
    """
    file, sheet = split_sheet(str(path))
    path, readers = Path(file), readers or READERS
    kind = kind_of(path)
    if not path.exists():
        raise DataError(f"no file {str(path)!r}{sibling(path)}")
    if path.is_dir() or kind not in readers:
        raise DataError(f"{str(path)!r} cannot be read as a table; expected {EXPECTED}")
    try:
        return readers[kind](path) if sheet is None else _read_excel(path, sheet)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # each reader has errors of its own; a broken file must not show their tracebacks
        raise DataError(f"{str(path)!r} cannot be read: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def sibling(path: Path) -> str:
    """What to say about a file that is not there: the nearest name beside it, or that its folder is missing."""
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


def _read_parquet(path: Path) -> Found:
    try:
        from pyarrow.parquet import read_table
    except ImportError:
        raise DataError(NEEDS_ARROW.format("Parquet")) from None
    if path.suffix.lower() not in UNPACK:
        return read_table(path), ()
    with _open(path) as opened:
        return read_table(io.BytesIO(opened.read())), ()


def _read_arrow(path: Path) -> Found:
    """Arrow's file format, which Feather 2 is, and Arrow's stream format, told by their first bytes."""
    try:
        from pyarrow import ipc
    except ImportError:
        raise DataError(NEEDS_ARROW.format("Arrow")) from None
    with _open(path) as opened:
        content = opened.read()
    if content.startswith(b"FEA1"):
        raise DataError(f"{str(path)!r} is a Feather file of version 1; write it anew with version 2")
    reader = ipc.open_file(content) if content.startswith(b"ARROW1") else ipc.open_stream(content)
    return reader.read_all(), ()


def _read_lines(path: Path) -> Found:
    """JSON lines: an object of single values in each line; a key that a line lacks is missing there."""
    import pandas as pd

    with io.TextIOWrapper(_open(path), encoding="utf-8-sig") as opened:
        rows = [_row(path, line, text) for line, text in enumerate(opened, 1) if text.strip()]
    if not rows:
        raise DataError(f"{str(path)!r} is empty; expected a JSON object in each line")
    frame = pd.DataFrame(rows)
    frame.columns = frame.columns.astype(str).str.strip()
    return frame, ()


def _row(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text, object_pairs_hook=_without_twins)
        if not isinstance(row, dict):
            raise DataError(f'it holds a {type(row).__name__}; expected an object such as {{"age": 31}}')
        for key, value in row.items():
            if isinstance(value, dict | list):
                raise DataError(
                    f"{key!r} is {'an object' if isinstance(value, dict) else 'a list'}; expected one value"
                )
    except (ValueError, RecursionError) as error:  # of json, and the DataErrors above
        raise DataError(f"line {line} of {str(path)!r} cannot be read: {first_line(error)}") from None
    return row


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json would keep the last of two equal keys in silence."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise DataError(f"it has the key {twice!r} twice")
    return row


def _read_excel(path: Path, sheet: str | None = None) -> Found:
    """A sheet of a workbook, the first by default; a formula gives the value that it had when it was saved."""
    import pandas as pd

    try:
        import openpyxl  # noqa: F401  pandas would name the package, but not the extra that brings it
    except ImportError:
        raise DataError(NEEDS_EXCEL) from None
    with _open(path) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # openpyxl's, about styles and forms that hold no data
        book = pd.ExcelFile(io.BytesIO(opened.read()), engine="openpyxl")
        sheets = [str(name) for name in book.sheet_names]
        used, notes = choose_sheet(path.name, sheets, sheet)
        first = pd.read_excel(book, sheet_name=used, header=None, nrows=1, dtype=object)
        names = [] if first.empty else [str(name).strip() for name in first.iloc[0].dropna()]
        if not names and len(sheets) > 1:
            raise DataError(f"sheet {used!r} of {str(path)!r} is empty; its sheets are {listed(sheets)}")
        _check_names(path, names)
        frame = pd.read_excel(book, sheet_name=used, na_values=_missing_words(), keep_default_na=False)
    frame.columns = frame.columns.astype(str).str.strip()
    return frame, notes


def _missing_words() -> list[str]:
    return sorted({spelled for word in MISSING for spelled in (word, word.upper(), word.title())} | {"NaN", "NaT"})


def read_text(path: Path, separator: str | None = None, parse: Callable[..., Found] | None = None) -> Found:
    """The cells of a text file in its encoding. parse: of path, encoding, head and separator, instead of `_parse`."""
    with _long_cells():
        return _read_text(path, separator, parse or _parse)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Inside, the parser of the standard library takes cells of any length, as pandas does."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_text(path: Path, separator: str | None, parse: Callable[..., Found]) -> Found:
    with _open(path) as opened:
        wide = opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            with io.TextIOWrapper(_open(path), encoding=encoding, newline="") as opened:
                head = opened.read(HEAD) + "".join(opened.readline(LONGEST) for _ in range(3))  # wide rows, whole
            frame, notes = parse(path, encoding, head, separator or sniff(head))
        except UnicodeDecodeError:
            continue
        odd = (f"{path.name} is not UTF-8 and was read as Windows-1252",) if encoding == "cp1252" else ()
        return frame, (*odd, *notes)
    raise DataError(f"{str(path)!r} is neither UTF-8 nor Windows-1252 text; save it as UTF-8")


def _parse(path: Path, encoding: str, head: str, separator: str) -> Found:
    import pandas as pd

    settings, notes = settings_of(path, encoding, head, separator)
    with parsing(path, settings) as opened:
        frame = pd.read_csv(opened, **settings)
    frame.columns = frame.columns.astype(str).str.strip()
    return frame, notes + (short_rows(path, settings) if frame.iloc[:, -1].isna().any() else ())


def settings_of(path: Path, encoding: str, head: str, separator: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """How pandas.read_csv reads a text file that begins with head, and what had to be assumed."""
    decimal = _decimal(head, separator)
    width = _width_without_names(head, separator, decimal)
    if not width:
        _check_names(path, [name.strip() for name in first_row(head, separator)])
    settings = {
        "sep": separator,
        "decimal": decimal,
        "encoding": encoding,
        "header": None if width else "infer",
        "names": [f"column_{place}" for place in range(1, width + 1)] if width else None,
        "index_col": False,
        "skipinitialspace": True,
        "na_values": _missing_words(),
        "keep_default_na": False,
        "low_memory": False,
    }
    note = f"{path.name} has no line of column names; they are column_1 to column_{width}"
    return settings, (note,) if width else ()


@contextmanager
def parsing(path: Path, settings: Mapping[str, Any]) -> Iterator[Any]:
    """The opened file; what pandas finds wrong with it is a DataError, or a MemoryError where that is the reason."""
    import pandas as pd

    try:
        with _open(path) as opened, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop the cells that are too many
            yield opened
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        if "out of memory" in str(error):
            raise MemoryError(str(error)) from None
        reason = _too_wide(path, settings) or _unclosed(str(error))
        raise DataError(f"{str(path)!r} cannot be read: {reason}") from None


def _width_without_names(head: str, separator: str, decimal: str) -> int:
    """The number of cells of the first line where it is a row, 0 where it names the columns.

    pandas writes 0,1,2,... (after an empty name for the index) over columns that have no names.
    """

    def is_row(cells: list[str]) -> bool:
        plain = [cell.strip().replace(decimal, ".") for cell in cells]
        numbers = [bool(NUMBER.fullmatch(cell)) for cell in plain]
        return any(numbers) and all(n or c.lower() in MISSING for n, c in zip(numbers, plain, strict=True))

    lines = [line for line in head.splitlines()[:21] if line.strip()]
    first, *later = [*csv.reader(lines, delimiter=separator, skipinitialspace=True)] or [[]]
    names = first[1:] if first[:1] == [""] else first if len(first) > 2 else []
    if names and names == [str(place) for place in range(len(names))]:
        return 0
    return len(first) if is_row(first) and any(len(row) == len(first) and is_row(row) for row in later) else 0


def short_rows(path: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A note of the rows of a text file that lack cells, where there are any; to be asked where its last column has
    gaps, as every such row has one there."""
    found = too_short(partial(_opened_text, path, settings), settings["sep"])
    return (f"{path.name}: {found}",) if found else ()


def _too_wide(path: Path, settings: Mapping[str, Any]) -> str:
    with _opened_text(path, settings) as opened:
        return too_wide(opened, settings["sep"])


def _opened_text(path: Path, settings: Mapping[str, Any]) -> IO[str]:
    return io.TextIOWrapper(_open(path), encoding=settings["encoding"], newline="")


def _unclosed(reason: str) -> str:
    return "a quoted cell is never closed" if "EOF inside string" in reason else reason.strip().splitlines()[0]


def _check_names(path: Path, names: list[str]) -> None:
    """pandas would rename equal names in silence."""
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


def first_row(head: str, separator: str) -> list[str]:
    """The cells of the first row that is not blank, [] where there is none; lines may end as on any system."""
    rows = csv.reader(io.StringIO(head, newline=None), delimiter=separator)
    return next((row for row in rows if any(map(str.strip, row))), [])


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


READERS: dict[str, Callable[[Path], Found]] = {
    **dict.fromkeys(PARQUET, _read_parquet),
    **dict.fromkeys(ARROW, _read_arrow),
    **dict.fromkeys(LINES, _read_lines),
    **dict.fromkeys(EXCEL, _read_excel),
    **{suffix: partial(read_text, separator=separator) for suffix, separator in TEXT.items()},
}
