"""Files read in pieces: each batch of rows becomes columns that are appended to files (spool.py).

Every column comes out as `read` and `column_of` give it for the whole file. What a batch cannot know of the others (a
column that is text in a later one keeps the spelling of its numbers) is found by reading those columns once more.
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from nnlab.core.data.columns import Column, column_of, parse_numbers
from nnlab.core.data.files import (
    ARROW,
    NEEDS_ARROW,
    PARQUET,
    TEXT,
    UNPACK,
    Found,
    kind_of,
    parsing,
    read_file,
    read_text,
    settings_of,
)
from nnlab.core.data.read import Table, table_of
from nnlab.core.data.sources import free_memory, is_source, size_text
from nnlab.core.data.spool import Growing, Spool, check_room
from nnlab.core.data.steps import IMPUTERS
from nnlab.core.errors import DataError, SpecError
from nnlab.core.spec import PrepareSpec

KINDS = "CSV, TSV and text files, packed or not, and Parquet and Arrow files that are not packed"
CELLS = 1 << 19  # of a batch
FEWEST, MOST = 1024, 1 << 16  # rows of a batch
BUFFER = 1 << 16  # bytes of a column of a Parquet file that are read at a time
PEAK = 3  # times its own size that a table takes while it is prepared in memory
UNPACKED = 5  # times its size that a packed file has when it is unpacked
ADVICE = "--stream yes reads it in pieces"


def streams(frame: Any, wanted: bool | None) -> bool:
    """Whether to read in pieces; None: a file that, prepared in memory, would take more than is free.

    SpecError where something is to be read in pieces that cannot be.
    """
    path = _path_of(frame)
    if path is None or not _in_pieces(path):
        if wanted:
            what = f"a {type(frame).__name__}" if path is None else repr(str(path))
            raise SpecError(f"stream=on reads {KINDS}; {what} is none of them: write it to such a file, or stream=off")
        return False
    if wanted is not None or not path.is_file():
        return bool(wanted)
    free = free_memory()
    return free is not None and PEAK * _size(path) > free


def _path_of(frame: Any) -> Path | None:
    plain = isinstance(frame, Path) or (isinstance(frame, str) and not is_source(frame))
    return Path(os.path.expanduser(frame)) if plain else None


def _in_pieces(path: Path) -> bool:
    kind = kind_of(path)
    return kind in TEXT or (kind in (*PARQUET, *ARROW) and path.suffix.lower() not in UNPACK)


def _size(path: Path) -> int:
    """Bytes of the table in a file, roughly: 8 a cell of a Parquet file, else those of the text."""
    if kind_of(path) in PARQUET:
        try:
            from pyarrow.parquet import read_metadata

            found = read_metadata(path)
            return int(8 * found.num_rows * found.num_columns)
        except Exception:  # a broken file or a lost package: the reader says it
            return 0
    return path.stat().st_size * (UNPACKED if path.suffix.lower() in UNPACK else 1)


def read_in_pieces(frame: Any, spool: Spool, told: bool) -> Table:
    """The table of a file, its columns in files of the spool. told: the user asked for it; else a warning says so."""
    path = _path_of(frame)
    assert path is not None
    columns, notes = read_file(path, {kind: partial(read, spool=spool) for kind, read in READERS.items()})
    rows = len(next(iter(columns.values())).data) if columns else 0
    if not told:
        size = size_text(_size(path))
        notes = (
            *notes,
            f"{path.name} (about {size}) is read in pieces, for memory is short; --stream off reads it whole",
        )
    return Table(str(frame), columns, rows, warnings=notes)


def held_whole(spec: PrepareSpec) -> list[str]:
    """What is asked for that holds the training rows, or some columns of all rows, in memory."""
    steps = ("cross", "flag", "select", "reduce", "synthesis", "balance")
    found = [f"{step} {part.name}" for step in steps if (part := getattr(spec, step)).name not in ("none", "weights")]
    imputes = [spec.impute, *spec.overrides.get("impute", {}).values()]
    found += [f"impute {part.name}" for part in imputes if IMPUTERS[part.name].facts.get("scope") != "column"]
    texts = [spec.text, *spec.overrides.get("text", {}).values()]
    return list(dict.fromkeys([*found, *(f"text {part.name}" for part in texts if part.name != "drop")]))


@contextmanager
def short_memory(frame: Any, spec: PrepareSpec, streamed: bool) -> Iterator[None]:
    """Inside, a lack of memory is a DataError that says what helps."""
    try:
        yield
    except MemoryError:
        path = _path_of(frame)
        what = f"{str(path)!r}" if path else f"the {type(frame).__name__}"
        if streamed:
            steps = ", ".join(held_whole(spec))
            way = (
                f"leave out {steps}, which do not stream" if steps else "columns of many different texts do not stream"
            )
            raise DataError(f"memory is short, though {what} is read in pieces: {way}") from None
        way = ADVICE if path and _in_pieces(path) else "write it to a Parquet file: " + ADVICE
        raise DataError(f"{what} cannot be prepared in the memory that is free; {way}") from None


def _spooled(batches: Iterable[Any], spool: Spool) -> dict[str, Growing]:
    """Frames or Arrow tables, one after the other."""
    growing: dict[str, Growing] = {}
    for batch in batches:
        found = table_of("the file", batch).columns
        if not growing:
            growing = {name: Growing(name, spool) for name in found}
        for name, series in found.items():
            growing[name].add(column_of(name, series))
    return growing


def _rows_at_once(columns: int) -> int:
    return min(max(CELLS // max(columns, 1), FEWEST), MOST)


def _typed(batches: Iterable[Any], spool: Spool) -> dict[str, Column]:
    """The columns of batches of one Arrow schema."""
    growing = _spooled(batches, spool)
    for name, column in growing.items():
        if len(column.kinds) > 1:
            kinds = " and ".join(sorted(column.kinds))
            raise DataError(f"column {name!r} holds {kinds} in different batches; --stream off reads it whole")
    return {name: column.column() for name, column in growing.items()}


def _read_parquet(path: Path, spool: Spool) -> Found:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(NEEDS_ARROW.format("Parquet")) from None
    with ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as opened:
        schema = opened.schema_arrow
        check_room(spool.folder, _size(path))
        rows = _rows_at_once(len(schema))
        batches = (
            pyarrow.Table.from_batches([batch], schema)
            for batch in opened.iter_batches(rows, use_threads=False)
            if len(batch)
        )
        return _typed(_never_none(batches, schema.empty_table()), spool), ()


def _never_none(batches: Iterator[Any], empty: Any) -> Iterator[Any]:
    """The batches, or an empty one where there are none: it has the names of the columns."""
    first = next(batches, empty)
    yield first
    yield from batches


def _read_arrow(path: Path, spool: Spool) -> Found:
    """Arrow's file format, which Feather 2 is, and Arrow's stream format; a batch of the file must fit into memory."""
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError:
        raise DataError(NEEDS_ARROW.format("Arrow")) from None
    with open(path, "rb") as opened:
        start = opened.read(6)
    if start.startswith(b"FEA1"):
        raise DataError(f"{str(path)!r} is a Feather file of version 1; write it anew with version 2")
    with pyarrow.OSFile(str(path)) as opened:
        filed = start.startswith(b"ARROW1")
        reader = ipc.open_file(opened) if filed else ipc.open_stream(opened)
        whole = (reader.get_batch(i) for i in range(reader.num_record_batches)) if filed else iter(reader)
        step = _rows_at_once(len(reader.schema))
        parts = (batch.slice(low, step) for batch in whole for low in range(0, len(batch), step))
        batches = (pyarrow.Table.from_batches([part], reader.schema) for part in parts)
        return _typed(_never_none(batches, reader.schema.empty_table()), spool), ()


def _read_text(path: Path, spool: Spool, separator: str | None = None) -> Found:
    return read_text(path, separator, partial(_parse, spool=spool))


def _parse(path: Path, encoding: str, head: str, separator: str, spool: Spool) -> Found:
    settings, notes = settings_of(path, encoding, head, separator)
    width = len(next(csv.reader(io.StringIO(head), delimiter=separator), []))
    settings["chunksize"] = _rows_at_once(width)
    growing = _spooled(_chunks(path, settings), spool)
    again = {name: how for name, column in growing.items() if (how := _other_reading(column))}
    _read_again(path, settings, growing, again)
    # Numbers that are too large for 64 bits make text of a batch, but not always of the whole column.
    alone = [name for name, how in again.items() if how == "alone" or (how == "str" and _all_numbers(growing[name]))]
    columns: dict[str, Column] = {name: column.column() for name, column in growing.items() if name not in alone}
    columns |= {name: spool.keep(_whole(path, settings, list(growing).index(name))) for name in alone}
    return {name: columns[name] for name in growing}, notes


def _chunks(path: Path, settings: Mapping[str, Any]) -> Iterator[Any]:
    """Frames, their columns named as in the file without blanks around."""
    import pandas as pd

    with parsing(path, settings) as opened:
        found = pd.read_csv(opened, **settings)
        frames: Iterable[Any] = [found] if isinstance(found, pd.DataFrame) else found
        for frame in frames:
            frame.columns = frame.columns.astype(str).str.strip()
            yield frame


def _other_reading(column: Growing) -> str:
    """How batches that disagree are read again: as str, as float64, or alone and whole; '' where all agree."""
    kinds = column.kinds
    if len(kinds) > 1:
        return "str"
    types = {stretch.dtype.kind for stretch in column.stretches}
    if kinds == {"number"} and len(types) > 1:
        return "alone" if "u" in types else "float64"  # -0 and large whole numbers differ, read as int or as float
    return ""


def _all_numbers(column: Growing) -> bool:
    return bool(len(column.levels)) and not parse_numbers(column.levels)[1].any()


def _read_again(path: Path, settings: Mapping[str, Any], growing: dict[str, Growing], again: dict[str, str]) -> None:
    """The columns whose batches disagree once more, all of one type."""
    wanted = {name: how for name, how in again.items() if how != "alone"}
    if not wanted:
        return
    places = [place for place, name in enumerate(growing) if name in wanted]
    types = {place: str if wanted[name] == "str" else float for place, name in enumerate(growing) if name in wanted}
    for name in wanted:
        growing[name].restart()
    for frame in _chunks(path, {**settings, "usecols": places, "dtype": types}):
        for name in wanted:
            growing[name].add(column_of(name, frame[name]))


def _whole(path: Path, settings: Mapping[str, Any], place: int) -> Column:
    """One column as the reader in memory gives it."""
    (frame,) = _chunks(path, {**settings, "usecols": [place], "chunksize": None})
    return column_of(str(frame.columns[0]), frame.iloc[:, 0])


READERS: dict[str, Callable[..., Found]] = {
    **dict.fromkeys(PARQUET, _read_parquet),
    **dict.fromkeys(ARROW, _read_arrow),
    **{suffix: partial(_read_text, separator=separator) for suffix, separator in TEXT.items()},
}
