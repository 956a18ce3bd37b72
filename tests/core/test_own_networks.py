"""Networks that the user wrote: every form of a maker, what such a network may do, and what is said of its errors."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError, SpecError
from nnlab.core.events import Event, Finished
from nnlab.core.models.custom import build
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import decay_groups
from nnlab.core.predict import forward
from nnlab.core.spec import TrainSpec
from nnlab.core.train import set_up, train
from tests.core.test_train import SMALL, run


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(5, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 12:
            raise ValueError("planted")
        return self.layer(x)


def test_an_error_of_the_users_network_names_its_line(classes: Prepared) -> None:
    seen: list[Event] = []
    job = set_up(resolve(TrainSpec, SMALL), classes, Broken())
    with pytest.raises(RunError, match=r"ValueError: planted \(forward, line \d+: raise ValueError"):
        for event in train(job, Controls()):
            seen.append(event)
    assert isinstance(seen[-1], Finished) and seen[-1].reason == "failed"
    with pytest.raises(RunError, match=r"gave shape \(2, 4\) for 2 rows; needed is \(2, 3\)"):
        set_up(resolve(TrainSpec, SMALL), classes, nn.Linear(5, 4))
    with pytest.raises(SpecError, match="a function that makes one"):
        set_up(resolve(TrainSpec, SMALL), classes, 42)


@pytest.mark.parametrize(
    "maker",
    [
        nn.Linear(5, 3),
        nn.Linear,
        lambda: nn.Linear(5, 3),
        lambda n_in: nn.Linear(n_in, 3),
        lambda n_out: nn.Linear(5, n_out),
        lambda n_in, n_out: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, n_out)),
    ],
)
def test_networks_can_be_given_in_every_form(maker: Any, classes: Prepared) -> None:
    before = {k: v.clone() for k, v in maker.state_dict().items()} if isinstance(maker, nn.Module) else {}
    events, _ = run(classes, maker=maker)
    assert events[-1].reason == "completed"
    assert all(torch.equal(before[k], v) for k, v in (maker.state_dict() if before else {}).items())


def test_maker_arguments_go_by_name_before_place(classes: Prepared) -> None:
    def swapped(n_out: int, n_in: int) -> nn.Module:
        return nn.Linear(n_in, n_out)

    def by_name_only(*, n_in: int, n_out: int) -> nn.Module:
        return nn.Linear(n_in, n_out)

    def after_a_default(width: int = 7, n_in: int = 0, n_out: int = 0) -> nn.Module:
        assert width == 7
        return nn.Linear(n_in, n_out)

    def one_name(sizes: int, n_out: int, /) -> nn.Module:
        return nn.Linear(sizes, n_out)

    for maker in (swapped, by_name_only, after_a_default, one_name):
        assert build(maker, 5, 3).weight.shape == (3, 5), maker
    with pytest.raises(SpecError, match="needs 3 arguments"):
        build(lambda a, b, c: nn.Linear(a, b), 5, 3)


class InPlace(nn.Module):
    """Changes its input, and keeps a buffer that grows with the rows it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.ones = nn.Linear(5, 3), torch.ones(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x /= 2
        if len(self.ones) < len(x):
            self.ones = torch.ones(len(x))
        return self.layer(x) * self.ones[: len(x), None]


def test_networks_that_change_their_input_or_keep_tensors_train(classes: Prepared) -> None:
    before = [classes.train.x.copy(), classes.valid.x.copy()]
    events, model = run(classes, maker=InPlace, epochs=3)
    assert events[-1].reason == "completed"
    forward(model, classes.valid.x, "cpu")
    assert np.array_equal(classes.train.x, before[0])
    assert np.array_equal(classes.valid.x, before[1])


def test_biases_and_the_weights_of_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((4, 4)), nn.BatchNorm1d(4), nn.GroupNorm(2, 4))
    decaying, fixed = decay_groups(network)
    assert [weight is network[0].weight for weight in decaying] == [True]
    assert len(fixed) == 7
