"""Losses by their definitions, and runs whose loss needs more than one output."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.nn import functional

import nnlab
from nnlab.core.losses import LOSSES, make_loss, outputs_for
from nnlab.core.registry import Part
from nnlab.core.run import Run


def logits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    out = torch.randn(50, 3, generator=draw, dtype=torch.float64)
    return out, torch.randint(0, 3, (50,), generator=draw), torch.rand(50, generator=draw, dtype=torch.float64)


def test_focal_loss_is_its_definition() -> None:
    out, y, _ = logits()
    p = out.softmax(1)[torch.arange(50), y]
    expected = (-((1 - p) ** 1.5) * p.log()).mean()
    torch.testing.assert_close(make_loss(Part("focal", {"gamma": 1.5}), [1, 1, 1])(out, y), expected)
    torch.testing.assert_close(
        make_loss(Part("focal", {"gamma": 0.0}), [1, 1, 1])(out, y), functional.cross_entropy(out, y)
    )
    own = torch.tensor([100 / 30, 100 / 60, 100 / 210], dtype=torch.float64)
    balanced = make_loss(Part("focal", {"gamma": 0.0, "balanced": True}), [10, 20, 70])(out, y)
    torch.testing.assert_close(balanced, functional.cross_entropy(out, y, weight=own))


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_focal_loss_is_finite_where_rows_are_sure(gamma: float, dtype: torch.dtype) -> None:
    out = torch.tensor([[30.0, -30.0], [200.0, -200.0], [-30.0, 30.0], [8.0, -8.0]], dtype=dtype, requires_grad=True)
    make_loss(Part("focal", {"gamma": gamma}), [1, 1])(out, torch.tensor([0, 0, 0, 1])).backward()
    assert out.grad is not None and out.grad.isfinite().all()
    assert out.grad[:2].abs().max() < 1e-6 and out.grad[2:].abs().min() > 0.1


def test_balanced_cross_entropy_is_torchs_with_class_weights() -> None:
    out, y, _ = logits()
    own = torch.tensor([100 / 30, 100 / 60, 100 / 210], dtype=torch.float64)
    found = make_loss(Part("balanced_cross_entropy"), [10, 20, 70])(out, y)
    torch.testing.assert_close(found, functional.cross_entropy(out, y, weight=own))


def test_regression_losses_are_their_definitions() -> None:
    draw = np.random.default_rng(0)
    out, y = torch.tensor(draw.normal(size=(60, 1))), torch.tensor(draw.normal(size=60) * 3)
    error = (out[:, 0] - y).numpy()
    assert make_loss(Part("log_cosh"), [])(out, y).item() == pytest.approx(np.log(np.cosh(error)).mean())
    assert make_loss(Part("log_cosh"), [])(out * 1e6, y).isfinite()
    from sklearn.metrics import mean_pinball_loss

    levels = (0.5, 0.1)
    both = torch.tensor(draw.normal(size=(60, 2)))
    expected = np.mean([mean_pinball_loss(y.numpy(), both[:, i].numpy(), alpha=q) for i, q in enumerate(levels)])
    assert make_loss(Part("quantile", {"levels": levels}), [])(both, y).item() == pytest.approx(expected)
    counts = torch.tensor(draw.poisson(3.0, 60)).double()
    likelihood = -stats.poisson.logpmf(counts.numpy(), np.exp(out[:, 0].numpy())).mean()
    rest = stats.poisson.logpmf(0, 1.0) + 1.0  # the part that no rate changes is left out by torch
    found = make_loss(Part("poisson"), [])(out, counts).item()
    assert found + np.mean([math.lgamma(c + 1) for c in counts]) + rest == pytest.approx(likelihood)
    normal = -stats.norm.logpdf(y.numpy(), both[:, 0].numpy(), np.exp(both[:, 1].numpy() / 2)).mean()
    assert make_loss(Part("gaussian_nll"), [])(both, y).item() == pytest.approx(normal - math.log(2 * math.pi) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_rows_are_weighted_means(name: str) -> None:
    out, y, _ = logits()
    if "regression" in LOSSES[name].facts["tasks"]:
        y = y.double()
        out = out[:, : outputs_for(Part(name), 0)]
    loss = make_loss(Part(name), [10, 20, 70])
    twice = loss(torch.cat([out, out[:20]]), torch.cat([y, y[:20]]), torch.ones(70, dtype=torch.float64))
    weighted = loss(out, y, torch.cat([torch.full((20,), 2.0), torch.ones(30)]).double())
    torch.testing.assert_close(twice, weighted)


def wave(rows: int = 1500) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, rows)
    return pd.DataFrame({"x": x, "y": 100 + 20 * x + draw.normal(size=rows) * 10})


def test_quantiles_are_learnt_and_read_in_the_targets_units(tmp_path: object) -> None:
    frame = wave()
    data = nnlab.prepare(frame, target="y", scale="standard")
    run = nnlab.fit(data, loss="quantile", levels="0.5,0.1,0.9", hidden="32", epochs=40, store=False)
    found = run.predict_distribution(frame)
    assert list(found) == ["q0.1", "q0.5", "q0.9"]
    assert (frame["y"] < found["q0.1"]).mean() == pytest.approx(0.1, abs=0.05)
    assert (frame["y"] < found["q0.9"]).mean() == pytest.approx(0.9, abs=0.05)
    np.testing.assert_allclose(run.predict(frame), found["q0.5"], rtol=1e-4)
    assert run.score(data)["rmse"] < 12
    run.save(f"{tmp_path}/run")
    assert Run.load(f"{tmp_path}/run").predict_distribution(frame).equals(found)


def test_a_normal_is_learnt_with_its_spread() -> None:
    frame = wave()
    data = nnlab.prepare(frame, target="y", scale="standard")
    run = nnlab.fit(data, loss="gaussian_nll", hidden="32", epochs=40, store=False)
    found = run.predict_distribution(frame)
    assert found["std"].median() == pytest.approx(10, rel=0.2)
    assert np.corrcoef(found["mean"], 100 + 20 * frame["x"])[0, 1] > 0.98


def test_counts_are_predicted_as_rates() -> None:
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, 2000)
    frame = pd.DataFrame({"x": x, "y": draw.poisson(np.exp(1 + x))})
    with pytest.raises(nnlab.SpecError, match="--scale_target none"):
        nnlab.fit(nnlab.prepare(frame, target="y", task="regression"), loss="poisson", store=False)
    data = nnlab.prepare(frame, target="y", task="regression", scale_target="none", scale="standard")
    run = nnlab.fit(data, loss="poisson", hidden="32", epochs=40, store=False)
    assert np.abs(run.predict(frame) / np.exp(1 + x) - 1).mean() < 0.15
    assert run.metrics["rmse"] < 2
    with pytest.raises(nnlab.RunError, match="poisson"):
        run.predict_distribution(frame)
