"""What goes through the pipes between a process and the child that it started itself: never to a file, never from one.

A network that was written in a notebook has no module that the child could import, so its code travels along.
"""

import io
import linecache
import os
import struct
from collections import ChainMap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, BinaryIO, ClassVar

import cloudpickle

from nnlab.core.registry import Entry, Registry

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, eq=False)
class Parcel:
    """All that the child needs. work: gets view and controls, gives a Run. threads: of torch. entries: of registries,
    those that the user made; sources: lines of code that are in no file, for messages of errors."""

    work: Callable[..., Any]
    threads: int
    entries: tuple[tuple[str, str, Entry], ...] = ()
    sources: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """A word to the controls of the run: a method of theirs and what it gets."""

    method: str
    given: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Ended:
    """The last word of the child: the run, or the error that it ended with."""

    run: Any = None
    error: BaseException | None = None


def _named(code: CodeType) -> Any:
    make, given = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return make, tuple(code.co_filename if value == "<dynamic-code>" else value for value in given)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """cloudpickle leaves out the names of files, without which no error could quote the line where it happened."""

    dispatch_table: ClassVar[Any] = ChainMap({CodeType: _named}, cloudpickle.Pickler.dispatch_table)


def packed(value: Any) -> bytes:
    """A value as one frame."""
    room = io.BytesIO()
    _Packer(room).dump(value)
    data = room.getvalue()
    return LENGTH.pack(len(data)) + data


def frames(pipe: BinaryIO) -> Iterator[bytes]:
    """The frames that come, until the other side is gone."""
    while len(head := pipe.read(LENGTH.size)) == LENGTH.size:
        size = LENGTH.unpack(head)[0]
        data = pipe.read(size)
        if len(data) < size:
            return
        yield data


def unpacked(data: bytes) -> Any:
    """The value of a frame."""
    return cloudpickle.loads(data)


def registries() -> dict[str, Registry]:
    """Every registry that a spec chooses from, by the name of its field or parameter."""
    from nnlab.core.own import KINDS
    from nnlab.core.params import params_of
    from nnlab.core.spec import TrainSpec

    found = dict(KINDS)
    for name, param in params_of(TrainSpec).items():
        if isinstance(param.domain, Registry):
            found[name] = param.domain
            found |= {inner: one.domain for inner, one in param.domain.nested.items()}
    return found


def own_entries() -> tuple[tuple[str, str, Entry], ...]:
    """What the user has registered in this process: registry, name, entry."""
    return tuple(
        (kind, name, entry)
        for kind, registry in registries().items()
        for name, entry in registry.items()
        if "code" in entry.facts or not str(getattr(entry.make, "__module__", "nnlab")).startswith("nnlab.")
    )


def put_entries(entries: tuple[tuple[str, str, Entry], ...]) -> None:
    """Register them here."""
    known = registries()
    for kind, name, entry in entries:
        known[kind][name] = entry


def sources() -> dict[str, Any]:
    """The code of cells."""
    return {name: entry for name, entry in linecache.cache.items() if len(entry) > 1 and not os.path.exists(name)}
