"""The hand-written RealMLP against finite differences, autograd, and itself with fewer members."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.inputs import Inputs
from nnlab.core.layers import Dropout
from nnlab.core.layers import Parametric as Mixed
from nnlab.core.learners.choice import choose
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.parametric import KNOWN
from nnlab.core.learners.stack.together import can_stand_together
from nnlab.core.models import MODELS
from nnlab.core.network import fit_rows
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, part_values
from tests.core.test_stack import FEATURES, ROWS, both, check_gradients, members, table, trained, validated

EMBEDDINGS = [
    Part("pbld", {"sigma": 0.5, "frequencies": 3}),
    Part("pl", {"sigma": 0.5, "frequencies": 3, "size": 4}),
    Part("plr", {"sigma": 0.5, "frequencies": 3, "size": 4}),
    Part("piecewise_linear", {"bins": 4, "size": 3}),
]


@pytest.mark.parametrize("numbers", [(0, 2, 3), (1,), (0, 1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("embed", EMBEDDINGS, ids=lambda part: part.name)
def test_gradients_of_vectors_of_numbers_are_those_of_finite_differences(embed: Part, numbers: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    front = Inputs(FEATURES, numbers, {}, embed).front()
    net = nn.Sequential(front, nn.Linear(front.n_out, 8), nn.Tanh(), Dropout(0.0), nn.Linear(8, 3)).double()
    rows = table(3, weighted=False)
    fit_rows(net, rows.x)
    for weight in net.parameters():
        weight.data.add_(torch.randn_like(weight) / 4)  # PLE begins as 0 in part
    check_gradients(members([net], Part("cross_entropy"), rows), every=3)


@pytest.mark.parametrize("function", sorted(KNOWN, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_gradients_of_learned_activations_are_those_of_finite_differences(function: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in ((FEATURES, 16), (16, 8)):
        layers += [nn.Linear(n_in, n_out), Mixed(function(), (n_out,)), Dropout(0.0)]
    net = nn.Sequential(*layers, nn.Linear(8, 3)).double()
    for layer in net:
        if isinstance(layer, Mixed):
            layer.weight.data.add_(torch.randn_like(layer.weight) / 4)
    check_gradients(members([net], Part("cross_entropy"), table(3, weighted=False)), every=3)


def realmlp(count: int, rows: Table, n_out: int, seed: int = 0, **values: Any) -> nn.Module:
    """A network of some members, the first of which are the same whatever their number."""
    single = []
    for k in range(count):
        torch.manual_seed(seed + k)
        inputs = Inputs(FEATURES, (0, 2, 3), {}, values.get("embed", EMBEDDINGS[0]))
        given = {"members": 1, "hidden": (64, 32)} | {name: v for name, v in values.items() if name != "embed"}
        net = MODELS["realmlp"].make(inputs, n_out, **MODELS["realmlp"].read(given))
        fit_rows(net, rows.x)
        for weight in net.parameters():
            weight.data.add_(torch.randn_like(weight) / 10)
        single.append(net.to(rows.x.dtype))
    torch.manual_seed(seed)
    whole = MODELS["realmlp"].make(inputs, n_out, **MODELS["realmlp"].read(given | {"members": count}))
    fit_rows(whole, rows.x)
    for name, weight in whole.named_parameters():
        weight.data = torch.cat([net.get_parameter(name).data for net in single])
    return whole.to(rows.x.dtype)


def joint(net: nn.Module, rows: Table, loss: Part, values: dict[str, Any], seeds: list[int]) -> Members:
    groups = [([name for name, _ in net.named_parameters()], True, 1.0)]
    counts = torch.bincount(rows.y).tolist() if not rows.y.is_floating_point() else []
    part = Part("adamw", part_values(OPTIMIZERS, Part("adamw", values)))
    return Members([net], groups, Criterion(loss.name, {"label_smoothing": 0.1}, counts), rows, part, seeds, joint=True)


@pytest.mark.parametrize("values", [{}, {"activation": "selu", "input_scale": False}, {"hidden": ()}], ids=str)
def test_gradients_of_the_network_are_those_of_finite_differences(values: dict[str, Any]) -> None:
    rows = table(3, weighted=True)
    check_gradients(joint(realmlp(1, rows, 3, **values), rows, Part("cross_entropy"), {}, [0]), every=11)


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("activation", ["mish", "selu", "silu", "relu"])
@pytest.mark.parametrize("embed", EMBEDDINGS, ids=lambda part: part.name)
@pytest.mark.parametrize("n_out", [1, 3, 8])
def test_members_have_the_bits_that_they_have_alone(embed: Part, n_out: int, activation: str, own_rows: bool) -> None:
    """Four in one network: the mean of their losses makes gradients a quarter, and so eps is a quarter too."""
    rows = table(0 if n_out == 1 else n_out, weighted=n_out != 3, dtype=torch.float32)
    loss = Part("mse" if n_out == 1 else "cross_entropy")
    draw = torch.Generator().manual_seed(0)
    sizes = (33, 32, 33, 3, 1)
    batches = [torch.stack([torch.randperm(ROWS, generator=draw) for _ in range(4)])[:, :size] for size in sizes]

    def run(chosen: list[int], eps: float) -> tuple[nn.Module, list[list[float]], Tensor]:
        net = realmlp(len(chosen), rows, n_out, seed=chosen[0], activation=activation, embed=embed)
        stack = joint(net, rows, loss, {"lr": 0.01, "eps": eps}, seeds=chosen)
        stack.dropout = [0.2] * len(chosen)
        losses = []
        for batch in batches:
            stack.gradients(batch[chosen] if own_rows else batch[0])
            stack.update([0.01] * len(chosen))
            losses.append(stack.take_loss())
        return net, losses, stack.outputs(rows.x)

    together, losses, outputs = run([0, 1, 2, 3], 2.0**-30)
    for k in range(4):
        alone, own, single = run([k], 2.0**-28)
        for name, weight in together.named_parameters():
            assert torch.equal(weight[k], alone.get_parameter(name)[0]), name
        assert [4 * loss[k] for loss in losses] == [loss[0] for loss in own]
        assert torch.equal(outputs[k], single[0])


RECIPE: dict[str, Any] = {"model": "realmlp", "members": 2, "hidden": (64, 32), "dropout_schedule": "constant"}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"members": 1},
    {"activation": "selu"},
    {"activation": "silu", "parametric": False},
]
OPTIONS += [{"embed": name} for name in ("none", "pl", "plr", "piecewise_linear")]
OPTIONS += [{"hidden": (50, 30)}, {"hidden": ()}, {"input_scale": False}, {"norm": "layer"}, {"average": "swa"}]
OPTIONS += [{"label_smoothing": 0.1}, {"loss": "balanced_cross_entropy"}, {"l1": 0.001}]
OPTIONS += [{"clip_norm": 0.1}, {"clip_adaptive": 0.01}]
OPTIONS += [{"lr_scale": 2.0, "lr_embedding": 0.5, "lr_head": 0.3, "layer_decay": 0.7}]
OPTIONS += [{"model": "mlp", "embed": name, "members": None} for name in ("pbld", "plr")]
OPTIONS += [{"model": "packed", "embed": "pbld", "parametric": True, "hidden": (20,)}]
# A bias in front of batch norm has no gradient but what rounding leaves, which Adam would make steps of.
OPTIONS += [{"model": name, "norm": "batch", "optimizer": "momentum"} for name in ("packed", "realmlp")]


def check_forty_steps(data: Prepared, options: dict[str, Any], lr: float, tolerance: float) -> None:
    stack, module = both(data, **RECIPE | options)
    own, other = (trained(learner, data, 40, lr) for learner in (stack, module))
    for name, weight in own.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=tolerance)
    assert stack.take_loss() == pytest.approx(module.take_loss(), rel=1e-5)
    assert validated(stack) == pytest.approx(validated(module), rel=1e-4)
    expected = module.snapshot()
    for name, weight in stack.snapshot().items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_forty_steps_are_those_of_autograd(options: dict[str, Any], classes: Prepared) -> None:
    check_forty_steps(classes, options | {"precision": "float64"}, 0.02, 1e-9)


def test_forty_steps_of_a_regression_are_those_of_autograd(numbers: Prepared) -> None:
    check_forty_steps(numbers, {"precision": "float64"}, 0.02, 1e-9)


def test_forty_steps_with_weights_of_rows_are_those_of_autograd() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(400, 3)), columns=list("abc"))
    frame["counts"], frame["y"] = draw.uniform(0.2, 3.0, size=400), frame["a"] + frame["b"] ** 2 > 1
    data = nnlab.prepare(frame, target="y", weight="counts")
    assert data.train.weight is not None
    check_forty_steps(data, {"precision": "float64"}, 0.02, 1e-9)


SINGLE: list[dict[str, Any]] = [{}, {"activation": "selu"}, {"members": 1, "embed": "piecewise_linear"}]


@pytest.mark.parametrize("options", SINGLE, ids=str)
def test_single_precision_rounds_no_more_than_autograd_does(options: dict[str, Any], classes: Prepared) -> None:
    """Forty steps are nearer to those of autograd than these are to double precision."""
    stack, module = both(classes, **RECIPE | options)
    _, exact = both(classes, **RECIPE | options | {"precision": "float64"})
    own, other, true = (trained(learner, classes, 40, 0.001) for learner in (stack, module, exact))
    rounding = max(float((other[name] - weight).abs().max()) for name, weight in true.items())
    assert max(float((other[name] - weight).abs().max()) for name, weight in own.items()) < rounding


def test_the_network_itself_gives_what_was_validated(classes: Prepared) -> None:
    """Members of odd widths have gaps between them, which the module must read past."""
    spec = resolve(TrainSpec, RECIPE | {"hidden": (50, 30), "average": "none", "embed": "plr"})
    learner = choose(spec, classes, "cpu", steps=9)
    trained(learner, classes, 9, 0.01)
    valid = classes.valid
    output = learner.model.eval()(torch.from_numpy(valid.x))
    loss = nn.functional.cross_entropy(output, torch.from_numpy(valid.y)).item()
    assert validated(learner)["loss"] == pytest.approx(loss, rel=1e-6)


def test_trials_with_several_members_do_not_stand_together(classes: Prepared) -> None:
    alone = resolve(TrainSpec, {"model": "realmlp", "average": "none"})
    assert can_stand_together(alone, classes, "cpu")
    assert not can_stand_together(resolve(TrainSpec, {"members": 2}, alone), classes, "cpu")
    assert can_stand_together(resolve(TrainSpec, {"embed": "plr"}), classes, "cpu")


def test_a_learner_goes_on_from_its_state_to_the_same_bits(classes: Prepared) -> None:
    spec = resolve(TrainSpec, RECIPE | {"dropout": 0.3, "lr_bias": 0.5})
    first, second = (choose(spec, classes, "cpu", steps=40) for _ in range(2))
    assert first.name == "stack"
    trained(first, classes, 7, 0.01)
    first.change("dropout", 0.2)
    first.change("weight_decay", 0.05)
    second.load_state(first.state())
    own, other = (trained(learner, classes, 9, 0.01) for learner in (first, second))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert first.take_loss() == second.take_loss() and validated(first) == validated(second)
    averaged, expected = first.snapshot(), second.snapshot()
    assert all(torch.equal(averaged[name], expected[name]) for name in averaged)
