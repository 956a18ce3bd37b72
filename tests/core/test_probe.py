"""Looks into layers: their numbers against a loop by hand, and no trace on the training."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnlab import Run, Store, fit, resume
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import EpochDone, Event, Probed
from nnlab.core.models import custom
from nnlab.core.probe import ROWS, Probe, weight_layers
from nnlab.core.samples import FIRST, TOGETHER, next_due, stride, thinned
from nnlab.core.store.lines import from_lines, to_line

SMALL: dict[str, Any] = {"hidden": (16, 8), "epochs": 4, "batch_size": 64, "store": False, "device": "cpu"}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs"])
def test_a_look_changes_no_bit_and_no_random_number(classes: Prepared, optimizer: str) -> None:
    options = {**SMALL, "optimizer": optimizer, "lr": 0.05, "dropout": 0.3, "norm": "batch"}
    looked, blind = fit(classes, **options), fit(classes, probe=False, **options)
    assert looked.record.probes and not blind.record.probes
    assert same(looked.model, blind.model)
    assert looked.history.drop(columns="seconds").equals(blind.history.drop(columns="seconds"))


class Noisy(nn.Module):
    """Draws a random number even in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x + 0.01 * torch.randn_like(x))


def test_random_numbers_of_a_networks_own_stay_the_runs(classes: Prepared) -> None:
    options = {"epochs": 2, "store": False, "batch_size": 64}
    assert same(fit(classes, model=Noisy, **options).model, fit(classes, model=Noisy, probe=False, **options).model)


def test_numbers_are_those_of_a_step_by_hand(classes: Prepared) -> None:
    """First step of plain gradient descent: gradient, weight and update norms and the activations after it."""
    network = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    run = fit(
        classes, model=network, optimizer="sgd", lr=0.5, weight_decay=0, schedule="constant", warmup=0, epochs=1,
        batch_size=len(classes.train), store=False,
    )  # fmt: skip
    look = run.record.probes[0]
    x, y = torch.from_numpy(classes.train.x), torch.from_numpy(classes.train.y)
    nn.functional.cross_entropy(network(x), y).backward()
    weight = [torch.cat([w.detach().flatten() for w in network[at].parameters()]) for at in (0, 2)]
    slope = [torch.cat([w.grad.flatten() for w in network[at].parameters()]) for at in (0, 2)]
    assert look.layers == ("0", "2")
    assert look.values["weight"] == pytest.approx([w.norm().item() for w in weight], rel=2e-3)
    assert look.values["gradient"] == pytest.approx([g.norm().item() for g in slope], rel=2e-3)
    assert look.values["update"] == pytest.approx([0.5 * g.norm().item() for g in slope], rel=2e-3)
    some = x[np.unique(np.linspace(0, len(x) - 1, ROWS).round().astype(int))]
    with torch.no_grad():
        inner = run.model[1](run.model[0](some))
        outer = run.model[2](inner)
    assert look.values["activation"] == pytest.approx(
        [v.square().mean().sqrt().item() for v in (inner, outer)], rel=2e-3
    )
    near = (inner.abs() > 0.96).float().mean().item()
    assert look.values["saturated"][0] == pytest.approx(near, abs=1e-3)
    assert np.isnan(look.values["saturated"][1]) and np.isnan(look.values["dead"][1])


class Functional(nn.Module):
    """Its activations are functions, which no hook hears; three of eight units are dead."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 3)
        with torch.no_grad():
            self.one.bias[:3] = -100.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x)))


def test_dead_units_are_seen_behind_functions_and_behind_layers(classes: Prepared) -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    with torch.no_grad():
        network[1].bias[:2] = -100.0
    for model, share in ((Functional(), 3 / 8), (network, 2 / 8)):
        look = fit(classes, model=model, epochs=1, lr=1e-6, store=False).record.probes[0]
        assert look.values["dead"][0] == share


def test_layers_are_told_in_order_and_no_more_than_can_be_drawn() -> None:
    deep = nn.Sequential(*(nn.Linear(4, 4) for _ in range(200)))
    names = list(weight_layers(deep))
    assert len(names) == 48 and names[0] == "0" and names[-1] == "199"
    assert weight_layers(nn.Linear(3, 2)).keys() == {"linear"}
    assert not weight_layers(nn.Embedding(9, 3))


def test_rows_in_their_own_order_show_and_shuffled_ones_do_not(classes: Prepared) -> None:
    order = np.argsort(classes.train.y, kind="stable")
    train = type(classes.train)(classes.train.x[order], classes.train.y[order], classes.train.index[order])
    from dataclasses import replace

    data = replace(classes, train=train)
    kept = [look.drift for look in fit(data, shuffle=False, **SMALL).record.probes]
    mixed = [look.drift for look in fit(data, **SMALL).record.probes]
    assert np.mean(np.square(kept)) > 20 > 4 > np.mean(np.square(mixed))


def test_places_of_looks_are_few_and_follow_from_the_step_alone() -> None:
    places = [step for step in range(1, 200_001) if next_due(step) == step]
    assert places[:9] == [*FIRST, 100, 200, 300]
    looks = [Probed(1, step, (), {}) for step in places]
    kept = [look.step for look in thinned(looks)]
    assert len(kept) <= 2 * TOGETHER + len(FIRST)
    assert set(np.diff(kept[len(FIRST) :])) == {stride(200_000)}
    assert len(places) < 0.005 * 200_000
    following = iter(places)
    last = next(following)
    for step in range(1, places[-1] + 1):  # from any place, as of a run that goes on after a cut
        if step > last:
            last = next(following)
        assert next_due(step) == last


def test_looks_are_kept_with_the_run(classes: Prepared, tmp_path: Any) -> None:
    run = fit(classes, **{**SMALL, "store": tmp_path / "store"})
    assert run.path is not None
    expected = [to_line(look) for look in run.record.probes]
    assert len(expected) >= 4
    assert [to_line(look) for look in Run.load(run.path).record.probes] == expected
    assert [to_line(look) for look in Run.load(run.save(tmp_path / "copy")).record.probes] == expected


def test_a_look_told_twice_counts_once() -> None:
    first, again = Probed(1, 50, ("a",), {"gradient": (1.0,)}), Probed(1, 50, ("a",), {"gradient": (2.0,)})
    (kept,) = from_lines([to_line(first), '{"probed": {"step": 1}}', to_line(again)])
    assert isinstance(kept, Probed) and kept.values == {"gradient": (2.0,)}


def test_a_network_that_cannot_be_looked_into_is_trained(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Probe, *given: Any) -> Any:
        raise RuntimeError("no look")

    monkeypatch.setattr(Probe, "_look", fail)
    run = fit(classes, **SMALL)
    assert run.warnings == ["layers are not looked at: RuntimeError: no look"]
    assert same(run.model, fit(classes, probe=False, **SMALL).model)


def test_events_come_in_order(classes: Prepared) -> None:
    told: list[Event] = []
    fit(classes, view=told.append, **SMALL)
    place = 0
    for event in told:
        if isinstance(event, Probed):
            assert event.epoch == place + 1
        if isinstance(event, EpochDone):
            place = event.epoch


def test_a_user_network_with_one_weight_vector_needs_no_look(classes: Prepared) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :3] * self.scale

    assert not fit(classes, model=Scale, epochs=1, store=False).record.probes
    assert custom.build(Scale, 5, 3) is not None


def test_looks_of_a_run_that_was_cut_are_those_of_a_whole_one(classes: Prepared, tmp_path: Any) -> None:
    options = {**SMALL, "epochs": 12, "store": Store(tmp_path / "store")}
    whole = fit(classes, **options)
    controls, ended = Controls(), []

    def stop(event: Event) -> None:
        ended.append(isinstance(event, EpochDone))
        if sum(ended) == 5:
            controls.stop()

    fit(classes, controls=controls, view=stop, **options)
    run = resume("last", classes, store=options["store"])
    assert run.state == whole.state and run.record.resumptions
    for record in (run.record, Run.load(run.path).record):
        assert [(look.epoch, look.step) for look in record.probes] == [(p.epoch, p.step) for p in whole.record.probes]
        for look, other in zip(record.probes, whole.record.probes, strict=True):
            assert np.array_equal([*look.values.values()], [*other.values.values()], equal_nan=True)
