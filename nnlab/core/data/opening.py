"""What a fitted pipeline is given, opened: a table in memory, or a file in pieces where memory is short."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnlab.core.data.place import MEMORY, Place
from nnlab.core.data.read import Table, read
from nnlab.core.data.spool import Spool
from nnlab.core.data.streaming import KINDS, called, read_in_pieces, streams
from nnlab.core.errors import DataError


@contextmanager
def opened(frame: Any) -> Iterator[tuple[Table, Place]]:
    """The table of a frame or file, and where what is made of its rows is to be put. DataError where memory is short.

    A file whose table would take more memory than is free is read in pieces: its columns cannot be read afterwards.
    """
    in_pieces = streams(frame, None)
    try:
        if not in_pieces:
            yield read(frame), MEMORY
            return
        with Spool() as spool:
            yield read_in_pieces(frame, spool, told=True), spool
    except MemoryError:
        way = "take fewer rows at a time" if in_pieces else f"give some rows at a time, or a file; in pieces go {KINDS}"
        raise DataError(f"memory is short for {called(frame)}; {way}") from None
