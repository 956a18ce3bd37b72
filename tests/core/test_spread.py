"""Members of an ensemble, and how far they are apart: against each member taken out and asked alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import RunError
from nnlab.core.fit import fit
from nnlab.core.run import Run
from nnlab.report.bundle import run_bundles

MEMBERS = 3
OPTIONS = {"model": "packed", "members": MEMBERS, "hidden": "16", "epochs": 3, "lr": 0.02}


@pytest.fixture(scope="module", params=["kind", "price"])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Prepared, pd.DataFrame]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    score = frame.a + 0.3 * rng.normal(size=300)
    frame[request.param] = np.where(score > 0, "yes", "no") if request.param == "kind" else 500 + 100 * score
    data = prepare(frame, target=request.param)
    return fit(data, store=tmp_path_factory.mktemp("store"), **OPTIONS), data, frame


def alone(run: Run, x: np.ndarray) -> np.ndarray:
    """What each member says, (members, n, n_out)."""
    with torch.no_grad():
        outputs = run.model.get_submodule("network")(torch.from_numpy(x))
    found: np.ndarray = outputs.transpose(0, 1).double().numpy()
    return found


def test_the_spread_of_predictions_is_that_of_the_members(case: tuple[Run, Prepared, pd.DataFrame]) -> None:
    run, _, frame = case
    outputs, spread = alone(run, run.pipeline.transform(frame)), run.predict_spread(frame)
    if run.task == "regression":
        wanted = run.pipeline.target.decode(outputs[:, :, 0]).std(0, ddof=1)
        mean = run.pipeline.target.decode(outputs[:, :, 0]).mean(0)
        np.testing.assert_allclose(run.predict(frame), mean, rtol=1e-5)
    else:
        shares = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
        wanted = shares.std(0, ddof=1)
        np.testing.assert_allclose(run.predict_proba(frame), shares.mean(0), rtol=1e-5)
    np.testing.assert_allclose(spread, wanted, rtol=1e-4, atol=1e-9)
    assert (spread > 0).all()


def test_the_spread_of_metrics_is_kept_and_shown(case: tuple[Run, Prepared, pd.DataFrame]) -> None:
    run, data, frame = case
    outputs, target = alone(run, data.valid.x), run.pipeline.target
    assert run.evaluation is not None
    spread = run.evaluation.spread
    assert tuple(spread) == run.started.metrics
    if run.task == "regression":
        truth = frame[target.name].to_numpy()[data.valid.index]
        each = [root_mean_squared_error(truth, target.decode(one[:, 0])) for one in outputs]
        assert spread["rmse"] == pytest.approx(np.std(each, ddof=1), rel=1e-3)
    else:
        shares = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
        each = [accuracy_score(data.valid.y, one.argmax(1)) for one in shares]
        assert spread["accuracy"] == pytest.approx(np.std(each, ddof=1), abs=1e-6)
        losses = [log_loss(data.valid.y, one) for one in shares]
        assert spread["log_loss"] == pytest.approx(np.std(losses, ddof=1), rel=1e-3)
    assert run.path is not None
    assert Run.load(Path(run.path)).evaluation == run.evaluation
    assert "± of members" in run_bundles(run)[1].data["text/plain"]


def test_one_network_alone_has_no_spread(case: tuple[Run, Prepared, pd.DataFrame]) -> None:
    _, data, frame = case
    run = fit(data, store=False, hidden="8", epochs=1)
    assert run.evaluation is not None
    assert run.evaluation.spread == {}
    with pytest.raises(RunError, match="--members"):
        run.predict_spread(frame)
    assert "members" not in run_bundles(run)[1].data["text/plain"]
