"""Columns read from Arrow memory are those that pandas gives for the same cells."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnlab
from nnlab import prepare
from nnlab.core.data import columns
from nnlab.core.data.columns import MISSING, Column, column_of

WORDS = st.sampled_from(
    ["a", " a", "a\t", "\u00a0a", "b", "?", " NA ", "Null", "nan", "", "  ", "1.0", "2020-01-02", "é"]
)
LONG = st.integers(-(10**17), 10**17)


def arrow(array: Any) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


def by_pandas(series: pd.Series, monkeypatch: pytest.MonkeyPatch) -> Column:
    with monkeypatch.context() as patch:
        patch.setattr(columns, "arrow_values", lambda series: None)
        return column_of("c", series)


def assert_equal(found: Column, expected: Column) -> None:
    assert (found.kind, found.aware, found.data.dtype) == (expected.kind, expected.aware, expected.data.dtype)
    assert np.array_equal(found.data, expected.data, equal_nan=found.kind != "text")
    assert found.levels.tolist() == expected.levels.tolist()


def chunked(array: Any, cut: int) -> Any:
    """The same cells in two chunks."""
    return pa.chunked_array([array[:cut], array[cut:]])


TYPES = {
    "string": (pa.string(), WORDS),
    "large string": (pa.large_string(), st.text(max_size=3)),
    "double": (pa.float64(), st.floats()),
    "date32": (pa.date32(), st.dates()),
    "date64": (pa.date64(), st.dates(dt.date(1000, 1, 1))),
    "timestamp s": (pa.timestamp("s"), st.integers(-(10**10), 10**11)),
    "timestamp ms, zone": (pa.timestamp("ms", "Asia/Tokyo"), st.integers(-(10**13), 10**13)),
    "timestamp us": (pa.timestamp("us"), LONG.map(lambda n: n // 10)),
    "timestamp ns": (pa.timestamp("ns"), LONG),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "float": (pa.float32(), st.floats(width=32)),
    "bool": (pa.bool_(), st.booleans()),
    "decimal": (pa.decimal128(9, 2), st.decimals(-1000, 1000, places=2)),
    "time": (pa.time64("us"), st.times()),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), WORDS),
    "null": (pa.null(), st.none()),
}


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_arrow_columns_equal_those_of_pandas(kind: str, data: st.DataObject) -> None:
    dtype, cells = TYPES[kind]
    values = data.draw(st.lists(st.one_of(st.none(), cells), min_size=1, max_size=12))
    array = pa.array(values, dtype)
    cut = data.draw(st.integers(0, len(values)))
    series = arrow(chunked(array, cut) if kind != "dictionary" else array)
    with pytest.MonkeyPatch.context() as patch:
        assert_equal(column_of("c", series), by_pandas(series, patch))


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.one_of(st.none(), WORDS, st.text(max_size=3)), min_size=1, max_size=15))
def test_text_is_the_same_column_in_every_dtype(values: list[str | None]) -> None:
    expected = column_of("c", pd.Series(values, dtype=object)) if any(values) else None
    for dtype in ("str", "string[pyarrow]", "string[python]"):
        found = column_of("c", pd.Series(values, dtype=dtype))
        if expected is not None and expected.kind == "text":
            assert_equal(found, expected)
        stripped = [None if value is None or value.strip().lower() in MISSING else value.strip() for value in values]
        if found.kind == "text":
            assert np.append(found.levels, None)[found.data].tolist() == stripped
        else:
            assert values == [None] * len(values)


def test_levels_come_in_the_order_of_their_first_cell_over_chunks() -> None:
    series = arrow(pa.chunked_array([["b", None], [], ["a", " b", "?"], ["c", "a"]]))
    column = column_of("c", series)
    assert column.levels.tolist() == ["b", "a", "c"]
    assert column.data.tolist() == [0, -1, 1, 0, -1, 2, 1]
    assert column.data.dtype == np.int32


def test_floats_without_gaps_share_the_memory() -> None:
    array = pa.array(np.arange(5.0))
    assert np.shares_memory(column_of("c", arrow(array)).data, array.to_numpy())


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1)), min_size=1, max_size=9))
def test_durations_of_any_length_are_seconds(unit: str, scale: int, values: list[int | None]) -> None:
    """Nanoseconds end after 292 years; other units go on."""
    array = pa.array(values, pa.duration(unit))
    expected = [np.nan if value is None else value / scale for value in values]
    for series in (arrow(array), pd.Series(array.to_numpy(zero_copy_only=False))):
        column = column_of("c", series)
        assert column.kind == "number"
        np.testing.assert_allclose(column.data, expected, rtol=1e-15)


def test_durations_of_centuries_are_prepared() -> None:
    days = np.random.default_rng(0).integers(0, 4_000 * 365, 60)
    spans = days.astype("timedelta64[D]").astype("timedelta64[us]")
    label = np.where(days > 2_000 * 365, "late", "early")
    numbers = prepare({"span": days * 86_400.0, "y": label}, "y", scale="standard")
    for frame in (pd.DataFrame({"span": spans, "y": label}), pl.DataFrame({"span": spans, "y": label})):
        np.testing.assert_array_equal(prepare(frame, "y", scale="standard").train.x, numbers.train.x)


def test_a_date_beyond_the_calendar_is_as_pandas_says() -> None:
    """Days beyond the year 9999 have no Python date, which pandas goes by."""
    series = arrow(pa.array([0, 10**7], pa.int32()).cast(pa.date32()))
    with pytest.MonkeyPatch.context() as patch:
        with pytest.raises(Exception) as expected:
            by_pandas(series, patch)
        with pytest.raises(type(expected.value)):
            column_of("c", series)


def test_frames_of_pandas_and_polars_give_the_same_preparation() -> None:
    draw = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame({"x": draw.normal(size=n), "span": pd.to_timedelta(draw.integers(0, 10**6, n), unit="s")})
    frame["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, n), unit="D")
    frame["text"] = np.array(["a", "b ", None, "?"], object)[draw.integers(0, 4, n)]
    frame["y"] = np.where(frame["x"] > 0, "yes", "no")
    expected = prepare(frame.astype({"text": object, "y": object}), "y")
    for other in (frame.astype({"text": "str"}), frame.astype({"text": "string[pyarrow]"}), pl.from_pandas(frame)):
        found = prepare(other, "y")
        assert found.feature_names == expected.feature_names
        np.testing.assert_array_equal(found.train.x, expected.train.x)
        assert [report.shape for report in found.columns] == [report.shape for report in expected.columns]


NESTED = {
    "lists": pa.array([[1, 2], [3], None, [3]] * 25),
    "structs": pa.array([{"u": 1}, {"u": 2}, None, {"u": 2}] * 25),
    "maps": pa.array([[("k", 1)], [("k", 2)], None, [("k", 2)]] * 25, pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("stream", [False, True])
def test_nested_cells_are_read_as_the_text_that_pandas_own_objects_are(name: str, stream: bool, tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(100.0), "nested": NESTED[name], "y": ["p", "q"] * 50})
    plain = pd.DataFrame({"a": np.arange(100.0), "nested": NESTED[name].to_pylist(), "y": ["p", "q"] * 50})
    pq.write_table(table, tmp_path / "a.parquet")
    options = {"categorical": "nested"}
    found = nnlab.prepare(tmp_path / "a.parquet", "y", stream=stream, **options)
    wanted = nnlab.prepare(plain, "y", **options)
    assert found.feature_names == wanted.feature_names and len(wanted.feature_names) > 2
    assert np.array_equal(found.train.x, wanted.train.x)
