"""Gaps filled along an order: the numbers of pandas, the rules of the parts, and pipelines that come back."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.ordering import parts_of
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.split import Split
from nnlab.core.errors import DataError, SpecError

ROWS = 300
PLAIN: dict[str, Any] = {
    "scale": "none",
    "indicators": False,
    "split": "random",
    "time": "t",
    "group": "g",
    "drop": "t",
}


def table(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    a = np.where(draw.random(ROWS) < 0.4, np.nan, draw.normal(size=ROWS))
    town = np.where(draw.random(ROWS) < 0.4, None, draw.choice(["Ulm", "Bonn", "Kiel"], ROWS))
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.permutation(ROWS) * 7, unit="h")
    return pd.DataFrame(
        {"t": days, "g": draw.choice(list("uvw"), ROWS), "a": a, "town": town, "y": draw.normal(size=ROWS)}
    )


def by_pandas(frame: pd.DataFrame, name: str, limit: int | None) -> pd.Series:
    groups = frame.sort_values("t").set_index("t", append=True).reset_index(level=0).groupby("g")["a"]
    if name == "interpolate":
        found = groups.transform(lambda s: s.interpolate(method="index", limit=limit))
    else:
        found = getattr(groups, name)(limit=limit)
    return pd.Series(found.to_numpy(), index=frame.sort_values("t").index).reindex(frame.index)


def column(data: Prepared, part: str, name: str = "a") -> np.ndarray:
    return np.asarray(getattr(data, part).x[:, data.feature_names.index(name)])


@pytest.mark.parametrize("limit", [None, 1, 2])
@pytest.mark.parametrize("name", ["ffill", "bfill", "interpolate"])
def test_training_rows_are_filled_as_pandas_does(name: str, limit: int | None) -> None:
    frame = table()
    data = prepare(frame, "y", impute=name, limit=limit, **PLAIN)
    train = frame.loc[data.train.index]
    median = train["a"].median()
    np.testing.assert_allclose(column(data, "train"), by_pandas(train, name, limit).fillna(median), rtol=1e-5)
    whole = by_pandas(frame, name, limit).fillna(median)
    at = data.feature_names.index("a")
    np.testing.assert_allclose(data.transform(frame)[:, at], whole, rtol=1e-5)


def test_held_out_rows_take_earlier_values_of_earlier_parts_and_later_ones_of_their_own() -> None:
    frame = table()
    data = prepare(frame, "y", impute="ffill", **PLAIN)
    parts = [data.train.index, data.valid.index, data.test.index]
    median = frame.loc[parts[0], "a"].median()
    for number, part in ((1, "valid"), (2, "test")):
        seen = frame.loc[np.sort(np.concatenate(parts[: number + 1]))]
        expected = by_pandas(seen, "ffill", None).loc[parts[number]].fillna(median)
        np.testing.assert_allclose(column(data, part), expected, rtol=1e-5)
    data = prepare(frame, "y", impute="bfill", **PLAIN)
    for number, part in ((1, "valid"), (2, "test")):
        expected = by_pandas(frame.loc[parts[number]], "bfill", None).fillna(median)
        np.testing.assert_allclose(column(data, part), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["ffill", "bfill", "interpolate"])
def test_poisoned_rows_change_neither_training_rows_nor_pipeline(name: str) -> None:
    frame = table()
    first = prepare(frame, "y", impute=name, **PLAIN)
    other = frame.copy()
    hidden = np.concatenate([first.valid.index, first.test.index])
    other.loc[hidden, "a"] = np.where(np.arange(len(hidden)) % 2, 1e6, np.nan)
    second = prepare(other, "y", impute=name, **PLAIN)
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert json.dumps(first.pipeline.state()[0]) == json.dumps(second.pipeline.state()[0])
    late = frame.copy()
    late.loc[first.test.index, "a"] = 1e6
    np.testing.assert_array_equal(first.valid.x, prepare(late, "y", impute=name, **PLAIN).valid.x)


def test_categories_are_filled_where_asked() -> None:
    frame = table()
    data = prepare(frame, "y", **(PLAIN | {"impute.town": "ffill"}))
    train = frame.loc[data.train.index].sort_values("t")
    expected = train.groupby("g")["town"].ffill().reindex(data.train.index)
    assert not data.check(frame)  # gaps are nothing new, though training rows have none left
    for level in ("Ulm", "Bonn", "Kiel"):
        np.testing.assert_array_equal(column(data, "train", f"town={level}") == 1, (expected == level).to_numpy())
    with pytest.raises(SpecError, match=r"impute.town interpolate: column 'town' holds a category"):
        prepare(frame, "y", **(PLAIN | {"impute.town": "interpolate"}))


def test_flags_mark_the_gaps_as_they_came_and_state_comes_back() -> None:
    frame = table()
    data = prepare(frame, "y", impute="interpolate", **(PLAIN | {"indicators": True, "cross": "polynomial"}))
    np.testing.assert_array_equal(column(data, "train", "a <missing>"), frame["a"].isna()[data.train.index])
    plain, arrays = data.pipeline.state()
    again = Pipeline.from_state(json.loads(json.dumps(plain)), arrays)
    np.testing.assert_array_equal(again.transform(frame), data.transform(frame))
    assert again.columns == ("a", "town", "t", "g")
    with pytest.raises(DataError, match="lacks columns: 'g'"):
        data.transform(frame.drop(columns="g"))


def test_what_is_said() -> None:
    frame = table()[["a", "y"]]
    notes = prepare(frame, "y", impute="bfill").warnings
    assert any("bfill uses the future" in note for note in notes)
    assert any("goes by the order of the rows" in note for note in notes)
    assert not any("future" in note for note in prepare(table(), "y", impute="ffill", time="t").warnings)


def test_rows_of_no_part_neither_give_nor_take() -> None:
    split = Split(np.array([0, 3]), np.array([1]), np.array([4]), left_out=np.array([2]))
    assert parts_of(split, 5).tolist() == [0, 1, -1, 0, 2]


def dated(seed: int = 0) -> pd.DataFrame:
    """Dates with gaps, as dates, as text, and before 1970; whole days, so that what is taken from a row is told."""
    draw = np.random.default_rng(seed)
    days = pd.to_datetime(draw.integers(-40_000, 20_000, ROWS), unit="D")
    gone = draw.random(ROWS) < 0.4
    when = pd.Series(days).mask(gone)
    return table(seed).assign(when=when, text=when.dt.strftime("%d.%m.%Y"))


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("name", ["ffill", "bfill", "interpolate"])
def test_dates_are_filled_as_pandas_does_with_their_numbers(name: str, limit: int | None) -> None:
    frame = dated()
    first = frame["when"].min()
    days = frame.assign(a=(frame["when"] - first) / pd.Timedelta("1D"))
    data = prepare(frame, "y", impute=name, limit=limit, **PLAIN)
    train = days.loc[data.train.index]
    start = (train["when"].min() - first) / pd.Timedelta("1D")  # days are counted from the first one of the training
    expected = by_pandas(train, name, limit)
    expected = expected.fillna(train["a"].median()) - start
    for column_name in ("when elapsed", "text elapsed"):
        np.testing.assert_allclose(column(data, "train", column_name), expected, rtol=1e-6, atol=1e-3)
    parts = [data.train.index, data.valid.index, data.test.index]
    seen = days.loc[np.sort(np.concatenate(parts[:2] if name == "ffill" else parts[1:2]))]
    if name != "interpolate" and limit is None:
        expected = by_pandas(seen, name, limit).loc[parts[1]].fillna(train["a"].median()) - start
        np.testing.assert_allclose(column(data, "valid", "when elapsed"), expected, rtol=1e-6, atol=1e-3)
    whole = by_pandas(days, name, limit).fillna(train["a"].median()) - start
    at = data.feature_names.index("text elapsed")
    np.testing.assert_allclose(data.transform(frame)[:, at], whole, rtol=1e-6, atol=1e-3)


def test_dates_keep_their_flags_parts_and_cycles() -> None:
    frame = dated()
    own = {"impute.date": "ffill", "impute.text": "median", "cycles": True, "indicators": True, "impute": "mean"}
    data = prepare(frame, "y", **(PLAIN | own))
    train = frame.loc[data.train.index]
    filled = train.sort_values("t").groupby("g")["when"].ffill().reindex(train.index)
    known = filled.notna().to_numpy()
    np.testing.assert_array_equal(column(data, "train", "when year")[known], filled[known].dt.year)
    angle = 2 * np.pi * (filled[known].dt.month - 1) / 12
    np.testing.assert_allclose(column(data, "train", "when month sin")[known], np.sin(angle), atol=1e-6)
    (flag,) = [name for name in data.feature_names if name.startswith("when") and "missing" in name]
    np.testing.assert_array_equal(column(data, "train", flag), train["when"].isna())
    gone = train["when"].isna().to_numpy()
    assert len(np.unique(column(data, "train", "text year")[gone])) == 1  # its own imputer: one number for all
    plain, arrays = data.pipeline.state()
    again = Pipeline.from_state(json.loads(json.dumps(plain)), arrays)
    np.testing.assert_array_equal(again.transform(frame), data.transform(frame))


def test_poisoned_dates_change_neither_training_rows_nor_pipeline() -> None:
    frame = dated()
    first = prepare(frame, "y", impute="interpolate", **PLAIN)
    hidden = np.concatenate([first.valid.index, first.test.index])
    other = frame.copy()
    other.loc[hidden, "when"] = pd.Timestamp("2150-01-01")
    second = prepare(other, "y", impute="interpolate", **PLAIN)
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert json.dumps(first.pipeline.state()[0]) == json.dumps(second.pipeline.state()[0])
