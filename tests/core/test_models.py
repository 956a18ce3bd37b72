"""Every architecture: a word that trains, repeats, is kept and comes back; and its mathematics, against its paper."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nnlab
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.data.prepare import Prepared
from nnlab.core.inits import initialize
from nnlab.core.inputs import Inputs
from nnlab.core.layers import RowDrop
from nnlab.core.models import MODELS
from nnlab.core.norms import NORMS
from nnlab.core.options import options_of, resolve
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, from_json, to_json
from nnlab.core.tune.ranges import Range
from nnlab.core.tune.space import base_values, spec_with
from nnlab.core.tune.usual import default_space
from nnlab.magics.lines import to_line
from nnlab.magics.text import parse

SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"hidden": (16,), "latent": 8},
    "dcn": {"hidden": (16,), "crosses": 2},
    "ft_transformer": {"width": 8, "heads": 2, "depth": 2},
    "linear": {},
    "mlp": {"hidden": (16,)},
    "packed": {"hidden": (8,), "members": 3},
    "realmlp": {"hidden": (16,)},
    "resnet": {"width": 16, "depth": 2},
    "tabm": {"hidden": (16,), "members": 4},
}
QUICKER = {"ft_transformer": {"lr": 0.01}}  # its usual step size shows nothing in three epochs
KEYS = {
    "autoencoder": "decoder.0.bias decoder.0.weight decoder.3.bias decoder.3.weight "
    "encoder.0.bias encoder.0.weight encoder.3.bias encoder.3.weight head.bias head.weight",
    "dcn": "cross.layers.0.bias cross.layers.0.weight deep.0.bias deep.0.weight head.bias head.weight",
    "ft_transformer": "blocks.0.attention.key_value.bias blocks.0.attention.key_value.weight "
    "blocks.0.attention.out.bias blocks.0.attention.out.weight blocks.0.attention.query.bias "
    "blocks.0.attention.query.weight blocks.0.feed.0.bias blocks.0.feed.0.weight blocks.0.feed.3.bias "
    "blocks.0.feed.3.weight blocks.0.feed_norm.0.bias blocks.0.feed_norm.0.weight head.0.bias head.0.weight "
    "head.2.bias head.2.weight row.weight tokens.bias tokens.weight",
    "linear": "0.bias 0.weight",
    "mlp": "0.bias 0.weight 3.bias 3.weight",
    "packed": "1.bias 1.weight 4.bias 4.weight",
    "realmlp": "2.weight 3.bias 3.weight 4.weight 6.bias 6.weight",
    "resnet": "0.bias 0.weight 1.inner.0.bias 1.inner.0.num_batches_tracked 1.inner.0.running_mean "
    "1.inner.0.running_var 1.inner.0.weight 1.inner.1.bias 1.inner.1.weight 1.inner.4.bias 1.inner.4.weight "
    "2.bias 2.num_batches_tracked 2.running_mean 2.running_var 2.weight 4.bias 4.weight",
    "tabm": "2.bias 2.r 2.s 2.weight 5.bias 5.weight",
}
SMALLEST: dict[str, dict[str, Any]] = {"dcn": {"crosses": 1}, "resnet": {"depth": 1}, "ft_transformer": {"depth": 1}}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def mixed() -> Prepared:
    """Numbers, flags and codes of categories; whether `b` counts is known by the category alone."""
    draw = np.random.default_rng(0)
    city, a, b = draw.integers(0, 12, 400), draw.normal(size=400), draw.normal(size=400)
    frame = pd.DataFrame({"a": a, "city": [f"c{i}" for i in city], "b": b, "flag": draw.random(400) > 0.5})
    frame["y"] = np.where(np.where(city % 2 == 0, b, -b) + a > 0, "yes", "no")
    frame.loc[::17, "a"] = np.nan
    return nnlab.prepare(frame, target="y", encode="codes")


def built(name: str, n_in: int, n_out: int, **values: Any) -> nn.Module:
    reads = Inputs(n_in, tuple(range(n_in))) if MODELS[name].facts.get("columns") else n_in
    network: nn.Module = MODELS[name].make(reads, n_out, **values)
    return network


@pytest.mark.parametrize("data", ["classes", "numbers", "mixed"])
@pytest.mark.parametrize("name", MODELS)
def test_each_learns_gives_the_same_bits_again_and_comes_back(
    name: str, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    options = {"model": name, "epochs": 3, "seed": 5, **SMALL.get(name, {}), **QUICKER.get(name, {})}
    runs = [nnlab.fit(prepared, store=store, **options) for store in (tmp_path / "store", False)]
    assert runs[0].finished.reason == "completed"
    assert runs[0].history.drop(columns="seconds").equals(runs[1].history.drop(columns="seconds"))
    assert runs[0].history["train_loss"].iloc[-1] < runs[0].history["train_loss"].iloc[0]
    kept = Run.load(tmp_path / "store" / "runs" / runs[0].id)
    x = torch.from_numpy(prepared.valid.x)
    outputs = [run.model.eval()(x).detach() for run in (*runs, kept)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert kept.spec == runs[0].spec


@pytest.mark.parametrize("name", MODELS)
def test_each_is_a_spec_a_line_and_a_space(name: str) -> None:
    spec = resolve(TrainSpec, {"model": name, **SMALL.get(name, {})})
    assert from_json(TrainSpec, to_json(spec)) == spec
    call = parse(to_line("nn_train", "data", spec).partition(" ")[2], None, "nn_train", {})
    assert resolve(TrainSpec, call.options) == spec
    space = default_space(resolve(TrainSpec, {"model": name}))
    assert set(base_values(space, resolve(TrainSpec, {"model": name}))) == set(space), "the default lies in its space"
    assert MODELS[name].summary.endswith(".")


@pytest.mark.parametrize("name", [name for name in MODELS if "activation" in MODELS[name].params])
def test_each_takes_every_activation_and_norm(name: str) -> None:
    words: list[dict[str, Any]] = [{"norm": word} for word in NORMS]
    plain = {"parametric": False} if "parametric" in MODELS[name].params else {}
    words += [{"activation": word, **plain} for word in ACTIVATIONS]
    words += [{"activation": "silu", "parametric": True}] if plain else []
    for word in words:
        network = built(name, 4, 3, **SMALL.get(name, {}), **word)
        initialize(network, None, word.get("activation"), torch.randn(40, 4))
        output = network(torch.randn(6, 4))
        assert (output.shape[0], output.shape[-1]) == (6, 3)
        assert output.ndim == (3 if MODELS[name].facts.get("members") else 2)
        output.square().mean().backward()
        learning = [part for part, weight in network.named_parameters() if weight.grad is not None]
        told_again = [part for part, _ in network.named_parameters() if part.startswith("decoder")]
        assert set(learning) | set(told_again) == {part for part, _ in network.named_parameters()}, word


@pytest.mark.parametrize("init", ["lsuv", "data_driven"])
@pytest.mark.parametrize("name", MODELS)
def test_each_takes_first_weights_from_data(name: str, init: str) -> None:
    network = built(name, 4, 3, **SMALL.get(name, {}))
    initialize(network, Part(init), None, torch.randn(60, 4))
    assert bool(torch.isfinite(network.eval()(torch.randn(9, 4))).all())


@pytest.mark.parametrize("name", KEYS)
def test_weights_keep_their_names(name: str) -> None:
    """A changed name would lose every stored run of this model."""
    values = SMALL.get(name, {}) | SMALLEST.get(name, {})
    assert " ".join(sorted(built(name, 4, 3, **values).state_dict())) == KEYS[name]


@pytest.mark.parametrize("precision", ["float64", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_each_computes_with_other_numbers(name: str, precision: str, classes: Prepared) -> None:
    options = {"model": name, "epochs": 1, "embed": "pbld", "precision": precision, **SMALL.get(name, {})}
    run = nnlab.fit(classes, store=False, **options)
    assert run.finished.reason == "completed"
    wanted = torch.float64 if precision == "float64" else torch.float32
    assert {weight.dtype for weight in run.model.parameters()} == {wanted}


# What a model brings along


def test_a_model_brings_its_own_values_and_what_was_said_stays() -> None:
    assert resolve(TrainSpec, {"model": "resnet"}).optimizer.values["lr"] == 0.003
    assert resolve(TrainSpec, {"model": "resnet", "lr": 0.5}).optimizer.values == {"lr": 0.5, "weight_decay": 0.01}
    base = resolve(TrainSpec, {"epochs": 7, "lr": 0.2})
    changed = resolve(TrainSpec, {"model": "resnet"}, base)
    assert (changed.epochs, changed.optimizer) == (7, base.optimizer)
    back = resolve(TrainSpec, {"model": "mlp"}, resolve(TrainSpec, {"model": "resnet"}))
    assert back == TrainSpec()
    assert resolve(TrainSpec, {"model": "resnet", "optimizer": "sgd"}).optimizer.values == {}


def test_a_search_tries_what_the_model_asks_for() -> None:
    space = {name: str(one) for name, one in default_space(resolve(TrainSpec, {"model": "realmlp"})).items()}
    assert space["lr"] == "0.01..0.3 log"
    assert space["sigma"] == "0.05..10 log"
    assert space["lr_embedding"] == "0.05..1 log"
    assert "members" not in space, "one while searching, more for the winner"
    assert default_space(TrainSpec())["lr"] == Range(3e-4, 3e-2, log=True)
    both = spec_with({"model": "resnet", "lr": 0.02}, TrainSpec())
    assert both.optimizer == Part("adamw", {"lr": 0.02, "weight_decay": 0.01})


def test_the_help_shows_what_a_model_brings() -> None:
    known = options_of(TrainSpec, {"model": "realmlp"})
    shown = {
        name: known[name].param.shown_default for name in ("lr", "schedule", "embed", "init", "lr_scale", "patience")
    }
    assert shown == {
        "lr": "0.04",
        "schedule": "coslog4",
        "embed": "pbld",
        "init": "data_driven",
        "lr_scale": "6",
        "patience": "none",
    }
    assert options_of(TrainSpec)["lr"].param.default == 0.01


# Mathematics


def test_the_linear_floor_is_logistic_regression(classes: Prepared) -> None:
    from sklearn.linear_model import LogisticRegression

    options = {"optimizer": "lbfgs", "weight_decay": 0, "epochs": 30, "schedule": "constant", "warmup": 0}
    run = nnlab.fit(classes, model="linear", store=False, patience=None, monitor="loss", **options)
    theirs = LogisticRegression(C=1e6, max_iter=5000).fit(classes.train.x, classes.train.y)
    ours = run.model(torch.from_numpy(classes.test.x)).softmax(1).detach().numpy()
    assert (ours.argmax(1) == theirs.predict(classes.test.x)).mean() > 0.97


def test_resnet_is_the_papers() -> None:
    """x + linear2(act(linear1(norm(x)))), then linear(act(norm(x))) (Gorishniy et al. 2021, section 3.2)."""
    network = MODELS["resnet"].make(5, 3, width=12, depth=2, norm="layer", dropout=0.0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    w: dict[str, Tensor] = network.state_dict()

    def normed(x: Tensor, at: str) -> Tensor:
        return functional.layer_norm(x, (12,), w[f"{at}.weight"], w[f"{at}.bias"])

    def linear(x: Tensor, at: str) -> Tensor:
        return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    x = torch.randn(9, 5)
    h = linear(x, "0")
    for block in ("1", "2"):
        middle = linear(normed(h, f"{block}.inner.0"), f"{block}.inner.1").clamp(min=0)
        h = h + linear(middle, f"{block}.inner.4")
    torch.testing.assert_close(network(x), linear(normed(h, "3").clamp(min=0), "5"))


def test_blocks_begin_as_the_identity_unless_told_otherwise() -> None:
    x = torch.randn(30, 5)
    for zero in (True, False):
        network = MODELS["resnet"].make(5, 3, width=12, depth=2, zero_init=zero)
        initialize(network, None, "relu", x)
        h = network[0](x)
        assert torch.equal(network[1].eval()(h), h) == zero


def test_stochastic_depth_drops_rows_and_keeps_the_expectation() -> None:
    out = RowDrop(0.3)(torch.ones(20_000, 2, 3))
    per_row = out.flatten(1)
    assert ((per_row == per_row[:, :1]).all(1)).all()
    assert float((per_row[:, 0] == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.02)
    network = MODELS["resnet"].make(5, 3, width=12, depth=4, stochastic_depth=0.2)
    assert [layer.p for layer in network.modules() if isinstance(layer, RowDrop)] == pytest.approx(
        [0.05, 0.1, 0.15, 0.2]
    )


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("layout", ["stacked", "parallel"])
def test_dcn_is_the_papers(rank: int | None, layout: str) -> None:
    """x0 * (W x + b) + x (Wang et al. 2021, equations 1 and 2)."""
    network = MODELS["dcn"].make(6, 2, crosses=2, rank=rank, layout=layout, hidden=(7,), dropout=0.0)
    x = torch.randn(9, 6)
    initialize(network, None, "relu", x)
    assert torch.equal(network.cross(x), x), "it begins with no products"
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.5)
    w: dict[str, Tensor] = network.state_dict()
    crossed = x
    for at in ("cross.layers.0", "cross.layers.1"):
        matrix = w[f"{at}.weight"] if rank is None else w[f"{at}.1.weight"] @ w[f"{at}.0.weight"]
        bias = w[f"{at}.bias"] if rank is None else w[f"{at}.1.bias"]
        crossed = x * (crossed @ matrix.T + bias) + crossed
    deep = ((crossed if layout == "stacked" else x) @ w["deep.0.weight"].T + w["deep.0.bias"]).clamp(min=0)
    last = deep if layout == "stacked" else torch.cat([crossed, deep], 1)
    torch.testing.assert_close(network(x), last @ w["head.weight"].T + w["head.bias"])


@pytest.mark.parametrize("depth", [1, 3])
def test_ft_transformer_is_the_papers(depth: int) -> None:
    """Tokens x w + b behind a token of the row, pre-norm blocks but for the first norm, ReGLU, head on that token."""
    width, heads = 8, 2
    network = built("ft_transformer", 4, 3, width=width, heads=heads, depth=depth).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.4)
    w: dict[str, Tensor] = network.state_dict()

    def normed(x: Tensor, at: str) -> Tensor:
        return functional.layer_norm(x, (width,), w[f"{at}.weight"], w[f"{at}.bias"])

    def linear(x: Tensor, at: str) -> Tensor:
        return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    x = torch.randn(6, 4)
    h = x.unsqueeze(-1) * w["tokens.weight"] + w["tokens.bias"]
    h = torch.cat([w["row.weight"].expand(6, 1, -1), h], 1)
    for block in range(depth):
        at = f"blocks.{block}"
        theirs = nn.MultiheadAttention(width, heads, batch_first=True).eval()
        matrices = {"in_proj": ("query", "key_value"), "out_proj": ("out",)}
        own = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
        for name, kind in own.items():
            parts = [w[f"{at}.attention.{part}.{kind}"] for part in matrices["in_proj"]]
            getattr(theirs, name).data.copy_(torch.cat(parts))
        theirs.out_proj.weight.data.copy_(w[f"{at}.attention.out.weight"])
        theirs.out_proj.bias.data.copy_(w[f"{at}.attention.out.bias"])
        seen = normed(h, f"{at}.norm.0") if block else h
        h = h + theirs(seen, seen, seen, need_weights=False)[0]
        left, right = linear(normed(h, f"{at}.feed_norm.0"), f"{at}.feed.0").chunk(2, -1)
        h = h + linear(left * right.clamp(min=0), f"{at}.feed.3")
    expected = linear(normed(h[:, 0], "head.0").clamp(min=0), "head.2")
    torch.testing.assert_close(network(x), expected, atol=1e-4, rtol=1e-4)


def test_every_column_is_a_token() -> None:
    tokens = Inputs(5, (0, 3), {1: (6, 2), 4: (5, 3)}, Part("pbld")).tokens(8)
    x = torch.tensor([[0.3, 4.0, 1.0, -1.0, 2.0]])
    out = tokens(x)
    assert out.shape == (1, 5, 8), "a flag, two embedded numbers, two codes"
    table = tokens.codes.tables[0].weight  # type: ignore[union-attr]
    torch.testing.assert_close(out[0, 3], table[4] + tokens.code_bias[0])
    torch.testing.assert_close(out[0, 4], table[6 + 2] + tokens.code_bias[1])
    torch.testing.assert_close(out[0, 0], x[0, 2] * tokens.weight[0] + tokens.bias[0])
    vectors = tokens.numbers(x[:, [0, 3]])[0]
    expected = vectors[1] @ tokens.linear.weight[1] + tokens.linear.bias[1]
    torch.testing.assert_close(out[0, 2], expected)


def test_heads_must_part_the_width(classes: Prepared) -> None:
    with pytest.raises(nnlab.SpecError, match="width=20: heads 8 need a multiple of 8, such as 16"):
        nnlab.fit(classes, model="ft_transformer", width=20, store=False)


def test_an_autoencoder_adds_the_error_of_what_it_tells_again() -> None:
    network = built("autoencoder", 5, 2, hidden=(7,), latent=3, reconstruction=0.7, corruption=0.0, dropout=0.0)
    x = torch.randn(9, 5, requires_grad=True)
    out = network(x)
    code = network.encoder(x)  # type: ignore[operator]
    error = (network.decoder(code) - x.detach()).square().mean()  # type: ignore[operator]
    torch.testing.assert_close(network.added_loss, 0.7 * error)
    torch.testing.assert_close(out, network.head(code))  # type: ignore[operator]
    corrupt = built("autoencoder", 5, 2, corruption=0.5)
    seen: list[Tensor] = []
    corrupt.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))  # type: ignore[union-attr]
    corrupt(torch.ones(2000, 5))
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_the_learner_trains_on_what_a_network_adds(classes: Prepared) -> None:
    options = {
        "model": "autoencoder",
        "hidden": (12,),
        "latent": 5,
        "epochs": 40,
        "corruption": 0,
        "dropout": 0,
        "lr": 0.03,
    }

    def error(reconstruction: float) -> float:
        run = nnlab.fit(classes, reconstruction=reconstruction, store=False, seed=1, **options)
        x = torch.from_numpy(classes.valid.x)
        return float((run.model.decoder(run.model.encoder(x)) - x).square().mean().detach())  # type: ignore[operator]

    assert error(3.0) < 0.5 * error(0.0)
    for word in ({"vat": 0.3}, {"fgsm": 0.3}, {"r_drop": 0.5}, {"optimizer": "lbfgs"}, {"sam": 0.05}):
        run = nnlab.fit(classes, store=False, **{**options, "epochs": 2, **word})
        assert np.isfinite(run.metrics["loss"])


def test_a_change_of_the_dropout_leaves_fixed_ones_alone(classes: Prepared) -> None:
    from nnlab.core.learners.module import ModuleLearner

    spec = resolve(TrainSpec, {"model": "resnet", "width": 8, "residual_dropout": 0.1, "dropout": 0.3})
    learner = ModuleLearner(spec, classes, "cpu")
    assert learner.change("dropout", 0.5) == 0.3
    assert {layer.p for layer in learner.model.modules() if isinstance(layer, nn.Dropout)} == {0.5, 0.1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet", "hidden": "none"}, "option 'hidden' belongs to model .*; this one is resnet"),
        ({"model": "resnet", "depth": 0}, "depth=0: expected whole number, 1 to 100"),
        ({"model": "resnets"}, "did you mean 'resnet'"),
        ({"model": "ft_transformer", "hidden": "8"}, "option 'hidden' belongs to model"),
        ({"model": "dcn", "layout": "both"}, "layout=both: expected stacked, parallel"),
    ],
)
def test_bad_values_are_refused_in_a_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(nnlab.SpecError, match=message) as caught:
        resolve(TrainSpec, options)
    assert "\n" not in str(caught.value)
