"""Alpha dropout by hand: against its formula, finite differences, and what it promises."""

from typing import Any

import pytest
import torch
from torch import nn

from nnlab.core.learners.choice import hindrance
from nnlab.core.learners.stack.alpha import ALPHA, AlphaDropout
from nnlab.core.learners.stack.buffers import Room
from nnlab.core.learners.stack.layers import Build, Port
from nnlab.core.learners.stack.streams import Streams
from nnlab.core.registry import Part
from tests.core.resuming import spec_of
from tests.core.test_stack import FEATURES, check_gradients, members, table
from tests.core.test_stack_recording import Played


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    drop = nn.AlphaDropout(0.0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.SELU(), drop, nn.Linear(16, 8), nn.Tanh(), drop, nn.Linear(8, 3))


@pytest.mark.parametrize("recorder", [None, Played], ids=["plain", "recorded"])
def test_gradients_are_those_of_finite_differences(recorder: Any) -> None:
    rows = table(3, weighted=False)
    check_gradients(members([net(0).double()], Part("cross_entropy"), rows, recorder=recorder), every=11)


@pytest.mark.parametrize("recorded", [False, True])
def test_values_are_those_of_the_formula_and_keep_mean_and_variance(recorded: bool) -> None:
    """torch's: y = a (x or -ALPHA) + b. The second member drops nothing and keeps its bits."""
    shares, rows, width = [0.3, 0.0], 4000, 64
    stack = members([net(0), net(1)], Part("cross_entropy"), table(3, weighted=False, dtype=torch.float32))
    masks = Streams([0, 1], "cpu", recorded=recorded).masks(rows * width, shares, stack.flat.values)
    build = Build(stack.flat, Room(stack.flat.values), rows, masks)
    x = torch.randn(2, rows, width)
    out = AlphaDropout(width).bind(Port(x, torch.ones_like(x), free=False), build)
    masks.draw()
    for call in build.forward:
        call()
    kept = masks.values.view(2, rows, width) > 0
    p = shares[0]
    a = ((1 - p) * (1 + p * ALPHA**2)) ** -0.5
    expected = a * torch.where(kept[0], x[0], torch.tensor(-ALPHA)) + a * p * ALPHA
    torch.testing.assert_close(out.value[0], expected, rtol=0, atol=1e-5)
    assert torch.equal(out.value[1], x[1])
    assert float(out.value[0].mean()) == pytest.approx(0.0, abs=0.01)
    assert float(out.value[0].var()) == pytest.approx(1.0, abs=0.02)
    for call in build.backward[0]:
        call()
    assert out.slope is not None
    torch.testing.assert_close(out.slope[0], a * kept[0].float())
    assert torch.equal(out.slope[1], torch.ones(rows, width))


@pytest.mark.parametrize("options", [{"activation": "selu"}, {"model": "realmlp", "dropout_kind": "alpha"}], ids=str)
def test_runs_with_it_take_the_stack(options: dict[str, Any], classes: Any) -> None:
    assert hindrance(spec_of(**options), classes, "cpu") == ""
