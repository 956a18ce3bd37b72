"""Parts of the rows that keep groups together, follow time, are written in a column, or take turns as folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nnlab.core.data.split import Split, check_shares, part_sizes, split_rows, stratified_order
from nnlab.core.data.steps.encoders import by_size
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.wording import counted

Array = np.ndarray

TRAIN, VALID, TEST, NOWHERE = 0, 1, 2, -1
PART_OF_WORD = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALID,
    "validation": VALID,
    "val": VALID,
    "dev": VALID,
    "test": TEST,
    "testing": TEST,
    "holdout": TEST,
}
ALWAYS_TRAIN = "-1"  # in a column of folds; so in scikit-learn
SHOWN_WORDS = 5
KINDS = ("random", "stratified", "group", "time")
NEEDS = {"stratified": "classes", "group": "groups", "time": "times"}


@dataclass(frozen=True, eq=False)
class Keys:
    """What rows are parted by, each (rows,) or None: codes of classes and groups (-1: none), times; gap as time_split.

    classes count for the kinds stratified and group.
    """

    classes: Array | None = None
    groups: Array | None = None
    times: Array | None = None
    gap: float = 0.0


def group_split(
    groups: Array, valid: float, test: float, rng: np.random.Generator, classes: Array | None = None
) -> Split:
    """Parts with no group on two sides; a row without a group (-1) is a group of its own.

    Each group goes where it brings rows, and rows of each class where classes (codes) are given, nearest to the
    shares. DataError where there are fewer groups than parts.
    """
    rows = len(groups)
    check_shares(rows, valid, test)
    wanted = part_sizes(rows, valid, test)
    sizes = np.array([rows - wanted.sum(), *wanted])
    used = np.flatnonzero(sizes)
    own = _own_groups(groups)
    _enough_groups(own, len(used), ", ".join(("train", "valid", "test")[part] for part in used))
    return _split(used[_place(own, sizes[used] / rows, rng, classes)])


def time_split(times: Array, valid: float, test: float, gap: float = 0.0) -> Split:
    """The earliest rows for training, then validation, the latest for the test; equal times are on one side.

    times: datetime64 or numbers. Rows at most gap (days for dates, else in units of times) after the last row of the
    part before are left out. DataError for missing times and where a part would be empty.
    """
    rows = len(times)
    check_shares(rows, valid, test)
    _check_times(times, gap)
    wanted = part_sizes(rows, valid, test)
    used = np.flatnonzero([1, *wanted])
    ends = np.cumsum([rows - wanted.sum(), *wanted])[used[:-1]]
    blocks = _stretches(times, ends)
    part = used[blocks]
    for before, after in pairwise(used.tolist()):
        _leave_gap(times, part, gap, (before, after))
    return _split(part)


def column_split(levels: Sequence[object], codes: Array, name: str = "split") -> Split:
    """The parts that a column of words names: train, valid, test or another name for them, in any case.

    levels and codes of the column, -1 for missing; name: what errors call it. A part other than train may be empty.
    """
    _check_filled(codes, name, "one of train, valid, test")
    part_of, unknown = np.full(len(levels), NOWHERE), []
    for code in np.unique(codes):
        part_of[code] = PART_OF_WORD.get(str(levels[code]).strip().lower(), NOWHERE)
        if part_of[code] == NOWHERE:
            unknown.append(str(levels[code]))
    if unknown:
        near = did_you_mean(unknown[0], PART_OF_WORD)
        words = f"{_few_words(unknown)}; known: {', '.join(PART_OF_WORD)}"
        raise DataError(f"column {name!r} has words that name no part: {words}{near}")
    split = _split(part_of[codes])
    if not len(split.train):
        raise DataError(f"column {name!r} names no row for training; write train in the rows to train on")
    if not len(split.valid) and not len(split.test):
        raise DataError(f"column {name!r} has only train in it; write valid or test in some rows")
    return split


def column_folds(levels: Sequence[object], codes: Array, folds: int, name: str = "split") -> tuple[Split, ...]:
    """Splits in which the folds that a column names take turns as validation, numbers by size, then words.

    levels and codes as `column_split` takes them. Rows named test are the test of all splits, rows named train or -1
    are always trained on (PredefinedSplit of scikit-learn). DataError where the other names are not `folds`.
    """
    _check_filled(codes, name, "its fold, train or test")
    words = [str(level).strip() for level in levels]
    parts = np.array([TRAIN if word == ALWAYS_TRAIN else PART_OF_WORD.get(word.lower(), VALID) for word in words])
    names = sorted({words[code] for code in np.unique(codes) if parts[code] == VALID}, key=by_size)
    if len(names) != folds:
        more = f"; --folds {len(names)} takes them" if len(names) > 1 else ""
        raise DataError(
            f"column {name!r} names {counted(len(names), 'fold')} ({_few_words(names)}) and folds={folds}; "
            f"it tells the fold of each row, or train or test{more}"
        )
    number = np.array([names.index(word) if word in names else NOWHERE for word in words])[codes]
    test = parts[codes] == TEST
    return tuple(
        Split(np.flatnonzero(~test & (number != i)), np.flatnonzero(number == i), np.flatnonzero(test))
        for i in range(folds)
    )


def _check_filled(codes: Array, name: str, what: str) -> None:
    if missing := int((codes < 0).sum()):
        raise DataError(f"column {name!r} is empty in {counted(missing, 'row')}; each row needs {what}")


def _few_words(words: Sequence[str]) -> str:
    return ", ".join(repr(word[:40]) for word in words[:SHOWN_WORDS]) + ", ..." * (len(words) > SHOWN_WORDS) or "none"


def fold_splits(
    kind: str, folds: int, rows: int, keys: Keys, test: float, rng: np.random.Generator
) -> tuple[Split, ...]:
    """Splits in which parts of the rows take turns as validation; the test rows, drawn first, are the same in all.

    kind: random, stratified, group, time. Each row outside of the test is validated on once; for time, the rows before
    each stretch of validation are trained on and those after it left out (TimeSeriesSplit of scikit-learn).
    """
    _check_folds(kind, folds, keys)
    check_shares(rows, 0.0, test)
    if kind == "time":
        assert keys.times is not None
        return _time_folds(keys.times, folds, test, keys.gap)
    if kind == "group":
        assert keys.groups is not None
        first = group_split(keys.groups, 0.0, test, rng, keys.classes)
    else:
        first = split_rows(rows, keys.classes if kind == "stratified" else None, 0.0, test, rng)
    if test and not len(first.test):  # every class is too rare to be in both parts
        first = split_rows(rows, None, 0.0, test, rng)
    rest = first.train
    if len(rest) < folds:
        raise DataError(
            f"{counted(len(rest), 'row')} outside of the test cannot make {folds} folds; at most {len(rest)}"
        )
    turn = _turns(kind, folds, _taken(keys, rest), len(rest), rng)
    return tuple(Split(rest[turn != i], rest[turn == i], first.test) for i in range(folds))


def _turns(kind: str, folds: int, keys: Keys, rows: int, rng: np.random.Generator) -> Array:
    """The number of the fold in which each row is validated on."""
    if kind == "group":
        assert keys.groups is not None
        own = _own_groups(keys.groups)
        _enough_groups(own, folds, f"{folds} folds")
        return _place(own, np.full(folds, 1 / folds), rng, keys.classes)
    if kind == "stratified":
        assert keys.classes is not None
        order, _ = stratified_order(keys.classes, 1, rng)  # 1: no class is too rare to be validated on
    else:
        order = rng.permutation(rows)
    turn = np.empty(rows, np.int64)
    turn[order] = np.arange(rows) * folds // rows
    return turn


def _time_folds(times: Array, folds: int, test: float, gap: float) -> tuple[Split, ...]:
    first = time_split(times, 0.0, test, gap)
    rest = first.train
    blocks = _stretches(times[rest], len(rest) * np.arange(1, folds + 1) // (folds + 1))
    splits = []
    for fold in range(1, folds + 1):
        part = np.full(len(times), NOWHERE)
        part[first.test] = TEST
        part[rest[blocks < fold]] = TRAIN
        part[rest[blocks == fold]] = VALID
        _leave_gap(times, part, gap, (TRAIN, VALID))
        splits.append(_split(part))
    return tuple(splits)


def _split(part: Array) -> Split:
    """The Split of a part number for each row."""
    train, valid, test, left_out = (np.flatnonzero(part == number) for number in (TRAIN, VALID, TEST, NOWHERE))
    return Split(train, valid, test, left_out=left_out)


def _own_groups(groups: Array) -> Array:
    """Codes from 0 without holes, a new one for each row without a group."""
    missing = groups < 0
    codes = np.where(missing, groups.max(initial=-1) + np.cumsum(missing), groups)
    return np.unique(codes, return_inverse=True)[1]


def _enough_groups(groups: Array, parts: int, what: str) -> None:
    found = int(groups.max(initial=-1)) + 1
    if found < parts:
        raise DataError(f"{found} groups cannot fill {what}; at least {parts} groups are needed, or fewer parts")


def _place(groups: Array, shares: Array, rng: np.random.Generator, classes: Array | None) -> Array:
    """The part of each row: groups from large to small, each into the part whose misfit it lessens most.

    Misfit: chi-square distance of the rows of each class and of all rows from shares of them, all rows weighing as
    much as all classes. Groups of about one size (within a factor of two) come in random order. No part stays empty.
    """
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-np.frexp(sizes[order])[1], kind="stable")]
    kinds = np.zeros(len(groups), np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    totals = np.bincount(kinds)
    cells, counts = np.unique(groups * len(totals) + kinds, return_counts=True)
    starts = np.searchsorted(cells, np.arange(len(sizes) + 1) * len(totals)).tolist()
    content = list(zip((cells % len(totals)).tolist(), counts.tolist(), strict=True))
    fill = _Fill(shares, totals)
    part = np.empty(len(sizes), np.int64)
    for left, group in zip(range(len(order), 0, -1), order.tolist(), strict=True):
        part[group] = fill.add(content[starts[group] : starts[group + 1]], left)
    return part[groups]


class _Fill:
    """Parts that are being filled: how many rows of each class each is above its share (below: negative).

    Plain lists: one group touches few numbers, and calls of numpy would cost more than the sums.
    """

    def __init__(self, shares: Array, totals: Array) -> None:
        self._shares = shares.tolist()
        self._weights = (1.0 / totals).tolist()
        self._weight = len(totals) / int(totals.sum())
        self._over = [(-share * totals).tolist() for share in self._shares]
        self._over_all = (-shares * totals.sum()).tolist()
        self._empty = set(range(len(shares)))

    def add(self, content: list[tuple[int, int]], left: int) -> int:
        """Put a group of (class, rows) where it fits best; left: groups to come, this one included."""
        open_parts = sorted(self._empty) if left <= len(self._empty) else range(len(self._shares))
        size = sum(rows for _, rows in content)
        best = min(open_parts, key=lambda part: self._change(part, content, size))
        self._empty.discard(best)
        self._over_all[best] += size
        for kind, rows in content:
            self._over[best][kind] += rows
        return best

    def _change(self, part: int, content: list[tuple[int, int]], size: int) -> float:
        """What the misfit grows by."""
        over, weights = self._over[part], self._weights
        change = self._weight * size * (2.0 * self._over_all[part] + size)
        for kind, rows in content:
            change += weights[kind] * rows * (2.0 * over[kind] + rows)
        return float(change / self._shares[part])


def _check_times(times: Array, gap: float) -> None:
    missing = int((~np.isfinite(times)).sum())
    if missing:
        raise DataError(f"the time is missing in {missing} of {len(times)} rows; fill it or drop those rows")
    if not 0 <= gap < np.inf:
        raise SpecError(f"gap={gap:g}: expected 0 or more, days for dates and units of the column for numbers")


def _stretches(times: Array, ends: Array) -> Array:
    """The number of the stretch of time of each row; stretches end where times change nearest to the wanted ends.

    ends: ascending numbers of rows. DataError where there are fewer different times than stretches.
    """
    order = np.argsort(times, kind="stable")
    changes = np.flatnonzero(times[order][1:] != times[order][:-1]) + 1
    if len(changes) < len(ends):
        raise DataError(
            f"{counted(len(changes) + 1, 'different time')} cannot fill {len(ends) + 1} parts; "
            f"equal times stay together, so at least {len(ends) + 1} are needed"
        )
    cuts: list[int] = []
    low = 0
    for i, end in enumerate(ends):
        offered = changes[low : len(changes) - (len(ends) - i - 1)]  # leaves a change for each end to come
        nearest = int(np.argmin(np.abs(offered - end)))
        cuts.append(int(offered[nearest]))
        low += nearest + 1
    number = np.empty(len(times), np.int64)
    number[order] = np.searchsorted(cuts, np.arange(len(times)), side="right")
    return number


def _leave_gap(times: Array, part: Array, gap: float, sides: tuple[int, int]) -> None:
    """Take the rows of the second part that are within the gap after the first out of it."""
    before, after = sides
    rows = np.flatnonzero(part == after)
    away = times[rows] - times[part == before].max()
    if np.issubdtype(times.dtype, np.datetime64):
        away = away / np.timedelta64(1, "D")
    if gap:
        part[rows[away <= gap]] = NOWHERE
    if not (part == after).any():
        name = ("train", "valid", "test")[after]
        raise DataError(
            f"gap={gap:g} leaves no rows for {name}: the gap takes its {counted(len(rows), 'row')} "
            f"(farthest {away.max():g}); take a smaller gap or a larger share"
        )


def _check_folds(kind: str, folds: int, keys: Keys) -> None:
    if kind not in KINDS:
        raise SpecError(f"no folds of kind {kind!r}; known: {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    if folds < 2:
        raise SpecError(f"folds={folds}: expected 2 or more")
    if kind in NEEDS and getattr(keys, NEEDS[kind]) is None:
        raise SpecError(f"folds of kind {kind} need {NEEDS[kind]}; none are given")


def _taken(keys: Keys, rows: Array) -> Keys:
    """The keys of some of the rows."""
    classes, groups, times = (None if key is None else key[rows] for key in (keys.classes, keys.groups, keys.times))
    return Keys(classes, groups, times, keys.gap)
