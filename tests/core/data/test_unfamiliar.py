"""What is unfamiliar in new rows is counted, said where it is notable, and kept with the pipeline."""

import warnings

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataWarning


def frame(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    found = pd.DataFrame({"age": draw.uniform(18, 90, rows), "kind": draw.choice(["a", "b", "c"], rows)})
    found["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), unit="D")
    found["gap"] = np.where(draw.random(rows) < 0.1, np.nan, draw.normal(size=rows))
    return found.assign(y=draw.integers(0, 2, rows))


def strange(rows: int = 50) -> pd.DataFrame:
    found = frame(rows, 1)
    found.loc[:9, "age"] = 120.0
    found.loc[10:14, "age"] = np.nan
    found.loc[:6, "kind"] = "new"
    found.loc[:19, "day"] = pd.Timestamp("2031-05-01")
    found.loc[:29, "gap"] = np.nan
    return found


def test_each_kind_is_counted_by_column() -> None:
    data = prepare(frame(), "y")
    found = data.check(strange())
    age, kind, day = (found.columns[name] for name in ("age", "kind", "day"))
    assert (found.rows, found.trained) == (50, len(data.train))
    assert (age.outside, age.gaps, kind.unseen, day.outside) == (10, 5, 7, 20)
    assert "gap" not in found.columns or not found.columns["gap"].gaps, "training had gaps there, too"
    assert 18 <= age.low < age.high <= 90  # type: ignore[operator]
    with pytest.warns(DataWarning, match="of 50 rows 'age' has 10 outside of training's 18") as told:
        data.transform(strange())
    assert told[0].filename == __file__
    plain, arrays = data.pipeline.state()
    assert Pipeline.from_state(plain, arrays).examine(strange()) == found


def test_what_chance_gives_is_counted_but_not_said() -> None:
    data = prepare(frame(), "y")
    new = frame(300, 2)
    new.loc[0, "age"] = 90.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.transform(new)
    assert data.check(new).columns["age"].outside >= 1
    assert not data.check(new).notable


def test_a_pipeline_of_before_counts_what_it_can() -> None:
    plain, arrays = prepare(frame(), "y").pipeline.state()
    del plain["rows"]
    for feature in plain["features"]:
        for word in ("low", "high", "complete"):
            feature.pop(word, None)
    with pytest.warns(DataWarning, match="'kind' has 7"):
        Pipeline.from_state(plain, arrays).transform(strange())


def test_gaps_are_counted_in_categories_dates_and_texts() -> None:
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list("abcdefgh"), 6)) for _ in range(1000)]
    data = prepare(frame().assign(said=texts), "y", **{"text.said": "tfidf"})
    new = frame(400, 3).assign(said=texts[:400])
    new.loc[:199, ["kind", "said"]] = None
    new.loc[:299, "day"] = pd.NaT
    found = data.check(new)
    assert {name: found.columns[name].gaps for name in ("kind", "said", "day")} == {
        "kind": 200,
        "said": 200,
        "day": 300,
    }
    plain, arrays = data.pipeline.state()
    assert Pipeline.from_state(plain, arrays).examine(new) == found
    holed = frame().assign(kind=np.where(np.arange(1000) % 7, "a", None))
    assert "kind" not in prepare(holed, "y").check(holed).columns, "training had gaps there, too"


@pytest.mark.parametrize("fill", ["most_frequent", "constant"])
def test_gaps_of_filled_categories_are_counted(fill: str) -> None:
    new = frame(400, 3)
    new.loc[:99, "kind"] = None
    assert prepare(frame(), "y", **{"impute.kind": fill}).check(new).columns["kind"].gaps == 100


def test_one_row_that_is_far_off_is_said() -> None:
    data = prepare(frame(), "y")
    with pytest.warns(DataWarning, match="of 1 row 'age' has 1 outside of training's 18"):
        data.transform(frame(1).assign(age=500.0))
    assert not data.check(frame(1).assign(age=91.0)).notable, "near the end, as chance gives it"
    assert data.check(frame(1).assign(age=91.0)).columns["age"].outside == 1


def test_rounding_is_not_outside() -> None:
    ends = frame().assign(age=lambda table: table["age"].round().clip(20, 80) / 10 + 0.1)
    data = prepare(ends, "y")
    low = data.check(ends.astype({"age": "float32"}))
    assert (ends["age"].astype("float32") > ends["age"].max()).any(), "8.1 as float32 is larger"
    assert "age" not in low.columns
    whole = prepare(ends.assign(age=np.arange(1000) % 500 + 10**12), "y")
    assert whole.check(ends.assign(age=10**12 + 500)).columns["age"].outside == 1000, "whole numbers are exact"
