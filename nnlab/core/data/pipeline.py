"""The fitted preparation: any frame with the same columns becomes the matrix that the network was trained on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.category import Category
from nnlab.core.data.columns import NO_LEVELS, Column, column_of
from nnlab.core.data.extremes import finite
from nnlab.core.data.features import Date, Feature, feature_from
from nnlab.core.data.free_text import FreeText
from nnlab.core.data.naming import distinct, frame_of, series_of
from nnlab.core.data.numbers import Number, Step
from nnlab.core.data.opening import opened
from nnlab.core.data.ordering import SCOPE, Order, order_from
from nnlab.core.data.place import MEMORY, Cells, Place, stretch
from nnlab.core.data.read import Table
from nnlab.core.data.steps import CROSSES, FLAGS, IMPUTERS, REDUCERS, SELECTORS
from nnlab.core.data.target import Target, target_from
from nnlab.core.data.unfamiliar import Unfamiliar, count_of
from nnlab.core.data.writing import BlockWriter
from nnlab.core.errors import DataError, did_you_mean
from nnlab.core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

FINISH = {"flag": FLAGS, "select": SELECTORS, "reduce": REDUCERS}  # in this order
BLOCK = 16_384  # rows worked on at a time, so that a column's numbers stay in the cache
VERSION = 1
Given = Mapping[str, np.ndarray]
NOTHING_GIVEN: Given = {}


@dataclass(frozen=True, eq=False)
class Fill:
    """A fitted imputer of the whole table: the number columns that it reads, in its order; the first `own` it fills."""

    names: tuple[str, ...]
    step: Step
    own: int


@dataclass(frozen=True, eq=False)
class Cross:
    """New numbers out of the filled numbers of several columns, each scaled like a column."""

    names: tuple[str, ...]
    step: Step
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Codes:
    """A feature of whole numbers from 0 to cardinality - 1, each to be embedded in `width` numbers."""

    cardinality: int
    width: int


class Pipeline:
    """Fitted columns and the target. rows: how many it was fitted on, 0 for not known. inf_missing: infinite
    numbers count as missing.

    order: imputers along an order of the rows. fills: imputers of the whole table. cross: new numbers out of several
    columns. finish: (registry, step) of what is done to the whole matrix, in order.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        target: Target,
        fills: Sequence[Fill] = (),
        cross: Cross | None = None,
        finish: Sequence[tuple[str, Step]] = (),
        order: Order | None = None,
    ) -> None:
        self.features = tuple(features)
        self.target = target
        self.fills, self.cross, self.finish = tuple(fills), cross, tuple(finish)
        self.order = order
        self.rows = 0
        self.inf_missing = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a frame must have."""
        own = tuple(feature.name for feature in self.features)
        return own + tuple(name for name in (self.order.needs if self.order else ()) if name not in own)

    @property
    def raw_names(self) -> tuple[str, ...]:
        """The features before the steps on the whole matrix."""
        own = tuple(label for feature in self.features for label in feature.labels)
        crossed = self.cross.numbers if self.cross else ()
        return distinct(own + tuple(label for number in crossed for label in number.labels))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        names = self.raw_names
        for kind, step in self.finish:
            names = tuple(FINISH[kind][step.name].facts["labels"](names, step.state))
        return names

    @property
    def codes(self) -> dict[int, Codes]:
        """The columns of the matrix that hold codes for an embedding, by position."""
        found, low = {}, 0
        for feature in self.features:
            if isinstance(feature, Category) and feature.encoding.cardinality:
                found[low] = Codes(feature.encoding.cardinality, feature.encoding.width)
            low += len(feature.labels)
        return found

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, in order, in words: each column, then imputers of the table, crosses, steps on the matrix."""
        found = [f"{feature.name}: {feature.done}; {feature.detail}".rstrip("; ") for feature in self.features]
        found += self.order.done if self.order else ()
        found += [f"impute {fill.step.name}: {counted(len(fill.names), 'column')}" for fill in self.fills]
        if self.cross:
            found.append(f"cross {self.cross.step.name}: {counted(len(self.cross.numbers), 'new number')}")
        return (*found, *(f"{kind} {step.name}" for kind, step in self.finish))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the steps had to say when they were fitted."""
        steps = [self.cross.step] if self.cross else []
        own = self.order.notes if self.order else ()
        texts = [feature.note for feature in self.features if isinstance(feature, FreeText) and feature.note]
        return (*own, *texts, *(str(step.state["note"]) for step in steps if "note" in step.state))

    def __repr__(self) -> str:
        sizes = f"{counted(len(self.features), 'column')} -> {counted(len(self.feature_names), 'feature')}"
        return f"Pipeline({sizes}, {self.target.name!r})"

    def transform(self, frame: Any) -> np.ndarray:
        """The frame as (rows, features), columns found by name, others ignored; DataError for a missing one.

        A DataWarning tells of levels and numbers that training did not see. A file whose table would take more memory
        than is free is read in pieces, and the matrix is in a file that is mapped and goes with the array.
        """
        with opened(frame) as (table, place):
            return self._transformed(table, place)

    def labelled(self, frame: Any) -> tuple[np.ndarray, np.ndarray]:
        """The features of a frame, as `transform` gives them, and its target: int64 codes, or scaled numbers."""
        with opened(frame) as (table, place):
            return self._transformed(table, place), self._target_of(table)

    def transform_target(self, frame: Any) -> np.ndarray:
        """The target of a frame that has it: int64 codes, or scaled numbers."""
        with opened(frame) as (table, _):
            return self._target_of(table)

    def examine(self, frame: Any) -> Unfamiliar:
        """What a frame holds that training did not: counts of unseen levels, numbers out of range, new gaps.

        A file is read in pieces as `transform` reads it.
        """
        with opened(frame) as (table, place):
            return self._values(table, place)[2]

    def _transformed(self, table: Table, place: Place) -> np.ndarray:
        values, given, found = self._values(table, place)
        found.warn()
        return self.matrix(values, np.arange(table.rows), given, place)

    def _values(self, table: Table, place: Place) -> tuple[list[Cells], dict[str, np.ndarray], Unfamiliar]:
        """The values of each column of the features, those of numbers along an order, and what is unfamiliar."""
        self._check(table)
        columns = {name: column_of(name, table.columns[name]) for name in self.columns}
        if self.inf_missing:
            columns = {name: place.keep(finite(column)) for name, column in columns.items()}
        for number in self._numbers:
            if number.reading:
                number.reading.check_numbers(columns[number.name])
        given: dict[str, np.ndarray] = {}
        raw = columns
        if self.order:
            columns, given = self._ordered(columns, table.rows)
        values: list[Cells] = []
        counts = {}
        for feature in self.features:
            found, unseen = feature.values(columns[feature.name])
            values.append(place.hold(feature, columns[feature.name], found))
            if count := count_of(feature, found, unseen, raw[feature.name]):
                counts[feature.name] = count
        return values, given, Unfamiliar(table.rows, self.rows, counts)

    def _ordered(self, columns: dict[str, Column], rows: int) -> tuple[dict[str, Column], dict[str, np.ndarray]]:
        """The columns of a frame, which is one part, filled along their order: categories, values of numbers, dates."""
        assert self.order is not None
        read = {
            f.name: Column(f.name, "date" if isinstance(f, Date) else "number", f.values(columns[f.name])[0], NO_LEVELS)
            for f in self.features
            if isinstance(f, Number | Date)
        }
        levels, given = self.order.filled(columns | read, np.zeros(rows, np.int64))
        return columns | levels, given

    @property
    def _numbers(self) -> tuple[Number, ...]:
        return tuple(feature for feature in self.features if isinstance(feature, Number))

    def matrix(
        self, values: Sequence[Cells], rows: np.ndarray, given: Given = NOTHING_GIVEN, place: Place = MEMORY
    ) -> np.ndarray:
        """The features of the given rows of each column's values. given: numbers and dates filled along an order."""
        return self.finished(self.raw_matrix(values, rows, given, place), place)

    def training_matrix(
        self, values: Sequence[Cells], rows: np.ndarray, given: Given = NOTHING_GIVEN, place: Place = MEMORY
    ) -> np.ndarray:
        """The features of the training rows; a target encoder gives them values that their own targets are not in."""
        return self.finished(self.raw_training_matrix(values, rows, given, place), place)

    def raw_training_matrix(
        self, values: Sequence[Cells], rows: np.ndarray, given: Given = NOTHING_GIVEN, place: Place = MEMORY
    ) -> np.ndarray:
        """The same before the steps on the whole matrix."""
        x, low = self.raw_matrix(values, rows, given, place), 0
        for feature in self.features:
            high = low + len(feature.labels)
            if isinstance(feature, Category) and feature.encoding.training is not None:
                x[:, low:high] = feature.encoding.training
            low = high
        return x

    def raw_matrix(
        self, values: Sequence[Cells], rows: np.ndarray, given: Given = NOTHING_GIVEN, place: Place = MEMORY
    ) -> np.ndarray:
        """The same before the steps on the whole matrix."""
        out = place.zeros((len(rows), len(self.raw_names)), np.dtype(self.target.dtype))
        writer = BlockWriter(self.features, out, BLOCK)
        size = BLOCK if self.fills or self.cross else writer.rows  # sums of equal rows are grouped alike anywhere
        for start in range(0, len(rows), size):
            block = stretch(rows[start : start + size])
            own = {name: column[block] for name, column in given.items()}
            self._write(writer, [column[block] for column in values], out[start : start + size], own)
        return out

    def _write(self, writer: BlockWriter, values: list[np.ndarray], out: np.ndarray, given: Given) -> None:
        """One block of rows."""
        filled: Given = NOTHING_GIVEN
        if self.fills or self.cross or given:
            pairs = zip(self.features, values, strict=True)
            filled = self.filled([given.get(feature.name, column) for feature, column in pairs])
        others = filled if self.fills else {name: filled[name] for name in given if name in filled}
        writer.write(values, out, others, given)
        if self.cross:
            numbers = {name: filled[name] for name in self.cross.names}
            found = CROSSES[self.cross.step.name].facts["apply"](numbers, self.cross.step.state)
            for i, number in enumerate(self.cross.numbers):
                at = writer.width + i
                number.write(found[:, i], out[:, at : at + 1])

    def filled(self, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The number columns without gaps by name, float64."""
        found, gaps = {}, {}
        for feature, column in zip(self.features, values, strict=True):
            if isinstance(feature, Number):
                found[feature.name], gaps[feature.name] = feature.filled(column)
        along = {number.name for number in self._numbers if IMPUTERS[number.imputer].facts.get("scope") == SCOPE}
        for fill in self.fills:
            table = np.stack([np.where(gaps[name], np.nan, found[name]) for name in fill.names], axis=1)
            table = IMPUTERS[fill.step.name].facts["apply"](table, fill.step.state)
            found |= {name: table[:, i] for i, name in enumerate(fill.names[: fill.own]) if name not in along}
        return found

    def finished(self, x: np.ndarray, place: Place = MEMORY) -> np.ndarray:
        """The matrix after the steps on all of it."""
        for kind, step in self.finish:
            x = finish_step(kind, step, x, place)
        return x

    def inverse(self, x: np.ndarray) -> "pd.DataFrame":
        """The raw columns again from features (n, features): numbers in their units, levels, dates; gaps stay filled.

        Numbers have the digits that the features carry: integers come back as they were where float32 tells them from
        their neighbours. Dates have the unit of those of training (days, minutes, ...), in UTC where those had a time
        zone. DataError where a step on the whole matrix (select, reduce, flag) cannot be undone.
        """
        if any(kind != "flag" for kind, _ in self.finish):
            raise DataError("inverse: features were selected or reduced, which cannot be undone; prepare without")
        x = np.asarray(x, self.target.dtype)
        if x.ndim != 2 or x.shape[1] != len(self.feature_names):
            raise DataError(f"inverse: x has the shape {x.shape}; expected (rows, {len(self.feature_names)})")
        columns, low = {}, 0
        for feature in self.features:
            high = low + len(feature.labels)
            columns[feature.name] = series_of(feature.inverse(x[:, low:high]))
            if isinstance(feature, Date) and feature.aware:
                columns[feature.name] = columns[feature.name].dt.tz_localize("UTC")
            low = high
        return frame_of(columns)

    def _target_of(self, table: Table) -> np.ndarray:
        name = self.target.name if self.target.name in table.columns else table.target
        if name is None:
            raise DataError(f"no target column {self.target.name!r}{did_you_mean(self.target.name, table.columns)}")
        column = column_of(name, table.columns[name])
        return self.target.encode_column(Column(self.target.name, column.kind, column.data, column.levels))

    def _check(self, table: Table) -> None:
        lost = [name for name in self.columns if name not in table.columns]
        if lost:
            near = did_you_mean(lost[0], [name for name in table.columns if name not in self.columns])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise DataError(f"{table.name} lacks columns: {', '.join(map(repr, lost[:5]))}{more}{near}")

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Everything as JSON values and arrays by name; `from_state` makes the same pipeline of them, to the bit."""
        plain: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for i, feature in enumerate(self.features):
            own, found = feature.state()
            plain.append(own)
            arrays |= {f"{i}.{key}": np.ascontiguousarray(value) for key, value in found.items()}
        whole: dict[str, Any] = {"version": VERSION, "target": self.target.state(), "features": plain}
        whole |= {"rows": self.rows, "inf_missing": self.inf_missing}
        for i, fill in enumerate(self.fills):
            own, more = fill.step.split()
            whole.setdefault("fills", []).append({"names": list(fill.names), "step": own, "own": fill.own})
            arrays |= {f"fill{i}.{key}": np.ascontiguousarray(value) for key, value in more.items()}
        if self.order:
            whole["order"] = self.order.state()
        if self.cross:
            own, more = self.cross.step.split()
            states = [number.state() for number in self.cross.numbers]
            whole["cross"] = {"names": list(self.cross.names), "step": own, "numbers": [plain for plain, _ in states]}
            arrays |= {f"cross.{key}": np.ascontiguousarray(value) for key, value in more.items()}
            for i, (_, more) in enumerate(states):
                arrays |= {f"cross{i}.{key}": np.ascontiguousarray(value) for key, value in more.items()}
        for i, (kind, step) in enumerate(self.finish):
            own, more = step.split()
            whole.setdefault("finish", []).append({"kind": kind, "step": own})
            arrays |= {f"finish{i}.{key}": np.ascontiguousarray(value) for key, value in more.items()}
        return whole, arrays

    @classmethod
    def from_state(cls, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Pipeline":
        """The pipeline that `state` wrote."""
        if plain.get("version") != VERSION:
            raise DataError(f"the pipeline has version {plain.get('version')}; this nnlab reads version {VERSION}")
        own: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        for name, value in arrays.items():
            place, _, key = name.partition(".")
            own[place][key] = value
        features = [feature_from(state, own[str(i)]) for i, state in enumerate(plain["features"])]
        fills = [
            Fill(tuple(fill["names"]), Step.joined(fill["step"], own[f"fill{i}"]), fill.get("own", len(fill["names"])))
            for i, fill in enumerate(plain.get("fills", ()))
        ]
        cross = None
        if state := plain.get("cross"):
            numbers = tuple(Number.from_state(number, own[f"cross{i}"]) for i, number in enumerate(state["numbers"]))
            cross = Cross(tuple(state["names"]), Step.joined(state["step"], own["cross"]), numbers)
        finish = [
            (step["kind"], Step.joined(step["step"], own[f"finish{i}"]))
            for i, step in enumerate(plain.get("finish", ()))
        ]
        order = order_from(plain["order"]) if "order" in plain else None
        pipeline = cls(features, target_from(plain["target"]), fills, cross, finish, order)
        pipeline.rows, pipeline.inf_missing = plain.get("rows", 0), plain.get("inf_missing", False)
        return pipeline


def finish_step(kind: str, step: Step, x: np.ndarray, place: Place = MEMORY) -> np.ndarray:
    """The matrix after one step on all of it, block by block: sums of equal rows are then grouped alike anywhere."""
    apply = FINISH[kind][step.name].facts["apply"]
    first = np.asarray(apply(x[:BLOCK], step.state), x.dtype)
    if len(x) <= BLOCK:
        return first
    out = place.zeros((len(x), first.shape[1]), x.dtype)
    out[:BLOCK] = first
    for start in range(BLOCK, len(x), BLOCK):
        out[start : start + BLOCK] = apply(x[start : start + BLOCK], step.state)
    return out
