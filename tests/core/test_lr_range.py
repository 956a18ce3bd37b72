"""The learning rate range test: regions in curves that are known, real networks, and that nothing else is touched."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn

import nnlab
from nnlab.core.errors import DataError, SpecError
from nnlab.core.lr_range import lr_range, read_range
from nnlab.core.optimizers import OPTIMIZERS

RATES = np.geomspace(1e-6, 10.0, 120)
QUICK = {"hidden": (16,), "store": False, "batch_size": 64}


def planted(begin: float, lowest: float, noise: float, seed: int = 0, tries: int = 3) -> np.ndarray:
    """Losses that are 1 below `begin`, fall to 0.3 at `lowest` and grow beyond it."""
    place = np.log10(RATES)
    down = np.clip((place - np.log10(begin)) / (np.log10(lowest) - np.log10(begin)), 0.0, 1.0)
    course = 1.0 - 0.7 * down + np.clip(place - np.log10(lowest), 0.0, None) ** 2
    return course + noise * np.random.default_rng(seed).normal(size=(tries, len(RATES)))


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
@pytest.mark.parametrize(("begin", "lowest"), [(1e-4, 1e-2), (1e-3, 1e-1), (1e-5, 1e-4)])
def test_a_planted_region_is_found(begin: float, lowest: float, noise: float) -> None:
    found = read_range(RATES, planted(begin, lowest, noise))
    assert found.best is not None and found.low is not None and found.high is not None
    assert begin / 2 <= found.low <= begin * 4
    assert lowest / 2 <= found.high <= lowest * 2
    assert found.low <= found.best <= found.high
    assert found.high / 3 < found.best <= found.high / 2 + 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_region(seed: int) -> None:
    losses = 0.7 + 0.05 * np.random.default_rng(seed).normal(size=(3, len(RATES)))
    found = read_range(RATES, losses)
    assert (found.best, found.low, found.high) == (None, None, None)
    assert "its noise is" in found.why and "no clear region" in repr(found)


def test_what_runs_away_is_left_out() -> None:
    losses = planted(1e-4, 1e-2, 0.01)
    losses[1, 90:] = np.nan
    found = read_range(RATES, losses)
    assert len(found.lr) == 90 and np.isfinite(found.smooth).all() and found.best is not None
    losses[:, 5:] = np.nan
    found = read_range(RATES, losses)
    assert found.best is None and "ran away from lr" in found.why


def test_the_loss_of_a_linear_model_falls_where_theory_says() -> None:
    """Gradient descent on squares diverges beyond 2 / largest eigenvalue."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(512, 4)) * np.array([1.0, 1.0, 1.0, 3.0])
    y = x @ np.array([1.0, -1.0, 0.5, 0.3]) + 0.1 * draw.normal(size=512)
    data = nnlab.prepare((x, y), scale="none", scale_target="none", test=0.0, valid=0.2)
    found = lr_range(data, model=nn.Linear(4, 1), optimizer="sgd", batch_size=64)
    rows = np.c_[data.train.x, np.ones(len(data.train.x))]
    edge = 2.0 / np.linalg.eigvalsh(2.0 * rows.T @ rows / len(rows)).max()
    assert found.best is not None and found.high is not None
    assert edge / 6 < found.best < edge
    assert found.high < 2 * edge


def test_nothing_of_the_run_is_touched() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    data = nnlab.prepare(frame, target="target")
    before = nnlab.fit(data, epochs=2, **QUICK)
    network = nn.Sequential(nn.Linear(30, 4), nn.ReLU(), nn.Linear(4, 2))
    weights = [weight.clone() for weight in network.parameters()]
    torch.manual_seed(3)
    np.random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (lr_range(data, model=network) for _ in range(2))
    assert torch.equal(states[0], torch.get_rng_state()) and (states[1] == np.random.get_state()[1]).all()
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))
    np.testing.assert_array_equal(first.loss, second.loss)
    after = nnlab.fit(data, epochs=2, **QUICK)
    assert before.metrics == after.metrics


@pytest.mark.parametrize("optimizer", [name for name, entry in OPTIMIZERS.items() if not entry.facts.get("full_batch")])
def test_every_optimizer_learns_with_what_is_found(optimizer: str) -> None:
    data = nnlab.prepare(load_diabetes(as_frame=True).frame, target="target")
    options = {"optimizer": optimizer, "hidden": (16,), "batch_size": 32}
    found = lr_range(data, steps=80, **options)
    assert found.best is not None, found
    run = nnlab.fit(data, lr="find", epochs=8, schedule="constant", store=False, **options)
    history = run.history["train_loss"]
    assert np.isfinite(history).all() and history.iloc[-1] < 0.85 * history.iloc[0]
    assert run.spec.optimizer.values["lr"] > 0


def test_where_nothing_is_learned_the_usual_lr_is_kept() -> None:
    draw = np.random.default_rng(1)
    data = nnlab.prepare((draw.normal(size=(400, 3)), draw.integers(0, 2, 400)))

    class Fixed(nn.Linear):
        """Its output does not depend on what it learns."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1e-12 + torch.rand(len(x), 2)

    found = lr_range(data, model=Fixed, batch_size=16)
    assert found.best is None
    run = nnlab.fit(data, model=Fixed, lr="find", epochs=1, batch_size=16, store=False)
    assert run.warnings == [f"lr=find: no clear region, {found.why}; the usual lr is kept"]
    assert "lr" not in run.spec.optimizer.values


def test_what_cannot_be_tested_is_said() -> None:
    data = nnlab.prepare(load_diabetes(as_frame=True).frame, target="target")
    with pytest.raises(SpecError, match="lbfgs searches the length of its steps itself"):
        nnlab.fit(data, optimizer="lbfgs", lr="find", store=False)
    with pytest.raises(DataError, match="prepare it first"):
        lr_range(load_diabetes().data)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="lr=fnd: expected number"):
        nnlab.fit(data, lr="fnd", store=False)
