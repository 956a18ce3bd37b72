"""Columns of Python objects give the same column whether cells share their objects, repeat their text, or neither."""

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.columns import Column, column_of
from nnlab.core.data.fingerprint import fingerprint_of, sums_of
from nnlab.core.spec import PrepareSpec

ROWS = 3000
CELLS: dict[str, list[Any]] = {
    "texts": ["b", "a ", "a", None, "NA", "b", np.nan, "ä", "long " * 20],
    "surrogate": ["\ud800", "a", None],
    "words and numbers": ["1", 1, 1.0, True, None, "x"],
    "bytes": [b"a", b"b", "a"],
    "whole": [1, 2, 30],
    "large": [2**70, 1],
    "gaps": [1, None, 2.5],
    "flags": [True, False, None],
    "decimals": [decimal.Decimal("1.5"), decimal.Decimal("2"), None],
    "dates": [datetime.date(2020, 1, 1), datetime.datetime(2021, 2, 3, 4, 5), None],
    "nothing": [None, np.nan],
    "own text": [np.str_("a"), "a", np.str_("b")],
}


def same(a: Column, b: Column) -> None:
    assert (a.kind, a.aware, list(a.levels)) == (b.kind, b.aware, list(b.levels))
    assert a.data.dtype.kind == b.data.dtype.kind
    np.testing.assert_array_equal(a.data, b.data)


def long(cells: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Many cells out of a few, which they share, and the number of each."""
    few = np.empty(len(cells), object)
    few[:] = cells
    at = np.random.default_rng(0).integers(0, len(cells), ROWS)
    return few[at], at


@pytest.mark.parametrize("cells", CELLS.values(), ids=list(CELLS))
def test_shared_objects_are_read_as_a_short_column_is(cells: list[Any]) -> None:
    objects, _ = long(cells)
    pieces = [objects[low : low + 500] for low in range(0, ROWS, 500)]  # too short for any shortcut
    parts = [column_of("c", pd.Series(piece, dtype=object)) for piece in pieces]
    whole = column_of("c", pd.Series(objects, dtype=object))
    if whole.kind in ("text", "bool"):
        texts = [None if code < 0 else part.levels[code] for part in parts for code in part.data]
        assert [None if code < 0 else whole.levels[code] for code in whole.data] == texts
        first = dict.fromkeys(text for text in texts if text is not None)
        assert whole.kind == "bool" or list(whole.levels) == list(first)  # in the order in which they come
    else:
        np.testing.assert_array_equal(whole.data, np.concatenate([part.data for part in parts]))


def test_objects_of_their_own_give_the_same_as_shared_ones() -> None:
    for name in ("texts", "surrogate"):
        objects, _ = long(CELLS[name])
        apart = [(cell + "!")[:-1] if isinstance(cell, str) else cell for cell in objects]
        series = pd.Series(apart, dtype=object)
        assert len(set(map(id, apart))) > 300  # a text of one letter is one object anywhere
        same(column_of("c", series), column_of("c", pd.Series(objects, dtype=object)))


def test_cells_of_an_array_by_rows_are_read_as_those_of_a_column() -> None:
    objects, at = long(CELLS["texts"])
    table = np.stack([at.astype(object), objects], axis=1)  # its columns are not side by side in memory
    same(column_of("c", pd.DataFrame(table)[1]), column_of("c", pd.Series(objects, dtype=object)))


def test_a_fingerprint_tells_one_changed_cell_two_swapped_ones_and_another_type() -> None:
    spec, numbers = PrepareSpec("y"), np.random.default_rng(0).normal(size=101)
    flipped, signs, swapped = numbers.copy(), numbers.copy(), numbers.copy()
    flipped[50] = np.nextafter(flipped[50], 9)
    signs[[3, 4]] *= -1
    swapped[[0, 1]] = swapped[[1, 0]]
    told = {
        fingerprint_of(sums_of([Column("c", "number", data, np.empty(0, object))]), spec)
        for data in (numbers, flipped, signs, swapped, numbers[:-1], numbers.view(np.int64), numbers.astype(np.float32))
    }
    assert len(told) == 7
