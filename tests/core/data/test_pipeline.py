"""The fitted pipeline: other frames, other types, and to files and back."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, DataWarning, SpecError


def trips(rows: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    distance = draw.exponential(9, rows)
    distance[::11] = np.nan
    return pd.DataFrame(
        {
            "distance": distance,
            "zone": draw.choice([1, 2, 3], rows),
            "kind": draw.choice(["bus", "tram", "ferry"], rows),
            "card": draw.random(rows) < 0.5,
            "start": pd.date_range("2023-11-05 10:30", periods=rows, freq="31h"),
            "price": draw.normal(5, 2, rows),
        }
    )


@pytest.fixture(scope="module")
def data() -> Prepared:
    return prepare(trips(), "price", categorical="zone")


@pytest.mark.parametrize("scale", ["quantile", "standard", "minmax", "none"])
def test_files_bring_back_the_same_bits(tmp_path: Path, scale: str) -> None:
    data = prepare(trips(), "price", categorical="zone", scale=scale)
    plain, arrays = data.pipeline.state()
    (tmp_path / "pipeline.json").write_text(json.dumps(plain, allow_nan=False))
    save_file(arrays, tmp_path / "pipeline.safetensors")
    again = Pipeline.from_state(
        json.loads((tmp_path / "pipeline.json").read_text()), load_file(tmp_path / "pipeline.safetensors")
    )
    other = trips(300)
    assert np.array_equal(again.transform(other), data.transform(other))
    assert again.target == data.target
    assert again.feature_names == data.feature_names
    assert np.array_equal(again.transform_target(other), data.pipeline.transform_target(other))


def test_training_rows_come_out_as_they_were_trained_on(data: Prepared) -> None:
    for rows in (data.train, data.valid, data.test):
        assert np.array_equal(data.transform(trips().iloc[rows.index]), rows.x)
        assert np.array_equal(data.pipeline.transform_target(trips().iloc[rows.index]), rows.y)


def test_columns_are_found_by_name(data: Prepared) -> None:
    expected = data.transform(trips())
    mixed = trips()[["start", "kind", "distance", "card", "zone"]].assign(extra=1j)
    assert np.array_equal(data.transform(mixed), expected)
    assert np.array_equal(data.transform(pl.from_pandas(trips())), expected)
    assert np.array_equal(data.transform(trips().iloc[[7]]), expected[[7]])
    assert data.transform(trips().iloc[:0]).shape == (0, len(data.feature_names))


def test_missing_columns_are_named(data: Prepared) -> None:
    with pytest.raises(DataError, match="DataFrame lacks columns: 'kind', 'start'; did you mean 'kinds'"):
        data.transform(trips().rename(columns={"kind": "kinds"}).drop(columns="start"))
    with pytest.raises(DataError, match="no target column 'price'; did you mean 'prise'"):
        data.pipeline.transform_target(trips().rename(columns={"price": "prise"}))


def test_levels_in_other_types_are_the_same_levels(data: Prepared) -> None:
    expected = data.transform(trips())
    for zone in ("float64", "object", str, "Int8", "category"):
        assert np.array_equal(data.transform(trips().astype({"zone": zone})), expected)
    as_text = trips().assign(zone=trips()["zone"].map(" {}.0 ".format), card=trips()["card"].astype(str))
    as_text["start"] = as_text["start"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    as_text["distance"] = as_text["distance"].map(str)
    assert np.array_equal(data.transform(as_text), expected)
    assert not data.check(as_text).notable


def test_unseen_levels_are_counted_and_become_zeros(data: Prepared) -> None:
    frame = trips(4).assign(kind=["bus", "rocket", None, "rocket"])
    with pytest.warns(DataWarning, match="'kind' has 2 with a level that training did not see"):
        found = data.transform(frame)[:, [name.startswith("kind=") for name in data.feature_names]]
    assert found.sum(1).tolist() == [1, 0, 0, 0]
    assert data.check(frame).columns["kind"].unseen == 2
    data.transform(trips())


def test_unseen_levels_go_to_the_slot_of_rare_ones_where_there_is_one() -> None:
    data = prepare(trips(), "price", max_levels=2)
    with pytest.warns(DataWarning, match="'kind' has 2"):
        found = data.transform(trips(2).assign(kind="rocket"))
    assert found[:, data.feature_names.index("kind=<other>")].tolist() == [1.0, 1.0]


def test_a_gap_in_a_column_that_had_none_becomes_the_median() -> None:
    frame = trips().assign(distance=trips()["distance"].fillna(4.0))
    data = prepare(frame, "price", scale="none")
    found = data.transform(frame.iloc[:2].assign(distance=[np.nan, 1.0]))
    assert found[:, 0].tolist() == [np.float32(frame["distance"].iloc[data.train.index].median()), 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": "far"}, "column 'distance' has 120 cells of 120 that are no numbers: 'far'"),
        ({"distance": -np.inf}, "column 'distance' holds 120 infinite"),
        ({"start": "yesterday"}, "column 'start' has 120 cells of 120 that are no dates like the others: 'yesterday'"),
    ],
)
def test_cells_of_another_kind_are_named(data: Prepared, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.transform(trips().assign(**change))


def test_dates_become_their_parts() -> None:
    when = pd.to_datetime(["2024-02-29 23:59", None, "1969-12-31 01:00", "2000-01-01 00:00"])
    frame = pd.DataFrame({"d": np.resize(when.to_numpy(), 80), "y": np.arange(80) / 7})
    data = prepare(frame, "y", scale="none", scale_target="none")
    assert data.feature_names == (
        "d year",
        "d year <missing>",
        "d month",
        "d day",
        "d weekday",
        "d hour",
        "d elapsed",
    )
    found = data.transform(frame.iloc[[0, 2, 3]])
    assert found[:, [0, 2, 3, 4, 5]].tolist() == [[2024, 2, 29, 3, 23], [1969, 12, 31, 2, 1], [2000, 1, 1, 5, 0]]
    np.testing.assert_allclose(np.diff(found[1:, 6]), 10957 + 23 / 24, atol=0.01)
    assert data.transform(frame.iloc[[1]])[0, 1] == 1.0


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        ("%Y-%m-%d", False),
        ("%d.%m.%Y", False),
        ("%m/%d/%Y", False),
        ("%d/%m/%Y %H:%M", False),
        ("%Y-%m-%dT%H:%M:%SZ", False),
    ],
)
def test_dates_written_in_many_ways(written: str, warned: bool) -> None:
    days = pd.date_range("2021-03-01", periods=100)
    y = np.arange(100) / 7
    data = prepare({"d": days.strftime(written), "y": y}, "y", scale="standard")
    assert np.array_equal(data.train.x, prepare({"d": days, "y": y}, "y", scale="standard").train.x)
    assert not [said for said in data.warnings if "read as" in said]
    assert np.array_equal(data.transform({"d": days.strftime(written)[:3]}), data.transform({"d": days[:3]}))


def test_dates_that_can_be_read_two_ways_are_said() -> None:
    days = [f"{1 + i % 12:02d}/{1 + i // 12:02d}/2020" for i in range(60)]
    data = prepare({"d": days, "y": np.arange(60) / 7}, "y")
    assert "column 'd': dates such as '01/01/2020' are read as day first" in data.warnings


def test_a_stored_pipeline_of_another_kind_is_refused(data: Prepared) -> None:
    plain, arrays = data.pipeline.state()
    with pytest.raises(DataError, match="version 99; this nnlab reads version 1"):
        Pipeline.from_state(plain | {"version": 99}, arrays)
    strange = [{**plain["features"][0], "kind": "surprise"}, *plain["features"][1:]]
    with pytest.raises(DataError, match="'surprise', which this version of nnlab does not know"):
        Pipeline.from_state(plain | {"features": strange}, arrays)
    unknown = [{**plain["features"][0], "scaler": "os.system"}, *plain["features"][1:]]
    with pytest.raises(SpecError, match=r"no scaler 'os\.system'"):
        Pipeline.from_state(plain | {"features": unknown}, arrays)


def test_extreme_numbers_stay_finite(data: Prepared) -> None:
    for scale in ("quantile", "standard", "minmax", "none"):
        frame = pd.DataFrame({"a": np.resize([1e-300, 0.0, 3e38, -3e38], 80), "b": np.resize([0, 5e-324], 80) / 1})
        frame["y"] = np.arange(80) / 7
        x = prepare(frame, "y", scale=scale).train.x
        assert np.isfinite(x).all()
