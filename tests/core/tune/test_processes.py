"""Studies that several processes share, or that one is killed in."""

import os
import subprocess
import sys

import pytest
from sklearn.datasets import load_breast_cancer

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import RunError, SpecError
from nnlab.core.events import Warned
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study

WORKER = """
import sys, time
from sklearn.datasets import load_breast_cancer
from nnlab.core.data.prepare import prepare
from nnlab.core.events import EpochDone, TrialDone
from nnlab.core.events import Warned
from nnlab.core.tune.search import tune

store, trials, epochs, sampler, freeze, population = sys.argv[1:]
done = 0

def view(event):
    global done
    if isinstance(event, TrialDone):
        done += 1
        print(event.number, flush=True)
    if isinstance(event, EpochDone) and event.epoch == 2 and done == int(freeze):
        print("frozen", flush=True)
        time.sleep(1000)

data = prepare(load_breast_cancer(return_X_y=True), scale="standard")
tune(data, trials=int(trials), view=view, store=store, name="shared", epochs=int(epochs), sampler=sampler,
     space=("lr=1e-3..1e-2", "dropout=0..0.5"), hidden=(8,), population=int(population))
"""


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


def start_worker(store, trials, epochs, sampler="tpe", freeze=-1, population=1):
    words = map(str, (store, trials, epochs, sampler, freeze, population))
    command = [sys.executable, "-c", WORKER, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def go_on(data, store, trials, epochs, **options):
    space = ("lr=1e-3..1e-2", "dropout=0..0.5")
    return tune(data, trials=trials, epochs=epochs, store=store, name="shared", space=space, hidden=(8,), **options)


def test_a_killed_study_goes_on_and_loses_no_finished_trial(cancer, tmp_path):
    worker = start_worker(tmp_path, 1000, 4, freeze=3)
    try:
        assert worker.stdout.read(len("0\n1\n2\nfrozen")) == "0\n1\n2\nfrozen"
        with pytest.raises(RunError, match=rf"study 'shared' is running in process {worker.pid} "):
            go_on(cancer, tmp_path, 2, 4, fresh=True)
        with pytest.raises(SpecError, match=r"epochs \(4, now 7\)"):
            go_on(cancer, tmp_path, 2, 7)
    finally:
        worker.kill()
        worker.communicate()
    events = []
    study = go_on(cancer, tmp_path, 5, 4, view=events.append)
    assert events[0].done == 3
    assert any("trial 3 was cut off" in event.message for event in events if isinstance(event, Warned))
    assert study.trials["state"].tolist() == ["complete", "complete", "complete", "stopped", "complete", "complete"]
    assert "orphaned" in study.messages[3]
    again = study.trials.drop(index=3)  # trial 4 tries the values of trial 3
    undisturbed = go_on(cancer, tmp_path / "other", 4, 4)
    assert again["score"].tolist()[:4] == undisturbed.trials["score"].tolist()
    assert study.best_run.metrics["loss"] == study.best_score


def test_a_study_that_is_killed_in_a_stack_tries_its_members_again(cancer, tmp_path):
    worker = start_worker(tmp_path, 1000, 3, "random", freeze=4, population=4)
    assert worker.stdout.read(len("0\n1\n2\n3\nfrozen")) == "0\n1\n2\n3\nfrozen"
    worker.kill()
    worker.communicate()
    study = go_on(cancer, tmp_path, 8, 3, sampler="random", population=4)
    assert study.trials["state"].tolist() == ["complete"] * 4 + ["stopped"] * 4 + ["complete"] * 4
    undisturbed = go_on(cancer, tmp_path / "other", 8, 3, sampler="random", population=1)
    assert study.trials["score"].dropna().tolist() == undisturbed.trials["score"].tolist()


def test_processes_that_race_to_create_a_study_share_its_trials(cancer, tmp_path):
    workers = [start_worker(tmp_path, 12, 1, "random") for _ in range(2)]
    told = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(told) == list(range(12))
    (folder,) = (tmp_path / "studies").iterdir()
    study = Study.load(folder)
    assert set(study.trials["state"]) == {"complete"}
    assert len(list(folder.glob("best-*"))) == 1
    assert study.best_run.metrics["loss"] == study.best_score


def test_the_declarations_of_a_study_are_read_without_torch_and_optuna():
    code = "import sys, nnlab.core.tune.space; sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
