"""Which rows are used and how they are parted, as a spec says, before anything is fitted."""

from dataclasses import replace
from typing import Literal

import numpy as np

from nnlab.core.data.columns import Column, as_number, as_text, shown
from nnlab.core.data.dates import as_date
from nnlab.core.data.place import MEMORY, Place
from nnlab.core.data.split import Split, split_rows
from nnlab.core.data.splits import Keys, column_folds, column_split, fold_splits, group_split, time_split
from nnlab.core.data.target import ADVICE, Target
from nnlab.core.data.twins import twin_groups
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.spec import PrepareSpec
from nnlab.core.wording import agreeing, counted

Use = Literal["group", "part", "weight", "time"]
ASIDE: tuple[Use, ...] = ("group", "part", "weight")  # fields that name a column which is no feature
NAMING: tuple[Use, ...] = (*ASIDE, "time")  # fields that name a column
USES: dict[Use, str] = {
    "group": "its rows stay together in one part",
    "part": "tells the part of each row",
    "weight": "how much each row counts",
    "time": "orders the parts",
}


def set_aside(spec: PrepareSpec) -> tuple[str, ...]:
    """The columns that say something about the rows and are no features."""
    return tuple(name for name in (getattr(spec, word) for word in ASIDE) if name is not None)


def uses_of(spec: PrepareSpec) -> dict[str, Use]:
    """What the columns are that say something about the rows, by their name: group, part, weight or time."""
    return {name: word for word in NAMING if (name := getattr(spec, word)) is not None}


def drop_rows(
    columns: list[Column], spec: PrepareSpec, place: Place = MEMORY
) -> tuple[list[Column], np.ndarray | None, list[str]]:
    """The columns without the rows that `drop_rows` leaves out, the positions kept (None: all), and what to say."""
    rows = len(columns[0].data)
    if spec.drop_rows is None:
        return columns, None, []
    lost = np.zeros(rows, bool)
    gaps = np.zeros(rows, np.int64)
    for column in columns:
        missing = column.missing()
        if column.name == spec.target:
            lost = missing
        else:
            gaps += missing
    lost |= gaps > spec.drop_rows * (len(columns) - 1)
    kept = np.flatnonzero(~lost)
    if len(kept) == rows:
        return columns, None, []
    if not len(kept):
        raise DataError(f"drop_rows={spec.drop_rows:g} leaves no rows; give a larger share of missing cells")
    lost_rows = rows - len(kept)
    note = f"{lost_rows:,} of {rows:,} rows {agreeing(lost_rows, 'is', 'are')} left out: "
    note += f"more than {spec.drop_rows:.0%} missing, or no target"
    return [place.keep(Column(c.name, c.kind, c.data[kept], c.levels, c.aware)) for c in columns], kept, [note]


def make_splits(
    columns: list[Column], target: Target, numbers: np.ndarray, spec: PrepareSpec
) -> tuple[tuple[Split, ...], list[str]]:
    """The split, or one for each fold, and what there is to say; SpecError or DataError where it cannot be made."""
    _check_named([column.name for column in columns], spec)
    kind = spec.split or _auto(spec) or ("random" if target.task == "regression" else "stratified")
    if kind == "stratified" and target.task == "regression":
        raise SpecError("split=stratified needs classes; a regression is split at random")
    named = {column.name: column for column in columns}
    rng = np.random.default_rng(spec.seed)
    keys = Keys(None if target.task == "regression" or kind == "random" else numbers, gap=spec.gap)
    if kind == "group":
        keys = replace(keys, groups=_codes(_needed(named, spec, "group", kind)))
    if spec.group_duplicates:
        keys, kind = replace(keys, groups=_twins(columns, keys.groups, kind, spec)), "group"
    if kind == "time":
        keys = replace(keys, times=_times(_needed(named, spec, "time", kind)))
    if kind == "column":
        splits = _given(_needed(named, spec, "part", kind), spec.folds)
    elif spec.folds:
        splits = fold_splits(kind, spec.folds, len(numbers), keys, spec.test, rng)
    elif keys.groups is not None:
        splits = (group_split(keys.groups, spec.valid, spec.test, rng, keys.classes),)
    elif keys.times is not None:
        splits = (time_split(keys.times, spec.valid, spec.test, spec.gap),)
    else:
        splits = (split_rows(len(numbers), keys.classes, spec.valid, spec.test, rng),)
    notes = list(dict.fromkeys(note for split in splits for note in _said(split, target, numbers)))
    return splits, notes


def _given(column: Column, folds: int | None) -> tuple[Split, ...]:
    """The parts, or the folds, that a column tells."""
    codes, levels = as_text(column)
    told = (list(levels), np.asarray(codes, np.int64))
    return column_folds(*told, folds, column.name) if folds else (column_split(*told, column.name),)


def _twins(columns: list[Column], groups: np.ndarray | None, kind: str, spec: PrepareSpec) -> np.ndarray:
    """The groups of equal rows, together with those of the group column."""
    if kind not in ("random", "stratified", "group"):
        raise SpecError(f"group_duplicates does not go with split={kind}, where the rows of each part are given")
    return twin_groups([c for c in columns if c.name not in (*set_aside(spec), spec.target)], groups)


def _auto(spec: PrepareSpec) -> str | None:
    for word, kind in (("part", "column"), ("time", "time"), ("group", "group")):
        if getattr(spec, word) is not None:
            return kind
    return None


def _check_named(names: list[str], spec: PrepareSpec) -> None:
    """DataError where a field names a column that is not there."""
    for word in NAMING:
        name = getattr(spec, word)
        if name is not None and name not in names:
            near = did_you_mean(name, names) or f"; columns are {shown(names)}"
            raise DataError(f"{word}={name}: no such column{near}")


def _needed(named: dict[str, Column], spec: PrepareSpec, word: str, kind: str) -> Column:
    name = getattr(spec, word)
    if name is None:
        raise SpecError(f"split={kind} needs the column: --{word} NAME; columns are {shown(named)}")
    return named[name]


def _codes(column: Column) -> np.ndarray:
    return np.asarray(as_text(column)[0], np.int64)


def _times(column: Column) -> np.ndarray:
    if column.kind == "number":
        return as_number(column).data
    return as_date(column).data


def _said(split: Split, target: Target, numbers: np.ndarray) -> list[str]:
    notes = []
    if len(split.left_out):
        n = len(split.left_out)
        why = (
            f"{agreeing(n, 'it lies', 'they lie')} in the gap between two parts or {agreeing(n, 'names', 'name')} none"
        )
        notes.append(f"{counted(n, 'row')} {agreeing(n, 'is', 'are')} in no part: {why}")
    if split.rare:
        rare = shown(target.labels[code] for code in split.rare)
        notes.append(f"too few rows to be in every part, all kept in training: class {rare}")
    if target.task != "regression":
        seen = np.bincount(numbers[split.train], minlength=len(target.classes))
        if np.count_nonzero(seen) < 2:
            raise DataError(f"the training rows hold one class only of target {target.name!r}; give more rows of each")
        if unseen := [label for label, rows in zip(target.labels, seen, strict=True) if not rows]:
            notes.append(f"no training row has the class {shown(unseen)}")
    return notes


def keys_of(columns: list[Column], spec: PrepareSpec) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Codes of the groups and times of all rows, None where no column is named."""
    named = {column.name: column for column in columns}
    groups = _codes(named[spec.group]) if spec.group else None
    return groups, _times(named[spec.time]) if spec.time else None


def sample_weights(columns: list[Column], spec: PrepareSpec) -> np.ndarray | None:
    """The sample weights of all rows, mean 1; DataError for missing, negative or all zero ones."""
    if spec.weight is None:
        return None
    column = next(column for column in columns if column.name == spec.weight)
    weights = as_number(column, ADVICE).data.astype(np.float64)
    bad = np.flatnonzero(~(weights >= 0))
    if len(bad):
        raise DataError(
            f"weight column {spec.weight!r} has {counted(len(bad), 'missing or negative cell')} "
            f"(row {shown(bad)}); mend them"
        )
    if not weights.any():
        raise DataError(f"weight column {spec.weight!r} is 0 in every row; at least one must be above")
    return np.asarray(weights / weights.mean(), spec.dtype)
