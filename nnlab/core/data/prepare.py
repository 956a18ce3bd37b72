"""A table made ready for training: read, split, then fitted on the training rows alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core import showing
from nnlab.core.data.audit import Finding, evidence_of, findings_of
from nnlab.core.data.columns import Column, shown
from nnlab.core.data.conflicts import without_conflicts
from nnlab.core.data.copies import check_copies
from nnlab.core.data.extremes import all_finite
from nnlab.core.data.fingerprint import fingerprint_of, of_fold, sums_of
from nnlab.core.data.fitting import fit_pipeline
from nnlab.core.data.groups import category_groups
from nnlab.core.data.idle import idle_overrides
from nnlab.core.data.ordering import Order, fit_order, parts_of, with_levels
from nnlab.core.data.parting import drop_rows, keys_of, make_splits, sample_weights, set_aside, uses_of
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.place import MEMORY, Place
from nnlab.core.data.read import Table, names_column, read
from nnlab.core.data.reports import ColumnReport, all_reports, cells_of
from nnlab.core.data.roles import Typed, check_overrides, merge_levels, read_column, type_column
from nnlab.core.data.sources import readable_again
from nnlab.core.data.split import Split
from nnlab.core.data.spool import Spool
from nnlab.core.data.steps import BALANCES
from nnlab.core.data.steps.balance import Classed
from nnlab.core.data.streaming import held_whole, read_in_pieces, short_memory, streams
from nnlab.core.data.synthesis import Quality
from nnlab.core.data.synthetic import made_rows
from nnlab.core.data.target import Target, read_target
from nnlab.core.data.told import NOTHING_TOLD, Later, Told, aside, read_as
from nnlab.core.data.unfamiliar import Unfamiliar
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.options import resolve
from nnlab.core.spec import PrepareSpec, make
from nnlab.core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

BINS = 20


@dataclass(frozen=True, eq=False)
class Rows:
    """One part of the data.

    x: (n, features), y: int64 codes or scaled numbers (n,), of the dtype that the spec asks for. index: int64 rows of
    the user's frame, -1 for made ones. weight: (n,), how much each row counts; None: all alike. part: train, valid or
    test, and source: the fingerprint of the data that they are a part of.
    """

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    weight: np.ndarray | None = None
    part: str = ""
    source: str = ""

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False, repr=False)
class Prepared:
    """Everything that training needs; no part of the user's frame is kept.

    target_counts: rows of each class in the whole frame, {} for regression. target_histogram: (counts, edges) of a
    regression target in its own units, None for classes. fingerprint: of content and spec. told: what reports say
    of it, worked out when it is asked for. folds: one preparation for each fold; this one is the first.
    synthesis: how good the synthetic rows among the training rows are (their index is -1), None where there are none.
    source: the file, SQLite address or bundled set that can be read again, "" for tables in memory and on servers.
    sums: sha256 of each column as it was read.
    """

    spec: PrepareSpec
    target: Target
    train: Rows
    valid: Rows
    test: Rows
    pipeline: Pipeline
    fingerprint: str
    name: str
    target_counts: dict[Any, int]
    target_histogram: tuple[tuple[int, ...], tuple[float, ...]] | None
    told: Told = NOTHING_TOLD
    folds: tuple["Prepared", ...] = ()
    synthesis: Quality | None = None
    source: str = ""
    sums: Mapping[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return self.target.task

    @property
    def columns(self) -> tuple[ColumnReport, ...]:
        """What became of each column."""
        return self.told.columns

    @property
    def audit(self) -> tuple[Finding, ...]:
        """What may make scores too good or predictions worse."""
        return self.told.audit

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say, the findings of the audit among it."""
        return self.told.warnings

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of x."""
        return self.pipeline.feature_names

    def transform(self, frame: Any) -> np.ndarray:
        """Another frame, or file, as the network sees it: (rows, features).

        A file larger than memory is read in pieces (Parquet, Arrow, CSV); the features are then a file that is mapped.
        """
        return self.pipeline.transform(frame)

    def check(self, frame: Any) -> Unfamiliar:
        """What another frame, or file, holds that the training rows did not: levels, numbers out of range, gaps.

        By column; a file larger than memory is read in pieces.
        """
        return self.pipeline.examine(frame)

    def inverse(self, x: Any) -> "pd.DataFrame":
        """Features (rows, features) as columns in their own units again; gaps come back filled."""
        return self.pipeline.inverse(x)

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, in order, in words."""
        return self.pipeline.steps

    def to_sklearn(self) -> Any:
        """A fitted scikit-learn transformer that does the same to other tables, for pipelines and searches."""
        from nnlab.core.data.table_transformer import fitted_transformer

        return fitted_transformer(self)

    def report(self, column: str | None = None) -> Any:
        """What is known of the data, or of one column in detail: shows itself in a notebook, prints as text."""
        return showing.report(self, column)

    def __repr__(self) -> str:
        parts = f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test rows"
        what = f"{counted(len(self.pipeline.columns), 'column')} -> {counted(len(self.feature_names), 'feature')}"
        return f"Prepared({self.name}, target {self.target.name!r}, {self.task}; {parts}; {what})"


def prepare(frame: Any, target: Any = None, *, spec: PrepareSpec | None = None, **options: Any) -> Prepared:
    """The frame split, cleaned and turned into numbers. options: the fields of PrepareSpec and of its parts.

    frame: a pandas or polars DataFrame, a pyarrow Table, a dict of columns, a path of a CSV or Parquet file, or a pair
    (X, y). target: the name of a column, or y where frame is X. Raises DataError for what cannot be trained on and
    SpecError for a wrong option.
    """
    if target is not None and not isinstance(target, str):
        if names_column(target, frame):
            target = str(target)
        else:  # prepare(X, y), as scikit-learn's users write it
            frame, target = (frame, target), None
    chosen = resolve(PrepareSpec, options, spec or PrepareSpec(""))
    streamed = streams(frame, chosen.stream)
    with short_memory(frame, chosen, streamed):
        if not streamed:
            table = read(frame)
            return _prepared(table, _spec(table, target, spec, chosen), MEMORY, readable_again(frame))
        with Spool() as spool:
            table = read_in_pieces(frame, spool, bool(chosen.stream))
            return _prepared(table, _spec(table, target, spec, chosen), spool, readable_again(frame))


def _prepared(table: Table, spec: PrepareSpec, place: Place, source: str) -> Prepared:
    table = _named(table, spec.target)
    _check(table, spec)
    columns = [read_column(name, series, spec) for name, series in table.columns.items()]
    columns, mended = all_finite(columns, spec.target, place) if spec.inf == "missing" else (columns, [])
    columns, kept, notes = drop_rows(columns, spec, place)
    wanted = next(column for column in columns if column.name == spec.target)
    read_as, numbers, note = read_target(wanted, spec.task, spec.target in spec.merge_levels)
    read_as = replace(read_as, dtype=spec.dtype)
    splits, said = make_splits(columns, read_as, numbers, spec)
    notes = [*table.warnings, *([note] if note else []), *mended, *notes, *said, *_whole(spec, place)]
    sums = sums_of(columns)
    found = (wanted, read_as, numbers, tuple(notes), fingerprint_of(sums, spec))
    content = _Content(table, spec, columns, kept, *found, place)
    made = [replace(content, fingerprint=of_fold(content.fingerprint, i)).prepared(s) for i, s in enumerate(splits)]
    made = [replace(fold, source=source, sums=sums) for fold in made]
    return replace(made[0], folds=tuple(made)) if spec.folds else made[0]


@dataclass(frozen=True, eq=False)
class _Content:
    """A table as read, before it is parted. kept: rows of the user's frame (None: all); numbers: the target of each."""

    table: Table
    spec: PrepareSpec
    columns: list[Column]
    kept: np.ndarray | None
    wanted: Column
    target: Target
    numbers: np.ndarray
    notes: tuple[str, ...]
    fingerprint: str
    place: Place

    def prepared(self, split: Split) -> Prepared:
        """The parts of one split, everything fitted on its training rows."""
        spec, numbers = self.spec, self.numbers
        typed = self._typed(split)
        check_copies(typed, self.wanted)
        split, said = without_conflicts(typed, self.target, numbers, split, spec)
        order, typed, given = self._ordered(typed, split)
        pipeline = fit_pipeline(typed, self.target, numbers, split.train, spec, given, self.place)
        pipeline.order = order
        audited = self._audit(typed, split)
        train, valid, test = self._parts(pipeline, typed, given, split)
        made = made_rows(pipeline, typed, numbers, split, spec)
        train = _appended(train, made.x, made.y) if made else train
        train, more = _balanced(train, pipeline, spec)
        more = [made.note, *more] if made else more
        train, valid, test = (replace(part, index=_in_frame(part.index, self.kept)) for part in (train, valid, test))
        train, valid, test = (
            replace(part, part=name, source=self.fingerprint)
            for part, name in zip((train, valid, test), ("train", "valid", "test"), strict=True)
        )
        counts, histogram = _picture(self.target, numbers)
        cells = cells_of(self.columns, typed, split.train, numbers, uses_of(spec))
        reports = Later(partial(all_reports, cells, pipeline, train.x, train.y), cells.size)
        before = (*self.notes, *said, *read_as(typed))
        after = (*aside(typed), *idle_overrides(typed, spec), *more, *pipeline.notes)
        return Prepared(
            spec=spec,
            target=pipeline.target,
            train=train,
            valid=valid,
            test=test,
            pipeline=pipeline,
            fingerprint=self.fingerprint,
            name=self.table.name,
            target_counts=counts,
            target_histogram=histogram,
            told=Told(reports, audited, before, after),
            synthesis=made.quality if made else None,
        )

    def _typed(self, split: Split) -> list[Typed]:
        aside = (*set_aside(self.spec), self.wanted.name)
        others = [column for column in self.columns if column.name not in aside]
        typed = [type_column(column, split.train, self.spec, self.table.positional) for column in others]
        spelled = self.spec.merge_levels
        typed = [self._kept(merge_levels(item, split.train) if item.name in spelled else item) for item in typed]
        return _too_empty(typed, split.train, self.spec)

    def _kept(self, typed: Typed) -> Typed:
        return typed if typed.column is None else replace(typed, column=self.place.keep(typed.column))

    def _parts(
        self, pipeline: Pipeline, typed: list[Typed], given: dict[str, np.ndarray], split: Split
    ) -> tuple[Rows, Rows, Rows]:
        weights = sample_weights(self.columns, self.spec)
        by_name = {column.name: column.column for column in typed if column.column is not None}
        values = [self.place.values(feature, by_name[feature.name]) for feature in pipeline.features]
        y = self.numbers if pipeline.target.classes else pipeline.target.scaled(self.numbers)

        def part(make_x: Callable[..., np.ndarray], rows: np.ndarray) -> Rows:
            x = make_x(values, rows, given, self.place)
            return Rows(x, y[rows], rows, None if weights is None else weights[rows])

        train = part(pipeline.training_matrix, split.train)
        return train, part(pipeline.matrix, split.valid), part(pipeline.matrix, split.test)

    def _ordered(self, typed: list[Typed], split: Split) -> tuple[Order | None, list[Typed], dict[str, np.ndarray]]:
        """Imputers along an order, the columns with categories filled by them, and the values of numbers."""
        order = fit_order(typed, self.columns, self.spec)
        if order is None:
            return None, typed, {}
        columns = {column.name: column for column in self.columns}
        columns |= {column.name: column.column for column in typed if column.column is not None}
        levels, given = order.filled(columns, parts_of(split, len(self.numbers)))
        typed = [with_levels(item, levels[item.name], split.train) if item.name in levels else item for item in typed]
        return order, typed, given

    def _audit(self, typed: list[Typed], split: Split) -> Later[tuple[Finding, ...]]:
        groups, times = keys_of(self.columns, self.spec)
        evidence = evidence_of(typed, self.target, self.numbers, split, groups, times)
        found = Later(partial(findings_of, evidence, self.target), evidence.size)
        if self.spec.strict and (findings := found()):
            more = f" (and {counted(len(findings) - 1, 'more finding')})" if len(findings) > 1 else ""
            raise DataError(f"strict: {findings[0]}{more}")
        return found


def _in_frame(index: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """Rows of the user's frame; -1 for rows that were made."""
    return index if kept is None else np.where(index >= 0, kept[index], -1)


def _whole(spec: PrepareSpec, place: Place) -> list[str]:
    steps = held_whole(spec)
    if place is MEMORY or not steps:
        return []
    return [f"{', '.join(steps)}: worked out on columns or training rows that are held in memory whole"]


def _named(table: Table, target: str | None) -> Table:
    """A pair (X, y) whose y has the name that the user gives it."""
    if table.target is None or target is None or target in table.columns:
        return table
    columns = {target if name == table.target else name: series for name, series in table.columns.items()}
    return replace(table, columns=columns, target=target)


def _spec(table: Table, target: str | None, spec: PrepareSpec | None, chosen: PrepareSpec) -> PrepareSpec:
    if target is None and spec is None:
        target = table.target
    if target is None and spec is None:
        raise SpecError(f"no target; name the column to predict, one of {shown(table.columns)}")
    return chosen if target is None else replace(chosen, target=str(target))


def _check(table: Table, spec: PrepareSpec) -> None:
    if not table.columns or not table.rows:
        raise DataError(f"{table.name} is empty: {counted(table.rows, 'row')}, {counted(len(table.columns), 'column')}")
    if spec.target not in table.columns:
        near = did_you_mean(spec.target, table.columns) or f"; columns are {shown(table.columns)}"
        raise DataError(f"no target column {spec.target!r}{near}")
    if len(table.columns) == 1:
        raise DataError(f"{table.name} has no column besides the target {spec.target!r}")
    check_overrides(spec, list(table.columns))


def _too_empty(typed: list[Typed], train: np.ndarray, spec: PrepareSpec) -> list[Typed]:
    """Columns with too many gaps in training rows, if there is a limit, are left out."""
    if spec.drop_columns is None:
        return typed
    found = []
    for column in typed:
        share = float(column.column.missing()[train].mean()) if column.column is not None else 0.0
        if share > spec.drop_columns:
            column = replace(column, role="dropped", why=f"{share:.0%} of the training rows are missing", column=None)
        found.append(column)
    return found


def _balanced(train: Rows, pipeline: Pipeline, spec: PrepareSpec) -> tuple[Rows, list[str]]:
    """Training rows repeated, left out, made or weighted, so that rare classes count."""
    if spec.balance.name == "none":
        return train, []
    target = pipeline.target
    if not target.classes:
        raise SpecError(f"balance={spec.balance} is for classes; the target {target.name!r} is a number")
    rng = np.random.default_rng([spec.seed, 2])
    classed = Classed(train.x, train.y, len(target.classes), category_groups(pipeline))
    found = make(BALANCES, spec.balance, classed, rng)
    own = None if train.weight is None else train.weight[found.rows]
    same = np.array_equal(found.rows, np.arange(len(train)))
    x = train.x if same else train.x[found.rows]
    rows = Rows(x, train.y[found.rows], train.index[found.rows], own)
    rows = _appended(rows, found.new_x, found.new_y)
    if found.weights is not None:
        rows = replace(rows, weight=found.weights if rows.weight is None else rows.weight * found.weights)
    return rows, [found.note] if found.note else []


def _appended(rows: Rows, x: np.ndarray, y: np.ndarray) -> Rows:
    """The rows and then made ones, which weigh 1 where rows have weights."""
    if not len(y):
        return rows
    weight = None if rows.weight is None else np.append(rows.weight, np.ones(len(y), rows.weight.dtype))
    index = np.append(rows.index, np.full(len(y), -1))
    return Rows(np.concatenate([rows.x, x]), np.append(rows.y, y), index, weight)


def _picture(target: Target, numbers: np.ndarray) -> tuple[dict[Any, int], Any]:
    if target.classes:
        return dict(zip(target.classes, np.bincount(numbers).tolist(), strict=True)), None
    counts, edges = np.histogram(numbers, BINS)
    return {}, (tuple(counts.tolist()), tuple(edges.tolist()))
