"""Calls as programs: what lies between two calls that are torch's own is one call."""

import ctypes
from collections.abc import Sequence

from nnlab.core.learners.stack.compiled.library import library
from nnlab.core.learners.stack.compiled.ops import BY_NUMBER, CODES, NUMBER, Op, Unknown, translated
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
    """Operations in one call. kept: the calls that they stand for, which hold the memory."""

    def __init__(self, found: ctypes.CDLL, ops: Sequence[Op], kept: Sequence[Call]) -> None:
        self.ops = grouped(ops)
        self._kept = kept
        self._made = (Op * len(self.ops))(*self.ops)
        self._run, self._count = found.run, len(self.ops)
        self._at = ctypes.addressof(self._made)

    def __call__(self) -> None:
        self._run(self._at, self._count)


def grouped(ops: Sequence[Op]) -> list[Op]:
    """The same operations; of each group that is done tile by tile the first tells how many they are."""
    groups: list[list[Op]] = []
    for op in ops:
        if not (groups and op.code <= BY_NUMBER and _joins(groups[-1], op)):
            groups.append([op])
            continue
        groups[-1].append(op)
    for group in groups:
        group[0].length = len(group)
    return [op for group in groups for op in group]


def _joins(group: list[Op], op: Op) -> bool:
    """Whether an operation may be done tile by tile with those before it; brings their dims to one form."""
    first = group[0]
    if first.code > BY_NUMBER or (op.n[1] == 1 and SUM_WIDTH in (first.code, op.code)):  # a long row is done in pieces
        return False
    if list(first.n) != list(op.n):
        # numbers in one row, which is any form of as many
        if not _reshaped([op], first) and not _reshaped(group, op):
            return False
    return all(_apart(op, other) for other in group)


def _reshaped(ops: Sequence[Op], like: Op) -> bool:
    k, rows, width = like.n
    if any(op.code >= SUM_ROWS or list(op.n) != [1, 1, k * rows * width] for op in ops):
        return False
    for op in ops:
        op.n[:] = like.n
        for at in range(4):
            if op.s[at][2]:
                op.s[at][:] = [rows * width, width, 1]
    return True


def _apart(op: Op, other: Op) -> bool:
    """Whether each of two operations touches what the other writes only at the same place, or not at all."""
    pairs = [(op, 0, other, at) for at in range(4)] + [(other, 0, op, at) for at in range(1, 4)]
    return all(_same(*pair) or not _overlap(*pair) for pair in pairs)


def _same(op: Op, at: int, other: Op, there: int) -> bool:
    summed = any(which.code >= SUM_ROWS and place == 0 for which, place in ((op, at), (other, there)))
    strides = [own for size, *own in zip(op.n, op.s[at], other.s[there], strict=True) if size > 1]
    return op.p[at] == other.p[there] and all(a == b for a, b in strides) and not summed


def _overlap(op: Op, at: int, other: Op, there: int) -> bool:
    if not op.p[at] or not other.p[there]:
        return False
    return op.p[at] < _end(other, there) and other.p[there] < _end(op, at)


def _end(op: Op, at: int) -> int:
    return op.p[at] + NUMBER * (1 + sum((n - 1) * s for n, s in zip(op.n, op.s[at], strict=True)))
