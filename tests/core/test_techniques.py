"""Regularizers, gradient rules, augmentations, loss terms, averages and first weights, each by its definition."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nnlab
from nnlab.core.augments import AUGMENTS, augmented
from nnlab.core.averages import AVERAGES
from nnlab.core.averaging import Average
from nnlab.core.batch import Batch, Pass
from nnlab.core.data.prepare import Prepared
from nnlab.core.gradients import GRADIENTS, apply_rules
from nnlab.core.inits import INITS, initialize
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.stack.learner import StackLearner
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.spec import TrainSpec, from_json, to_json
from nnlab.core.terms import TERMS

WORDS: list[tuple[str, Any]] = [
    *((name, 0.01) for name in REGULARIZERS),
    *((name, 0.5) for name in GRADIENTS),
    *((name, 0.2) for name in AUGMENTS),
    *((name, 0.3) for name in TERMS),
    *(("average", name) for name in AVERAGES if name != "none"),
    *(("init", name) for name in INITS),
    ("dropout_schedule", "flat_cosine"),
    ("decay_schedule", "flat_cosine"),
    ("batch_growth", 4.0),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.mark.parametrize("data", ["classes", "numbers"])
@pytest.mark.parametrize(("word", "value"), WORDS, ids=[f"{word}-{value}" for word, value in WORDS])
def test_each_is_a_word_trains_and_gives_the_same_bits_again(
    word: str, value: Any, data: str, request: pytest.FixtureRequest
) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    options = {word: value, "hidden": "12,12", "epochs": 3, "seed": 5}
    runs = [nnlab.fit(prepared, store=False, **options) for _ in range(2)]
    assert runs[0].finished.reason == "completed"
    assert np.isfinite(runs[0].metrics["loss"])
    assert runs[0].history.drop(columns="seconds").equals(runs[1].history.drop(columns="seconds"))
    spec = resolve(TrainSpec, options)
    assert from_json(TrainSpec, to_json(spec)) == spec


# Regularizers


def test_penalties_are_proximal_steps() -> None:
    """Each minimizes |w - v|^2 / 2 + lr penalty(w): no neighbour is better."""
    start = torch.randn(4, 3, dtype=torch.float64)
    penalties = {
        "l1": ({"strength": 0.7}, lambda w: 0.7 * w.abs().sum()),
        "l2": ({"strength": 0.7}, lambda w: 0.7 * w.square().sum()),
        "elastic_net": (
            {"strength": 0.7, "l1_share": 0.3},
            lambda w: 0.7 * (0.3 * w.abs().sum() + 0.35 * w.square().sum()),
        ),
        "group_lasso": (  # columns 0 and 2 are of one feature
            {"strength": 0.7, "columns": torch.tensor([0, 1, 0])},
            lambda w: 0.7 * (8**0.5 * w[:, [0, 2]].norm() + 4**0.5 * w[:, 1].norm()),
        ),
    }
    for name, (values, penalty) in penalties.items():
        found = start.clone()
        REGULARIZERS[name].make([found], 0.5, **values)

        def cost(w: Tensor, penalty: Any = penalty) -> float:
            return float((w - start).square().sum() / 2 + 0.5 * penalty(w))

        for _ in range(200):
            assert cost(found) <= cost(found + 1e-3 * torch.randn_like(found)) + 1e-12, name


def test_limits_hold() -> None:
    weight, bias_like = torch.randn(6, 4) * 5, torch.randn(3) * 9
    REGULARIZERS["max_norm"].make([weight, bias_like], 0.1, limit=2.0)
    assert weight.norm(dim=1).max() <= 2.0 + 1e-5
    REGULARIZERS["spectral_norm"].make([weight], 0.1, limit=0.5)
    assert torch.linalg.svdvals(weight).max() == pytest.approx(0.5, rel=1e-5)
    small = torch.eye(3) * 0.1
    REGULARIZERS["spectral_norm"].make([small], 0.1, limit=0.5)
    assert torch.equal(small, torch.eye(3) * 0.1)


# Gradient rules


def test_clips_are_torchs_and_the_papers() -> None:
    def weights() -> list[Tensor]:
        torch.manual_seed(1)
        found = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))]
        for weight in found:
            weight.grad = torch.randn_like(weight) * 5
        return list(found)

    ours, theirs = weights(), weights()
    GRADIENTS["clip_norm"].make(ours, 0, limit=1.5)
    nn.utils.clip_grad_norm_(theirs, 1.5)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))  # type: ignore[arg-type]
    ours = weights()
    GRADIENTS["clip_value"].make(ours, 0, limit=1.5)
    assert max(float(w.grad.abs().max()) for w in ours if w.grad is not None) == 1.5
    ours, before = weights(), weights()
    GRADIENTS["clip_adaptive"].make(ours, 0, limit=0.1)
    grad, old, own = ours[0].grad, before[0].grad, ours[0].detach()
    assert grad is not None
    assert old is not None
    for row in range(3):
        most = 0.1 * max(float(own[row].norm()), 1e-3)
        expected = old[row] * min(1.0, most / float(old[row].norm()))
        torch.testing.assert_close(grad[row], expected)


def test_adaptive_clips_take_the_kernels_of_convolutions() -> None:
    kernel = nn.Parameter(torch.randn(3, 2, 5, 5))
    kernel.grad = torch.randn_like(kernel) * 5
    GRADIENTS["clip_adaptive"].make([kernel], 0, limit=0.1)
    norms = kernel.grad.flatten(1).norm(dim=1) / kernel.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((3,), 0.1))


def test_members_have_clips_for_themselves() -> None:
    """The loss is the mean over members, so gradients are a quarter of those that four runs have."""
    rules = [(GRADIENTS["clip_norm"].make, {"limit": 0.5})]
    whole = [nn.Parameter(torch.randn(4, 3, 2)), nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(1))]
    for weight in whole:
        weight.grad = torch.randn_like(weight) * 2
    singles = [[nn.Parameter(weight.detach()[k].clone()) for weight in whole[:2]] for k in range(4)]
    for k, single in enumerate(singles):
        for own, weight in zip(single, whole, strict=False):
            own.grad = 4 * weight.grad[k]  # type: ignore[index]
        apply_rules(rules, single, 0)
    apply_rules(rules, whole, 0, members=4)
    for k, single in enumerate(singles):
        for own, weight in zip(single, whole, strict=False):
            assert torch.equal(own.grad / 4, weight.grad[k])  # type: ignore[index, operator]
    assert float(whole[2].grad.abs()) <= 0.5 + 1e-6  # type: ignore[union-attr]


def test_gradient_noise_falls_with_the_step() -> None:
    for step, std in ((0, math.sqrt(0.3)), (99, math.sqrt(0.3 / 100**0.55))):
        weight = nn.Parameter(torch.zeros(100_000))
        weight.grad = torch.zeros(100_000)
        GRADIENTS["gradient_noise"].make([weight], step, size=0.3)
        assert float(weight.grad.std()) == pytest.approx(std, rel=0.02)


# Augmentations


def batch(rows: int = 64, codes: bool = False) -> Batch:
    x = torch.randn(rows, 5)
    x[:, 2] = torch.randint(0, 9, (rows,)).float()
    mask = torch.tensor([False, False, True, False, False]) if codes else None
    return Batch(x, torch.randint(0, 3, (rows,)), torch.rand(rows), mask)


def test_mixup_mixes_features_and_targets_by_one_share() -> None:
    old = batch(codes=True)
    new = AUGMENTS["mixup"].make(old, alpha=1.0)
    plain = [0, 1, 3, 4]
    distance = (
        new.share * old.x[:, None, plain] + (1 - new.share) * old.x[None, :, plain] - new.x[:, None, plain]
    ).abs()
    partner = distance.sum(2).argmin(1)
    assert distance.sum(2).min(1).values.max() < 1e-4
    assert torch.equal(new.other, old.y[partner])
    assert torch.equal(new.other_weight, old.weight[partner])  # type: ignore[index]
    larger = old.x[:, 2] if new.share >= 0.5 else old.x[partner, 2]
    assert torch.equal(new.x[:, 2], larger), "codes have nothing between them"
    logits = torch.randn(64, 3)

    def loss(out: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return (functional.cross_entropy(out, y, reduction="none") * weight).sum() / weight.sum()

    soft = new.share * loss(logits, old.y, old.weight) + (1 - new.share) * loss(logits, new.other, new.other_weight)  # type: ignore[arg-type]
    torch.testing.assert_close(new.loss(logits, loss), soft)


def test_cutmix_takes_whole_columns_and_their_share() -> None:
    old = batch()
    new = AUGMENTS["cutmix"].make(old, alpha=1.0)
    kept = (new.x == old.x).all(0)
    assert new.share == pytest.approx(float(kept.float().mean()), abs=0.2)
    for column in (~kept).nonzero().flatten():
        assert torch.equal(new.x[:, column].sort().values, old.x[:, column].sort().values)


def test_of_mixup_and_cutmix_each_step_takes_one() -> None:
    """Rows with three targets of which two counted would learn something else than is said."""
    old, kinds = batch(), set()
    for _ in range(30):
        new = augmented(old, [Part("mixup", {"alpha": 5.0}), Part("input_noise", {"std": 0.0}), Part("cutmix")])
        kinds.add("cutmix" if bool((new.x == old.x).all(0).any()) or new.share in (0.0, 1.0) else "mixup")
        assert new.other is not None
    assert kinds == {"mixup", "cutmix"}


def test_noises_leave_codes_and_distributions() -> None:
    old = batch(20_000, codes=True)
    new = AUGMENTS["input_noise"].make(old, std=0.3)
    assert torch.equal(new.x[:, 2], old.x[:, 2])
    assert float((new.x - old.x)[:, 0].std()) == pytest.approx(0.3, rel=0.03)
    new = AUGMENTS["swap_noise"].make(old, share=0.25)
    assert float((new.x != old.x)[:, 0].float().mean()) == pytest.approx(0.25, abs=0.02)
    assert set(new.x[:, 0].tolist()) <= set(old.x[:, 0].tolist())


# Loss terms


def a_pass(classes: bool = True, dropout: float = 0.0) -> Pass:
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 3 if classes else 1)).double()
    x = torch.randn(40, 5, dtype=torch.float64)
    y = torch.randint(0, 3, (40,)) if classes else torch.randn(40, dtype=torch.float64)
    loss = functional.cross_entropy if classes else lambda out, y: functional.mse_loss(out[:, 0], y)
    output = model(x)
    return Pass(Batch(x, y), output, loss(output, y), model, loss)


def test_confidence_penalty_is_the_negative_entropy() -> None:
    step = a_pass()
    entropy = torch.distributions.Categorical(logits=step.output).entropy().mean()
    torch.testing.assert_close(TERMS["confidence_penalty"].make(step, strength=0.3), -0.3 * entropy)


def test_r_drop_is_half_the_papers_loss() -> None:
    step = a_pass(dropout=0.5)
    torch.manual_seed(7)
    term = TERMS["r_drop"].make(step, strength=2.0)
    torch.manual_seed(7)
    again = step.forward(step.batch.x)
    p, q = (torch.distributions.Categorical(logits=out) for out in (step.output, again))
    kl = torch.distributions.kl_divergence
    nll = step.value + functional.cross_entropy(again, step.batch.y)
    paper = nll + 2.0 * (kl(p, q) + kl(q, p)).mean() / 2
    torch.testing.assert_close(step.value + term, paper / 2)


@pytest.mark.parametrize("classes", [True, False])
def test_adversaries_hurt_as_much_as_they_say(classes: bool) -> None:
    step = a_pass(classes)
    x = step.batch.x.clone().requires_grad_()
    step.loss_at(x).backward()
    assert x.grad is not None
    by_sign = step.loss_at(step.batch.x + 0.1 * x.grad.sign()) - step.value
    torch.testing.assert_close(TERMS["fgsm"].make(step, share=0.5, eps=0.1), 0.5 * by_sign)
    worst = TERMS["pgd"].make(step, share=1.0, eps=0.1, steps=20)
    assert float(worst.detach()) >= float(by_sign.detach()) - 1e-3 > 0
    virtual = [float(TERMS["vat"].make(step, strength=1.0, eps=0.5).detach()) for _ in range(10)]
    chance = []
    for _ in range(10):
        way = functional.normalize(torch.randn_like(step.batch.x))
        moved = step.forward(step.batch.x + 0.5 * way)
        if classes:
            p, q = (torch.distributions.Categorical(logits=out) for out in (step.output, moved))
            chance.append(float(torch.distributions.kl_divergence(p, q).mean().detach()))
        else:
            chance.append(float((moved - step.output).square().mean().detach()))
    assert np.mean(virtual) > 1.3 * np.mean(chance)


# Averages


def test_averages_are_their_formulas() -> None:
    model = nn.Linear(2, 1)
    plain = Average(model, AVERAGES["swa"].make(start=0.5), steps=10)
    moving = Average(model, AVERAGES["ema"].make(decay=0.9), steps=10)
    seen, mean = [], None
    for step in range(10):
        with torch.no_grad():
            model.weight.normal_()
        seen.append(model.weight.detach().clone())
        share = 1 - min(0.9, (1 + step) / (10 + step))
        mean = seen[-1] if mean is None else (1 - share) * mean + share * seen[-1]
        plain.update()
        moving.update()
    last = model.weight.detach().clone()
    with plain.inside():
        torch.testing.assert_close(model.weight.detach(), torch.stack(seen[5:]).mean(0))
    with moving.inside():
        torch.testing.assert_close(model.weight.detach(), mean)
    assert torch.equal(model.weight.detach(), last)


def test_the_average_is_what_is_validated_and_kept(classes: Prepared) -> None:
    run = nnlab.fit(classes, average="ema", decay=0.999, hidden="8", norm="batch", epochs=5, store=False, patience=None)
    rows = functional.cross_entropy(run.model(torch.from_numpy(classes.valid.x)), torch.from_numpy(classes.valid.y))
    best = run.history["valid_loss"].min()
    assert float(rows.detach()) == pytest.approx(best, rel=1e-5)


# First weights

VARIANCES = {
    "normal": 0.05**2,
    "uniform": 0.05**2 / 3,
    "truncated_normal": 0.02**2 * 0.7737,
    "xavier_uniform": 2 / 700,
    "xavier_normal": 2 / 700,
    "he_uniform": 2 / 400,
    "he_normal": 2 / 400,
    "lecun_normal": 1 / 400,
    "lecun_uniform": 1 / 400,
    "heavy_tailed": 1 / 400,
    "torch_default": 1 / 1200,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_first_weights_have_their_variance(name: str) -> None:
    layer = nn.Linear(400, 300)
    values = {"freedom": 6.0} if name == "heavy_tailed" else {}
    initialize(nn.Sequential(layer), Part(name, values), None, torch.zeros(2, 400))
    assert float(layer.weight.detach().var()) == pytest.approx(VARIANCES[name], rel=0.03)
    assert name == "torch_default" or not layer.bias.detach().any()


def test_structured_first_weights() -> None:
    layer = nn.Linear(40, 30)
    initialize(nn.Sequential(layer), Part("orthogonal"), None, torch.zeros(2, 40))
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(30), atol=1e-5, rtol=0)
    initialize(nn.Sequential(layer), Part("identity", {"gain": 2.0}), None, torch.zeros(2, 40))
    assert torch.equal(layer.weight, 2 * torch.eye(30, 40))
    initialize(nn.Sequential(layer), Part("sparse", {"share": 0.8}), None, torch.zeros(2, 40))
    assert float((layer.weight == 0).float().mean()) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("name", ["lsuv", "data_driven"])
def test_data_decide_the_scale_of_each_layer(name: str) -> None:
    network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    x = torch.randn(500, 6) * torch.tensor([1.0, 10, 0.1, 1, 1, 3])
    initialize(network, Part(name), "relu", x)
    for depth in (1, 3):
        out = network[:depth](x)
        if name == "lsuv":
            assert float(out.detach().var()) == pytest.approx(1.0, abs=0.02)
        else:
            torch.testing.assert_close(out.detach().std(0), torch.ones(32), atol=1e-3, rtol=0)
            share = (out > 0).float().mean(0)
            assert ((share > 0) & (share < 1)).all(), "every kink lies within the data"


def test_centered_outputs_let_gradients_through_sigmoids() -> None:
    """Their values are all above 0, so that without it outputs lie far out, where the slope is small."""
    x, shares = torch.randn(500, 6), []
    for center in (False, True):
        torch.manual_seed(0)
        layers = [part for width in (6, *[32] * 7) for part in (nn.Linear(width, 32), nn.Sigmoid())]
        network = nn.Sequential(*layers, nn.Linear(32, 1))
        initialize(network, Part("lsuv", {"center": center}), None, x)
        out = network[:9](x).detach()
        assert float((out - center * out.mean(0)).var()) == pytest.approx(1.0, abs=0.02)
        assert not center or float(out.mean(0).abs().max()) < 1e-5
        network(x).square().mean().backward()
        first, last = (network[at].weight.grad.norm() for at in (0, 14))
        shares.append(float(first / last))
    assert shares[0] < 1e-3 and shares[1] > 0.01


@pytest.mark.parametrize(("activation", "variance"), [("relu", 2 / 5), ("selu", 1 / 5), ("silu", 1 / 15)])
def test_the_activation_chooses_where_nobody_does(activation: str, variance: float, classes: Prepared) -> None:
    spec = resolve(TrainSpec, {"activation": activation, "hidden": "4000"})
    learner = ModuleLearner(spec, classes, "cpu")
    assert float(next(learner.model.parameters()).detach().var()) == pytest.approx(variance, rel=0.05)


# Courses


def test_dropout_and_decay_follow_their_schedules(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float]] = []
    plain = StackLearner.change

    def change(self: StackLearner, name: str, value: float) -> float:
        seen.append((name, round(value, 4)))
        return plain(self, name, value)

    monkeypatch.setattr(StackLearner, "change", change)
    nnlab.fit(classes, dropout=0.4, dropout_schedule="polynomial", hidden="8", epochs=4, store=False)
    assert [value for name, value in seen if name == "dropout" and value] == [0.4, 0.3, 0.2, 0.1]


def test_batches_grow(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = StackLearner.steps

    def steps(self: StackLearner, batches: Sequence[Tensor], lrs: Sequence[float]) -> None:
        sizes.extend(map(len, batches))
        plain(self, batches, lrs)

    monkeypatch.setattr(StackLearner, "steps", steps)
    nnlab.fit(classes, batch_size=24, batch_growth=4, hidden="8", epochs=4, store=False, patience=None)
    rows = len(classes.train)
    per_epoch = [24, 48, 72, 96]
    assert len(sizes) == sum(math.ceil(rows / size) for size in per_epoch)
    assert max(sizes) <= 96


def test_small_improvements_do_not_keep_a_run_alive(classes: Prepared) -> None:
    run = nnlab.fit(classes, epochs=200, patience=3, min_delta=10.0, hidden="8", store=False)
    assert run.finished.reason == "stopped_early"
    assert run.finished.epoch == 4
    assert run.best_epoch == 4, "the best epoch is still the best"
