"""What became of each column, in plain values that a report can draw."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nnlab.core.data.columns import Column, shown
from nnlab.core.data.features import Feature
from nnlab.core.data.free_text import word_counts
from nnlab.core.data.roles import Role, Typed
from nnlab.core.data.target import Target

BARS = 12  # of the small histogram of a column
SAMPLE = 20_000  # rows that are looked at for it


@dataclass(frozen=True)
class ColumnReport:
    """What became of a column. missing: cells of the whole frame; done: in words; features: how many it gave.

    shape: rows of each bar of a small histogram (of numbers, or of the words in a text), or of each level, most
    frequent first; of training rows.
    relation: how strongly the training rows of the column go with the target, 0 to 1 (|correlation|, or the
    correlation ratio), None where it is not known.
    """

    name: str
    role: Role
    missing: int
    done: str
    features: int
    detail: str = ""
    shape: tuple[int, ...] = ()
    relation: float | None = None


def column_reports(
    columns: Iterable[Column],
    typed: list[Typed],
    features: Iterable[Feature],
    target: Target,
    train: np.ndarray,
    numbers: np.ndarray,
) -> tuple[ColumnReport, ...]:
    """One report a column, in the order of the frame. train: positions of training rows; numbers: the target's."""
    types = {column.name: column for column in typed}
    fitted = {feature.name: feature for feature in features}
    rows = train if len(train) <= SAMPLE else train[:: len(train) // SAMPLE + 1]
    reports = []
    for column in columns:
        if column.name == target.name:
            done = f"{len(target.classes)} classes" if target.classes else target.done
            shape = _bars(numbers[rows]) if not target.classes else _counts(numbers[rows])
            reports.append(ColumnReport(column.name, "target", 0, done, 0, shown(target.labels), shape))
        elif feature := fitted.get(column.name):
            found = types[column.name]
            assert found.column is not None
            data = found.column.data[rows]
            levels = found.column.kind in ("text", "bool")
            if found.role == "text":
                data, levels = word_counts(found.column)[rows], False
            shape = _counts(data) if levels else _bars(_as_floats(data))
            relation = _relation(data, numbers[rows], levels, bool(target.classes))
            said = (feature.done, len(feature.labels), feature.detail)
            reports.append(ColumnReport(found.name, found.role, found.missing, *said, shape, relation))
        elif column.name in types:
            aside = types[column.name]
            reports.append(ColumnReport(aside.name, aside.role, aside.missing, f"set aside: {aside.why}", 0))
    return tuple(reports)


def _as_floats(data: np.ndarray) -> np.ndarray:
    if data.dtype.kind == "M":
        return np.where(np.isnat(data), np.nan, data.astype(np.int64).astype(np.float64))
    return data.astype(np.float64)


def _bars(data: np.ndarray) -> tuple[int, ...]:
    present = data[np.isfinite(data)]
    if not len(present) or present.min() == present.max():
        return (len(present),) if len(present) else ()
    low, high = present.min(), present.max()
    width = (high / 2 - low / 2) / BARS  # halves: the range itself may be more than a float holds
    if not width:
        return (len(present),)
    place = ((present / 2 - low / 2) / width).clip(0, BARS - 1).astype(np.int64)
    return tuple(np.bincount(place, minlength=BARS).tolist())


def _counts(codes: np.ndarray) -> tuple[int, ...]:
    codes = codes.astype(np.int64)
    return tuple(sorted(np.bincount(codes[codes >= 0]).tolist(), reverse=True)[:BARS])


def _relation(data: np.ndarray, target: np.ndarray, levels: bool, classes: bool) -> float | None:
    """|Pearson| of two numbers; the correlation ratio of numbers by levels or classes; Cramer's V of two codes."""
    values = _as_floats(data)
    there = values >= 0 if levels else np.isfinite(values)
    x, y = values[there], target[there].astype(np.float64)
    if len(x) < 3:
        return None
    if levels and classes:
        return _cramer(x.astype(np.int64), y.astype(np.int64))
    if levels or classes:
        groups, numbers = (x, y) if levels else (y, x)
        return _ratio(groups.astype(np.int64), numbers)
    with np.errstate(all="ignore"):  # extreme numbers: what overflows is not known
        x, y = x - x.mean(), y - y.mean()
        scale = np.linalg.norm(x) * np.linalg.norm(y)
        found = abs(x @ y) / scale
    return float(min(1.0, found)) if np.isfinite(found) else None


def _ratio(groups: np.ndarray, numbers: np.ndarray) -> float | None:
    counts = np.bincount(groups)
    with np.errstate(all="ignore"):
        centred = numbers - numbers.mean()
        total = float(centred @ centred)
    if not 0 < total < np.inf:
        return None
    sums = np.bincount(groups, weights=centred)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum())
    return float(np.sqrt(min(1.0, between / total)))


def _cramer(a: np.ndarray, b: np.ndarray) -> float | None:
    _, a = np.unique(a, return_inverse=True)
    k, m = int(a.max()) + 1, int(b.max()) + 1
    if k * m > 100_000:
        return None
    table = np.bincount(a * m + b, minlength=k * m).reshape(k, m).astype(np.float64)
    table = table[:, table.sum(0) > 0]
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    freedom = min(table.shape) - 1
    chi2 = float(((table - expected) ** 2 / expected).sum())
    return float(np.sqrt(min(1.0, chi2 / table.sum() / freedom))) if freedom > 0 else None
