import math
import os
import random
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.core.controls import Controls, interruptible
from nnlab.core.data.prepare import Prepared, Rows, prepare
from nnlab.core.errors import RunError, SpecError
from nnlab.core.events import Changed, EpochDone, Event, Finished, Progress, Started
from nnlab.core.fit import fit
from nnlab.core.learners import choice
from nnlab.core.losses import LOSSES
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.pace import batch_for
from nnlab.core.randomness import row_order
from nnlab.core.schedules import SCHEDULES
from nnlab.core.spec import TrainSpec
from nnlab.core.store.runs import Store
from nnlab.core.train import set_up, train

SMALL: dict[str, Any] = {"hidden": (16,), "epochs": 3, "batch_size": 64, "device": "cpu"}
SMALL |= {"activation": "relu", "dropout": 0.1}


def run(
    data: Prepared, controls: Controls | None = None, maker: Any = None, **options: Any
) -> tuple[list[Event], nn.Module]:
    job = set_up(resolve(TrainSpec, SMALL | options), data, maker)
    return list(train(job, controls or Controls())), job.learner.model


def epochs(events: list[Event]) -> list[EpochDone]:
    return [event for event in events if isinstance(event, EpochDone)]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("learner", ["stack", "module"])
def test_the_loop_is_the_loop_written_by_hand(learner: str, classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same weights as a plain torch loop over the same rows: no hidden step, decay or order."""
    if learner == "module":
        monkeypatch.setattr(choice, "hindrance", lambda *_: "the test")
    options = {"dropout": 0, "schedule": "constant", "warmup": 0, "lr": 0.01, "weight_decay": 0.01, "patience": None}
    events, model = run(classes, init="torch_default", **options)
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0), nn.Linear(16, 3))
    decay = [p for p in twin.parameters() if p.ndim == 2]
    others = [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.01, fused=True)
    x, y = torch.from_numpy(classes.train.x), torch.from_numpy(classes.train.y)
    for epoch in range(1, 4):
        for rows in row_order(0, epoch, len(y)).tensor_split(math.ceil(len(y) / 64)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(x[rows]), y[rows]).backward()
            optimizer.step()
    assert epochs(events)[-1].best, "the last epoch must be the best for this comparison"
    assert events[0].learner.startswith(learner)
    if learner == "module":
        assert same(model, twin)
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)  # sums are grouped in another way


def test_the_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    assert torch.equal(row_order(1, 2, 100), row_order(1, 2, 100))
    orders = {tuple(row_order(seed, epoch, 50).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16
    assert sorted(row_order(3, 1, 50).tolist()) == list(range(50))


def test_same_seed_same_bits_other_seed_other_bits(classes: Prepared) -> None:
    _, first = run(classes, seed=7)
    torch.manual_seed(99)
    _, second = run(classes, seed=7)
    _, third = run(classes, seed=8)
    assert same(first, second)
    assert not same(first, third)


def test_the_users_random_numbers_are_untouched(classes: Prepared) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = (torch.rand(3), np.random.rand(3), random.random())
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    run(classes)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    assert random.random() == expected[2]


@pytest.mark.parametrize("data", ["classes", "numbers"])
def test_the_best_weights_come_back(data: str, request: pytest.FixtureRequest) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    events, model = run(prepared, epochs=30, lr=1.0, dropout=0.3, schedule="constant", patience=None, weight_decay=0)
    done = epochs(events)
    finished = events[-1]
    assert isinstance(events[0], Started)
    assert isinstance(finished, Finished)
    losses = [event.valid["loss"] for event in done]
    assert finished.best_epoch == 1 + min(range(len(losses)), key=losses.__getitem__)
    assert finished.best_epoch < 30, "the run must overshoot for this test to mean something"
    model.eval()
    output = model(torch.from_numpy(prepared.valid.x))
    target = torch.from_numpy(prepared.valid.y)
    loss = (
        nn.functional.cross_entropy(output, target)
        if prepared.target.classes
        else nn.functional.mse_loss(output.squeeze(1), target)
    )
    assert loss.item() == pytest.approx(min(losses), rel=1e-6)


def test_regression_metrics_are_in_the_targets_units(numbers: Prepared) -> None:
    events, model = run(numbers, epochs=40, lr=0.01)
    model.eval()
    guess = model(torch.from_numpy(numbers.valid.x)).detach().squeeze(1).numpy()
    error = numbers.target.decode(guess) - numbers.target.decode(numbers.valid.y)
    best = next(event for event in epochs(events) if event.epoch == events[-1].best_epoch)
    assert best.valid["rmse"] == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=1e-4)
    assert best.valid["rmse"] < 20 < np.std(numbers.target.decode(numbers.valid.y))


def test_early_stopping_waits_for_patience(classes: Prepared) -> None:
    events, _ = run(classes, epochs=500, lr=0.05, schedule="constant", patience=4)
    finished = events[-1]
    assert finished.reason == "stopped_early"
    assert finished.epoch == finished.best_epoch + 4


def test_a_monitored_metric_chooses_the_epoch(classes: Prepared) -> None:
    events, _ = run(classes, epochs=12, lr=0.02, monitor="accuracy", patience=None)
    scores = [event.valid["accuracy"] for event in epochs(events)]
    assert scores[events[-1].best_epoch - 1] == max(scores)
    with pytest.raises(SpecError, match="monitor=acuracy"):
        run(classes, monitor="acuracy")


@pytest.mark.parametrize("field, name", [("optimizer", n) for n in OPTIMIZERS] + [("schedule", n) for n in SCHEDULES])
def test_every_optimizer_and_schedule_learns(field: str, name: str, classes: Prepared) -> None:
    events, _ = run(classes, epochs=30, patience=None, **{field: name})
    losses = [event.valid["loss"] for event in epochs(events)]
    assert min(losses) < 0.9 * math.log(3)


@pytest.mark.parametrize("name", [name for name, entry in LOSSES.items() if not entry.facts.get("rate")])
def test_every_loss_learns_and_refuses_the_other_task(name: str, classes: Prepared, numbers: Prepared) -> None:
    mine, other = (classes, numbers) if "binary" in LOSSES[name].facts["tasks"] else (numbers, classes)
    events, _ = run(mine, epochs=10, loss=name, lr=0.01)
    losses = [event.train["loss"] for event in epochs(events)]
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(SpecError, match=f"loss {name} is not for a"):
        run(other, loss=name)


def zeros_while_training(data: Prepared, **options: Any) -> float:
    """Share of exact zeros in the first layer at the end of the last epoch, before the best weights come back."""
    job = set_up(resolve(TrainSpec, SMALL | {"weight_decay": 0, "epochs": 6} | options), data)
    for event in train(job, Controls()):
        if isinstance(event, EpochDone):
            share = float((job.learner.model[0].weight == 0).float().mean())
    return share


def test_label_smoothing_clipping_and_l1_do_what_they_say(classes: Prepared) -> None:
    assert zeros_while_training(classes) == 0.0
    assert zeros_while_training(classes, l1=10.0) > 0.3
    plain, _ = run(classes, epochs=5)
    smooth, _ = run(classes, epochs=5, label_smoothing=0.3)
    assert epochs(smooth)[-1].train["loss"] > epochs(plain)[-1].train["loss"]
    _, clipped = run(classes, epochs=1, optimizer="sgd", lr=1.0, clip_norm=1e-6, schedule="constant", warmup=0)
    _, start = run(classes, epochs=1, optimizer="sgd", lr=1e-8)
    assert torch.allclose(clipped[0].weight, start[0].weight, atol=2e-5)


def test_a_change_while_the_run_lives_holds_from_the_next_step(classes: Prepared) -> None:
    controls = Controls()
    job = set_up(resolve(TrainSpec, SMALL | {"epochs": 4, "schedule": "constant", "warmup": 0, "lr": 1e-3}), classes)
    seen: list[Event] = []
    for event in train(job, controls):
        seen.append(event)
        if isinstance(event, EpochDone) and event.epoch == 2:
            controls.set("lr", 5e-4)
            controls.set("dropout", 0.4)
            controls.set("weight_decay", 0.2)
    changes = [event for event in seen if isinstance(event, Changed)]
    assert [(c.epoch, c.step, c.name, c.old, c.new) for c in changes] == [
        (3, 1, "lr", 1e-3, 5e-4),
        (3, 1, "dropout", 0.1, 0.4),
        (3, 1, "weight_decay", 0.1, 0.2),
    ]
    assert [event.lr for event in epochs(seen)] == [1e-3, 1e-3, 5e-4, 5e-4]
    with pytest.raises(SpecError, match="'epochs' cannot be changed"):
        controls.set("epochs", 3)


def test_a_network_without_dropout_has_none_to_change(classes: Prepared) -> None:
    controls = Controls()
    controls.set("dropout", 0.4)
    events, _ = run(classes, controls, maker=nn.Linear)
    assert not any(isinstance(event, Changed) for event in events)


def test_stop_ends_within_a_step_and_keeps_the_best(classes: Prepared) -> None:
    controls = Controls()
    job = set_up(resolve(TrainSpec, SMALL | {"epochs": 1000, "patience": None}), classes)
    for event in train(job, controls):
        if isinstance(event, EpochDone) and event.epoch == 5:
            controls.stop()
    assert isinstance(event, Finished)
    assert (event.reason, event.epoch) == ("stopped", 5)


def test_a_stop_in_the_first_epoch_still_gives_a_measured_model(classes: Prepared) -> None:
    controls = Controls()
    controls.stop("interrupted")
    events, _ = run(classes, controls)
    assert events[-1].reason == "interrupted"
    assert events[-1].best_epoch == 1 and "accuracy" in epochs(events)[0].valid


def test_pause_holds_until_it_is_released(classes: Prepared) -> None:
    controls = Controls()
    controls.pause()
    paused = 0
    for event in train(set_up(resolve(TrainSpec, SMALL), classes), controls):
        if isinstance(event, Progress) and event.paused:
            paused += 1
            assert paused < 10, "it must go on after release"
            if paused == 3:
                controls.pause(False)
    assert paused == 3
    assert isinstance(event, Finished) and event.reason == "completed"


def test_the_interrupt_key_stops_and_the_second_press_raises(classes: Prepared) -> None:
    controls = Controls()
    before = signal.getsignal(signal.SIGINT)
    with interruptible(controls):
        os.kill(os.getpid(), signal.SIGINT)
        events, _ = run(classes, controls)
        assert events[-1].reason == "interrupted"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_diverging_run_keeps_the_last_finite_best(classes: Prepared) -> None:
    controls = Controls()
    spec = resolve(TrainSpec, SMALL | {"optimizer": "sgd", "lr": 0.1, "schedule": "constant", "epochs": 50})
    job = set_up(spec, classes)
    for event in train(job, controls):
        if isinstance(event, EpochDone) and event.epoch == 2:
            controls.set("lr", 1e30)
    assert isinstance(event, Finished)
    assert event.reason == "diverged" and "try --lr" in event.message
    assert event.best_epoch in (1, 2)
    assert all(torch.isfinite(weight).all() for weight in job.learner.model.parameters())


def test_a_small_table_gets_smaller_batches_and_the_tiniest_one_step(classes: Prepared) -> None:
    assert (batch_for(300), batch_for(7_999), batch_for(8_000)) == (128, 128, 256)
    events, _ = run(classes, batch_size=None, epochs=1)
    assert events[0].steps == 3  # of 384 rows
    events, _ = run(classes, batch_size=100_000, epochs=1)
    assert events[0].steps == 1


def test_a_stop_is_not_held_by_a_pause(classes: Prepared) -> None:
    controls = Controls()
    controls.stop()
    controls.pause()
    events, _ = run(classes, controls)
    assert not any(isinstance(event, Progress) and event.paused for event in events)
    assert events[-1].reason == "stopped"


@pytest.mark.parametrize(("name", "value"), [("lr", math.nan), ("lr", math.inf), ("weight_decay", -1), ("dropout", 1)])
def test_a_change_to_what_cannot_be_is_refused(name: str, value: float) -> None:
    controls = Controls()
    with pytest.raises(SpecError, match=f"{name}=.*expected a number from 0"):
        controls.set(name, value)
    assert not controls.waiting


@pytest.fixture(scope="module")
def one_class_in_valid() -> Prepared:
    """Two classes, of which the validation rows hold only one: the area under their curve is not a number."""
    data = prepare((np.arange(200.0)[:, None], np.arange(200) % 2), scale="standard", drop=())
    keep = data.valid.y == 0
    return replace(data, valid=Rows(data.valid.x[keep], data.valid.y[keep], data.valid.index[keep]))


@pytest.mark.parametrize("stop_after", [None, 2])
def test_a_monitor_that_is_never_a_number_is_told(one_class_in_valid: Prepared, stop_after: int | None) -> None:
    controls, seen = Controls(), []
    spec = resolve(TrainSpec, SMALL | {"monitor": "roc_auc"})
    for event in train(set_up(spec, one_class_in_valid), controls):
        seen.append(event)
        if isinstance(event, EpochDone) and event.epoch == stop_after:
            controls.stop()
    finished = seen[-1]
    assert (finished.best_epoch, finished.epoch) == (None, stop_after or 3)
    assert "roc_auc was a finite number in no epoch" in finished.message
    assert all(math.isfinite(event.train["loss"]) for event in epochs(seen))


def test_metrics_of_a_far_away_target_keep_their_digits() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 3))
    near = prepare((x, x[:, 0] + draw.normal(size=300)))
    far = replace(near, target=replace(near.target, mean=1.7e9))
    results = [epochs(run(data, epochs=2)[0])[-1].valid for data in (near, far)]
    assert results[1] == pytest.approx(results[0], rel=1e-4)


def test_a_run_on_the_cpu_seeds_no_other_device(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(1)
    assert seeded == [1], "this is how torch reaches them"
    run(classes, epochs=1)
    assert seeded == [1]


def test_threads_are_given_back_when_a_watcher_is_interrupted(classes: Prepared, own_store: Path) -> None:
    def view(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt) as kept:  # its traceback holds the frames of the loop
            fit(classes, view=view, threads=1, **SMALL)
        assert torch.get_num_threads() == 2, kept
    finally:
        torch.set_num_threads(before)
    assert Store(own_store).find("last").state == "interrupted"


def test_runs_in_several_threads_keep_their_own_random_numbers(classes: Prepared) -> None:
    found: dict[int, list[float]] = {}

    def work(number: int, seed: int) -> None:
        events, _ = run(classes, epochs=25, seed=seed, dropout=0.5)
        found[number] = [event.train["loss"] for event in epochs(events)]

    threads = [threading.Thread(target=work, args=(number, seed)) for number, seed in enumerate((1, 1, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events, _ = run(classes, epochs=25, seed=1, dropout=0.5)
    alone = [event.train["loss"] for event in epochs(events)]
    assert found[0] == found[1] == alone != found[2]


def normed(n_in: int, n_out: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(n_in), nn.Linear(n_in, n_out))


@pytest.mark.parametrize("network", [{"hidden": (4,), "norm": "batch"}, {"model": normed}], ids=["stack", "own"])
def test_batches_of_one_row_are_too_small_for_batch_norm(network: dict[str, Any], classes: Prepared) -> None:
    with pytest.raises(RunError, match="batch norm got one row in epoch 1, and needs two: --batch-size 2 or more"):
        fit(classes, batch_size=1, store=False, **network)
