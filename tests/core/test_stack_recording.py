"""Recorded steps of a stack: by a plain closure on the CPU, by CUDA graphs where there is a GPU."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.layers import Call
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.recording import WARM, Recorder
from nnlab.core.registry import Part
from tests.core.test_stack import FEATURES, ROWS, members, network, table

SIZES = (FEATURES, 64, 32, 3)
LOSS = Part("cross_entropy")
GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))


class Played(Recorder):
    """Replays by a closure. made: what was recorded."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__(generators)
        self.made = 0

    def record(self, calls: Sequence[Call]) -> Call:
        self.made += 1

        def play() -> None:
            for call in calls:
                call()

        return play


def stack_of(seeds: Sequence[int], device: str, optimizer: str = "adamw", recorder: Any = None) -> Members:
    nets = [network(SIZES, nn.ReLU(), k, torch.float32).to(device) for k in seeds]
    rows = table(3, weighted=True, dtype=torch.float32)
    assert rows.weight is not None
    given = Table(rows.x.to(device), rows.y.to(device), rows.weight.to(device))
    return members(nets, LOSS, given, optimizer, seeds, recorder)


def recorded(seeds: Sequence[int], device: str, optimizer: str = "adamw") -> Members:
    return stack_of(seeds, device, optimizer, Played if device == "cpu" else None)


def batches(count: int) -> list[Tensor]:
    """Of two sizes in turns, as an epoch has them."""
    draw = torch.Generator().manual_seed(1)
    return [torch.randperm(ROWS, generator=draw)[: 33 - k % 2] for k in range(count)]


def weights(stack: Members) -> list[list[Tensor]]:
    return [[weight.detach().cpu().clone() for weight in net.parameters()] for net in stack.networks]


def steps(stack: Members, rows: Sequence[Tensor], lrs: Sequence[float]) -> None:
    for chosen in rows:
        stack.gradients(chosen.to(stack.flat.values.device))
        stack.update(lrs)


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "momentum", "nesterov"])
def test_recorded_steps_are_those_of_plain_ones(optimizer: str, device: str) -> None:
    """Members of their own step size and decay; both change on the way."""
    plain, own = stack_of([0, 1, 2], "cpu", optimizer), recorded([0, 1, 2], device, optimizer)
    for stack in (plain, own):
        stack.decays = [0.1, 0.0, 0.3]
        steps(stack, batches(20), [0.001, 0.003, 0.002])
        stack.decays = [0.0, 0.2, 0.1]
        steps(stack, batches(20), [0.002, 0.001, 0.001])
    for mine, expected in zip(weights(own), weights(plain), strict=True):
        for a, b in zip(mine, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6 if device == "cpu" else 1e-4)
    assert own.take_loss() == pytest.approx(plain.take_loss(), rel=1e-4)


def test_no_change_of_a_run_is_recorded_anew() -> None:
    stack = recorded([0, 1], "cpu")
    recorder = stack._recorder
    assert isinstance(recorder, Played)
    stack.dropout = [0.1, 0.2]
    steps(stack, batches(4), [0.01, 0.02])
    made = recorder.made
    assert made == 3, "two sizes of batches, and the step of the weights"
    stack.dropout, stack.decays = [0.5, 0.3], [0.5, 0.0]
    steps(stack, batches(4), [0.001, 0.002])
    assert recorder.made == made
    stack.dropout = [0.0, 0.0]  # without masks a step has other calls
    steps(stack, batches(2), [0.001, 0.002])
    assert recorder.made == made + 2


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_masks_of_a_device_have_the_shares_that_members_ask_for_then(device: str) -> None:
    stack = recorded([0, 1], device)
    count, like = 200_000, stack.flat.values
    masks = stack._streams.masks(count, [0.1234, 0.5], like)
    assert masks.shares is not None and masks.scales is None
    for shares in ([0.1234, 0.5], [0.3, 0.01]):
        masks.shares.copy_(torch.tensor(shares))
        lost = []
        for _ in range(60):
            masks.draw()
            lost.append((masks.values == 0).double().mean(1).cpu())
        assert torch.stack(lost).mean(0).tolist() == pytest.approx(shares, abs=1e-3)
        assert masks.values.amax(1).tolist() == pytest.approx([1 / (1 - share) for share in shares], rel=1e-6)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_recorded_members_have_what_they_have_alone(device: str) -> None:
    drops, lrs = [0.1, 0.4, 0.2], [0.01, 0.003, 0.02]

    def run(chosen: list[int]) -> list[list[Tensor]]:
        stack = recorded(chosen, device)
        stack.dropout = [drops[k] for k in chosen]
        steps(stack, batches(12), [lrs[k] for k in chosen])
        return weights(stack)

    together = run([0, 1, 2])
    for k in range(3):
        for a, b in zip(together[k], run([k])[0], strict=True):
            if device == "cpu":
                assert torch.equal(a, b)
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_recorded_steps_go_on_from_a_state_to_the_same_bits(device: str) -> None:
    first, second = recorded([0, 1], device), recorded([0, 1], device)
    for stack in (first, second):
        stack.dropout = [0.3, 0.1]
    steps(first, batches(9), [0.01, 0.02])
    second.flat.values.copy_(first.flat.values)
    second.load_state(
        copy.deepcopy({k: v for k, v in first.state().items() if k != "streams"})
        | {"streams": first.state()["streams"]}
    )
    for stack in (first, second):
        steps(stack, batches(9), [0.02, 0.01])
    for a, b in zip(weights(first), weights(second), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert first.take_loss() == second.take_loss()


def test_kept_members_go_on_recorded() -> None:
    whole, halved = recorded([0, 1, 2], "cpu"), recorded([0, 1, 2], "cpu")
    for stack in (whole, halved):
        stack.dropout = [0.1, 0.2, 0.3]
        steps(stack, batches(5), [0.01, 0.02, 0.03])
    halved = halved.keep([2, 0])
    assert isinstance(halved._recorder, Played)
    steps(whole, batches(5), [0.01, 0.02, 0.03])
    steps(halved, batches(5), [0.03, 0.01])
    expected = weights(whole)
    for own, place in zip(weights(halved), (2, 0), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(own, expected[place], strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU records")
def test_what_cannot_be_recorded_goes_on_as_it_is_and_is_told_once() -> None:
    plain, own = recorded([0], "cpu"), stack_of([0], "cpu", recorder=Recorder)
    steps(plain, batches(2 * WARM + 4), [0.01])
    steps(own, batches(2 * WARM + 4), [0.01])
    assert all(torch.equal(a, b) for a, b in zip(weights(plain)[0], weights(own)[0], strict=True))
    notes = own.take_notes()
    assert len(notes) == 1 and notes[0].startswith("steps are not recorded as a CUDA graph (")
    assert own.take_notes() == []


@pytest.mark.parametrize("device", [GPU])
@pytest.mark.parametrize("model", ["mlp", "resnet", "packed", "realmlp"])
def test_runs_on_a_gpu_take_the_stack_and_learn_as_on_the_cpu(model: str, device: str, classes: Prepared) -> None:
    losses = []
    for where in ("cpu", device):
        run = nnlab.fit(classes, model=model, epochs=10, seed=0, device=where, store=False, baseline=False)
        assert run.learner.startswith("stack")
        losses.append(run.history["valid_loss"].min())
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
