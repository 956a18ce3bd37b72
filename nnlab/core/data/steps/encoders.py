"""How categories become numbers."""

import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import ENCODERS, Array
from nnlab.core.errors import DataError, SpecError
from nnlab.core.params import Within
from nnlab.core.wording import counted

OTHER, MISSING_LEVEL = "<other>", "<missing>"
SHOWN = 5
EXACT = 2**24  # float32 holds every whole number up to here


def _no_codes() -> Array:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Levels:
    """A column of the training rows as levels.

    counts: int, rows of each level, then of missing. find_codes: makes codes, which most encoders do without. y: the
    target of these rows, int64 codes of `classes` classes or, where classes is 0, numbers; None where it is not known.
    """

    levels: tuple[str, ...]
    counts: Array
    find_codes: Callable[[], Array] = _no_codes
    y: Array | None = None
    classes: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @cached_property
    def codes(self) -> Array:
        """int64 (n,), the level of each row, -1 missing."""
        return self.find_codes()


@dataclass(frozen=True, eq=False)
class Encoding:
    """How levels become features: level i writes values[i] into feature slots[i] (-1: nowhere), the others are 0.

    slots (int32) and values (float32) have an entry for each level, then one for missing and one for unseen levels.
    labels: the name of each feature; "" stands for the column's own name. done: what was done, in words.
    table: float32 with a row for each entry, written instead of slots and values. training: float32 (n, features), what
    the training rows get instead of that; it is not stored. cardinality: number of codes of a feature that holds codes
    for an embedding; width: numbers that each is embedded in. buckets: levels are hashed (see `hashed`) instead of
    looked up; entries are then those of hashes. levels: those that can be looked up, where they are not those of the
    training rows.
    """

    labels: tuple[str, ...]
    slots: Array
    values: Array
    done: str = "one-hot"
    table: Array | None = None
    training: Array | None = None
    cardinality: int = 0
    buckets: int = 0
    levels: tuple[str, ...] | None = None
    width: int = 0


@ENCODERS.add
def one_hot(
    data: Levels,
    max_levels: Annotated[int, Within(2, 100_000, log=True), "most levels; rarer ones share <other>"] = 64,
    min_rows: Annotated[int, Within(1, 1_000_000, log=True), "levels with fewer rows share <other>"] = 1,
) -> Encoding:
    """One 0/1 feature a level, or one of -1/+1 for two. Unseen levels go to <other>, or to zeros where none is rare."""
    levels, rows, missing = data.levels, data.counts[:-1], data.counts[-1]
    if len(levels) == 2 and not missing and rows.min() >= min_rows:
        ends = np.array([-1, 1, 0, 0], np.float32)
        return Encoding((levels[1],), np.array([0, 0, -1, -1], np.int32), ends, "as -1 and 1")
    often = np.zeros(len(levels), bool)
    often[np.argsort(-rows, kind="stable")[:max_levels]] = True
    often &= rows >= min_rows
    slots = np.full(len(levels) + 2, -1, np.int32)
    slots[:-2][often] = np.arange(often.sum())
    labels = [level for level, own in zip(levels, often, strict=True) if own]
    if missing:
        slots[-2] = len(labels)
        labels.append(MISSING_LEVEL)
    if not often.all():
        slots[:-2][~often] = slots[-1] = len(labels)
        labels.append(OTHER)
    return Encoding(tuple(labels), slots, (slots >= 0).astype(np.float32))


@ENCODERS.add
def codes(
    data: Levels,
    min_rows: Annotated[int, Within(1, 1_000_000, log=True), "levels with fewer rows share one code"] = 1,
    embedding_dim: Annotated[int, Within(1, 1024, log=True), "numbers that the network learns for each level"] = 8,
) -> Encoding:
    """One whole number for a learned embedding: 0 unseen, 1 missing, levels from 2 on (Guo, Berkhahn 2016).

    Registered networks embed the codes; a network of the user's own gets them as they are. Dimension 8 as in RealMLP.
    """
    often = data.counts[:-1] >= min_rows
    own = int(often.sum())
    cardinality = own + 2 + (not often.all())
    if cardinality > EXACT:
        raise DataError(f"encode=codes: {own} levels are more than float32 can number; encode=hash takes any number")
    values = np.empty(len(often) + 2, np.float32)
    values[:-2][often] = np.arange(2, own + 2)
    values[:-2][~often] = own + 2
    values[-2:] = 1, 0
    return Encoding(
        ("",), np.zeros(len(values), np.int32), values, "as codes", cardinality=cardinality, width=embedding_dim
    )


@ENCODERS.add
def target(
    data: Levels,
    smoothing: Annotated[float | None, Within(0, 1e6), "rows the overall mean counts as; auto: empirical Bayes"] = None,
    folds: Annotated[int, Within(2, 100), "parts of the training rows, each encoded by the other parts"] = 5,
) -> Encoding:
    """The mean target of a level, drawn towards that of all rows; for more than two classes the share of each.

    Missing is a level; unseen levels get the overall mean. In units of the given target. Training rows get values that
    were found without their own part, so that no row sees its own target (TargetEncoder of scikit-learn;
    Micci-Barreca 2001, eq. 5 and 6).
    """
    if data.y is None:
        raise DataError("encode=target needs the target of the training rows, which is not known here; use one_hot")
    entries = len(data.levels) + 1
    places = np.where(data.codes < 0, entries - 1, data.codes)
    goals = [data.y == k for k in range(data.classes)] if data.classes > 2 else [data.y]
    table = np.empty((entries + 1, len(goals)), np.float32)
    training = np.empty((len(places), len(goals)), np.float32)
    part = parts_of(data, folds)
    parts = part.max() + 1 if len(part) > 1 else 0  # a single row has no others to be encoded by
    for k, goal in enumerate(goals):
        numbers = goal.astype(np.float64)
        table[:-1, k], table[-1, k] = _level_means(places, numbers, entries, smoothing), numbers.mean()
        for i in range(parts):
            inside = part == i
            means = _level_means(places[~inside], numbers[~inside], entries, smoothing)
            training[inside, k] = means[places[inside]]
    labels = tuple(f"<class {k}>" for k in range(len(goals))) if len(goals) > 1 else ("",)
    slots, values = np.full(entries + 1, -1, np.int32), np.zeros(entries + 1, np.float32)
    return Encoding(labels, slots, values, "target encoded", table, training if parts else table[places])


def parts_of(data: Levels, folds: int) -> Array:
    """The part (0 to folds - 1) of each training row, drawn at random, classes alike in all parts."""
    n = len(data.codes)
    order = data.rng.permutation(n)
    if data.classes and data.y is not None:
        order = order[np.argsort(data.y[order], kind="stable")]
    part = np.empty(n, np.int64)
    part[order] = np.arange(n) % folds
    return part


def _level_means(places: Array, numbers: Array, entries: int, smoothing: float | None) -> Array:
    """The smoothed mean of each entry; that of all rows where an entry has none."""
    mean, rows = numbers.mean(), np.bincount(places, minlength=entries)
    sums = np.bincount(places, numbers, entries)
    with np.errstate(divide="ignore", invalid="ignore"):
        if smoothing is not None:
            found = (sums + smoothing * mean) / (rows + smoothing)
        else:
            own, spread = sums / rows, numbers.var() * rows
            within = np.bincount(places, (numbers - own[places]) ** 2, entries) / rows
            weight = spread / (spread + within)
            found = weight * own + (1 - weight) * mean
    return np.where(np.isnan(found), mean, found)


@ENCODERS.add
def hash_(
    data: Levels,
    buckets: Annotated[int, Within(2, 65_536, log=True), "number of features"] = 64,
) -> Encoding:
    """A fixed number of features: each level, also an unseen one, is +1 or -1 in the one that its hash names.

    No level is stored (Weinberger et al. 2009, feature hashing with signs).
    """
    hashes = np.arange(2 * buckets)
    flag = buckets if data.counts[-1] else -1
    slots = np.append(hashes >> 1, [flag, -1]).astype(np.int32)
    values = np.append(1 - 2 * (hashes & 1), [1, 0]).astype(np.float32)
    labels = tuple(f"<hash {i}>" for i in range(buckets)) + ((MISSING_LEVEL,) if data.counts[-1] else ())
    return Encoding(labels, slots, values, f"hashed into {buckets} features", buckets=buckets, levels=())


def hashed(levels: Iterable[str], buckets: int) -> Array:
    """For each level twice its bucket, plus 1 where the sign is -; from the CRC-32 of its UTF-8, the same anywhere."""
    found = (zlib.crc32(level.encode("utf-8", "surrogatepass")) for level in levels)
    sums = np.fromiter(found, np.int64)
    return 2 * (sums % buckets) + (sums >> 31)  # the top bit is the sign: the buckets come of the low ones


@ENCODERS.add
def ordinal(
    data: Levels,
    order: Annotated[tuple[str, ...] | None, "levels from low to high; auto: numbers by size, then text sorted"] = None,
) -> Encoding:
    """One feature: the place of the level in an order, scaled to mean 0 and deviation 1; unseen and missing are 0."""
    ranked = _checked(order, data.levels) if order else tuple(sorted(data.levels, key=by_size))
    rows = dict(zip(data.levels, data.counts[:-1].tolist(), strict=True))
    weights = np.array([rows.get(level, 0) for level in ranked], np.float64)
    places, total = np.arange(len(ranked)), max(weights.sum(), 1.0)
    mean = (weights * places).sum() / total
    spread = math.sqrt((weights * (places - mean) ** 2).sum() / total) or 1.0
    flag = 1 if data.counts[-1] else -1
    slots = np.append(np.zeros(len(ranked)), [flag, -1]).astype(np.int32)
    values = np.append((places - mean) / spread, [1, 0]).astype(np.float32)
    labels = ("", MISSING_LEVEL) if data.counts[-1] else ("",)
    return Encoding(labels, slots, values, "in order", levels=ranked)


def _checked(order: tuple[str, ...], levels: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [level for level in dict.fromkeys(order) if order.count(level) > 1]:
        raise SpecError(f"order={','.join(order)}: {_few(twice)} is there more than once; name each level once")
    if lost := sorted(set(levels).difference(order), key=by_size):
        raise DataError(
            f"order={','.join(order)} lacks {counted(len(lost), 'level')} of the column: {_few(lost)}; "
            "name every level, from low to high"
        )
    return order


def _few(levels: list[str]) -> str:
    return ", ".join(map(repr, levels[:SHOWN])) + (", …" if len(levels) > SHOWN else "")


def by_size(level: str) -> tuple[bool, float, str]:
    """The sort key of a level: numbers by size, then text by the alphabet."""
    try:
        number = float(level)
    except ValueError:
        number = math.nan
    return (True, 0.0, level) if math.isnan(number) else (False, number, level)
