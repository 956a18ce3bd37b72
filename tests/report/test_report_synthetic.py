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
from tests.report.reader import check_bare


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


def test_quality_shows_itself_as_tables_in_a_notebook_and_in_one_line_elsewhere() -> None:
    found = Quality((ColumnDistance("a<b", "tv", 0.5),), "R2", 0.5, 0.75, 0.4, 0.5, 0.0, 0.25)
    assert repr(found) == "Quality(R2 0.5 (real 0.75), distance 0.4 (real 0.5), copies 0 (real 0.25), 1 column)"
    assert repr(Quality((), "", None, None, 1.0, None, 0.0, None)) == "Quality(0 columns)"
    data = found._repr_mimebundle_()
    assert set(data) == {"text/html", "text/markdown", "text/plain"}
    assert check_bare(data["text/html"]).text.count("a<b") == 1
    assert "Quality of the synthetic rows" in data["text/plain"]


def test_a_transformer_shows_what_differs_from_the_defaults() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0), "z": np.arange(40) % 7, "y": np.arange(40) % 2})
    assert repr(prepare(frame, "y").to_sklearn()) == "TableTransformer(spec=PrepareSpec('y'))"
    shown = repr(prepare(frame, "y", scale="robust", drop="z").to_sklearn())
    assert shown == "TableTransformer(spec=PrepareSpec('y', scale=Part('robust'), drop=('z',)))"
