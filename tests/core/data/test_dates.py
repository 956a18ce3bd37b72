"""Cycles of dates: sine and cosine of their parts, beside the parts."""

import numpy as np
import pandas as pd

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import prepare


def frame(rows: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    when = pd.Timestamp("2023-01-01") + pd.to_timedelta(draw.integers(0, 600 * 24, rows), unit="h")
    return pd.DataFrame({"when": when, "y": draw.normal(size=rows)})


def test_cycles_are_sines_and_cosines_of_pandas_parts() -> None:
    table = frame()
    data = prepare(table, "y", cycles=True)
    names = list(data.feature_names)
    assert [name for name in names if name.endswith((" sin", " cos"))] == [
        f"when {part} {wave}" for part in ("month", "day", "weekday", "hour") for wave in ("sin", "cos")
    ]
    x, when = data.transform(table), table["when"].dt
    for part, angle in {
        "month": (when.month - 1) / 12,
        "day": (when.day - 1) / 31,
        "weekday": when.day_of_week / 7,
        "hour": when.hour / 24,
    }.items():
        np.testing.assert_allclose(x[:, names.index(f"when {part} sin")], np.sin(2 * np.pi * angle), atol=1e-6)
        np.testing.assert_allclose(x[:, names.index(f"when {part} cos")], np.cos(2 * np.pi * angle), atol=1e-6)
    plain = prepare(table, "y")
    assert set(plain.feature_names) == {name for name in names if not name.endswith((" sin", " cos"))}
    again = Pipeline.from_state(*data.pipeline.state())
    assert np.array_equal(again.transform(table), x)
    assert (data.inverse(x)["when"] == table["when"]).all()


def test_a_gap_has_no_angle() -> None:
    table = frame()
    table.loc[::5, "when"] = pd.NaT
    data = prepare(table, "y", cycles=True)
    waves = [i for i, name in enumerate(data.feature_names) if name.endswith((" sin", " cos"))]
    assert not data.transform(table)[::5][:, waves].any()
