"""More training rows for a preparation: the raw training columns as a sample, and what is made of it as features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnlab.core.data.columns import NO_LEVELS, Column, option
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.roles import Typed
from nnlab.core.data.split import Split
from nnlab.core.data.synthesis import SYNTHESIZERS, Quality, Sample, quality
from nnlab.core.errors import DataError
from nnlab.core.spec import PrepareSpec, make
from nnlab.core.wording import agreeing, counted

FEW_VALUES = 2  # at most so many different numbers are levels


@dataclass(frozen=True, eq=False)
class Made:
    """New rows: x float32 (n, features); y as the rows of the preparation have it; note: what there is to say."""

    x: np.ndarray
    y: np.ndarray
    quality: Quality
    note: str


class View(Protocol):
    """A raw column as a synthesizer sees it."""

    @property
    def name(self) -> str:
        """The column's."""
        ...

    def encode(self, data: np.ndarray) -> np.ndarray:
        """float64 numbers, NaN missing; or int64 codes, -1 missing or not among the training rows."""
        ...

    def column(self, made: np.ndarray) -> Column:
        """The raw column of what was made."""
        ...


@dataclass(frozen=True, eq=False)
class Numbers:
    """A number as it is."""

    name: str

    def encode(self, data: np.ndarray) -> np.ndarray:
        return data.astype(np.float64)

    def column(self, made: np.ndarray) -> Column:
        return Column(self.name, "number", made, NO_LEVELS)


@dataclass(frozen=True, eq=False)
class Dates:
    """A date as the number of steps since the first one; step: microseconds that divide all distances, days mostly."""

    name: str
    first: int
    step: int

    def encode(self, data: np.ndarray) -> np.ndarray:
        steps = (data.astype("datetime64[us]").astype(np.int64) - self.first) / self.step
        return np.where(np.isnat(data), np.nan, steps)

    def column(self, made: np.ndarray) -> Column:
        gaps = np.isnan(made)
        us = np.rint(np.where(gaps, 0.0, made)).astype(np.int64) * self.step + self.first
        dates = us.astype("datetime64[us]")
        dates[gaps] = np.datetime64("NaT")
        return Column(self.name, "date", dates, NO_LEVELS)


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels that training rows have, in an order that other rows do not change.

    known: their codes, or for a number with few values these; texts: of the codes, None for numbers.
    """

    name: str
    known: np.ndarray
    texts: np.ndarray | None = None

    def encode(self, data: np.ndarray) -> np.ndarray:
        order = np.argsort(self.known)
        if not len(order):
            return np.full(len(data), -1)
        place = order[np.minimum(np.searchsorted(self.known, data, sorter=order), len(order) - 1)]
        return np.where(self.known[place] == data, place, -1)

    def column(self, made: np.ndarray) -> Column:
        if self.texts is not None:
            return Column(self.name, "text", made, self.texts)
        return Column(self.name, "number", np.append(self.known.astype(np.float64), np.nan)[made], NO_LEVELS)


def made_rows(
    pipeline: Pipeline, typed: list[Typed], numbers: np.ndarray, split: Split, spec: PrepareSpec
) -> Made | None:
    """New rows by the spec's synthesizer, which sees the training rows alone; None where none are asked for.

    numbers: the target of all rows. The fitted pipeline makes features of the new rows as of any later frame. Their
    quality is measured on the validation rows. DataError for free text, which no synthesizer writes.
    """
    if spec.synthesis.name == "none":
        return None
    named = {column.name: column for column in typed}
    raw = [_column(named[feature.name]) for feature in pipeline.features]
    views = [_view(column, split.train) for column in raw]
    target = _target_view(pipeline, numbers[split.train])
    columns = [(view, column.data) for view, column in zip(views, raw, strict=True)]
    sample = _sampler([*columns, (target, numbers)])
    train = sample(split.train)
    made: Sample = make(SYNTHESIZERS, spec.synthesis, train, np.random.default_rng([spec.seed, 3, 2]))
    if not len(made):
        return None
    found = _columns(made, [*views, target])
    values = [feature.values(column)[0] for feature, column in zip(pipeline.features, found[:-1], strict=True)]
    goal = found[-1].data
    y = goal.astype(np.int64) if pipeline.target.classes else pipeline.target.scaled(goal)
    place = (len(made.levels) - 1, None) if pipeline.target.classes else (None, len(made.number_names) - 1)
    good = quality(train, made, sample(split.valid), place, np.random.default_rng([spec.seed, 3, 3]))
    note = (
        f"{counted(len(made), 'synthetic row')}, made by {spec.synthesis} from {counted(len(train), 'training row')}, "
        f"{agreeing(len(made), 'is', 'are')} added to these; "
        "data.synthesis says how good they are"
    )
    return Made(pipeline.matrix(values, np.arange(len(made))), y, good, note)


def _column(typed: Typed) -> Column:
    if typed.role == "text" or typed.column is None:
        raise DataError(
            f"column {typed.name!r} is free text, which synthesis cannot make; {option('drop', typed.name)} leaves it "
            f"out, {option('categorical', typed.name)} reads its texts as levels, or take synthesis=none"
        )
    return typed.column


def _view(column: Column, train: np.ndarray) -> View:
    """How the column is seen, by its training rows."""
    data = column.data[train]
    if column.kind == "date":
        us = data[~np.isnat(data)].astype("datetime64[us]").astype(np.int64)
        first = int(us.min(initial=np.iinfo(np.int64).max)) if len(us) else 0
        return Dates(column.name, first, max(int(np.gcd.reduce(us - first)), 1))
    if column.kind == "number":
        found = np.unique(data[~np.isnan(data)] if data.dtype.kind == "f" else data)
        return Numbers(column.name) if len(found) > FEW_VALUES else Levels(column.name, found)
    used = np.unique(data[data >= 0])
    used = used[np.argsort(column.levels[used].astype(str), kind="stable")]
    return Levels(column.name, used, column.levels[used])


def _target_view(pipeline: Pipeline, numbers: np.ndarray) -> View:
    name = pipeline.target.name
    return Levels(name, np.unique(numbers)) if pipeline.target.classes else Numbers(name)


def _sampler(columns: list[tuple[View, np.ndarray]]) -> Callable[[np.ndarray], Sample]:
    """What makes a sample of rows of the columns."""
    plain = [(view, data) for view, data in columns if not isinstance(view, Levels)]
    coded = [(view, data) for view, data in columns if isinstance(view, Levels)]

    def sample(rows: np.ndarray) -> Sample:
        numbers = np.empty((len(rows), len(plain)))
        codes = np.empty((len(rows), len(coded)), np.int64)
        for j, (view, data) in enumerate(plain):
            numbers[:, j] = view.encode(data[rows])
        for j, (levels, data) in enumerate(coded):
            codes[:, j] = levels.encode(data[rows])
        names = tuple(view.name for view, _ in plain), tuple(view.name for view, _ in coded)
        return Sample(numbers, codes, tuple(len(view.known) for view, _ in coded), *names)

    return sample


def _columns(made: Sample, views: list[View]) -> list[Column]:
    """The raw columns in the order of their views."""
    numbers, codes = iter(made.numbers.T), iter(made.codes.T)
    return [view.column(next(codes if isinstance(view, Levels) else numbers)) for view in views]
