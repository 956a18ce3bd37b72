"""Numbers as vectors: each embedding is its paper's formula, is fitted on training rows, and comes back with a run."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.inputs import Inputs
from nnlab.core.layers import CategoryEmbedding
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.network import network_for, numbers_of
from nnlab.core.numeric import PiecewiseLinear
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import decay_groups, roles
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, from_json, to_json

X = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def table() -> Prepared:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=400), "city": draw.choice(list("pqrs"), 400), "b": draw.random(400)})
    frame["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 900, 400), "D")
    frame["y"] = np.sin(4 * frame["a"]) + frame["b"]
    frame.loc[::11, "a"] = np.nan
    return nnlab.prepare(frame, target="y", encode="codes")


def test_what_counts_as_a_number(table: Prepared) -> None:
    names = [table.feature_names[place] for place in numbers_of(table.pipeline)]
    assert {"a", "b"} < set(names)
    assert all(name in ("a", "b") or name.startswith("when") for name in names)
    x = np.random.default_rng(0).normal(size=(90, 4))
    reduced = nnlab.prepare((x, np.arange(90.0)), reduce="pca", components=2)
    assert numbers_of(reduced.pipeline) == (0, 1)
    one_hot = nnlab.prepare({"a": x[:60, 0], "c": list("xyz") * 20, "y": x[:60, 1]}, target="y")
    assert [one_hot.feature_names[place] for place in numbers_of(one_hot.pipeline)] == ["a"]


@pytest.mark.parametrize("model", ["mlp", "realmlp", "tabm"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_each_learns_repeats_and_comes_back(name: str, model: str, table: Prepared, tmp_path: Path) -> None:
    options: dict[str, Any] = {"embed": name, "model": model, "hidden": "12", "epochs": 3, "seed": 2}
    options |= {"feature_dropout": 0.1, "embedding_dropout": 0.1}
    runs = [nnlab.fit(table, store=store, **options) for store in (tmp_path / "store", False)]
    assert runs[0].history.drop(columns="seconds").equals(runs[1].history.drop(columns="seconds"))
    assert runs[0].history["train_loss"].iloc[-1] < runs[0].history["train_loss"].iloc[0]
    kept = Run.load(tmp_path / "store" / "runs" / runs[0].id)
    x = torch.from_numpy(table.valid.x)
    assert torch.equal(kept.model.eval()(x), runs[0].model.eval()(x))
    spec = resolve(TrainSpec, options)
    assert from_json(TrainSpec, to_json(spec)) == spec


def each(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A matrix for each number, written as a loop."""
    return torch.stack([x[:, i] @ weight[i] + bias[i] for i in range(x.shape[1])], 1)


def test_periodic_embeddings_are_their_formulas() -> None:
    for name in ("pl", "plr", "pbld"):
        layer = EMBEDDINGS[name].make((3,), frequencies=5, size=4, sigma=0.7)
        assert 0.3 < float(layer.frequency.detach().std()) < 1.2
        angle = 2 * math.pi * layer.frequency * X.unsqueeze(-1)
        if name == "pbld":
            assert layer.phase.detach().abs().max() <= math.pi
            waves = each(torch.cos(angle + layer.phase), layer.linear.weight, layer.linear.bias)
            expected = torch.cat([waves, X.unsqueeze(-1)], -1)
        else:
            expected = each(torch.cat([angle.cos(), angle.sin()], -1), layer.linear.weight, layer.linear.bias)
            expected = expected.clamp(min=0) if name == "plr" else expected
        torch.testing.assert_close(layer(X), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in EMBEDDINGS if name != "none"])
def test_members_have_embeddings_of_their_own(name: str) -> None:
    many = EMBEDDINGS[name].make((2, 3))
    many.fit(X)
    for member in range(2):
        one = EMBEDDINGS[name].make((3,))
        own = {k: v[member] if v.shape[:1] == (2,) else v for k, v in many.state_dict().items()}
        one.load_state_dict(own)
        torch.testing.assert_close(many(X)[:, member], one(X), atol=1e-5, rtol=1e-5)


def test_pieces_follow_the_quantiles_and_go_on_beyond_them() -> None:
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(np.stack([draw.normal(size=500), draw.integers(0, 3, 500), np.full(500, 7.0)], 1)).float()
    layer = PiecewiseLinear((3,), 2, bins=4)
    layer.fit(rows)
    with torch.no_grad():
        layer.slope.zero_()
        layer.shift.zero_()
        layer.weight.normal_()
    x = torch.tensor([[-9.0, -1.0, 6.0], [0.1, 0.5, 7.5], [9.0, 2.0, 9.0]])
    for place in range(3):
        edges = np.unique(np.quantile(rows[:, place].double().numpy(), np.linspace(0, 1, 5)))
        edges = np.array([edges[0], edges[0] + 1]) if len(edges) == 1 else edges
        for row in range(3):
            done = (float(x[row, place]) - edges[:-1]) / np.diff(edges)
            done = np.array(
                [min(max(d, 0 if i else -np.inf), 1 if i < len(done) - 1 else np.inf) for i, d in enumerate(done)]
            )
            expected = done @ layer.weight.detach().numpy()[place, : len(done)]
            np.testing.assert_allclose(layer(x)[row, place].detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert len(torch.unique(rows[:, 1])) == 3


def test_pieces_begin_as_a_linear_embedding_and_their_bins_are_of_training_rows(table: Prepared) -> None:
    spec = resolve(TrainSpec, {"embed": "piecewise_linear", "bins": 6, "average": "ema", "hidden": "8"})
    learner = ModuleLearner(spec, table, "cpu")
    layer = next(m for m in learner.model.modules() if isinstance(m, PiecewiseLinear))
    place = numbers_of(table.pipeline)[0]
    torch.testing.assert_close(layer.get_buffer("low")[0, 0], torch.from_numpy(table.train.x[:, place]).min())
    x = torch.randn(5, len(numbers_of(table.pipeline)))
    torch.testing.assert_close(layer(x), layer.shift + layer.slope * x.unsqueeze(-1))
    for _ in range(3):
        learner.step(torch.arange(64), 0.01)
    assert all(bool(torch.isfinite(value).all()) for value in learner.snapshot().values()), "an average keeps the bins"


def test_embeddings_do_not_shrink_and_have_a_step_size_of_their_own() -> None:
    front = Inputs(4, (0, 1), {3: (5, 2)}, Part("pbld")).front()
    assert decay_groups(front)[0] == []
    assert {role for role, _ in roles(front)} == {"embedding"}
    old = nn.Sequential(CategoryEmbedding(3, {0: (5, 2)}), nn.Linear(4, 2))
    assert [role for role, _ in roles(old)] == ["embedding", "", "bias"]


def test_codes_alone_keep_the_names_of_older_runs(table: Prepared) -> None:
    network = network_for(resolve(TrainSpec, {"hidden": "8"}), table.pipeline)
    assert set(network.state_dict()) == {"0.tables.0.weight", "1.0.weight", "1.0.bias", "1.3.weight", "1.3.bias"}


def test_feature_dropout_takes_all_values_of_a_column() -> None:
    front = Inputs(5, (0, 2), {4: (6, 3)}, Part("pbld", {"size": 4}), feature_dropout=0.4).front()
    x = torch.tensor([[0.7, 1.0, -0.4, 1.0, 3.0]]).repeat(4000, 1)
    whole, thinned = front.eval()(x), front.train()(x)
    assert front.widths == [4, 4, 1, 1, 3]
    start, kept = 0, []
    for width in front.widths:
        part, full = thinned[:, start : start + width], whole[:, start : start + width]
        gone = (part == 0).all(1)
        torch.testing.assert_close(part[~gone], full[~gone] / 0.6)
        kept.append(~gone)
        start += width
    shares = torch.stack(kept).float()
    torch.testing.assert_close(shares.mean(1), torch.full((5,), 0.6), atol=0.04, rtol=0)
    assert abs(float(torch.corrcoef(shares)[0, 1])) < 0.06


def test_embedding_dropout_takes_a_level_for_the_whole_step() -> None:
    layer = CategoryEmbedding(1, {0: (200, 2)}, dropout=0.3)
    with torch.no_grad():
        layer.tables[0].weight.fill_(1.0)  # type: ignore[operator,union-attr]
    codes = torch.arange(200.0).repeat(3).unsqueeze(1)
    out = layer.train()(codes).view(3, 200, 2)
    assert torch.equal(out[0], out[1])
    assert out.detach().unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((out[0, :, 0] == 0).float().mean()) == pytest.approx(0.3, abs=0.1)
    assert torch.equal(layer.eval()(codes), torch.ones(600, 2))


def test_a_network_of_the_users_own_is_told_what_it_cannot_have(table: Prepared) -> None:
    def own(n_in: int, n_out: int) -> nn.Module:
        return nn.Linear(n_in, n_out)

    with pytest.raises(nnlab.SpecError, match="embed=plr: a network of your own reads the columns itself"):
        nnlab.fit(table, model=own, embed="plr", store=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed": "plr", "sigma": 0}, "sigma=0: expected number, 0.0001 to 100"),
        ({"embed": "pbld", "size": 1}, "size=1: expected whole number, 2 to 1024"),
        ({"embed": "pblr"}, "did you mean 'plr'|did you mean 'pbld'"),
        ({"sigma": 1}, "option 'sigma' belongs to embed pl, plr, pbld; this one is none"),
        ({"feature_dropout": 1}, "feature_dropout=1: expected number, 0 to 0.95"),
    ],
)
def test_bad_values_are_refused_in_a_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(nnlab.SpecError, match=message):
        resolve(TrainSpec, options)
