"""What became of each column, in plain values that a report can draw."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from nnlab.core.data.columns import NO_LEVELS, Column, shown
from nnlab.core.data.features import Feature
from nnlab.core.data.free_text import word_counts
from nnlab.core.data.numbers import Number
from nnlab.core.data.parting import USES, Use
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.roles import Role, Typed
from nnlab.core.data.spreads import BARS, Spread, sampled, spread_of_all, spreads
from nnlab.core.data.target import Target


@dataclass(frozen=True)
class ColumnReport:
    """What became of a column. missing: cells of the whole frame; done: in words; features: how many it gave.

    shape: rows of each bar of a small histogram (of numbers, or of the words in a text), or of each level, most
    frequent first; of training rows.
    relation: how strongly the training rows of the column go with the target, 0 to 1 (|correlation|, or the
    correlation ratio), None where it is not known. levels: the names of the levels in shape. before: of the training
    rows, in the column's own units (None for levels). after: of its features in train.x (of train.y for the target),
    flags of gaps left out; None where no feature is the column's alone. rows: of the frame, so that missing / rows is
    the share.
    """

    name: str
    role: Role | Literal["group", "part", "weight"]
    missing: int
    done: str
    features: int
    detail: str = field(default="", repr=False)
    shape: tuple[int, ...] = field(default=(), repr=False)
    relation: float | None = None
    levels: tuple[str, ...] = field(default=(), repr=False)
    before: Spread | None = field(default=None, repr=False)
    after: Spread | None = field(default=None, repr=False)
    rows: int = field(default=0, repr=False)


@dataclass(frozen=True, eq=False)
class Cells:
    """What column reports are made of. names: all columns; rows: of the frame; typed and numbers (the target's): cut to
    some of the training rows. uses: what columns say about the rows, as `uses_of` tells; missing: their gaps."""

    names: tuple[str, ...]
    rows: int
    typed: tuple[Typed, ...]
    numbers: np.ndarray
    uses: Mapping[str, Use] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many cells are held."""
        return len(self.numbers) * len(self.typed)


def cells_of(
    columns: Sequence[Column], typed: list[Typed], train: np.ndarray, numbers: np.ndarray, uses: Mapping[str, Use]
) -> Cells:
    """Copies of some cells. train: positions of training rows; numbers: the target of all; uses: as `uses_of` tells."""
    rows = train[sampled(len(train))]
    cut = tuple(item if item.column is None else replace(item, column=_cut(item, rows)) for item in typed)
    missing = {column.name: int(column.missing().sum()) for column in columns if column.name in uses}
    return Cells(tuple(column.name for column in columns), len(numbers), cut, numbers[rows], uses, missing)


def _cut(item: Typed, rows: np.ndarray) -> Column:
    """Some rows of a column; of a text the number of words, as the text itself is not kept."""
    column = item.column
    assert column is not None
    if item.role == "text":
        return Column(column.name, "number", word_counts(column)[rows], NO_LEVELS)
    return Column(column.name, column.kind, column.data[rows], column.levels)


def all_reports(cells: Cells, pipeline: Pipeline, x: np.ndarray, y: np.ndarray) -> tuple[ColumnReport, ...]:
    """One report a column, in the order of the frame. x, y: as `with_after` takes them."""
    return with_after(column_reports(cells, pipeline.features, pipeline.target), pipeline, x, y)


def column_reports(cells: Cells, features: Iterable[Feature], target: Target) -> tuple[ColumnReport, ...]:
    """One report a column, in the order of the frame."""
    types = {column.name: column for column in cells.typed}
    fitted = {feature.name: feature for feature in features}
    numbers, size = cells.numbers, cells.rows
    reports = []
    for name in cells.names:
        word = cells.uses.get(name)
        use = f"; {USES[word]}" if word else ""
        if name == target.name:
            done = f"{len(target.classes)} classes" if target.classes else target.done
            said = (done, 0, shown(target.labels))
            shape, levels = _counts(numbers, target.labels) if target.classes else ((), ())
            reports.append(ColumnReport(name, "target", 0, *said, shape, None, levels, rows=size))
        elif feature := fitted.get(name):
            found = types[name]
            assert found.column is not None
            data, grouped = found.column.data, found.column.kind in ("text", "bool")
            shape, levels = _counts(data, found.column.levels) if grouped else ((), ())
            relation = _relation(data, numbers, grouped, bool(target.classes))
            said = (feature.done + use, len(feature.labels), feature.detail)
            report = ColumnReport(name, found.role, found.missing, *said, shape, relation, levels, rows=size)
            reports.append(report)
        elif name in types:
            aside = types[name]
            done = f"set aside: {aside.why}{use}"
            reports.append(ColumnReport(name, aside.role, aside.missing, done, 0, rows=size))
        elif word and word != "time":
            reports.append(ColumnReport(name, word, cells.missing[name], f"no feature{use}", 0, rows=size))
    raw = {item.name: item.column for item in cells.typed if item.column is not None and not len(item.column.levels)}
    raw |= {} if target.classes else {target.name: Column(target.name, "number", numbers, NO_LEVELS)}
    return tuple(_with_before(reports, raw, len(numbers)))


def _with_before(reports: list[ColumnReport], raw: dict[str, Column], rows: int) -> Iterator[ColumnReport]:
    """The reports with what numbers and dates were."""
    wanted = [report.name for report in reports if report.name in raw]
    floats = (_as_floats(raw[name].data) for name in wanted)
    found = dict(zip(wanted, spreads(floats, rows), strict=True))
    for report in reports:
        spread = found.get(report.name)
        before = None if report.role == "text" else spread  # words of a text are no units of its own
        yield report if spread is None else replace(report, before=before, shape=spread.bars)


def with_after(
    reports: Sequence[ColumnReport], pipeline: Pipeline, x: np.ndarray, y: np.ndarray
) -> tuple[ColumnReport, ...]:
    """The reports with what the features are. x: float32 (rows, features) and y: target of the training rows."""
    rows = sampled(len(x))
    places = _places(pipeline)
    single = {name: at[0] for name, at in places.items() if len(at) == 1}
    sample = x[rows]
    columns = (sample[:, at].astype(np.float64) for at in single.values())
    found = dict(zip(single, spreads(columns, len(sample)), strict=True))
    for name, at in places.items():
        if len(at) > 1:
            side_by_side = at[-1] - at[0] == len(at) - 1
            found[name] = spread_of_all(sample[:, at[0] : at[-1] + 1] if side_by_side else sample[:, at])
    if not pipeline.target.classes:
        found[pipeline.target.name] = next(spreads([y[rows].astype(np.float64)], len(sample)))
    return tuple(replace(report, after=found.get(report.name)) for report in reports)


def _places(pipeline: Pipeline) -> dict[str, list[int]]:
    """The columns of the matrix that each column gave, by its name; without the flags of gaps.

    Behind steps on the whole matrix a feature is known by its name.
    """
    raw, known = pipeline.raw_names, {name: at for at, name in enumerate(pipeline.feature_names)}
    found: dict[str, list[int]] = {}
    low = 0
    for feature in pipeline.features:
        labels = feature.labels
        own = feature.own_labels if isinstance(feature, Number) else labels
        at = list(range(low, low + len(own)))
        at = [known[raw[i]] for i in at if raw[i] in known] if pipeline.finish else at
        found |= {feature.name: at} if at else {}
        low += len(labels)
    return found


def _as_floats(data: np.ndarray) -> np.ndarray:
    if data.dtype.kind == "M":
        return np.where(np.isnat(data), np.nan, data.astype(np.int64).astype(np.float64))
    return data.astype(np.float64)


def _counts(codes: np.ndarray, levels: Sequence[str] | np.ndarray) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Rows and names of the most frequent levels; of equals the first."""
    codes = codes.astype(np.int64)
    counts = np.bincount(codes[codes >= 0])
    order = [at for at in np.argsort(-counts, kind="stable")[:BARS].tolist() if counts[at]]
    return tuple(counts[order].tolist()) if order else (), tuple(str(levels[at]) for at in order)


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
