"""The user's variables by what they are, told from their type's name, so that no heavy library is imported to ask."""

import bz2
import contextlib
import csv
import difflib
import gzip
import json
import lzma
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from nnlab.core import own
from nnlab.core.data.sheets import split_sheet
from nnlab.core.errors import SpecError
from nnlab.core.params import split_list
from nnlab.magics.scan import Word, is_users, not_a_variable, on_one_line, value_of, with_article

FRAMES = {
    ("pandas", "DataFrame"),
    ("polars", "DataFrame"),
    ("polars", "LazyFrame"),
    ("pyarrow", "Table"),
}
TEXTS = (".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
COLUMNS = (("numpy", "ndarray"), ("pandas", "Series"), ("polars", "Series"))
EXCEL = ".xlsx"
BINARY = (".parquet", ".pq", ".arrow", ".feather", ".ipc", EXCEL)
SUFFIXES = (*TEXTS, *BINARY, *(kind + packed for kind in (*TEXTS, *BINARY) for packed in PACKED))
TABLE = re.compile(r"sqlite:///.+::\s*[^\W\d]\w*\s*", re.IGNORECASE)  # a query could take long
SOURCE = re.compile(r"sklearn:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
IDENTIFIER = re.compile(r"[^\W\d]\w*")
LONGEST = 1_000_000  # bytes or characters of a first line
LARGEST_BOOK = 2_000_000  # bytes of a workbook that Tab waits for
NEAR = 0.7  # similarity of two names that may be one misspelt; 0.8 is df and dff
EXPRESSION = re.compile(r"([^\W\d]\w*)\s*[.(\[].*|[(\[].*", re.DOTALL)
PAIR = re.compile(r"([^\W\d]\w*)\s*,\s*([^\W\d]\w*)")


def is_a(value: Any, *names: tuple[str, str]) -> bool:
    """Whether the type of value, or one it comes from, is (package, name)."""
    return any((kind.__module__.partition(".")[0], kind.__qualname__) in names for kind in type(value).__mro__)


def is_frame(value: Any) -> bool:
    """Whether it is a table."""
    return is_a(value, *FRAMES)


def is_array(value: Any) -> bool:
    """Whether it can be one half of X,y."""
    return is_frame(value) or is_sparse(value) or is_a(value, *COLUMNS)


def is_sparse(value: Any) -> bool:
    """Whether it is a scipy sparse matrix or array."""
    return any(kind.__module__.startswith("scipy.sparse") for kind in type(value).__mro__)


def is_prepared(value: Any) -> bool:
    """Whether %nn_preprocess made it."""
    return is_a(value, ("nnlab", "Prepared"))


def is_start(value: Any) -> bool:
    """Whether a run can start from its spec."""
    return is_a(value, ("nnlab", "TrainSpec"), ("nnlab", "Run"), ("nnlab", "Study"))


def is_network(value: Any) -> bool:
    """Whether it is, or makes, a network of the user's own."""
    return is_a(value, ("torch", "Module")) or (isinstance(value, type) and is_a_class_of_module(value))


def is_network_or_maker(value: Any) -> bool:
    """Whether --model can be given it: a network or a function."""
    return is_network(value) or (isinstance(value, FunctionType) and value.__name__ not in ("open", "get_ipython"))


def is_a_class_of_module(kind: type) -> bool:
    """Whether a class is a torch.nn.Module."""
    return any(base.__module__.partition(".")[0] == "torch" and base.__qualname__ == "Module" for base in kind.__mro__)


def described(value: Any) -> str:
    """What a value is, in words: DataFrame 120 x 4."""
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    if isinstance(value, type):
        return f"class {name}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and all(isinstance(size, int) for size in shape):
        return f"{name} {' x '.join(f'{size:,}' for size in shape)}"
    return name


def visible(names: Mapping[str, Any], test: Callable[[Any], bool]) -> list[str]:
    """The variables that pass test, IPython's own (_, Out, ...) left out."""
    found = []
    for name, value in list(names.items()):
        if not name.startswith("_") and name not in ("In", "Out", "exit", "quit") and test(value):
            found.append(name)
    return found


def variable(name: str, names: Mapping[str, Any], test: Callable[[Any], bool], wanted: str, hint: str) -> Any:
    """The variable of that name if it passes test; SpecError that says what there is and which line makes one.

    wanted: what is needed, in words; hint: the line that gets it.
    """
    if name not in names:
        raise SpecError(f"no variable {name!r}{_near(name, names, test) or _there(names, test, wanted, hint)}")
    value = names[name]
    if not test(value):
        raise SpecError(
            f"{name!r} is {with_article(described(value))}; needed is {wanted}{_there(names, test, wanted, hint)}"
        )
    return value


def _near(name: str, names: Mapping[str, Any], test: Callable[[Any], bool]) -> str:
    users = [known for known, value in list(names.items()) if is_users(known, value)]
    near = [
        match for known in (visible(names, test), users) for match in difflib.get_close_matches(name, known, 1, NEAR)
    ]
    return f"; did you mean {near[0]!r} ({described(names[near[0]])})?" if near else ""


def _there(names: Mapping[str, Any], test: Callable[[Any], bool], wanted: str, hint: str) -> str:
    there = visible(names, test)
    return f"; there are {', '.join(there[-5:])}" if there else f"\n  get {wanted} with:  {hint}"


def prepared(word: Word | None, names: Mapping[str, Any], verb: str) -> Any:
    """The Prepared that a word names."""
    hint = "data = %nn_preprocess df --target ..."
    if word is None:
        there = visible(names, is_prepared)
        example = f"  %{verb} {there[-1]}" if there else f"  {hint}"
        raise SpecError(f"%{verb} needs prepared data:{example}")
    value = value_of(word, names)
    if not isinstance(value, str):
        return variable(word.text, {word.text: value}, is_prepared, "prepared data", hint)
    _refuse_expression(word, names, verb)
    return variable(value, names, is_prepared, "prepared data", hint)


def frame(word: Word | None, names: Mapping[str, Any]) -> Any:
    """What %nn_preprocess shall prepare: a table, a path, or the pair of X,y; words in quotes are paths."""
    hint = "df = pandas.read_csv(...)"
    if word is None:
        there = visible(names, is_frame)
        example = f"%nn_preprocess {there[-1]} --target ..." if there else f"{hint}, or give a file path"
        raise SpecError(f"%nn_preprocess needs a table:  {example}")
    value = value_of(word, names)
    if not isinstance(value, str):
        return variable(word.text, {word.text: value}, _is_table, "a table", hint)
    if pair := None if word.quoted else PAIR.fullmatch(value):
        wanted = "an array or a table"
        return tuple(variable(name, names, is_array, wanted, "X, y = ...") for name in pair.groups())
    if SOURCE.match(value):
        return value
    file, _ = split_sheet(value)
    if not file.lower().endswith(SUFFIXES) and not os.path.exists(value):
        _refuse_expression(word, names, "nn_preprocess")
    if word.quoted or not IDENTIFIER.fullmatch(value) or (value not in names and os.path.exists(value)):
        return value
    return variable(value, names, _is_table, "a table", hint)


def frame_of(data: Any, word: Any, names: Mapping[str, Any]) -> Any:
    """The table that data was prepared from: what the word names, else the variable of its name; None if there is none
    or its file can be read again."""
    if isinstance(word, str) and (word.lower().endswith(SUFFIXES) or SOURCE.match(word)):
        return word
    if isinstance(word, str):
        return variable(word, names, _is_table, "a table", "df = pandas.read_csv(...)")
    if word is not None or data.source:
        return word
    held = names.get(data.name)
    return held if is_frame(held) else None


def _refuse_expression(word: Word, names: Mapping[str, Any], verb: str) -> None:
    """SpecError for a piece of Python where a variable is needed."""
    text = "".join(f"{quote}{chunk}{quote}" for chunk, quote in word.chunks)
    match = None if word.chunks[0][1] else EXPRESSION.fullmatch(text)
    if match is None or (match[1] and match[1] not in names):
        return
    if pair := PAIR.fullmatch(text[1:-1].strip()) if not match[1] else None:
        raise SpecError(f"{on_one_line(text)} is Python; write it without brackets:  %{verb} {pair[1]},{pair[2]}")
    raise not_a_variable(text, verb)


def _is_table(value: Any) -> bool:
    return is_frame(value) or hasattr(value, "__fspath__") or isinstance(value, (str, dict))


def register_own(options: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Functions of the user's that --loss and --metrics name take their place among nnlab's own."""
    for kind, register in (("loss", own.loss), ("metrics", own.metric)):
        for word in split_list(options.get(kind, ()), numbers=False):
            known = own.KINDS[kind].get(str(word))
            mine = names.get(word) if isinstance(word, str) else None
            new = known is None or ("code" in known.facts and known.facts.get("function") is not mine)
            if new and callable(mine) and not isinstance(mine, type):
                register(mine, name=str(word))


def is_own_function(value: Any) -> bool:
    """Whether it is a function that the user wrote, which can be a loss or a metric."""
    return isinstance(value, FunctionType) and value.__module__ == "__main__"


def split_columns(items: list[str], known: Collection[str]) -> list[str]:
    """'Name,Ticket' in quotes is two columns where it is not one."""
    found = []
    for item in items:
        pieces = [piece.strip() for piece in item.split(",")]
        found += pieces if item not in known and set(pieces) <= set(known) else [item]
    return found


def columns(word: Word | None, names: Mapping[str, Any]) -> list[str]:
    """The columns of the table that a word names, read from a file's header if it is a path; [] if there are none."""
    if word is None:
        return []
    try:
        value = frame(word, names)
    except SpecError:
        return []
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        return _header(str(value))
    return [str(name) for name in _names_of(value)]


def _names_of(table: Any) -> Iterable[Any]:
    if isinstance(table, dict):
        return table
    if is_a(table, ("polars", "LazyFrame")):  # it warns if it is asked for its columns, and its file may be gone
        with contextlib.suppress(Exception):
            return list(table.collect_schema())
        return ()
    found = getattr(table, "column_names", None) or getattr(table, "columns", None)
    return () if found is None else found


def _header(path: str) -> list[str]:
    """The columns of a file, as far as they can be had at once; of a bundled set, of a table in a SQLite file."""
    if SOURCE.match(path):
        return _of_source(path)
    path, sheet = split_sheet(os.path.expanduser(path))
    kind, packed = _kind(path)
    if packed and kind in BINARY:
        return []
    try:
        if kind in (".parquet", ".pq"):
            from pyarrow.parquet import read_schema

            return list(read_schema(path).names)
        if kind in (".arrow", ".feather", ".ipc"):
            from pyarrow import ipc

            return list(ipc.open_file(path).schema.names)
        if kind == EXCEL:
            return _sheet_header(path, sheet)
        first = _first_line(path, packed)
    except Exception:  # each reader has errors of its own, and Tab is no place for them
        return []
    if kind in (".jsonl", ".ndjson"):
        return _keys(first)
    separator = "\t" if kind in (".tsv", ".tab") else max(",;\t|", key=first.count)
    return next(csv.reader([first], delimiter=separator), [])


def _kind(path: str) -> tuple[str, str]:
    """The suffix that tells the kind of a file, and the one that tells how it is packed or ""."""
    rest, suffix = os.path.splitext(path.lower())
    return (os.path.splitext(rest)[1], suffix) if suffix in PACKED else (suffix, "")


def _first_line(path: str, packed: str) -> str:
    """The first line of a text file; "" for an archive of several files."""
    if packed == ".zip":
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/")]
            if len(inside) != 1:
                return ""
            with archive.open(inside[0]) as member:
                return member.readline(LONGEST).decode("utf-8-sig", "replace")
    if packed == ".zst":
        import pyarrow

        with pyarrow.input_stream(path, compression="zstd") as stream:
            return bytes(stream.read(LONGEST)).partition(b"\n")[0].decode("utf-8-sig", "replace")
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with openers.get(packed, open)(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        return str(file.readline(LONGEST))


def _sheet_header(path: str, sheet: str | None) -> list[str]:
    """The first row of a sheet of a workbook, the first by default."""
    with _workbook(path) as book:
        rows = (book[sheet] if sheet else book.worksheets[0]).iter_rows(max_row=1, values_only=True)
        return [str(name).strip() for name in next(rows, ()) if name is not None]


def sheets(path: str) -> list[str]:
    """The sheets of a workbook; [] where they cannot be had at once."""
    try:
        with _workbook(os.path.expanduser(path)) as book:
            return [str(sheet.title) for sheet in book.worksheets]
    except Exception:  # as in `_header`
        return []


@contextlib.contextmanager
def _workbook(path: str) -> Iterator[Any]:
    """A workbook that is read as far as it is asked for; ValueError for a large one, all texts of which would be."""
    if os.path.getsize(path) > LARGEST_BOOK:
        raise ValueError(path)
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    try:
        yield book
    finally:
        book.close()


def _keys(line: str) -> list[str]:
    try:
        found = json.loads(line)
    except ValueError:
        return []
    return list(found) if isinstance(found, dict) else []


def _of_source(text: str) -> list[str]:
    """The columns of sklearn:name and of a table in a SQLite file; a server is not for Tab."""
    from nnlab.core.data.sources import read_source
    from nnlab.core.errors import DataError

    if not text.lower().startswith("sklearn:") and not TABLE.fullmatch(text):
        return []
    try:
        return [str(name) for name in read_source(text, most=0).frame.columns]
    except DataError:
        return []
