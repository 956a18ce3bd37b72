"""Files read in pieces: each batch of rows becomes columns that are appended to files (spool.py).

Every column comes out as `read` and `column_of` give it for the whole file. What a batch cannot know of the others (a
column that is text in a later one keeps the spelling of its numbers) is found by reading those columns once more.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nnlab.core.data.columns import Column, column_of, parse_numbers
from nnlab.core.data.files import (
    ARROW,
    NEEDS_ARROW,
    PARQUET,
    TEXT,
    UNPACK,
    Found,
    first_row,
    kind_of,
    parsing,
    read_file,
    read_text,
    settings_of,
    short_rows,
)
from nnlab.core.data.read import Table, table_of
from nnlab.core.data.sources import free_memory, is_source, size_text
from nnlab.core.data.spool import Growing, Spool, SpooledColumn, check_room
from nnlab.core.data.steps import IMPUTERS
from nnlab.core.errors import DataError, SpecError
from nnlab.core.spec import PrepareSpec

KINDS = "CSV, TSV and text files, packed or not, and Parquet and Arrow files that are not packed"
CELLS = 1 << 19  # of a batch
FEWEST, MOST = 1024, 1 << 16  # rows of a batch
BUFFER = 1 << 16  # bytes of a column of a Parquet file that are read at a time
PEAK = 5  # times its own size that a table takes while it is prepared in memory: text 3.7 of pages, 5 of addresses
UNPACKED = 5  # times its size that a packed file has when it is unpacked
EXACT = 2**53  # floats hold every whole number up to here
G = TypeVar("G", bound=Growing)
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


def called(frame: Any) -> str:
    """A frame in words: the path of a file, else its type."""
    path = _path_of(frame)
    return f"{str(path)!r}" if path else f"the {type(frame).__name__}"


@contextmanager
def short_memory(frame: Any, spec: PrepareSpec, streamed: bool) -> Iterator[None]:
    """Inside, a lack of memory is a DataError that says what helps."""
    try:
        yield
    except MemoryError:
        path, what = _path_of(frame), called(frame)
        if streamed:
            steps = ", ".join(held_whole(spec))
            way = (
                f"leave out {steps}, which do not stream" if steps else "columns of many different texts do not stream"
            )
            raise DataError(f"memory is short, though {what} is read in pieces: {way}") from None
        way = ADVICE if path and _in_pieces(path) else "write it to a Parquet file: " + ADVICE
        raise DataError(f"{what} cannot be prepared in the memory that is free; {way}") from None


def _spooled(batches: Iterable[Any], start: Callable[[str], G]) -> dict[str, G]:
    """Columns grown by frames or Arrow tables, one after the other. start: makes one, by its name."""
    growing: dict[str, G] = {}
    for batch in batches:
        found = table_of("the file", batch).columns
        if not growing:
            growing = {name: start(name) for name in found}
        for name, series in found.items():
            growing[name].add(column_of(name, series))
    return growing


def _rows_at_once(columns: int) -> int:
    return min(max(CELLS // max(columns, 1), FEWEST), MOST)


def _typed(batches: Iterable[Any], spool: Spool) -> dict[str, Column]:
    """The columns of batches of one Arrow schema."""
    growing = _spooled(batches, partial(Growing, spool=spool))
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


class _FromText(Growing):
    """A column of a text file. pandas reads a column of whole numbers and gaps as int and then makes floats of them,
    which forgets the sign of -0 and rounds otherwise than reading as floats does.

    fractions: a batch was read as floats; maybe: it may have been read either way; delicate: numbers that differ by it.
    """

    fractions = maybe = delicate = False

    def add(self, column: Column) -> None:
        """The rows of the next batch."""
        super().add(column)
        data = column.data
        if column.kind != "number" or self.stretches[-1].empty:
            return
        if data.dtype.kind == "f":
            there = data[~np.isnan(data)]
            if len(there) == len(data) or not np.isfinite(there).all() or (there != np.floor(there)).any():
                self.fractions = True
                return
            self.maybe = True
        self.delicate |= bool(((data == 0) | (data < -EXACT) | (data > EXACT)).any())

    @property
    def other_reading(self) -> str:
        """How it is to be read again: as str, as float64, so and compared, or alone and whole; '': it need not be."""
        if len(self.kinds) > 1:
            return "str"
        if self.kinds != {"number"}:
            return ""
        types = {stretch.dtype.kind for stretch in self.stretches}
        if "u" in types and len(types) > 1:
            return "alone"
        if self.delicate and self.fractions:
            return "float64"
        return "compared" if self.delicate and self.maybe else ""


def _parse(path: Path, encoding: str, head: str, separator: str, spool: Spool) -> Found:
    settings, notes = settings_of(path, encoding, head, separator)
    width = len(first_row(head, separator))
    settings["chunksize"] = _rows_at_once(width)
    large: Counter[str] = Counter()
    growing = _spooled(_watched(_chunks(path, settings), large), partial(_FromText, spool=spool))
    wanted = {name: how for name, column in growing.items() if (how := column.other_reading)}
    wanted |= {name: "alone" for name, batches in large.items() if batches < len(growing[name].stretches)}
    columns: dict[str, Column] = {name: column.column() for name, column in growing.items() if name not in wanted}
    places = {name: place for place, name in enumerate(growing) if name in wanted}
    for name, how in wanted.items():
        if how != "compared":
            growing[name].discard()
    again = _read_again(path, settings, places, wanted, spool)
    for name, how in wanted.items():
        before, found = growing[name], again.get(name)
        # Numbers of 64 bits without a sign beside others make text of a batch, but not always of the whole column.
        if found is None or (how == "str" and _all_numbers(found)) or (how == "compared" and _differ(before, found)):
            columns[name] = spool.keep(_whole(path, settings, places[name]))
        else:
            columns[name] = found
    found_all = {name: columns[name] for name in growing}
    if found_all and found_all[next(reversed(found_all))].missing().any():
        notes = (*notes, *short_rows(path, settings))
    return found_all, notes


def _chunks(path: Path, settings: Mapping[str, Any]) -> Iterator[Any]:
    """Frames, their columns named as in the file without blanks around."""
    import pandas as pd

    with parsing(path, settings) as opened:
        found = pd.read_csv(opened, **settings)
        frames: Iterable[Any] = [found] if isinstance(found, pd.DataFrame) else found
        for frame in frames:
            frame.columns = frame.columns.astype(str).str.strip()
            yield frame


def _watched(frames: Iterable[Any], large: Counter[str]) -> Iterator[Any]:
    """The frames. large: counts those in which a column has whole numbers of more than 64 bits, which are objects."""
    from pandas.api.types import infer_dtype

    for frame in frames:
        objects = (name for name in frame if frame[name].dtype == object)
        large.update(name for name in objects if infer_dtype(frame[name], skipna=True) == "integer")
        yield frame


def _all_numbers(column: Column) -> bool:
    return bool(len(column.levels)) and not parse_numbers(column.levels)[1].any()


def _differ(before: Growing, found: Column) -> bool:
    return not np.array_equal(before.column().data.view(np.int64), found.data.view(np.int64))


def _read_again(
    path: Path, settings: Mapping[str, Any], places: dict[str, int], wanted: dict[str, str], spool: Spool
) -> dict[str, SpooledColumn]:
    """Columns whose batches disagree once more, as one type. places: of the columns in the file."""
    types = {places[name]: str if how == "str" else float for name, how in wanted.items() if how != "alone"}
    if not types:
        return {}
    chunks = _chunks(path, {**settings, "usecols": list(types), "dtype": types})
    growing = _spooled(chunks, partial(Growing, spool=spool))
    return {name: column.column() for name, column in growing.items()}


def _whole(path: Path, settings: Mapping[str, Any], place: int) -> Column:
    """One column as the reader in memory gives it."""
    (frame,) = _chunks(path, {**settings, "usecols": [place], "chunksize": None})
    return column_of(str(frame.columns[0]), frame.iloc[:, 0])


READERS: dict[str, Callable[..., Found]] = {
    **dict.fromkeys(PARQUET, _read_parquet),
    **dict.fromkeys(ARROW, _read_arrow),
    **{suffix: partial(_read_text, separator=separator) for suffix, separator in TEXT.items()},
}
