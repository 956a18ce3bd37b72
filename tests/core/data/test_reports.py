import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes

import nnlab
from nnlab.core.data import spreads as module
from nnlab.core.data.reports import ColumnReport
from nnlab.core.data.spreads import BARS, Spread, spreads


def reports(data: nnlab.Prepared) -> dict[str, ColumnReport]:
    return {column.name: column for column in data.columns}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(
            st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.just(float("nan")), min_size=7, max_size=7
        ),
        min_size=1,
        max_size=9,
    )
)
def test_spreads_are_those_of_numpy(columns: list[list[float]]) -> None:
    table = [np.array(column) for column in columns]
    for column, found in zip(table, spreads(table, 7), strict=True):
        present = column[np.isfinite(column)]
        if not len(present):
            assert found is None
            continue
        assert found is not None
        assert (found.low, found.high) == (present.min(), present.max())
        np.testing.assert_allclose(found.mean, present.mean(), rtol=1e-9, atol=1e-9 * np.abs(present).max())
        np.testing.assert_allclose(found.sd, present.std(), rtol=1e-6, atol=1e-8 * np.abs(present).max())
        assert sum(found.bars) == len(present) and len(found.bars) in (1, BARS)


def test_bars_are_the_histogram_of_numpy_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    table = list(np.random.default_rng(0).normal(size=(7, 500)))
    expected = [tuple(np.histogram(column, BARS)[0].tolist()) for column in table]
    for cells in (1, 1200, 10**6):
        monkeypatch.setattr(module, "BLOCK_CELLS", cells)
        assert [found.bars for found in spreads(table, 500) if found] == expected


def test_extreme_numbers_have_a_spread() -> None:
    huge = np.array([-1.7e308, 0.0, 1.7e308])
    (found,) = spreads([huge], 3)
    assert found is not None and found.mean == 0.0 and sum(found.bars) == 3
    assert found.sd == pytest.approx(1.7e308 * np.sqrt(2 / 3))
    (tiny,) = spreads([np.array([0.0, 5e-324])], 2)
    assert tiny is not None and sum(tiny.bars) == 2
    (same,) = spreads([np.array([3.0, 3.0, np.inf])], 3)
    assert same == Spread(3.0, 3.0, 3.0, 0.0, (2,))
    assert list(spreads([np.empty(0)], 0)) == [None] and list(spreads([], 5)) == []


def test_before_is_of_training_rows_and_after_of_their_features() -> None:
    frame = load_diabetes(as_frame=True).frame
    frame.loc[::9, "bmi"] = np.nan
    data = nnlab.prepare(frame, "target")
    train = frame.iloc[data.train.index]
    for name, column in reports(data).items():
        x = data.train.y if name == "target" else data.train.x[:, data.feature_names.index(name)]
        for found, values in ((column.before, train[name].dropna()), (column.after, x.astype(float))):
            assert found is not None
            expected = (values.min(), values.max(), values.mean(), np.std(values))
            np.testing.assert_allclose((found.low, found.high, found.mean, found.sd), expected, rtol=1e-6, atol=1e-7)
        assert column.before is not None and column.shape == column.before.bars
    bmi = reports(data)["bmi"]
    assert bmi.missing == 50 and bmi.rows == 442 and bmi.features == 2


def test_levels_come_most_frequent_first_and_only_of_training_rows() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"town": rng.choice(list("abcd"), 400, p=[0.1, 0.5, 0.3, 0.1]), "x": rng.normal(size=400)})
    frame["y"] = rng.choice(["no", "yes"], 400, p=[0.7, 0.3])
    data = nnlab.prepare(frame, "y")
    town, target = reports(data)["town"], reports(data)["y"]
    counts = frame["town"].iloc[data.train.index].value_counts()
    assert dict(zip(town.levels, town.shape, strict=True)) == counts.to_dict()
    assert list(town.shape) == sorted(town.shape, reverse=True)
    assert town.before is None and town.after is not None and (town.after.low, town.after.high) == (0.0, 1.0)
    assert target.levels == ("no", "yes") and sum(target.shape) == len(data.train)


def test_dates_are_told_in_microseconds() -> None:
    days = pd.date_range("2020-01-01", periods=90)
    data = nnlab.prepare(pd.DataFrame({"day": days, "y": np.arange(90) % 2}), "y", valid=0.0, test=0.0)
    before = reports(data)["day"].before
    assert before is not None
    assert np.datetime64(int(before.low), "us") == days[0] and np.datetime64(int(before.high), "us") == days[-1]


def test_after_a_selection_only_features_that_are_left_are_told() -> None:
    data = nnlab.prepare(load_breast_cancer(as_frame=True).frame, "target", select="l1")
    told = {column.name for column in data.columns if column.after is not None}
    assert told == set(data.feature_names) and 0 < len(told) < 30
    reduced = nnlab.prepare(load_breast_cancer(as_frame=True).frame, "target", reduce="pca")
    assert all(column.after is None for column in reduced.columns)


def test_columns_that_say_something_about_the_rows_are_told() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "when": pd.date_range("2024-01-01", periods=200)})
    frame["shop"] = np.where(np.arange(200) % 11 == 0, None, rng.choice(["north", "south", "east", "west"], 200))
    frame["count"], frame["y"] = rng.random(200) + 1, rng.integers(0, 2, 200)
    frame["where"] = np.where(np.arange(200) < 150, "train", "test")
    found = reports(nnlab.prepare(frame, "y", group="shop", weight="count", time="when", split="group"))
    assert list(found) == list(frame.columns)
    assert {name: found[name].role for name in ("shop", "count", "when")} == {
        "shop": "group",
        "count": "weight",
        "when": "date",
    }
    assert (found["shop"].missing, found["shop"].features, found["shop"].rows) == (19, 0, 200)
    assert found["shop"].done == "no feature; its rows stay together in one part"
    assert found["count"].done == "no feature; how much each row counts"
    assert found["when"].done.endswith("; orders the parts") and found["when"].features > 0
    data = nnlab.prepare(frame, "y", part="where")
    assert reports(data)["where"].done == "no feature; tells the part of each row"
    assert data.to_sklearn().n_features_in_ == 4
    report = nnlab.prepare(frame, "y", group="shop").report()
    assert all("its rows stay together" in text for text in (report.html, report.markdown, report.text))
