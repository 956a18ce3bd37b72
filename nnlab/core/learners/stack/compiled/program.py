"""Calls as programs: what lies between two calls that are torch's own is one call."""

import ctypes
from collections.abc import Sequence

from nnlab.core.learners.stack.compiled.library import library
from nnlab.core.learners.stack.compiled.ops import BY_NUMBER, CODES, Op, Unknown, translated
from nnlab.core.learners.stack.products import Call

SUM_ROWS, SUM_WIDTH = CODES["SUM_ROWS"], CODES["SUM_WIDTH"]


def compiled(calls: Sequence[Call]) -> list[Call]:
    """Calls that do the same, fewer of them; the same calls where nothing can be compiled."""
    found = library()
    if found is None:
        return list(calls)
    made: list[Call] = []
    kept: list[Call] = []
    ops: list[Op] = []
    for call in calls:
        try:
            new = translated(call)
        except Unknown:
            if ops:
                made.append(Program(found, ops, kept))
                ops, kept = [], []
            made.append(call)
        else:
            ops += new
            kept.append(call)
    if ops:
        made.append(Program(found, ops, kept))
    return made


class Program:
    """Operations in one call. kept: the calls that they stand for, which hold the memory. place: address and number."""

    def __init__(self, found: ctypes.CDLL, ops: Sequence[Op], kept: Sequence[Call]) -> None:
        self.groups = grouped(ops)
        packed = [op.packed(len(group)) for group in self.groups for op in group]
        self._memory = ctypes.create_string_buffer(b"".join(packed))
        self.place = (ctypes.addressof(self._memory), len(packed))
        self._run, self._kept = found.run, kept

    def __call__(self) -> None:
        self._run(*self.place)


def grouped(ops: Sequence[Op]) -> list[list[Op]]:
    """The same operations, those together that are done tile by tile."""
    groups: list[list[Op]] = []
    for op in ops:
        if groups and _joins(groups[-1], op):
            groups[-1].append(op)
        else:
            groups.append([op])
    return groups


def _joins(group: list[Op], op: Op) -> bool:
    """Whether an operation may be done tile by tile with those before it; brings their dims to one form."""
    first = group[0]
    if op.code > BY_NUMBER or first.code > BY_NUMBER:
        return False
    if op.dims[1] == 1 and SUM_WIDTH in (first.code, op.code):  # a long row is done in pieces
        return False
    if first.dims != op.dims and not (_reshaped([op], first) or _reshaped(group, op)):
        return False
    return all(_apart(op, other) for other in group)


def _reshaped(ops: Sequence[Op], like: Op) -> bool:
    """Give numbers in one row, which is any form of as many, the dims of another operation; whether that is so."""
    k, rows, width = like.dims
    if any(op.code >= SUM_ROWS or op.dims != [1, 1, k * rows * width] for op in ops):
        return False
    for op in ops:
        op.dims = like.dims
        op.strides = [[rows * width, width, 1] if own[2] else own for own in op.strides]
    return True


def _apart(op: Op, other: Op) -> bool:
    """Whether each of two operations touches what the other writes only at the same place, or not at all."""
    mine, theirs = op.ends(), other.ends()
    pairs = [(0, at) for at in range(len(theirs))] + [(at, 0) for at in range(1, len(mine))]
    return all(mine[a] <= other.places[b] or theirs[b] <= op.places[a] or _same(op, a, other, b) for a, b in pairs)


def _same(op: Op, at: int, other: Op, there: int) -> bool:
    if any(place == 0 and one.code >= SUM_ROWS for one, place in ((op, at), (other, there))):
        return False  # a sum is there when all rows are done
    strides = zip(op.dims, op.strides[at], other.strides[there], strict=True)
    return op.places[at] == other.places[there] and all(a == b for size, a, b in strides if size > 1)
