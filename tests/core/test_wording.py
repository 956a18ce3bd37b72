"""Counted sentences: one is one, several are several."""

import warnings

import numpy as np
import pandas as pd
import pytest

from nnlab import prepare
from nnlab.core.errors import DataError
from nnlab.core.wording import agreeing, counted


def test_numbers_and_nouns_agree() -> None:
    assert [counted(n, "class", "classes") for n in (0, 1, 2, 12_000)] == [
        "0 classes",
        "1 class",
        "2 classes",
        "12,000 classes",
    ]
    assert [agreeing(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]


def table(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "y": rng.integers(0, 2, rows)})


def said(frame: pd.DataFrame, **options) -> str:
    """The error of a preparation, or its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return " | ".join(prepare(frame, "y", **options).warnings)
        except DataError as error:
            return str(error)


@pytest.mark.parametrize(
    "cells, one, many",
    [
        ([np.inf, -np.inf], "holds 1 infinite or too large number (row 0)", "holds 2 infinite or too large numbers"),
        (["x", "z"], "has 1 cell of 60 that is no number: 'x'", "has 2 cells of 60 that are no numbers: 'x', 'z'"),
    ],
    ids=["infinite", "text"],
)
def test_bad_cells_are_counted(cells: list, one: str, many: str) -> None:
    for n, expected in ((1, one), (2, many)):
        frame = table().astype({"a": object})
        frame.loc[range(n), "a"] = cells[:n]
        assert expected in said(frame)


def test_notes_agree_with_their_numbers() -> None:
    for n, words in ((1, "1 infinite or too large number counts as"), (2, "2 infinite or too large numbers count as")):
        frame = table()
        frame.loc[range(n), "a"] = np.inf
        assert words in said(frame, inf="missing")
    for n, words in ((1, "1 of 60 rows is left out"), (2, "2 of 60 rows are left out")):
        frame = table()
        frame.loc[range(n), ["a", "b"]] = np.nan
        assert words in said(frame, drop_rows=0.6)
    for n, words in ((1, "1 cell of 60 holds no number and counts"), (2, "2 cells of 60 hold no number and count")):
        frame = table().astype({"a": object})
        frame.loc[range(n), "a"] = "none of it"
        assert words in said(frame, coerce="a")


def test_strict_counts_the_other_findings() -> None:
    for n, words in ((2, "(and 1 more finding)"), (3, "(and 2 more findings)")):
        frame = table(200)
        for i in range(n):
            frame[f"copy{i}"] = 3 * frame["y"] + i
        assert said(frame, strict=True).endswith(words)


def test_unfamiliar_rows_are_counted() -> None:
    data = prepare(table(), "y")
    assert str(data.check(table().iloc[:1])) == "1 row, all as in training"
    assert str(data.check(table().iloc[:2])) == "2 rows, all as in training"
    assert "of 1 row 'a' has 1 outside" in str(data.check(table().iloc[:1].assign(a=1e6)))
