"""What is told later is what was there when the table was prepared; blocks are written as each feature writes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data import told
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import prepare

ROWS = 700


def frame(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({"a": draw.normal(size=ROWS), "b": draw.normal(size=ROWS), "key": np.arange(ROWS)})
    table.loc[draw.random(ROWS) < 0.1, "a"] = np.nan
    table["level"] = draw.choice(["x", "y", "X"], ROWS)
    table["two"] = draw.choice(["x", "y"], ROWS)
    table["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 900, ROWS), "D")
    table["y"] = (table["b"] + draw.normal(size=ROWS) > 0).astype(int)
    table["copy"] = table["y"].map({0: "no", 1: "yes"})
    return pd.concat([table, table[:60]], ignore_index=True)


def test_what_is_told_later_is_of_the_table_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    later_table = frame()
    later = prepare(later_table, target="y", categorical=["key"])
    for name in ("a", "b"):
        cells = later_table[name].to_numpy()
        cells.flags.writeable = True  # as code that does not mind pandas may do
        cells[:] = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(told, "MOST_CELLS", 0)
        once = prepare(frame(), target="y", categorical=["key"])
    assert later.audit == once.audit and later.warnings == once.warnings and later.columns == once.columns
    assert {finding.kind for finding in later.audit} >= {"target_copy", "category_twins", "duplicates"}


def test_many_cells_do_not_wait() -> None:
    made: list[int] = []
    few = told.Later(lambda: made.append(1), told.MOST_CELLS)
    assert not made
    told.Later(lambda: made.append(2), told.MOST_CELLS + 1)
    assert made == [2]
    few()
    few()
    assert made == [2, 1]  # made once


OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "linear": {"scale": "standard"},
    "clipped": {"outliers": "clip", "scale": "robust"},
    "expanded": {"expand": "splines", "scale": "minmax"},
    "mixed": {"scale": "standard", "scale.b": "quantile", "encode.level": "codes"},
    "by the table": {"impute": "knn", "cross": "ratios"},
    "target": {"encode": "target"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_hold_what_each_feature_writes(options: dict[str, Any], dtype: str) -> None:
    table = frame().drop(columns=["copy", "key"])
    pipeline = prepare(table, target="y", dtype=dtype, **options).pipeline
    new = frame(1)
    new.loc[:20, "level"] = None
    new.loc[10:30, "level"] = "never seen"
    new.loc[:9, "b"] = 1e38
    with pytest.warns(UserWarning):
        x = pipeline.transform(new)
    assert x.dtype == dtype
    assert np.array_equal(x, _one_by_one(pipeline, new))


def _one_by_one(pipeline: Pipeline, table: pd.DataFrame) -> np.ndarray:
    """The features of each column by its own `write`, row by row of the same block."""
    from nnlab.core.data.columns import column_of
    from nnlab.core.data.numbers import Number

    values = [feature.values(column_of(feature.name, table[feature.name]))[0] for feature in pipeline.features]
    out = np.zeros((len(table), len(pipeline.raw_names)), pipeline.target.dtype)
    filled = pipeline.filled(values)
    low = 0
    for feature, column in zip(pipeline.features, values, strict=True):
        own = out[:, low : low + len(feature.labels)]
        feature.write(column, own)
        if pipeline.fills and isinstance(feature, Number):
            feature.write_filled(filled[feature.name], own)
        low += len(feature.labels)
    if pipeline.cross:
        from nnlab.core.data.steps import CROSSES

        found = CROSSES[pipeline.cross.step.name].facts["apply"](filled, pipeline.cross.step.state)
        for i, number in enumerate(pipeline.cross.numbers):
            number.write(found[:, i], out[:, low + i : low + i + 1])
    return out
