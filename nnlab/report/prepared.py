"""What is said of a prepared table: its parts, what the audit found, and what was done to each column."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.wording import counted
from nnlab.report import charts
from nnlab.report.blocks import Block, Sentence
from nnlab.report.columns import MOST_COLUMNS, columns_blocks
from nnlab.report.runs import warning_blocks
from nnlab.report.sparks import share
from nnlab.report.specs import differs_table
from nnlab.report.synthetic import synthetic_blocks
from nnlab.report.tables import Table, shorten

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared

MOST_CLASSES = 6  # that have a column of their own in the table of the parts
MOST_FINDINGS = 30
MOST_DIFFERENCES = 40
LONGEST_LABEL = 24
LONGEST_WORDS = 60  # of a name within a sentence


def prepared_blocks(data: "Prepared", most: int = MOST_COLUMNS) -> Iterator[Block]:
    """Sizes first, then parts, audit, warnings and columns. most: columns that have a row each."""
    for section in SECTIONS:
        yield from section(data)
    yield from columns_blocks(data, most)
    yield from _whole_table(data)
    yield from _differences(data)


def _sizes(data: "Prepared") -> Iterator[Block]:
    rows = [len(part.y) for part in (data.train, data.valid, data.test)]
    sizes = f"{rows[0]:,} training, {rows[1]:,} validation and {rows[2]:,} test rows"
    used = sum(1 for column in data.columns if column.features)
    features = f"{counted(len(data.feature_names), 'feature')} from {counted(used, 'column')}"
    name = shorten(data.name, LONGEST_WORDS)
    folds = f"; the first of {len(data.folds)} folds (data.folds)" if data.folds else ""
    yield Sentence(sizes, f"of {name}: {features}; {_target(data)}, {_task(data)}{folds}")


def _target(data: "Prepared") -> str:
    name = shorten(data.target.name, LONGEST_WORDS)
    return name if name == "target" else f"target {name}"


def _task(data: "Prepared") -> str:
    count = len(data.target.classes)
    return {"regression": "a number", "binary": "2 classes"}.get(data.task, f"{count} classes")


def _parts(data: "Prepared") -> Iterator[Block]:
    """Rows of each part, and how the target is spread over them."""
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    total = sum(len(part.y) for part in parts.values())
    head, cells = _class_shares(data) if data.target.classes else _target_spread(data)
    rows: list[tuple[Any, ...]] = []
    for word, part in parts.items():
        made = int((part.index < 0).sum())
        name = f"{word} ({made:,} made)" if made else word
        rows.append((name, len(part.y), share(len(part.y), total) if len(part.y) else None, *cells(part.y)))
    known = np.concatenate([part.index for part in parts.values()])
    left = data.columns[0].rows - len(np.unique(known[known >= 0]))
    if left > 0:
        rows.append(("left out", left, None, *[None] * len(head)))
    yield Table(["part", "rows", "share", *head], rows, "Parts", "lrr" + "r" * len(head))


Cells = Callable[[np.ndarray], list[Any]]


def _class_shares(data: "Prepared") -> tuple[list[str], Cells]:
    """The share of each class; of many classes the most frequent ones and the rest."""
    labels = data.target.labels
    counts = [data.target_counts.get(label, 0) for label in data.target.classes]
    order = list(range(len(labels)))
    if len(labels) > MOST_CLASSES:
        order = sorted(order, key=lambda code: -counts[code])[: MOST_CLASSES - 1]

    def cells(y: np.ndarray) -> list[Any]:
        if not len(y):
            return [None] * len(head)
        found = np.bincount(y.astype(np.int64), minlength=len(labels))
        shown = [int(found[code]) for code in order]
        return [share(count, len(y)) for count in shown + [len(y) - sum(shown)] * (len(head) - len(order))]

    head = [shorten(labels[code], LONGEST_LABEL) for code in order]
    head += [f"{len(labels) - len(order):,} other classes"] if len(order) < len(labels) else []
    return head, cells


def _target_spread(data: "Prepared") -> tuple[list[str], Cells]:
    """Mean, standard deviation and ends in the target's units."""

    def cells(y: np.ndarray) -> list[Any]:
        if not len(y):
            return [None] * 4
        found = data.target.decode(y)
        return [float(value) for value in (found.mean(), found.std(), found.min(), found.max())]

    return ["mean", "standard deviation", "least", "greatest"], cells


def _audit(data: "Prepared") -> Iterator[Block]:
    if not data.audit:
        yield Sentence("audit:", "no leak, drift, identifier or duplicate was found")
        return
    named = data.audit[:MOST_FINDINGS]
    rows = [(finding.kind, finding.what, finding.evidence, finding.option or None) for finding in named]
    title = f"Audit: {counted(len(data.audit), 'finding')}"
    title += f", the first {MOST_FINDINGS} of data.audit" if len(rows) < len(data.audit) else ""
    yield Table(["kind", "finding", "evidence", "option"], rows, title, "llll")


def _warnings(data: "Prepared") -> Iterator[Block]:
    """Without the findings, which the table of the audit has."""
    said = {str(finding) for finding in data.audit}
    yield from warning_blocks([text for text in data.warnings if text not in said])


def _whole_table(data: "Prepared") -> Iterator[Block]:
    """Steps that look at several columns at once."""
    if steps := data.steps[len(data.pipeline.features) :]:
        yield Sentence("on several columns together:", "; ".join(steps))


def _differences(data: "Prepared") -> Iterator[Block]:
    if (table := differs_table(data.spec)) is not None:
        rest = len(table.rows) - MOST_DIFFERENCES
        more = [(f"{rest:,} more", None, None)] if rest > 0 else []
        yield replace(table, rows=[*table.rows[:MOST_DIFFERENCES], *more])


# What stands above the columns, in this order; one more thing to say of a preparation is one more function here.
SECTIONS: tuple[Callable[["Prepared"], Iterator[Block]], ...] = (
    _sizes,
    _parts,
    _audit,
    _warnings,
    synthetic_blocks,
)


def target_picture(data: "Prepared") -> bytes | None:
    """Rows of each class, or the histogram of a number; None where neither is known."""
    name = str(data.target.name)
    if data.target_counts:
        return charts.target_counts(name, dict(data.target_counts))
    if data.target_histogram:
        counts, edges = data.target_histogram
        return charts.target_histogram(name, counts, edges)
    return None
