"""The gradients of ctgan's networks, written by hand, beside those of autograd."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nnlab.core.data.synthesis.coding import Coded, gumbel
from nnlab.core.data.synthesis.ctgan import TAU, Conditions, Rows, _trained
from nnlab.core.data.synthesis.gan import HIDDEN, LEAK, NOISE, PENALTY, Critic, Generator, Weights

PACKS, PACK, INPUTS, OUTPUTS = 7, 3, 30, 9
NONE = torch.zeros(0, dtype=torch.int64)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def leaves(weights: Weights) -> dict[str, Tensor]:
    return {name: own.clone().requires_grad_() for name, own in weights.own.items()}


def check(own: dict[str, Tensor], weights: Weights) -> None:
    for name, leaf in own.items():
        if leaf.numel():
            assert leaf.grad is not None and leaf.grad.abs().max() > 1e-4, name
            torch.testing.assert_close(weights.slope[name], leaf.grad, rtol=1e-9, atol=1e-12, msg=name)


def scored(own: dict[str, Tensor], packs: Tensor, masks: Tensor) -> Tensor:
    hidden = packs @ torch.cat([own["first"], own["first_levels"]]) + own["first_bias"]
    hidden = functional.leaky_relu(hidden, LEAK) * masks[0]
    return functional.leaky_relu(hidden @ own["second"] + own["second_bias"], LEAK) * masks[1] @ own["last"]


def generated(own: dict[str, Tensor], noise: Tensor, hot: Tensor) -> Tensor:
    def start(which: int) -> Tensor:
        return noise @ own[f"noise{which}"] + hot @ own[f"level{which}"]

    def normed(layer: Tensor, which: int) -> Tensor:
        return functional.batch_norm(layer, None, None, own[f"gain{which}"], own[f"shift{which}"], True).relu()

    hidden1 = normed(start(1), 1)
    hidden2 = normed(start(2) + hidden1 @ own["first2"], 2)
    return start(3) + hidden1 @ own["first3"] + hidden2 @ own["second3"] + own["bias3"]


def critic_loss(own: dict[str, Tensor], real: Tensor, made: Tensor, share: Tensor, masks: Tensor) -> Tensor:
    k = len(real)
    between = (share * real + (1 - share) * made).requires_grad_()
    slopes = torch.autograd.grad(scored(own, between, masks[:, 2 * k :]).sum(), between, create_graph=True)[0]
    distance = scored(own, real, masks[:, :k]).mean() - scored(own, made, masks[:, k : 2 * k]).mean()
    return PENALTY * ((slopes.norm(2, dim=1) - 1) ** 2).mean() - distance


def critic_and_levels(levels: int):
    critic = Critic(INPUTS, PACK * levels, torch.float64)
    own = leaves(critic.weights)
    asked = torch.randint(levels, (PACKS, PACK)) + levels * torch.arange(PACK) if levels else NONE
    hot = torch.zeros(PACKS, PACK * levels, dtype=torch.float64)
    return critic, own, asked, hot.scatter_(1, asked, 1.0) if levels else hot


@pytest.mark.parametrize("levels", [4, 0])
def test_the_critic_learns_distance_and_penalty_as_by_two_passes_of_autograd(levels: int) -> None:
    critic, own, asked, hot = critic_and_levels(levels)
    packs, share = normal(3 * PACKS, INPUTS), torch.rand(PACKS, 1, dtype=torch.float64)
    masks = critic.masks(3 * PACKS, np.random.default_rng(0))
    real, made = torch.cat([packs[:PACKS], hot], 1), torch.cat([packs[PACKS : 2 * PACKS], hot], 1)
    critic_loss(own, real, made, share, masks).backward()
    critic.backward(packs, asked, share, masks)
    check(own, critic.weights)


@pytest.mark.parametrize("levels", [4, 0])
def test_slopes_of_a_score(levels: int) -> None:
    critic, own, asked, hot = critic_and_levels(levels)
    packs, masks = normal(PACKS, INPUTS), critic.masks(PACKS, np.random.default_rng(1))
    leaf = packs.clone().requires_grad_()
    scored(own, torch.cat([leaf, hot], 1), masks).mean().backward()
    torch.testing.assert_close(critic.slopes(packs, asked, masks), leaf.grad, rtol=1e-9, atol=1e-12)


def test_dropout_keeps_half_and_the_mean() -> None:
    masks = Critic(INPUTS, 0).masks(400, np.random.default_rng(2))
    assert masks.shape == (2, 400, HIDDEN) and set(masks.unique().tolist()) == {0.0, 2.0}
    assert masks.mean().item() == pytest.approx(1.0, abs=0.02)
    assert abs(((masks[0] - 1) * (masks[1] - 1)).mean().item()) < 0.02


@pytest.mark.parametrize("levels", [5, 0])
def test_the_generator_passes_forward_and_back_as_torch_does(levels: int) -> None:
    generator = Generator(levels, OUTPUTS, torch.float64)
    for name in ("gain1", "gain2", "shift1", "shift2"):
        generator.weights.own[name].add_(normal(HIDDEN))
    noise, slope = normal(20, NOISE), normal(20, OUTPUTS)
    asked = torch.randint(levels, (20,)) if levels else NONE
    hot = functional.one_hot(asked, levels).double() if levels else torch.zeros(20, 0, dtype=torch.float64)
    own = leaves(generator.weights)
    raw = generated(own, noise, hot)
    made = generator.forward(noise, asked)
    torch.testing.assert_close(made.raw, raw)
    (raw * slope).sum().backward()
    generator.backward(made, slope.clone())
    check(own, generator.weights)


def test_first_weights_and_steps_are_those_of_torch() -> None:
    weights = Weights({"a": (300, 20), "b": (20,)})
    weights.draw("a", 300)
    linear = torch.nn.Linear(300, 20)
    assert weights.own["a"].abs().max() <= 300**-0.5
    assert weights.own["a"].std().item() == pytest.approx(linear.weight.std().item(), rel=0.03)
    leaf = weights.own["a"].clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)
    for _ in range(3):
        leaf.grad = torch.randn_like(leaf)
        weights.slope["a"].copy_(leaf.grad)
        optimizer.step()
        weights.step()
    torch.testing.assert_close(weights.own["a"], leaf.detach())
    assert not weights.own["b"].any()


def rows_of(levels: np.ndarray) -> Rows:
    return Rows(2, (4, 3, 2, 3), Conditions(levels, (2, 3)))


def test_soft_rows_and_their_slopes() -> None:
    rows = rows_of(np.c_[np.arange(12) % 2, np.arange(12) % 3])
    raw, slope = 9 * torch.randn(6, rows.width), torch.randn(6, rows.width)
    state = torch.get_rng_state()
    soft = rows.soft(raw)
    for block in (soft[:, 2:6], soft[:, 6:9], soft[:, 9:11], soft[:, 11:14]):
        torch.testing.assert_close(block.sum(1), torch.ones(6))
    torch.set_rng_state(state)
    leaf = raw.double().requires_grad_()
    noise = rows.soft(torch.zeros_like(raw))  # noise alone: its blocks are softmaxes of it
    offsets = TAU * noise[:, 2:].double().log()
    blocks = ((leaf[:, 2:] + offsets) / TAU).split_with_sizes((4, 3, 2, 3), 1)
    again = torch.cat([leaf[:, :2].tanh(), *(block.softmax(1) for block in blocks)], 1)
    torch.testing.assert_close(again.float(), soft, rtol=1e-3, atol=1e-4)
    (again * slope).sum().backward()
    torch.testing.assert_close(rows.soft_slope(soft, slope).double(), leaf.grad, rtol=1e-2, atol=1e-3)


def test_the_slope_of_the_levels_asked_for_is_that_of_the_cross_entropy() -> None:
    levels = np.c_[np.arange(12) % 2, np.arange(12) % 3]
    rows = rows_of(levels)
    columns, wanted, _ = rows.conditions.balanced(12, np.random.default_rng(3))
    leaf = torch.randn(12, rows.width).requires_grad_()
    blocks = (leaf[:, 9:11], leaf[:, 11:14])
    loss = sum(functional.cross_entropy(blocks[j][i : i + 1], torch.tensor([wanted[i]])) for i, j in enumerate(columns))
    (loss / 12).backward()
    slope = torch.zeros(12, rows.width)
    rows.add_asked_slope(leaf.detach(), columns, rows.conditions.places(columns, wanted), slope)
    torch.testing.assert_close(slope, leaf.grad)


def adam(own: dict[str, Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(own.values(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)


def test_whole_steps_are_those_of_autograd_and_adam() -> None:
    """Five steps of both networks, every draw the same and in the same order, from the same first weights."""
    sizes, batch, pack, steps = (4, 3, 2, 3), 30, 3, 5
    draw = np.random.default_rng(4)
    picks = np.stack([draw.integers(size, size=steps * batch) for size in sizes], 1)
    coded = Coded(draw.uniform(-1, 1, (len(picks), 2)), picks)
    rows = Rows(2, sizes, Conditions(picks[:, 2:], sizes[2:]), torch.float64)

    torch.manual_seed(5)
    draw = np.random.default_rng(6)
    generator, critic = Generator(5, rows.width, torch.float64), Critic(pack * rows.width, pack * 5, torch.float64)
    makes, judges = leaves(generator.weights), leaves(critic.weights)
    by_maker, by_judge = adam(makes), adam(judges)

    def packs_of(coded_rows: Tensor, hot: Tensor) -> Tensor:
        return torch.cat([coded_rows.reshape(batch // pack, -1), hot.reshape(batch // pack, -1)], 1)

    for _ in range(steps):
        columns, levels, chosen = rows.conditions.balanced(batch, draw)
        wanted = torch.from_numpy(2 * columns + levels)  # the first of the columns has two levels
        hot = functional.one_hot(wanted, 5).double()
        picked = [functional.one_hot(torch.from_numpy(picks[chosen, j]), size) for j, size in enumerate(sizes)]
        real = packs_of(torch.cat([torch.from_numpy(coded.places[chosen]), *picked], 1), hot)
        raw = generated(makes, normal(batch, NOISE), hot)
        logits = ((raw[:, 2:] + gumbel(raw[:, 2:].detach())) / TAU).split_with_sizes(sizes, 1)
        made = packs_of(torch.cat([raw[:, :2].tanh(), *(block.softmax(1) for block in logits)], 1), hot)
        share = torch.rand((len(real), 1), dtype=torch.float64)
        by_judge.zero_grad()
        critic_loss(judges, real, made.detach(), share, critic.masks(3 * len(real), draw)).backward()
        by_judge.step()
        by_maker.zero_grad()
        blocks = (raw[:, -5:-3].log_softmax(1), raw[:, -3:].log_softmax(1))
        asked = torch.cat(blocks, 1).gather(1, wanted[:, None]).mean()
        (-scored(judges, made, critic.masks(len(real), draw)).mean() - asked).backward()
        by_maker.step()

    torch.manual_seed(5)
    with torch.no_grad():
        found = _trained(coded, rows, (batch, 1), np.random.default_rng(6)).weights.own
    for name, leaf in makes.items():
        moved = leaf.detach() - generator.weights.own[name]
        assert moved.abs().max() > 3e-4, name
        torch.testing.assert_close(found[name] - generator.weights.own[name], moved, rtol=1e-6, atol=1e-12, msg=name)
