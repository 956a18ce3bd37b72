"""`data.inverse`: what a frame held comes back, as far as the digits of a feature go."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab import prepare
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.rounding import carried, unit_of

EXACT = ["standard", "robust", "power", "log1p", "minmax", "none"]  # ranks beyond the fitted quantiles are cut


def frame(rows: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    start = pd.Timestamp("2015-01-01")
    return pd.DataFrame(
        {
            "year": rng.integers(1900, 2020, rows),
            "price": np.round(rng.uniform(0, 500, rows), 2),
            "tiny": np.round(rng.normal(0, 1e-6, rows), 9),
            "kids": rng.integers(0, 3, rows).astype(np.int8),
            "grade": rng.choice([10, 20, 30], rows),
            "paid": rng.random(rows) > 0.5,
            "day": start + pd.to_timedelta(rng.integers(0, 3000, rows), unit="D"),
            "minute": start.tz_localize("Asia/Tokyo") + pd.to_timedelta(rng.integers(0, 4_000_000, rows), unit="min"),
            "second": start + pd.to_timedelta(rng.integers(0, 86_400 * 90, rows), unit="s"),
            "any": rng.normal(0, 1000, rows),
            "y": rng.random(rows),
        }
    )


@pytest.mark.parametrize("scale", EXACT)
def test_what_was_there_comes_back(scale: str) -> None:
    table = frame()
    data = prepare(table, "y", scale=scale, categorical="grade")
    x = data.transform(table)
    back = data.inverse(x)
    for name in ("year", "price", "tiny", "kids", "grade", "paid", "day", "minute", "second"):
        assert (back[name] == table[name]).all(), name
    assert [back[name].dtype.kind for name in ("year", "kids", "grade", "paid", "day")] == list("iiibM")
    assert str(back["minute"].dt.tz) == "UTC"
    assert np.abs(back["any"] - table["any"]).max() < 2e-3, "float32 of logarithms has six digits"
    assert np.array_equal(data.transform(back.assign(any=table["any"])), x), "what comes back prepares alike"
    again = Pipeline.from_state(*data.pipeline.state())
    pd.testing.assert_frame_equal(again.inverse(x), back)


def test_gaps_come_back_as_what_filled_them() -> None:
    table = frame()
    table["year"] = table["year"].where(table.index % 7 > 0)
    table["paid"] = table["paid"].astype(object).where(table.index % 7 > 0)
    table["grade"] = table["grade"].where(table.index % 7 > 0)
    data = prepare(table, "y", categorical="grade")
    back = data.inverse(data.transform(table))
    there = table.index % 7 > 0
    assert (back["year"][there] == table["year"][there]).all()
    assert (back["year"][~there] == table["year"].iloc[data.train.index].median()).all()
    assert back["paid"][there].tolist() == table["paid"][there].tolist()
    assert back["paid"][~there].isna().all() and back["grade"][~there].isna().all()
    assert (back["grade"][there] == table["grade"][there]).all()


def test_features_that_are_no_numbers_give_no_integers() -> None:
    table = frame()
    data = prepare(table, "y", scale="standard")
    x = data.train.x[:3].copy()
    x[0] = np.nan
    x[1] = np.inf
    back = data.inverse(x)
    assert np.isnan(back["year"][0]) and np.isinf(back["year"][1]) and np.isfinite(back["year"][2])
    assert back["day"][:2].isna().all() and not back["day"].isna()[2]


@given(st.decimals(-9999, 9999, places=2), st.floats(1e-3, 1e4), st.floats(-1e3, 1e3))
def test_two_decimals_survive_any_scaling(value: float, scale: float, shift: float) -> None:
    number = float(value)
    feature = np.array([(number - shift) / scale], np.float32)
    gap = float(np.spacing(np.abs(feature))[0]) * scale
    found = carried(lambda x: x * scale + shift, feature)[0]
    assert abs(found - number) <= gap
    if gap < 0.01:
        assert found == number


def test_float64_features_keep_their_digits() -> None:
    table = frame()
    data = prepare(table, "y", dtype="float64")
    back = data.inverse(data.transform(table))
    assert np.abs(back["any"] / table["any"] - 1).max() < 1e-12


def test_units_of_dates() -> None:
    day = 86_400_000_000
    found = [unit_of(np.array(us)) for us in ([0, 3 * day], [day, day // 2], [60_000_000], [5_000_000], [1000], [1])]
    assert found == [day, day // 24, 60_000_000, 1_000_000, 1000, 1]
