"""The quality of synthetic rows as the cell shows it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from nnlab.core.data.prepare import prepare
from nnlab.core.data.synthesis import ColumnDistance, Quality
from nnlab.report.blocks import render
from nnlab.report.prepared import prepared_blocks
from nnlab.report.synthetic import MOST_COLUMNS, synthetic_blocks


def blocks(found: Quality | None) -> list[Any]:
    return list(synthetic_blocks(SimpleNamespace(synthesis=found)))  # type: ignore[arg-type]


def test_nothing_is_said_without_synthetic_rows() -> None:
    assert blocks(None) == []


def test_the_worst_columns_come_first_and_are_counted() -> None:
    columns = [ColumnDistance(f"c{i}", "ks", i / 100, 0.9 if i == 3 else 0.0) for i in range(40)]
    scores, table = blocks(Quality(tuple(columns), "accuracy", 0.71, 0.93, 0.4, 0.5, 0.0, 0.25))
    assert len(table.rows) == MOST_COLUMNS and "30 of 40" in table.title
    assert [row[0] for row in table.rows[:3]] == ["c3", "c39", "c38"]
    assert [row[1:] for row in scores.rows] == [(0.71, 0.93), (0.4, 0.5), (0.0, 0.25)]
    assert "accuracy" in scores.rows[0][0]


def test_what_is_not_known_is_a_dash() -> None:
    found = Quality((ColumnDistance("a<b", "tv", 0.5),), "R2", None, None, None, None, None, None)
    text = render(blocks(found))
    assert "R2" in text["text/plain"] and "–" in text["text/plain"] and "a&lt;b" in text["text/html"]
    unknown = blocks(Quality((), "", None, None, 1.0, None, 0.0, None))
    assert len(unknown[0].rows) == 2


def test_the_cell_shows_the_tables() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=80), "k": draw.choice(["a", "b", "c"], 80), "y": np.arange(80) % 2})
    text = render(prepared_blocks(prepare(frame, "y", synthesis="copula")))["text/plain"]
    for words in ("Quality of the synthetic rows", "Kolmogorov-Smirnov", "total variation", "share of copies"):
        assert words in text
    assert "Quality of the synthetic rows" not in render(prepared_blocks(prepare(frame, "y")))["text/plain"]
