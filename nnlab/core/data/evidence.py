"""What the audit keeps of a table, so that it can be worked out later: copies of some cells, and facts of all rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.data.audit_rows import SCORED_ROWS, Sample, sample_rows
from nnlab.core.data.columns import NO_LEVELS, Column
from nnlab.core.data.equal_rows import HASHED_ROWS, comparable_rows
from nnlab.core.data.roles import ID_NAME, Typed
from nnlab.core.data.split import Split

if TYPE_CHECKING:
    from nnlab.core.data.audit import Finding

SAME_ROWS = 100_000  # that tell how often two rows have the same target
FIRST_LOOK = 200  # sampled cells that mostly tell whether all cells of a column differ


@dataclass(frozen=True, eq=False)
class Evidence:
    """kept: the columns, cut to the rows of sample; y: the target of these. compared: the same columns cut to the rows
    that are compared with each other, answers: the target of these, parts: their parts. seen: the target of rows at
    even distances. naming: the number of values of each column (by its place) that may name rows, all of them
    different. whole: what only all rows tell."""

    kept: tuple[Typed, ...]
    sample: Sample
    y: np.ndarray
    compared: tuple[Column, ...]
    answers: np.ndarray
    parts: np.ndarray
    seen: np.ndarray
    naming: Mapping[int, int] = field(default_factory=dict)
    whole: tuple["Finding", ...] = ()

    @property
    def size(self) -> int:
        """How many cells are held."""
        return len(self.kept) * (len(self.y) + len(self.answers))


def gather(typed: list[Typed], numbers: np.ndarray, split: Split) -> Evidence:
    """The evidence of columns that are learnt from. numbers: the target of all rows."""
    sample = sample_rows(split, SCORED_ROWS, np.random.default_rng(0))
    rows = sample.rows
    columns = [item.column for item in typed if item.column is not None]
    cut = [_cut(column, rows) for column in columns]
    kept = tuple(replace(item, column=column) for item, column in zip(typed, cut, strict=True))
    telling = _telling(columns) if len(numbers) > HASHED_ROWS else []
    chosen, parts = comparable_rows(telling, len(numbers), split)
    compared = tuple(_cut(column, chosen) for column in columns)
    naming = {i: n for i, column in enumerate(columns) if (n := _names_rows(column, cut[i]))}
    seen = numbers[:: len(numbers) // SAME_ROWS + 1].copy()
    whole_sample = Sample(np.arange(len(rows)), sample.sizes)
    return Evidence(kept, whole_sample, numbers[rows], compared, numbers[chosen], parts, seen, naming)


def _cut(column: Column, rows: np.ndarray) -> Column:
    return Column(column.name, column.kind, column.data[rows], NO_LEVELS)


def _telling(columns: list[Column]) -> list[Column]:
    """The column in which rows differ most, and two more unless nearly all its cells differ; by a few cells."""
    found = sorted(columns, key=_sameness)
    return found[:1] if found and _sameness(found[0]) < -0.9 * FIRST_LOOK else found[:3]


def _sameness(column: Column) -> int:
    """Less for a column with more different values, by a few cells."""
    cells = column.data[:: max(1, len(column.data) // FIRST_LOOK)][:FIRST_LOOK]
    return -len(np.unique(cells[cells == cells]))


def _names_rows(column: Column, sample: Column) -> int:
    """The number of values if all differ and are levels, or whole numbers that look like a row's number; else 0."""
    few = sample.data[:FIRST_LOOK]
    few = few[~sample.missing()[:FIRST_LOOK]]
    if column.kind == "date" or (few.dtype.kind == "f" and (few % 1).any()) or len(np.unique(few)) < len(few):
        return 0
    values = column.data[~column.missing()]
    if not len(values) or (column.kind == "number" and not _counts(values, column.name)):
        return 0
    return len(values) if len(np.unique(values)) == len(values) else 0


def _counts(values: np.ndarray, name: str) -> bool:
    """Whether whole numbers look like a row's number or key."""
    reach = float(values.max()) - float(values.min())
    steps = values[1:] > values[:-1]
    large = 2**53 < float(np.abs(values.astype(np.float64)).max()) <= 2**64
    return reach < 1.05 * len(values) or bool(steps.all()) or large or bool(ID_NAME.search(name))
