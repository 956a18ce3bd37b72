"""A table made ready for training: read, split, then fitted on the training rows alone."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, column_of, option, shown
from nnlab.core.data.features import Category, Date, Feature, Number, fit_feature
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.read import Table, read
from nnlab.core.data.roles import ID_NUMBERS, SET_ASIDE, Role, Typed, check_overrides, type_column
from nnlab.core.data.split import Split, split_rows
from nnlab.core.data.target import Target, read_target
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.spec import PrepareSpec, resolve, to_json

BINS = 20


@dataclass(frozen=True, eq=False)
class Rows:
    """One part of the data.

    x: float32 (n, features). y: int64 codes or scaled float32 (n,). index: int64 rows of the user's frame.
    """

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class ColumnReport:
    """What became of a column. missing: cells of the whole frame; done: in words; features: how many it gave."""

    name: str
    role: Role
    missing: int
    done: str
    features: int
    detail: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Prepared:
    """Everything that training needs; no part of the user's frame is kept.

    target_counts: rows of each class in the whole frame, {} for regression. target_histogram: (counts, edges) of a
    regression target in its own units, None for classes. fingerprint: sha256 of content and spec.
    """

    spec: PrepareSpec
    target: Target
    columns: tuple[ColumnReport, ...]
    warnings: tuple[str, ...]
    train: Rows
    valid: Rows
    test: Rows
    pipeline: Pipeline
    fingerprint: str
    name: str
    target_counts: dict[Any, int]
    target_histogram: tuple[tuple[int, ...], tuple[float, ...]] | None

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return self.target.task

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of x."""
        return self.pipeline.feature_names

    def transform(self, frame: Any) -> np.ndarray:
        """Another frame as the network sees it: float32 (rows, features)."""
        return self.pipeline.transform(frame)

    def __repr__(self) -> str:
        parts = f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test rows"
        what = f"{len(self.pipeline.columns)} columns -> {len(self.feature_names)} features"
        return f"Prepared({self.name}, target {self.target.name!r}, {self.task}; {parts}; {what})"


def prepare(frame: Any, target: Any = None, *, spec: PrepareSpec | None = None, **options: Any) -> Prepared:
    """The frame split, cleaned and turned into numbers. options: the fields of PrepareSpec and of its parts.

    frame: a pandas or polars DataFrame, a pyarrow Table, a dict of columns, a path of a CSV or Parquet file, or a pair
    (X, y). target: the name of a column, or y where frame is X. Raises DataError for what cannot be trained on and
    SpecError for a wrong option.
    """
    if target is not None and not isinstance(target, str):  # prepare(X, y), as scikit-learn's users write it
        frame, target = (frame, target), None
    table = _named(read(frame), spec.target if spec and target is None else target)
    spec = _spec(table, target, spec, options)
    _check(table, spec)
    columns = [column_of(name, series) for name, series in table.columns.items()]
    wanted = next(column for column in columns if column.name == spec.target)
    raw_target, numbers, note = read_target(wanted, spec.task)
    split, notes = _split(raw_target, numbers, spec)
    typed = [type_column(column, split.train, spec, table.positional) for column in columns if column is not wanted]
    features = _fit(typed, split.train, spec)
    _check_copies(typed, wanted)
    fitted = raw_target.fitted(numbers[split.train], spec.scale_target)
    pipeline = Pipeline(features, fitted)
    train, valid, test = _parts(pipeline, typed, numbers, split)
    counts, histogram = _picture(raw_target, numbers)
    return Prepared(
        spec=spec,
        target=fitted,
        columns=_reports(columns, typed, features, fitted),
        warnings=(
            *table.warnings,
            *([note] if note else []),
            *notes,
            *_dates(typed),
            *_leaks(typed, raw_target, numbers),
            *_aside(typed),
        ),
        train=train,
        valid=valid,
        test=test,
        pipeline=pipeline,
        fingerprint=_fingerprint(columns, spec),
        name=table.name,
        target_counts=counts,
        target_histogram=histogram,
    )


def _named(table: Table, target: str | None) -> Table:
    """A pair (X, y) whose y has the name that the user gives it."""
    if table.target is None or target is None or target in table.columns:
        return table
    columns = {target if name == table.target else name: series for name, series in table.columns.items()}
    return replace(table, columns=columns, target=target)


def _spec(table: Table, target: str | None, spec: PrepareSpec | None, options: dict[str, Any]) -> PrepareSpec:
    if target is None and spec is None:
        target = table.target
    if target is None and spec is None:
        raise SpecError(f"no target; name the column to predict, one of {shown(table.columns)}")
    chosen = resolve(PrepareSpec, options, spec or PrepareSpec(""))
    return chosen if target is None else replace(chosen, target=str(target))


def _check(table: Table, spec: PrepareSpec) -> None:
    if not table.columns or not table.rows:
        raise DataError(f"{table.name} is empty: {table.rows} rows, {len(table.columns)} columns")
    if spec.target not in table.columns:
        near = did_you_mean(spec.target, table.columns) or f"; columns are {shown(table.columns)}"
        raise DataError(f"no target column {spec.target!r}{near}")
    if len(table.columns) == 1:
        raise DataError(f"{table.name} has no column besides the target {spec.target!r}")
    check_overrides(spec, list(table.columns))


def _split(target: Target, numbers: np.ndarray, spec: PrepareSpec) -> tuple[Split, list[str]]:
    if spec.split == "stratified" and target.task == "regression":
        raise SpecError("split=stratified needs classes; a regression is split at random")
    stratify = target.task != "regression" and spec.split != "random"
    rng = np.random.default_rng(spec.seed)
    split = split_rows(len(numbers), numbers if stratify else None, spec.valid, spec.test, rng)
    notes = []
    if split.rare:
        rare = shown(target.labels[code] for code in split.rare)
        notes.append(f"too few rows to be in every part, all kept in training: class {rare}")
    if target.task != "regression":
        seen = np.bincount(numbers[split.train], minlength=len(target.classes))
        if np.count_nonzero(seen) < 2:
            raise DataError(f"the training rows hold one class only of target {target.name!r}; give more rows of each")
        if unseen := [label for label, rows in zip(target.labels, seen, strict=True) if not rows]:
            notes.append(f"no training row has the class {shown(unseen)}")
    return split, notes


def _fit(typed: list[Typed], train: np.ndarray, spec: PrepareSpec) -> list[Feature]:
    features = [fit_feature(column, train, spec, i) for i, column in enumerate(typed) if column.column is not None]
    if not features:
        why = "; ".join(f"{column.name!r} is {column.role} ({column.why})" for column in typed[:5])
        raise DataError(f"no column is left to learn from: {why}; --numeric or --categorical keeps one by its name")
    return features


def _check_copies(typed: list[Typed], target: Column) -> None:
    """A feature that is the target itself would make every score worthless."""
    for column in typed:
        if column.column is not None and _same(column.column, target):
            raise DataError(
                f"target {target.name!r} is among the features: column {column.name!r} is a copy of it; "
                f"{option('drop', column.name)} leaves it out"
            )


def _same(column: Column, target: Column) -> bool:
    if column.kind == "number" and target.kind == "number":
        return bool(column.data[0] == target.data[0]) and np.array_equal(column.data, target.data)
    if column.kind == "number" or target.kind not in ("text", "bool"):
        return False
    if len(column.levels) != len(target.levels) or column.levels[column.data[0]] != target.levels[target.data[0]]:
        return False
    return np.array_equal(column.levels[column.data], target.levels[target.data]) and not (column.data < 0).any()


def _parts(pipeline: Pipeline, typed: list[Typed], numbers: np.ndarray, split: Split) -> list[Rows]:
    by_name = {column.name: column.column for column in typed if column.column is not None}
    values = [feature.values(by_name[feature.name])[0] for feature in pipeline.features]
    target = pipeline.target
    y = numbers if target.classes else ((numbers - target.mean) / target.scale).astype(np.float32)
    return [Rows(pipeline.matrix(values, rows), y[rows], rows) for rows in (split.train, split.valid, split.test)]


def _picture(target: Target, numbers: np.ndarray) -> tuple[dict[Any, int], Any]:
    if target.classes:
        return dict(zip(target.classes, np.bincount(numbers).tolist(), strict=True)), None
    counts, edges = np.histogram(numbers, BINS)
    return {}, (tuple(counts.tolist()), tuple(edges.tolist()))


def _reports(
    columns: Iterable[Column], typed: list[Typed], features: list[Feature], target: Target
) -> tuple[ColumnReport, ...]:
    types = {column.name: column for column in typed}
    fitted = {feature.name: feature for feature in features}
    reports = []
    for column in columns:
        if column.name == target.name:
            done = "standardized" if target.scale != 1.0 else "as it is"
            done = f"{len(target.classes)} classes" if target.classes else done
            reports.append(ColumnReport(column.name, "target", 0, done, 0, shown(target.labels)))
        elif feature := fitted.get(column.name):
            found = types[column.name]
            reports.append(
                ColumnReport(
                    found.name, found.role, found.missing, _done(feature), len(feature.labels), _detail(feature)
                )
            )
        else:
            found = types[column.name]
            reports.append(ColumnReport(found.name, found.role, found.missing, f"set aside: {found.why}", 0))
    return tuple(reports)


def _done(feature: Feature) -> str:
    if isinstance(feature, Number):
        flag = ", missing flagged" if feature.indicator else ""
        return f"{feature.scaler} scaled{flag}"
    if isinstance(feature, Category):
        found = f"{len(feature.levels)} levels"
        return f"{found} as -1 and 1" if len(feature.labels) == 1 else f"{found}, one-hot"
    assert isinstance(feature, Date)
    return "parts: " + ", ".join(part for part, _ in feature.parts)


def _detail(feature: Feature) -> str:
    if isinstance(feature, Number):
        return f"missing becomes {feature.fill:g}"
    return shown(feature.levels) if isinstance(feature, Category) else ""


def _dates(typed: list[Typed]) -> list[str]:
    return [f"column {column.name!r}: {column.why}" for column in typed if column.role == "date" and column.why]


def _leaks(typed: list[Typed], target: Target, numbers: np.ndarray) -> list[str]:
    """Columns whose levels stand for the classes one to one: the target in other words."""
    notes, n = [], len(target.classes)
    for column in typed:
        if column.column is None or column.role not in ("binary", "categorical"):
            continue
        if n == (len(column.column.levels) or 2) and _one_to_one(column.column.data, numbers, n):
            drop = option("drop", column.name)
            notes.append(f"column {column.name!r} tells the target exactly, a leak? {drop} leaves it out")
    return notes


def _one_to_one(values: np.ndarray, classes: np.ndarray, n: int) -> bool:
    found, codes = np.unique(values, return_inverse=True)
    return len(found) == n == len(np.unique(codes * n + classes))


def _aside(typed: list[Typed]) -> list[str]:
    """One warning for each reason to set columns aside, with the option that keeps them."""
    reasons: dict[tuple[Role, str], list[str]] = {}
    for column in typed:
        if column.role in SET_ASIDE:
            reasons.setdefault((column.role, column.why), []).append(column.name)
    notes = []
    for (role, why), names in reasons.items():
        keep = option("numeric" if why == ID_NUMBERS else "categorical", names[0])
        notes.append(f"set aside as {role}: {shown(names)} ({why}); {keep} keeps {names[0]!r}")
    return notes


def _fingerprint(columns: list[Column], spec: PrepareSpec) -> str:
    digest = hashlib.sha256(json.dumps(to_json(spec), sort_keys=True).encode())
    for column in columns:
        digest.update(json.dumps([column.name, column.kind, str(column.data.dtype), list(column.levels)]).encode())
        digest.update(np.ascontiguousarray(column.data).view(np.uint8).data)
    return digest.hexdigest()
