"""Runs of the store that were killed, stopped or interrupted, taken up again; and those that cannot be."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nnlab
from nnlab.core import train as training
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError, RunError, SpecError, StoreError
from nnlab.core.events import EpochDone, Event, Resumable, Resumed, Started
from nnlab.core.run import Run
from nnlab.core.store import checkpoint, files
from nnlab.core.store.facts import Choices
from nnlab.core.store.owner import current_owner
from nnlab.core.store.runs import Store
from tests.core.resuming import await_checkpoint, spec_of, written
from tests.core.resuming import every_step as every_step

pytestmark = pytest.mark.usefixtures("every_step")

OPTIONS: dict[str, Any] = {"hidden": "8,8", "epochs": 4, "batch_size": 150, "seed": 5, "dropout": 0.2}


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at every place."""
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)
    monkeypatch.setattr(checkpoint, "FIRST", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def whole(classes: Prepared) -> Run:
    return nnlab.fit(classes, store=False, **OPTIONS)


def reseal(path: Path, **changes: Any) -> None:
    files.write_json(path, files.read_json(path) | changes)


def orphan(path: Path) -> None:
    """The process of the run is dead."""
    owner = files.read_json(path / "status.json")["owner"]
    reseal(path / "status.json", owner={**owner, "start": "1"})


def killed(store: Store, data: Prepared, places: int, model: Any = None, **options: Any) -> Path:
    """A run whose process died after so many places at which it could be taken up."""
    spec = spec_of(model, **OPTIONS | options)
    folder = store.create_run(spec, data, seconds=1e-9)
    job = training.set_up(spec, data, model)
    for event in training.train(job, Controls()):
        folder(event)
        places -= isinstance(event, Resumable)
        if not places:
            break
    orphan(folder.path)
    return folder.path


def same(run: Run, other: Run) -> bool:
    """The same bits of all that counts."""
    tables = [one.history.drop(columns="seconds") for one in (run, other)]
    ends = [(one.state, one.best_epoch, one.metrics, one.evaluation) for one in (run, other)]
    weights, others = run.model.state_dict(), other.model.state_dict()
    return (
        tables[0].equals(tables[1]) and ends[0] == ends[1] and all(torch.equal(weights[n], others[n]) for n in others)
    )


def test_a_killed_run_ends_as_if_nothing_had_been(store: Store, classes: Prepared, whole: Run, tmp_path: Path) -> None:
    path = killed(store, classes, 7)
    (info,) = store.runs()
    assert (info.state, "can be resumed in epoch 2" in info.message) == ("crashed", True)
    told: list[Event] = []
    run = nnlab.resume("last", classes, store=store, view=told.append)
    assert same(run, whole)
    assert same(Run.load(path), whole)
    assert run.path == path
    assert isinstance(told[0], Started) and told[0].resumed_from == 1
    assert [e.epoch for e in told if isinstance(e, EpochDone)] == [1, 2, 3, 4]
    at = next(i for i, e in enumerate(told) if isinstance(e, Resumed))
    assert [e.epoch for e in told[:at] if isinstance(e, EpochDone)] == [1]
    assert run.record.resumptions == Run.load(path).record.resumptions == [Resumed(1, 3)]
    assert run.warnings == []
    assert np.array_equal(run.model(torch.zeros(2, 5)).detach(), whole.model(torch.zeros(2, 5)).detach())
    copy = Run.load(run.save(tmp_path / "copy"))
    assert same(copy, whole)
    assert copy.record.resumptions == run.record.resumptions
    assert not (path / "ckpt").exists()  # a cosine has no course beyond the last epoch


def test_a_run_is_resumed_twice_and_moved_between(store: Store, classes: Prepared, whole: Run, tmp_path: Path) -> None:
    path = killed(store, classes, 3)
    controls, seen = Controls(), []

    def stop(event: Event) -> None:
        seen.append(isinstance(event, EpochDone))
        if sum(seen) == 2:
            controls.stop()

    run = nnlab.resume(path.name, classes, store=store, view=stop, controls=controls)
    assert (run.state, run.finished.epoch) == ("stopped", 2)
    shutil.move(store.root, tmp_path / "elsewhere")
    moved = Store(tmp_path / "elsewhere")
    assert moved.find("last").state == "stopped"
    run = nnlab.resume("last", classes, store=moved)
    assert same(run, whole)
    assert len(run.record.resumptions) == 2


def test_changes_by_hand_after_the_checkpoint_are_made_again(store: Store, classes: Prepared) -> None:
    def changing(controls: Controls, until: int) -> Run | None:
        """A run whose lr and dropout are changed on its way; it has checkpoints at its first `until` places."""
        spec = spec_of(**OPTIONS)
        folder, job, places = store.create_run(spec, classes, seconds=1e-9), training.set_up(spec, classes), 0
        for event in training.train(job, controls):
            places += isinstance(event, Resumable)
            if not isinstance(event, Resumable) or places <= until:
                folder(event)
            if isinstance(event, Resumable) and places in (6, 7):
                controls.set(*(("lr", 0.003) if places == 6 else ("dropout", 0.5)))
            if places == 12 and until < 12:
                orphan(folder.path)
                return None
        folder.complete(None)
        return Run.load(folder.path)

    whole = changing(Controls(), 99)
    assert whole is not None
    assert len(whole.changes) == 2
    changing(Controls(), 5)
    run = nnlab.resume("last", classes, store=store)
    assert run.changes == whole.changes
    assert run.warnings == ["2 changes made by hand after the checkpoint will be made again at the same step"]
    assert run.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))


@pytest.mark.parametrize("at", [2, 6])  # in the first epoch, which a stopped run counts as whole, and in the second
def test_an_interrupted_run_is_resumed_in_the_middle_of_its_epoch(
    store: Store, classes: Prepared, whole: Run, at: int
) -> None:
    controls, seen = Controls(), []

    def stop(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(e, Resumable) for e in seen) == at:
            controls.stop("interrupted")

    cut = nnlab.fit(classes, store=store, view=stop, controls=controls, **OPTIONS)
    assert (cut.state, cut.finished.epoch) == ("interrupted", 1)
    assert same(nnlab.resume("last", classes, store=store), whole)


def test_an_end_without_its_manifest_is_only_finished(store: Store, classes: Prepared, whole: Run) -> None:
    path = killed(store, classes, 16)
    assert len(store.runs()[0].path.joinpath("metrics.jsonl").read_text().splitlines()) >= 4
    told: list[Event] = []
    assert same(nnlab.resume("last", classes, store=store, view=told.append), whole)
    at = next(i for i, e in enumerate(told) if isinstance(e, Resumed))
    assert not any(isinstance(e, EpochDone) for e in told[at:])
    assert (path / "manifest.json").exists()


def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(store: Store, classes: Prepared, whole: Run) -> None:
    path = killed(store, classes, 7)
    newest = files.read_json(path / "LATEST")["generations"][0]["file"]
    (path / "ckpt" / newest).write_bytes(b"torn")
    run = nnlab.resume("last", classes, store=store)
    assert same(run, whole)
    assert newest in run.warnings[0] and "is taken" in run.warnings[0]


# What is refused, in one line


def test_other_data_is_refused_and_the_culprit_named(store: Store) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=300), "b": draw.normal(size=300)}).assign(y=lambda f: f.a > 0)
    killed(store, nnlab.prepare(frame, target="y"), 5)
    other = frame.copy()
    other.loc[3, "b"] += 1.0
    cases: list[tuple[pd.DataFrame, dict[str, Any], str]] = [
        (frame.assign(y=frame.b > 0), {}, "other values in column 'y'$"),
        (frame.rename(columns={"b": "c"}), {}, "lacks column 'b'"),
        (frame.assign(c=1.0 * (frame.a > 0.1)), {}, "has column 'c'"),
        (frame, {"scale": "minmax"}, "prepared with scale minmax, the run's with"),
        (frame[:250], {}, "it has 250 rows, the run's had 300"),
        (other, {}, "other values in column 'b'$"),
        (frame.sample(frac=1.0, random_state=0), {}, "its rows or their order are others"),
    ]
    for changed, options, why in cases:
        with pytest.raises(DataError, match=why) as error:
            nnlab.resume("last", nnlab.prepare(changed, target="y", **options), store=store)
        assert "\n" not in str(error.value)
    assert store.runs()[0].state == "crashed"
    again = nnlab.prepare(frame.copy(), target="y")
    assert nnlab.resume("last", again, store=store).state == "completed"


def test_a_fold_is_found_among_the_folds(store: Store) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 4))
    data = nnlab.prepare((x, x[:, 0] > 0), folds=3)
    killed(store, data.folds[2], 5)
    whole = nnlab.fit(data.folds[2], store=False, **OPTIONS)
    assert same(nnlab.resume("last", data, store=store), whole)


def test_a_file_is_prepared_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=300), "b": draw.normal(size=300)}).assign(y=lambda f: f.a > 0)
    monkeypatch.chdir(tmp_path)
    frame.to_csv("table.csv", index=False)
    data = nnlab.prepare("table.csv", target="y", scale="standard")
    killed(store, data, 5)
    monkeypatch.chdir("/")
    whole = nnlab.fit(data, store=False, **OPTIONS)
    frame.assign(a=0.5).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(DataError, match="this is not the data of run"):
        nnlab.resume("last", store=store)
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert same(nnlab.resume("last", store=store), whole)


def test_a_frame_in_memory_must_be_given(store: Store, classes: Prepared) -> None:
    killed(store, classes, 5)
    with pytest.raises(DataError, match=r"needs its data; prepare .* again"):
        nnlab.resume("last", store=store)
    with pytest.raises(DataError, match="prepare it first"):
        nnlab.resume("last", [1, 2], store=store)  # type: ignore[arg-type]


def test_what_cannot_be_resumed_says_why(store: Store, classes: Prepared) -> None:
    with pytest.raises(StoreError, match="no runs"):
        nnlab.resume("last", classes, store=store)
    nnlab.fit(classes, store=store, name="done", **OPTIONS)
    with pytest.raises(RunError, match="run done is complete after 4 epochs: there is nothing to resume"):
        nnlab.resume("last", classes, store=store)
    with pytest.raises(RunError, match="its schedule has no course beyond them"):
        nnlab.resume("last", classes, store=store, epochs=8)
    path = killed(store, classes, 5)
    status = (path / "status.json").read_bytes()
    reseal(path / "status.json", owner=current_owner())
    with pytest.raises(RunError, match=f"is alive in process {os.getpid()} on"):
        nnlab.resume(path.name, classes, store=store)
    (path / "status.json").write_bytes(status)
    shutil.rmtree(path / "ckpt")
    with pytest.raises(StoreError, match="is missing"):
        nnlab.resume(path.name, classes, store=store)
    (path / "LATEST").unlink()
    with pytest.raises(StoreError, match="has no checkpoint"):
        nnlab.resume(path.name, classes, store=store)
    with pytest.raises(StoreError, match="no run 'x'"):
        nnlab.resume("x", classes, store=store)


def test_a_store_that_cannot_be_written_is_named(
    store: Store, classes: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = killed(store, classes, 5)
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    real = os.open

    def read_only(name: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system")
        return real(name, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StoreError, match=f"{path.name} cannot be written: Read-only file system"):
        nnlab.resume("last", classes, store=store)
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before


# Number of epochs, versions, networks of the user's own


def test_more_epochs_where_the_schedule_allows_them(store: Store, classes: Prepared) -> None:
    options = OPTIONS | {"schedule": "constant", "warmup": 0.0}
    longer = nnlab.fit(classes, store=False, **options | {"epochs": 7})
    first = nnlab.fit(classes, store=store, line="%nn_train data --schedule constant", **options)
    with pytest.raises(RunError, match="with more --epochs it goes on"):
        nnlab.resume("last", classes, store=store)
    run = nnlab.resume(first.id, classes, store=store, epochs=7)
    assert same(run, longer)
    assert (run.spec.epochs, Run.load(first.path or "").spec.epochs) == (7, 7)
    assert "the run goes on to 7 epochs, 4 were planned" in run.warnings
    assert run.line == f"%nn_train data --schedule constant  # then: %nn_train --resume {run.id} --epochs 7"
    assert Run.load(run.path or "").line == run.line
    for word, value in (("schedule", "cosine"), ("dropout_schedule", "flat_cosine"), ("average", "swa")):
        path = killed(store, classes, 16, **options | {word: value})
        with pytest.raises(SpecError, match=f"epochs=9: {word} {value} is drawn over the run's 4 epochs"):
            nnlab.resume(path.name, classes, store=store, epochs=9)
    with pytest.raises(SpecError, match="epochs=1: 4 are done already"):
        nnlab.resume(path.name, classes, store=store, epochs=1)


def test_other_versions_are_said(store: Store, classes: Prepared) -> None:
    path = killed(store, classes, 5)
    about = files.read_json(path / "run.json")
    reseal(path / "run.json", versions=about["versions"] | {"torch": "1.0"})
    run = nnlab.resume("last", classes, store=store)
    assert run.warnings[0].startswith("begun with torch 1.0, resumed with ")


class Net(nn.Module):
    def __init__(self, n_in: int, n_out: int, width: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def test_a_network_of_the_users_own_is_given_again(store: Store, classes: Prepared) -> None:
    own = {"hidden": None, "dropout": None}
    options = {name: value for name, value in OPTIONS.items() if name not in own}
    whole = nnlab.fit(classes, model=Net, store=False, **options)
    controls, seen = Controls(), []

    def stop(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(e, EpochDone) for e in seen) == 2:
            controls.stop()

    nnlab.fit(classes, model=Net, store=store, view=stop, controls=controls, code="class Net: ...", **options)
    with pytest.raises(StoreError, match="a network of your own; give it too"):
        nnlab.resume("last", classes, store=store)
    with pytest.raises(StoreError, match=r"layers.0.weight has shape \(6, 5\), the network needs \(9, 5\)"):
        nnlab.resume("last", classes, store=store, model=lambda n_in, n_out: Net(n_in, n_out, 9))
    run = nnlab.resume("last", classes, store=store, model=Net, code="class Net: pass")
    assert same(run, whole)
    assert run.warnings == ["the code of the network is not what the run began with"]


def temperature_of(whole: Run, data: Prepared) -> float:
    return replace(whole, path=None).calibrate(data)


def test_what_was_asked_for_besides_the_spec_is_done_again(store: Store, classes: Prepared, whole: Run) -> None:
    controls = Controls()

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            controls.stop()

    asked: dict[str, Any] = {"probe": False, "baseline": False, "calibrate": True}
    cut = nnlab.fit(classes, store=store, view=stop, controls=controls, **asked, **OPTIONS)
    run = nnlab.resume("last", classes, store=store)
    assert same(run, whole) and not run.record.probes and not run.beside
    assert cut.temperature != run.temperature == store.load(run.id).temperature == temperature_of(whole, classes)
    assert run.facts.choices == store.load(run.id).facts.choices == Choices(**asked)


def test_a_temperature_of_weights_that_went_on_is_fitted_again(store: Store, classes: Prepared, whole: Run) -> None:
    path = killed(store, classes, 7)
    Run.load(path).calibrate(classes)
    run = nnlab.resume("last", classes, store=store)
    assert run.temperature == Run.load(path).temperature == temperature_of(whole, classes)
    path = killed(store, classes, 7)
    Run.load(path).calibrate(classes)
    assert nnlab.resume("last", classes, store=store, calibrate=False).temperature is None
    assert Run.load(path).temperature is None


# Real kills

SERVER = """
import os, signal, sys
from pathlib import Path
import nnlab
from nnlab.core import train
from nnlab.core.events import Resumable
from nnlab.core.store import checkpoint
from nnlab.core.store.owner import current_owner
from nnlab.core.store.runs import Store
from tests.core.store.store_training import small_training
data, store = small_training().data, Store(Path(sys.argv[1]))
checkpoint.SHARE = checkpoint.FIRST = train.TICK = 0.0
nnlab.fit(data, store=Path(sys.argv[1]).parent / "warm", **OPTIONS)  # imports all, once, before the forks
nnlab.resume
def work(places):
    def view(event):  # one that is to be killed waits for it where it has gone far enough, or a fast one would end
        nonlocal places
        places -= isinstance(event, Resumable)
        if not places:
            signal.pause()
    if any(checkpoint.place_of(info.path) for info in store.runs()):
        return nnlab.resume("last", data, store=store, view=view, checkpoint_seconds=1e-9)
    return nnlab.fit(data, store=store, view=view, checkpoint_seconds=1e-9, **OPTIONS)
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            work(int(line))
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(9)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


KILLS, FAR = 8, 30  # at most so many places, of the 320 of a run, between two of them
LONG = {"epochs": 40, "batch_size": 10, "patience": None}
KILLED: dict[str, dict[str, Any]] = {
    "module": {"hidden": "32,32", "mixup": 0.3, "average": "ema", **LONG},
    "stack": {"hidden": "32,32", "clip_norm": 1.0, "average": "swa", "dropout_schedule": "step", **LONG},
    "recipe": LONG,  # of few rows: members side by side, in a stack
    "realmlp": {"model": "realmlp", "members": 4, "hidden": "16,16", **LONG},
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")
@pytest.mark.parametrize("name", KILLED)
def test_kills_at_any_time_do_no_harm(name: str, tmp_path: Path) -> None:
    from tests.core.store.store_training import small_training

    options = KILLED[name]
    draw = random.Random(1)
    script = SERVER.replace("OPTIONS", repr(options))
    root = Path(__file__).parent.parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script, str(tmp_path / "store")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, cwd=root, env=environment, **pipes) as server:
        assert server.stdin and server.stdout
        for kill in range(KILLS + 1):
            before = written(tmp_path / "store")
            server.stdin.write(f"{FAR if kill < KILLS else -1}\n")
            child = int(server.stdout.readline())
            if kill < KILLS:
                await_checkpoint(tmp_path / "store", before, child)
                time.sleep(0.03 * draw.random())
                os.kill(child, signal.SIGKILL)
            assert int(server.stdout.readline()) == (signal.SIGKILL if kill < KILLS else 0)
        server.stdin.close()
    run = Run.load(Store(tmp_path / "store").find("last").path)
    assert run.state == "completed"
    assert len(run.record.resumptions) == KILLS
    whole = nnlab.fit(small_training().data, store=False, **options)
    assert same(run, whole)
    assert whole.learner.partition(":")[0] == ("module" if name == "module" else "stack")
