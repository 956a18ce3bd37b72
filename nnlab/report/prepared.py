"""What is said of a prepared table: splits, warnings, and what was done to each column."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nnlab.report import charts
from nnlab.report.blocks import Block, Sentence
from nnlab.report.runs import warning_blocks
from nnlab.report.specs import differs_table
from nnlab.report.synthetic import synthetic_blocks
from nnlab.report.tables import Table, counted

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared

MOST_COLUMNS = 60  # beyond, the table is by role, and only the columns that need a look are named
MOST_NAMED = 20
LONGEST_NAME = 80


def prepared_blocks(data: "Prepared") -> Iterator[Block]:
    """Sizes first, then warnings and columns."""
    rows = [len(part.y) for part in (data.train, data.valid, data.test)]
    sizes = f"{rows[0]:,} training, {rows[1]:,} validation and {rows[2]:,} test rows"
    used = sum(1 for column in data.columns if column.features)
    features = f"{counted(len(data.feature_names), 'feature')} from {counted(used, 'column')}"
    yield Sentence(sizes, f"of {data.name}: {features}; {_target(data)}, {_task(data)}")
    yield from warning_blocks(data.warnings)
    yield from synthetic_blocks(data)
    yield from _columns(data.columns)
    if (table := differs_table(data.spec)) is not None:
        yield table


def _target(data: "Prepared") -> str:
    name = str(data.target.name)
    return name if name == "target" else f"target {name}"


def _task(data: "Prepared") -> str:
    count = len(data.target.classes)
    return {"regression": "a number", "binary": "2 classes"}.get(data.task, f"{count} classes")


def _columns(columns: Sequence[Any]) -> Iterator[Block]:
    named, title = list(columns), "Columns"
    if len(columns) > MOST_COLUMNS:
        yield _by_role(columns)
        named = [column for column in columns if column.missing or not column.features][:MOST_NAMED]
        title = f"Columns with missing values or set aside (at most {MOST_NAMED})"
        if not named:
            return
    rows = [(_short(c.name), c.role, c.missing, c.done, c.features) for c in named]
    yield Table(["column", "role", "missing", "what was done", "features"], rows, title, "llrlr")


def _by_role(columns: Sequence[Any]) -> Table:
    roles = Counter(column.role for column in columns)
    rows = []
    for role, count in roles.most_common():
        own = [column for column in columns if column.role == role]
        examples = ", ".join(str(_short(column.name, 24)) for column in own[:3]) + (", …" if count > 3 else "")
        rows.append((role, count, sum(1 for c in own if c.missing), sum(c.features for c in own), examples))
    columns_of = ["role", "columns", "with missing values", "features", "such as"]
    return Table(columns_of, rows, f"{len(columns):,} columns by role", "lrrrl")


def _short(name: object, longest: int = LONGEST_NAME) -> str:
    text = str(name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def target_picture(data: "Prepared") -> bytes | None:
    """Rows of each class, or the histogram of a number; None where neither is known."""
    name = str(data.target.name)
    if data.target_counts:
        return charts.target_counts(name, dict(data.target_counts))
    if data.target_histogram:
        counts, edges = data.target_histogram
        return charts.target_histogram(name, counts, edges)
    return None
