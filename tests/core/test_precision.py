"""The numbers that a run computes with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError
from nnlab.core.precision import check_precision
from nnlab.core.spec import TrainSpec

SHORT = {"hidden": "12", "epochs": 3, "store": False}


def test_data_are_float64_where_that_is_asked_for() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=80), "b": list("xyz-") * 20, "y": draw.normal(size=80) * 7})
    data = nnlab.prepare(frame.assign(w=1.0), target="y", weight="w", dtype="float64", scale="standard")
    train = frame.iloc[data.train.index]
    expected = (train.a - train.a.mean()) / train.a.std(ddof=0)
    assert data.train.x.dtype == data.train.y.dtype == data.train.weight.dtype == np.float64
    assert np.abs(data.train.x[:, 0] - expected).max() < 1e-15  # float32 would be off by 1e-8
    assert np.abs(data.train.y - (train.y - train.y.mean()) / train.y.std(ddof=0)).max() < 1e-15
    again = Pipeline.from_state(*data.pipeline.state())
    assert np.array_equal(again.transform(frame), data.transform(frame))
    assert again.transform(frame).dtype == again.transform_target(frame).dtype == np.float64
    assert nnlab.prepare(frame, target="y").train.x.dtype == np.float32


@pytest.mark.parametrize("data", ["classes", "numbers"])
def test_float64_is_the_same_run_with_more_digits(data: str, request: pytest.FixtureRequest) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    fine, coarse = (nnlab.fit(prepared, precision=word, **SHORT) for word in ("float64", "float32"))
    assert {weight.dtype for weight in fine.model.parameters()} == {torch.float64}
    losses = fine.history.valid_loss, coarse.history.valid_loss
    assert np.allclose(*losses, rtol=1e-4)
    assert not np.array_equal(*losses)


def test_a_float64_run_is_stored_and_loaded_to_the_bit(numbers: Prepared, tmp_path: Path) -> None:
    run = nnlab.fit(numbers, precision="float64", **SHORT)
    again = nnlab.Run.load(run.save(tmp_path / "run"))

    frame = {name: np.linspace(-1, 1, 7) for name in numbers.pipeline.columns}
    assert np.array_equal(again.predict(frame), run.predict(frame))
    assert next(again.model.parameters()).dtype == torch.float64


def test_an_own_network_that_makes_float32_says_so_before_it_trains(numbers: Prepared) -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x.float())

    assert nnlab.fit(numbers, model=Single, epochs=1, store=False).metrics
    with pytest.raises(RunError, match="failed on 2 rows"):
        nnlab.fit(numbers, model=Single, epochs=1, precision="float64", store=False)


def test_precision_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(RunError, match="precision=float64: mps has no such numbers"):
        check_precision(TrainSpec(precision="float64"), "mps")
