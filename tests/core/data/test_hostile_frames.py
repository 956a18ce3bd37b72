"""Frames of anything: they are prepared, or refused by an error of nnlab, and never end in a foreign exception."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import NNLabError

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "floats": st.floats(),
    "floats32": st.floats(width=32, allow_nan=True),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "huge": st.integers(),
    "few": st.integers(0, 3),
    "bools": st.booleans(),
    "flags": st.sampled_from([True, False, None]),
    "text": st.text(max_size=8),
    "words": st.sampled_from(["a", "b ", " b", "?", "", "NA", "1", "1.0", "x"]),
    "numbers as text": st.floats().map(str) | st.just("abc"),
    "dates": st.datetimes(),
    "days": st.dates().map(str) | st.dates(),
    "spans": st.timedeltas(timedelta(-1000), timedelta(1000)),
    "mixed": st.none() | st.integers() | st.text(max_size=3) | st.floats() | st.booleans() | st.dates(),
    "things": st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
    "bytes": st.binary(max_size=3),
    "decimals": st.decimals(allow_nan=False, allow_infinity=False) | st.just(Decimal("1.5")),
    "nothing": st.none(),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 30))
    names = draw(st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True))
    columns = {}
    for name in names:
        cells = draw(st.lists(CELLS[draw(st.sampled_from(sorted(CELLS)))], min_size=rows, max_size=rows))
        kinds = {type(cell) for cell in cells}
        plain = kinds <= {int, float, bool, str, datetime, date} and len(kinds) == 1 and draw(st.booleans())
        try:
            columns[name] = pd.Series(cells) if plain else pd.Series(cells, dtype=object)
        except (OverflowError, ValueError):
            columns[name] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns)


@pytest.mark.filterwarnings("ignore::nnlab.core.errors.DataWarning")
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(frame=frames(), numbers=st.booleans(), scale=st.sampled_from(["quantile", "standard", "minmax", "none"]))
def test_any_frame_is_prepared_or_refused(frame: pd.DataFrame, numbers: bool, scale: str) -> None:
    rows = len(frame)
    frame["the target"] = np.linspace(0, 1, rows) ** 2 if numbers else np.resize(["yes", "no"], rows)
    before = frame.copy(deep=True)
    try:
        data = prepare(frame, "the target", scale=scale)
    except NNLabError as error:
        assert str(error).strip()
    else:
        assert sum(len(part) for part in (data.train, data.valid, data.test)) == rows
        assert all(np.isfinite(part.x).all() for part in (data.train, data.valid, data.test))
        again = Pipeline.from_state(*data.pipeline.state())
        assert np.array_equal(again.transform(frame)[data.test.index], data.test.x)
    pd.testing.assert_frame_equal(frame, before)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(frame=frames(), place=st.integers(0, 3), task=st.sampled_from([None, "binary", "multiclass", "regression"]))
def test_any_column_as_target(frame: pd.DataFrame, place: int, task: str | None) -> None:
    frame["a number"] = np.linspace(0, 1, len(frame)) ** 2
    target = str(frame.columns[place % len(frame.columns)])
    try:
        data = prepare(frame, target, task=task)
    except NNLabError as error:
        assert str(error).strip()
    else:
        assert np.isfinite(data.train.y).all()
        assert np.array_equal(data.pipeline.transform_target(frame)[data.train.index], data.train.y)
