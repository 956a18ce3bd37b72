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
