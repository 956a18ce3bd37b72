"""Weights that do not shrink, and the share of the step size that each kind of weight gets."""

import pytest
import torch
from torch import nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.stack.learner import StackLearner
from nnlab.core.learners.stack.together import Together
from nnlab.core.learners.start import first_network, penalties_of
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import decay_groups, groups_of
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.spec import TrainSpec


def factors(model: nn.Module, **options: float) -> dict[str, float]:
    groups = groups_of(model, resolve(TrainSpec, options))
    found = {id(weight): group["factor"] for group in groups for weight in group["params"]}
    assert len(found) == len(list(model.parameters()))
    return {name: found[id(weight)] for name, weight in model.named_parameters()}


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.first = nn.Embedding(4, 3), nn.LayerNorm(3), nn.Linear(3, 5)
        self.slope, self.last = nn.PReLU(), nn.Linear(5, 2)


def test_nothing_asked_for_is_two_groups() -> None:
    groups = groups_of(Own(), TrainSpec())
    assert [(group["decays"], group["factor"]) for group in groups] == [(True, 1.0), (False, 1.0)]
    assert [len(group["params"]) for group in groups] == [2, 6]
    assert groups[1]["weight_decay"] == 0.0


def test_each_kind_of_weight_has_its_share() -> None:
    found = factors(Own(), lr_bias=0.1, lr_embedding=0.2, lr_activation=0.3, lr_head=0.4)
    assert found == {
        "table.weight": 0.2,
        "norm.weight": 1.0,
        "norm.bias": 0.1,
        "first.weight": 1.0,
        "first.bias": 0.1,
        "slope.weight": 0.3,
        "last.weight": 0.4,
        "last.bias": 0.1,
    }


def test_a_role_of_another_kind_is_the_users_own_matter() -> None:
    own = Own()
    own.role, own.first.role = ["encoder"], "teacher"  # type: ignore[assignment]
    assert factors(own, lr_bias=0.1)["first.bias"] == 0.1


def test_layers_learn_slower_towards_the_input() -> None:
    found = factors(Own(), layer_decay=0.5)
    assert found["table.weight"] == found["norm.weight"] == 0.25
    assert found["first.weight"] == found["first.bias"] == found["slope.weight"] == 0.5
    assert found["last.weight"] == found["last.bias"] == 1.0
    blocks = factors(MODELS["resnet"].make(3, 2, width=4, depth=2), layer_decay=0.5)
    assert {name.partition(".")[0]: share for name, share in blocks.items()} == {
        "0": 0.125,
        "1": 0.25,
        "2": 0.5,
        "3": 0.5,
        "5": 1.0,
    }, "a block is one layer, the norm behind it is of the last one"


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon", "lion", "schedule_free_adamw"])
def test_a_share_of_zero_holds_still_and_others_move(optimizer: str, classes: Prepared) -> None:
    options = {"optimizer": optimizer, "lr": 0.01, "hidden": "6,6", "lr_head": 0.0, "lr_bias": 0.0}
    torch.manual_seed(0)
    learner = ModuleLearner(resolve(TrainSpec, options), classes, "cpu")
    before = {name: weight.detach().clone() for name, weight in learner.model.named_parameters()}
    for _ in range(3):
        learner.step(torch.arange(64), 0.01)
    moved = {name: not torch.equal(weight, before[name]) for name, weight in learner.model.named_parameters()}
    assert moved == {name: name.endswith("weight") and name != "6.weight" for name in before}


def test_a_share_is_the_step_size_of_plain_descent(classes: Prepared) -> None:
    def after(lr: float, **options: float) -> torch.Tensor:
        torch.manual_seed(0)
        spec = resolve(TrainSpec, {"optimizer": "sgd", "weight_decay": 0, "hidden": "6", **options})
        learner = ModuleLearner(spec, classes, "cpu")
        learner.step(torch.arange(64), lr)
        return next(iter(learner.model.parameters())).detach()

    torch.testing.assert_close(after(0.1, layer_decay=0.5), after(0.05))


def test_penalties_have_the_step_size_of_their_weights() -> None:
    spec = resolve(TrainSpec, {"layer_decay": 0.5, "lr_head": 0.25, "l2": 3.0})
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    before = [weight.detach().clone() for weight in model.parameters()]
    with torch.no_grad():
        for penalize in penalties_of(spec, model, 5):
            penalize(0.1)
    for weight, old, share in zip(model.parameters(), before, [0.25, None, 0.5, None, 0.25, None], strict=True):
        expected = old if share is None else old / (1 + 2 * 0.1 * share * 3.0)
        torch.testing.assert_close(weight.detach(), expected)


def test_the_penalty_of_features_has_the_step_size_of_the_first_layer() -> None:
    spec = resolve(TrainSpec, {"layer_decay": 0.5, "group_lasso": 0.2})
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    expected = model[0].weight.detach().clone()
    REGULARIZERS["group_lasso"].make([expected], 0.05, columns=torch.arange(5), strength=0.2)
    with torch.no_grad():
        for penalize in penalties_of(spec, model, 5):
            penalize(0.1)
    torch.testing.assert_close(model[0].weight.detach(), expected)


def test_a_head_that_stays_is_not_penalized_in_either_learner(classes: Prepared) -> None:
    options = {"hidden": "6,6", "dropout": 0.0, "l1": 0.5, "lr_head": 0.0, "layer_decay": 0.5, "lr": 0.01}
    spec, found = resolve(TrainSpec, options), []
    for kind in (ModuleLearner, StackLearner):
        torch.manual_seed(0)
        learner = kind(spec, classes, "cpu")
        *_, head = decay_groups(learner.model)[0]
        before = [weight.detach().clone() for weight in learner.model.parameters()]
        old = head.detach().clone()
        for _ in range(3):
            learner.step(torch.arange(64), 0.01)
        assert torch.equal(head.detach(), old), kind.name
        assert not torch.equal(next(learner.model.parameters()).detach(), before[0])
        found.append([weight.detach().clone() for weight in learner.model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_runs_in_a_stack_penalize_by_their_own_shares(classes: Prepared) -> None:
    options = {"hidden": "6", "dropout": 0.0, "l1": 0.5}
    specs = [resolve(TrainSpec, options | {"lr_head": share}) for share in (1.0, 0.0)]
    stack = Together(specs, [first_network(spec, classes) for spec in specs], classes, "cpu")
    heads = [decay_groups(learner.model)[0][-1] for learner in stack.learners]
    before = [head.detach().clone() for head in heads]
    for learner in stack.learners:
        learner.step(torch.arange(64), 0.01)
    assert len(list(stack.steps())) == 1
    assert [torch.equal(head.detach(), old) for head, old in zip(heads, before, strict=True)] == [False, True]


@pytest.mark.parametrize("options", [{}, {"layer_decay": 0.5, "lr_head": 0.25}])
@pytest.mark.parametrize("name", ["mlp", "tabm"])
def test_muon_takes_all_hidden_matrices_and_no_head(name: str, options: dict[str, float], classes: Prepared) -> None:
    torch.manual_seed(0)
    spec = resolve(TrainSpec, {"model": name, "hidden": "6,7", **options})
    model = first_network(spec, classes)
    optimizer = OPTIMIZERS["muon"].make(groups_of(model, spec))
    own = {id(weight) for group in optimizer.parts[0].param_groups for weight in group["params"]}
    taken = [tuple(weight.shape) for weight in model.parameters() if id(weight) in own]
    assert [shape for shape in taken if shape[0] in (6, 7)] == [(6, 5), (7, 6)]
    assert not own & {id(weight) for group in optimizer.parts[1].param_groups for weight in group["params"]}
    *_, head = (weight for weight in model.parameters() if weight.ndim == (3 if name == "tabm" else 2))
    assert id(head) not in own


def test_a_wrong_share_is_refused() -> None:
    with pytest.raises(nnlab.SpecError, match="lr_bias=-1: expected number, 0 to 1000"):
        resolve(TrainSpec, {"lr_bias": -1})
