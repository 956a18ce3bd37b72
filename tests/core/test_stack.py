"""The hand-written stack against finite differences, autograd, torch's optimizers, and itself with fewer members."""

import copy
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError
from nnlab.core.layers import BatchNorm, CategoryEmbedding, Dropout, LayerNorm, Residual
from nnlab.core.learners.choice import choose, hindrance
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.protocol import Learner
from nnlab.core.learners.stack import updates
from nnlab.core.learners.stack.engine import Engine, Table
from nnlab.core.learners.stack.losses import BY_HAND, Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.parametric import KNOWN
from nnlab.core.learners.stack.parts import Parts
from nnlab.core.learners.stack.streams import Streams
from nnlab.core.losses import LOSSES, make_loss, outputs_for
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import decay_groups
from nnlab.core.randomness import PrivateRandom, row_order
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.stepping import private
from tests.yardstick import as_there

FEATURES, ROWS = 5, 64


def network(sizes: Sequence[int], function: nn.Module, seed: int, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(n_in, n_out), function, Dropout(0.0)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1])).to(dtype)


def table(classes: int, weighted: bool, dtype: torch.dtype = torch.float64) -> Table:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, FEATURES, generator=draw, dtype=dtype)
    y = torch.randint(0, classes, (ROWS,), generator=draw) if classes else x[:, 0] + x[:, 1].sin()
    return Table(x, y, torch.rand(ROWS, generator=draw, dtype=dtype) if weighted else None)


def members(  # the parts of a test, in one place
    networks: Sequence[nn.Module],
    loss: Part,
    rows: Table,
    optimizer: str = "adamw",
    seeds: Sequence[int] | None = None,
    recorder: Any = None,
) -> Members:
    decaying, _ = decay_groups(networks[0])
    names = [[], []]
    for name, weight in networks[0].named_parameters():
        names[all(weight is not other for other in decaying)].append(name)
    counts = torch.bincount(rows.y).tolist() if not rows.y.is_floating_point() else []
    criterion = Criterion(loss.name, part_values(LOSSES, loss), counts)
    part = Part(optimizer, part_values(OPTIMIZERS, Part(optimizer)))
    groups = [(names[0], True, 1.0), (names[1], False, 1.0)]
    return Members(networks, groups, criterion, rows, part, seeds or range(len(networks)), recorder=recorder)


def loss_at(stack: Members, state: dict[str, Any], rows: Tensor) -> float:
    """The loss with the masks that are drawn from a state."""
    stack.load_state(state)
    stack.gradients(rows)
    return stack.take_loss()[0]


def check_gradients(stack: Members, every: int = 7) -> None:
    """Hand-written gradients against central differences, with dropout at work."""
    rows = torch.arange(3, 50)
    stack.dropout = [0.3]
    state = {name: value for name, value in stack.state().items() if name != "update"}
    state["update"] = stack.state()["update"]
    loss_at(stack, state, rows)
    flat, gradients = stack.flat, stack.flat.gradients.clone()
    for name in flat.names:
        weights, slopes = (flat.of(b, name)[0] for b in (flat.values, gradients))
        places = itertools.product(*map(range, weights.shape))
        for place in itertools.islice(places, 0, None, every):
            kept, far = float(weights[place]), []
            for step in (1e-6, -1e-6):
                weights[place] = kept + step
                far.append(loss_at(stack, state, rows))
            weights[place] = kept
            assert (far[0] - far[1]) / 2e-6 == pytest.approx(float(slopes[place]), rel=1e-5, abs=1e-7), name


def validated(learner: Learner) -> dict[str, float]:
    """The loss and every metric of the validation rows."""
    return learner.measure(learner.outputs_of_members())


@pytest.mark.parametrize("function", sorted(KNOWN, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_gradients_of_layers_are_those_of_finite_differences(function: type[nn.Module]) -> None:
    net = network((FEATURES, 16, 8, 3), function(), 1, torch.float64)
    check_gradients(members([net], Part("cross_entropy"), table(3, weighted=False)))


@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm])
def test_gradients_of_norms_are_those_of_finite_differences(norm: Any) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 16), norm((16,)), nn.SiLU(), Dropout(0.0), nn.Linear(16, 8), norm((8,)), nn.Tanh()]
    net = nn.Sequential(*layers, nn.Linear(8, 3)).double()
    check_gradients(members([net], Part("cross_entropy"), table(3, weighted=False)))


def test_gradients_of_residual_blocks_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    blocks = [
        Residual(nn.Sequential(norm((8,)), nn.Linear(8, 16), nn.ReLU(), Dropout(0.0), nn.Linear(16, 8)), nn.Identity())
        for norm in (BatchNorm, LayerNorm)
    ]
    net = nn.Sequential(nn.Linear(FEATURES, 8), *blocks, BatchNorm((8,)), nn.ReLU(), nn.Linear(8, 3)).double()
    check_gradients(members([net], Part("cross_entropy"), table(3, weighted=False)))


@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm])
def test_norms_of_members_have_the_bits_that_they_have_alone(norm: Any) -> None:
    def run(chosen: list[int]) -> list[dict[str, Tensor]]:
        nets = []
        for k in chosen:
            torch.manual_seed(k)
            nets.append(nn.Sequential(nn.Linear(FEATURES, 64), norm((64,)), nn.ReLU(), nn.Linear(64, 3)))
        stack = members(nets, Part("cross_entropy"), table(3, weighted=False, dtype=torch.float32), seeds=chosen)
        for start in (0, 10, 20):
            stack.gradients(torch.arange(start, start + 33))
            stack.update([0.01] * len(chosen))
        return [net.state_dict() for net in nets]

    together = run([0, 1, 2])
    for k in range(3):
        assert all(torch.equal(value, run([k])[0][name]) for name, value in together[k].items())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_HAND)
def test_gradients_of_losses_are_those_of_finite_differences(name: str, weighted: bool) -> None:
    classes = 3 if "binary" in LOSSES[name].facts["tasks"] else 0
    part = Part(name, {"label_smoothing": 0.2} if name == "cross_entropy" else {})
    net = network((FEATURES, 8, outputs_for(part, classes)), nn.Tanh(), 2, torch.float64)
    check_gradients(members([net], part, table(classes, weighted)), every=5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_HAND)
def test_losses_are_those_of_autograd(name: str, weighted: bool) -> None:
    classes = 4 if "binary" in LOSSES[name].facts["tasks"] else 0
    part, rows = Part(name), table(4 if classes else 0, weighted)
    net = network((FEATURES, 8, outputs_for(part, classes)), nn.GELU(), 2, torch.float64)
    stack = members([net], part, rows)
    counts = torch.bincount(rows.y).tolist() if classes else []
    stack.gradients(torch.arange(40))
    more = () if rows.weight is None else (rows.weight[:40],)
    loss = make_loss(part, counts)(net(rows.x[:40]), rows.y[:40], *more)
    assert stack.take_loss()[0] == pytest.approx(loss.item(), rel=1e-6)
    loss.backward()
    for name, weight in net.named_parameters():
        own = stack.flat.of(stack.flat.gradients, name)[0]
        torch.testing.assert_close(own, weight.grad, rtol=1e-6, atol=1e-9)


def trained(learner: Any, data: Prepared, steps: int, lr: float) -> dict[str, Tensor]:
    batches = [rows for epoch in range(steps) for rows in row_order(0, epoch, len(data.train.y)).tensor_split(5)]
    for rows in batches[:steps]:
        learner.step(rows, lr)
    return {name: weight.clone() for name, weight in learner.model.state_dict().items()}


def both(data: Prepared, **options: Any) -> list[Any]:
    given = {"hidden": (32, 16), "dropout": 0.0} | options
    spec = resolve(TrainSpec, {name: value for name, value in given.items() if value is not None})
    made: list[Any] = []
    for choice in (choose, ModuleLearner):
        with PrivateRandom(0, "cpu"):
            made.append(choice(spec, data, "cpu", steps=40))
    assert [learner.name for learner in made] == ["stack", "module"]
    return made


OPTIONS: list[dict[str, Any]] = [{"optimizer": name} for name in ("adam", "adamw", "sgd", "momentum", "nesterov")]
OPTIONS += [{"activation": name} for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")]
OPTIONS += [{"activation": "selu"}, {"norm": "layer"}]
# A bias in front of batch norm has no gradient but what rounding leaves, which Adam would make steps of.
OPTIONS += [{"norm": "batch", "optimizer": "momentum"}, {"norm": "batch", "optimizer": "sgd", "average": "ema"}]
RESNET = {"model": "resnet", "width": 16, "depth": 2, "hidden": None, "zero_init": False}
OPTIONS += [RESNET | {"norm": norm, "precision": "float64"} for norm in ("none", "layer", "batch")]
OPTIONS += [{"layer_decay": 0.5, "lr_bias": 0.1, "lr_head": 2.0}]
OPTIONS += [{"activation": "mish", "optimizer": "sgd"}]  # torch's own derivative errs by 5e-7, which Adam blows up
OPTIONS += [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"l1": 0.001}, {"max_norm": 0.5}, {"group_lasso": 0.01}]
OPTIONS += [
    {"precision": "float64"},
    {"average": "ema"},
    {"label_smoothing": 0.1},
    {"loss": "balanced_cross_entropy"},
    {"hidden": ()},
]
OPTIONS += [
    {"model": "packed", "members": 3, "hidden": (64, 64)} | more
    for more in ({}, {"clip_norm": 0.1, "l1": 0.001}, {"loss": "balanced_cross_entropy", "average": "ema"})
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_forty_steps_are_those_of_autograd(options: dict[str, Any], classes: Prepared) -> None:
    stack, module = both(classes, **options)
    lr = 0.05 if options.get("optimizer") in ("sgd", "momentum", "nesterov") else 0.001
    own, other = (trained(learner, classes, 40, lr) for learner in (stack, module))
    for name, weight in own.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)
    assert stack.take_loss() == pytest.approx(module.take_loss(), rel=1e-5)
    assert validated(stack) == pytest.approx(validated(module), rel=1e-4)
    averaged, expected = stack.snapshot(), module.snapshot()
    for name, weight in averaged.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def coded() -> Prepared:
    """Two numbers, and three columns of categories, which have vectors."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=400), "b": draw.normal(size=400)})
    for name, levels in (("few", 3), ("more", 5), ("many", 30)):
        frame[name] = draw.integers(levels, size=400).astype(str)
    frame["y"] = frame["a"] + (frame["few"] == "1") - (frame["many"].astype(int) > 12)
    return nnlab.prepare(frame, target="y", encode="codes", categorical=("few", "more", "many"))


WITH_CODES: list[dict[str, Any]] = [{}, {"model": "packed", "members": 3}, {"model": "realmlp", "members": 2}]


@pytest.mark.parametrize("options", WITH_CODES, ids=str)
def test_forty_steps_with_vectors_of_categories_are_those_of_autograd(options: dict[str, Any], coded: Prepared) -> None:
    more = {"precision": "float64", "dropout_schedule": "constant", "lr_embedding": 0.5} if options else {}
    own, other = (trained(learner, coded, 40, 0.001) for learner in both(coded, **options, **more))
    assert any("tables" in name for name in own)
    for name, weight in own.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_of_vectors_of_categories(shared: bool) -> None:
    """Against finite differences for one member, and those of it beside others to the same bits."""
    draw = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(ROWS, 2, generator=draw), torch.randint(0, 4, (ROWS, 3), generator=draw)], 1).double()
    rows = Table(x, torch.randint(0, 3, (ROWS,), generator=draw), None)
    loss = Part("cross_entropy")
    nets = []
    for k in range(3):
        torch.manual_seed(k)
        front = CategoryEmbedding(5, {2: (4, 2), 3: (4, 3), 4: (4, 2)})
        nets.append(
            nn.Sequential(front, nn.Linear(front.n_out, 64), nn.Tanh(), Dropout(0.0), nn.Linear(64, 3)).double()
        )
    check_gradients(members([copy.deepcopy(nets[0])], loss, rows))
    batch = torch.stack([torch.randperm(ROWS, generator=draw)[:33] for _ in range(3)])
    together = members([copy.deepcopy(net) for net in nets], loss, rows)
    together.gradients(batch[0] if shared else batch)
    for k, net in enumerate(nets):
        alone = members([net], loss, rows)
        alone.gradients(batch[0] if shared else batch[k : k + 1])
        for name in alone.flat.names:
            slopes = [stack.flat.of(stack.flat.gradients, name) for stack in (together, alone)]
            assert torch.equal(slopes[0][k], slopes[1][0]), name


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile"])
def test_forty_steps_of_a_regression_are_those_of_autograd(loss: str, numbers: Prepared) -> None:
    own, other = (trained(learner, numbers, 40, 0.002) for learner in both(numbers, loss=loss))
    for name, weight in own.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)


def test_changes_hold_from_the_next_step(classes: Prepared) -> None:
    stack, module = both(classes)
    for learner in (stack, module):
        trained(learner, classes, 3, 0.01)
        assert learner.change("weight_decay", 3.0) == 0.1
        assert learner.change("dropout", 0.0) == 0.0
    own, other = (trained(learner, classes, 5, 0.01) for learner in (stack, module))
    for name, weight in own.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)
    before = trained(stack, classes, 0, 0.01)
    assert stack.change("dropout", 0.5) == 0.0 and stack.change("dropout", 0.25) == 0.5
    assert any(not torch.equal(before[name], weight) for name, weight in trained(stack, classes, 1, 0.01).items())


def test_a_learner_goes_on_from_its_state_to_the_same_bits(classes: Prepared) -> None:
    spec = resolve(TrainSpec, {"hidden": (32, 16), "dropout": 0.3, "average": "ema"})
    first, second = (choose(spec, classes, "cpu", steps=40) for _ in range(2))
    trained(first, classes, 7, 0.01)
    first.change("dropout", 0.2)
    first.change("weight_decay", 0.05)
    second.load_state(first.state())
    own, other = (trained(learner, classes, 9, 0.01) for learner in (first, second))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert first.take_loss() == second.take_loss() and validated(first) == validated(second)
    assert first.change("dropout", 0) == second.change("dropout", 0) == 0.2


def test_masks_keep_the_expectation_exactly_and_differ_from_step_to_step() -> None:
    share, n = 0.1234, 100_003
    masks = Streams([3, 4], "cpu").masks(n, [share, 0.001], torch.zeros(()))
    assert masks.scales == [1 / (1 - share), 1 / (1 - 0.001)] and masks.values.shape == (2, n)
    seen, lost = [], []
    for _ in range(400):
        masks.draw()
        assert set(masks.values.unique().tolist()) <= {0.0, 1.0}
        lost.append((masks.values == 0).float().mean(1))
        seen = [*seen, masks.values[0].clone()][-2:]
        between = float(lost[-1][0])
        assert 31 / 256 - 0.005 < between < 32 / 256 + 0.005, "what the share lies between"
    dropped = torch.stack(lost).mean(0).tolist()
    assert dropped == pytest.approx([share, 0.001], abs=5e-4), "each value is dropped as often as asked for"
    kept = (1 - torch.stack(lost).double()).mean(0) * torch.tensor(masks.scales, dtype=torch.float64)
    assert kept.tolist() == pytest.approx([1.0, 1.0], abs=5e-4), "so the expectation stays"
    kept = [mask > 0 for mask in seen]
    both = float((kept[0] & kept[1]).float().mean())
    assert both == pytest.approx(float(kept[0].float().mean() * kept[1].float().mean()), abs=0.005)
    for far in (1, 7, 8, 64):
        pairs = float((kept[0][:-far] & kept[0][far:]).float().mean())
        assert pairs == pytest.approx(float(kept[0].float().mean()) ** 2, abs=0.005), "neighbours are independent"


SIZES = [(FEATURES, 128, 64, 3), (FEATURES, 64, 1), (FEATURES, 17, 9, 2), (FEATURES, 64, 64, 8), (FEATURES, 64, 2)]


@pytest.mark.parametrize("agree", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("function", [nn.SiLU, nn.ReLU])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_members_have_the_bits_that_they_have_alone(
    sizes: tuple[int, ...], function: type[nn.Module], shared: bool, agree: bool
) -> None:
    """Three members of their own step size, decay, dropout, seed and rows, beside each other and alone."""
    loss = Part({1: "mse", 2: "balanced_cross_entropy"}.get(sizes[-1], "cross_entropy"))
    rows = table(0 if sizes[-1] == 1 else sizes[-1], weighted=not agree, dtype=torch.float32)
    draw = torch.Generator().manual_seed(0)
    each = (33, 32, 33, 5, 2, 1, 33)
    batches = [torch.stack([torch.randperm(ROWS, generator=draw) for _ in range(3)])[:, :size] for size in each]
    lrs, decays, drops = [(0.01, 0.003, 0.02), (0.1, 0.0, 0.5), (0.1, 0.3, 0.0)]
    if agree:
        lrs, decays = (0.01,) * 3, (0.1,) * 3

    def run(chosen: list[int]) -> tuple[list[list[Tensor]], list[list[float]]]:
        nets = [network(sizes, function(), k, torch.float32) for k in chosen]
        stack = members(nets, loss, rows, seeds=chosen)
        stack.dropout, stack.decays = [drops[k] for k in chosen], [decays[k] for k in chosen]
        losses = []
        for batch in batches:
            stack.gradients(batch[0] if shared else batch[chosen])
            stack.update([lrs[k] for k in chosen])
            losses.append(stack.take_loss())
        outputs = torch.cat([stack.outputs(rows.x[:count]) for count in (1, 3, 33)], 1)
        numbers = [[w.detach() for w in net.parameters()] for net in nets]
        return [[*own, output] for own, output in zip(numbers, outputs, strict=True)], losses

    together, losses = run([0, 1, 2])
    for k in range(3):
        alone, own = run([k])
        assert all(torch.equal(a, b) for a, b in zip(together[k], alone[0], strict=True)), k
        assert [loss[k] for loss in losses] == [loss[0] for loss in own]


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_members_that_are_kept_go_on_to_the_same_bits(optimizer: str) -> None:
    """As halving a stack of trials does, and members that stop early one by one."""
    rows, lrs = table(3, weighted=False, dtype=torch.float32), [0.01, 0.02, 0.005]

    def begun() -> Members:
        nets = [network((FEATURES, 64, 3), nn.GELU(), k, torch.float32) for k in range(3)]
        stack = members(nets, Part("cross_entropy"), rows, optimizer, seeds=[5, 6, 7])
        stack.dropout, stack.decays = [0.1, 0.2, 0.3], [0.1, 0.0, 0.2]
        return stack

    def steps(stack: Members, rates: list[float], count: int) -> None:
        for start in range(count):
            stack.gradients(torch.arange(start, start + 40))
            stack.update(rates)

    whole, halved = begun(), begun()
    steps(whole, lrs, 9)
    steps(halved, lrs, 4)
    halved = halved.keep([2, 0])
    for start in range(4, 9):
        halved.gradients(torch.arange(start, start + 40))
        halved.update([lrs[2], lrs[0]])
    for own, place in zip(halved.networks, (2, 0), strict=True):
        for a, b in zip(own.parameters(), whole.networks[place].parameters(), strict=True):
            assert torch.equal(a, b)
    assert halved.decays == [0.2, 0.1] and halved.dropout == [0.3, 0.1]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": "lion"}, "optimizer lion"),
    ({"loss": "focal"}, "loss focal"),
    ({"activation": "swiglu"}, "activation swiglu"),
    ({"norm": "group"}, "norm group"),
    ({"feature_dropout": 0.1}, "feature_dropout"),
    ({"model": "realmlp", "activation": "prelu"}, "activation prelu"),
    ({"mixup": 0.2}, "augments"),
    ({"lookahead": 5}, "wrappers"),
    ({"precision": "bf16"}, "precision bf16"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED, ids=lambda value: str(value))
def test_what_the_stack_cannot_do_goes_to_autograd_and_is_told(
    options: dict[str, Any], why: str, classes: Prepared
) -> None:
    run = nnlab.fit(classes, epochs=1, hidden="8", store=False, baseline=False, **options)
    assert run.learner == f"module: {why}"
    assert nnlab.fit(classes, epochs=1, hidden="8", store=False).learner == "stack"
    assert hindrance(run.spec, classes, "mps") == "device mps"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum"])
def test_a_torch_whose_private_steps_changed_is_noticed(
    optimizer: str, classes: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(both(classes, optimizer=optimizer)[0], classes, 10, 0.001)

    def changed(*arguments: Any, **values: Any) -> None:
        arguments[0][0].zero_()  # it runs, and does something else

    monkeypatch.setattr(private, "_CHOSEN", {})
    for name in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"):
        monkeypatch.setattr(torch, name, changed)
    monkeypatch.setattr(updates, "compiles", lambda like: False)
    with pytest.warns(UserWarning, match="has no fused"):
        found = trained(both(classes, optimizer=optimizer)[0], classes, 10, 0.001)
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


def test_a_plain_run_loads_no_compiler_and_no_scipy() -> None:
    """torch._dynamo takes longer to import than a small run to train, scipy half as long as the first step."""
    code = (
        "import sys, numpy as np, nnlab; x = np.random.default_rng(0).normal(size=(200, 3))\n"
        "run = nnlab.fit(nnlab.prepare((x, x.sum(1))), epochs=1, store=False)\n"
        "assert run.started.learner == 'stack', run.started.learner\n"
        "assert not {'torch._dynamo', 'scipy.special'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_first_step_of_a_fresh_process_comes_at_once() -> None:
    """Network, optimizer and step within 0.2 seconds of CPU; of some tries the best, as others use the machine too."""
    code = (
        "import time, numpy as np, torch, nnlab; x = np.random.default_rng(0).normal(size=(2000, 20))\n"
        "data = nnlab.prepare((x, x.sum(1)))\n"
        "began = time.process_time()\n"
        "from nnlab.core.options import resolve\nfrom nnlab.core.spec import TrainSpec\n"
        "from nnlab.core.train import set_up\n"
        "set_up(resolve(TrainSpec, {}), data).learner.step(torch.arange(256), 1e-3)\n"
        "print(time.process_time() - began)"
    )
    spent = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        spent.append(as_there(float(done.stdout)))
        if spent[-1] < 0.2:
            return
    pytest.fail(f"it took {spent} seconds")


@pytest.mark.parametrize(("given", "seen"), [({}, "0"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_waiting_threads_do_not_spin_unless_the_user_wants_it(given: dict[str, str], seen: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    code = "import os, sys, nnlab; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean | given)
    assert done.stdout.strip() == seen, done.stderr


# Memory that runs out


def short_of_memory(monkeypatch: pytest.MonkeyPatch, limit: int, fail: Exception | None = None) -> list[int]:
    """Room for a batch of more rows than the limit cannot be had; gives the rows of the batches that were tried."""
    tried: list[int] = []
    built = Engine._built

    def greedy(engine: Engine, size: int, shared: bool) -> Any:
        tried.append(size)
        plan = built(engine, size, shared)
        if size > limit:
            plan.calls.insert(len(plan.calls) // 2, lambda: _no_memory(fail))  # in the middle of a step
        return plan

    monkeypatch.setattr(Engine, "_built", greedy)
    return tried


def _no_memory(fail: Exception | None) -> None:
    if fail is not None:
        raise fail
    torch.empty(1 << 50)


STEPS: dict[str, Any] = {
    "hidden": (16, 8),
    "epochs": 3,
    "store": False,
    "seed": 1,
    "batch_size": 128,
    "baseline": False,
}


@pytest.mark.parametrize("fail", [None, MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")], ids=str)
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced_cross_entropy"])
def test_a_stack_without_memory_takes_its_rows_in_parts(
    classes: Prepared, monkeypatch: pytest.MonkeyPatch, fail: Exception | None, loss: str
) -> None:
    options = {**STEPS, "dropout": 0.0, "precision": "float64", "loss": loss, "clip_norm": 0.5}
    whole = nnlab.fit(classes, **options)
    short_of_memory(monkeypatch, 40, fail)
    run = nnlab.fit(classes, **options)
    assert run.learner == whole.learner == "stack"
    for (name, own), other in zip(run.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-7, atol=1e-9, msg=name)
    assert np.allclose(run.history.train_loss, whole.history.train_loss, rtol=1e-2 if loss != "cross_entropy" else 1e-9)
    assert [line.partition(" rows")[0].split()[-1] for line in run.warnings] == ["128", "64"]
    assert "in 4 parts, with the same gradient; --accumulate 4 begins so" in run.warnings[-1]
    assert not whole.warnings


def test_a_failed_try_of_a_stack_leaves_no_trace(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout, batch norm and losses go on as if the rows had been in parts from the first."""
    options = {**STEPS, "dropout": 0.3, "norm": "batch"}
    short_of_memory(monkeypatch, 70)
    backed_off = nnlab.fit(classes, **options)
    monkeypatch.setattr(Parts, "__init__", beginning_with(2))
    in_parts = nnlab.fit(classes, **options)
    assert len(backed_off.warnings) == 1 and not in_parts.warnings
    for name, value in backed_off.model.state_dict().items():
        assert torch.equal(value, in_parts.model.state_dict()[name]), name
    assert backed_off.history.train_loss.tolist() == in_parts.history.train_loss.tolist()


def beginning_with(count: int) -> Any:
    made = Parts.__init__

    def init(self: Parts, *args: Any) -> None:
        made(self, *args)
        self.count = count

    return init


def test_the_parts_of_a_stack_are_resumed(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = short_of_memory(monkeypatch, 70)
    spec = resolve(TrainSpec, {name: value for name, value in STEPS.items() if name not in ("store", "baseline")})
    first, second = (choose(spec, classes, "cpu") for _ in range(2))
    first.step(torch.arange(128), 0.01)
    assert (first.name, tried, len(first.take_notes())) == ("stack", [128, 64], 1)
    second.load_state(copy.deepcopy(first.state()))
    for learner in (first, second):
        learner.step(torch.arange(100, 228), 0.01)
    assert tried[2:] == [64] and not second.take_notes()
    for own, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(own, other)


def test_other_errors_of_a_stack_are_told_as_they_are(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(RunError, match="shapes do not fit"):
        short_of_memory(patch, 0, RuntimeError("shapes do not fit"))
        nnlab.fit(classes, **STEPS)
    short_of_memory(monkeypatch, 0)
    with pytest.raises(RunError, match=r"memory ran out in epoch 1 \(.*allocate memory.*\); --accumulate 2"):
        nnlab.fit(classes, **STEPS)
