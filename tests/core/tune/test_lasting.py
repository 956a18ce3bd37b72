"""Studies that are killed again and again, gone on with by name, run by two kernels, or ended as nothing is gained."""

import json
import os
import re
import resource
import subprocess
import sys
import time

import pytest
from sklearn.datasets import load_breast_cancer

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, NNLabError, SpecError, StoreError
from nnlab.core.events import Started, StudyFinished, TrialDone, Warned
from nnlab.core.tune.header import HEADER
from nnlab.core.tune.resuming import resume_study
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study
from tests.yardstick import as_there

SMALL = {"epochs": 3, "hidden": (8,), "space": ("lr=1e-3..1e-1", "dropout=0..0.5"), "batch_size": 64}
WORKER = """
import sys, time
from sklearn.datasets import load_breast_cancer
from nnlab.core.data.prepare import prepare
from nnlab.core.events import Started, TrialDone
from nnlab.core.tune.search import tune
import optuna, torch._dynamo

store, trials, freeze = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
first, done = [True], 0

def view(event):
    global done
    if isinstance(event, Started) and first:
        first.clear()
        print(f"first {time.process_time() - used:.3f}", flush=True)
    if isinstance(event, TrialDone):
        print(f"trial {event.number}", flush=True)
        done += 1
        if done == freeze:
            time.sleep(1000)

data = prepare(load_breast_cancer(return_X_y=True), scale="standard")
options = dict(epochs=3, hidden=(8,), space=("lr=1e-3..1e-1", "dropout=0..0.5"), batch_size=64)
tune(data, trials=1, store=False, **options)
used = time.process_time()
tune(data, trials=trials, view=view, store=store, name="killed", **options)
"""


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


def start_worker(store, trials, freeze=-1):
    command = [sys.executable, "-c", WORKER, str(store), str(trials), str(freeze)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twelve_kills_in_a_study_of_sixty_trials_lose_no_finished_trial(cancer, tmp_path):
    told, waits = [], []
    for kill in range(12):
        worker = start_worker(tmp_path, 60)
        wanted = 4 if kill % 2 else 3  # in the middle of a stack, and at its end
        for line in worker.stdout:
            if line.startswith("first"):
                waits.append(float(line.split()[1]))
            else:
                told.append(int(line.split()[1]))
                wanted -= 1
            if wanted == 0:
                break
        worker.kill()
        told += [int(number) for number in re.findall(r"trial (\d+)", worker.communicate()[0])]
    assert as_there(max(waits)) < 2.0  # seconds of CPU from the call to the first step of its first trial
    events = []
    study = tune(cancer, trials=60, store=tmp_path, name="killed", view=events.append, **SMALL)
    told += [event.number for event in events if isinstance(event, TrialDone)]
    assert len(told) == len(set(told))
    states = study.trials.set_index("number")["state"]
    assert (states.loc[told] != "stopped").all()  # whatever was told as finished still counts
    assert (states != "stopped").sum() == 60
    assert all("orphaned" in study.messages[number] for number in states.index[states == "stopped"])
    assert study.best_run.metrics["loss"] == study.best_score


def test_the_next_trial_begins_soon_after_a_kill_also_in_another_process(cancer, tmp_path):
    """The lock of a killed holder is free at once, and what it ran is tried again."""
    worker = start_worker(tmp_path, 1000, freeze=3)
    while not worker.stdout.readline().startswith("trial 2"):
        pass
    worker.kill()
    worker.communicate()
    waits = []
    used = time.process_time()

    def view(event):
        if isinstance(event, Started):
            waits.append(time.process_time() - used)

    tune(cancer, trials=6, store=tmp_path, name="killed", view=view, **SMALL)
    assert as_there(waits[0]) < 2.0


def test_two_kernels_on_one_study_run_no_trial_twice(cancer, tmp_path):
    workers = [start_worker(tmp_path, 24) for _ in range(2)]
    told = [[int(n) for n in re.findall(r"trial (\d+)", worker.communicate()[0])] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(told[0] + told[1]) == list(range(24))
    (folder,) = (tmp_path / "studies").iterdir()
    study = Study.load(folder)
    assert len(study.trials) == 24
    values = study.trials[["lr", "dropout"]].drop_duplicates()
    assert len(values) == 24


def test_a_study_is_gone_on_with_by_its_name_alone(cancer, tmp_path):
    first = tune(cancer, trials=3, store=tmp_path, name="a", **SMALL)
    tune(cancer, trials=1, store=tmp_path, name="b", **SMALL | {"epochs": 2})
    at_once = tune(cancer, trials=5, store=tmp_path / "other", name="a", **SMALL)
    study = resume_study("a", cancer, store=tmp_path, trials=5)
    assert study.base == first.base
    assert study.trials["score"].tolist() == at_once.trials["score"].tolist()
    assert resume_study(data=cancer, store=tmp_path).name == "a"  # the one that was last worked on
    with pytest.raises(StoreError, match=r"no study 'c' in .*"):
        resume_study("c", cancer, store=tmp_path)
    with pytest.raises(StoreError, match="there are no studies in"):
        resume_study(store=tmp_path / "empty")
    other = prepare(load_breast_cancer(return_X_y=True), scale="robust")
    with pytest.raises(SpecError, match="study 'a' is about other data"):
        resume_study("a", other, store=tmp_path)
    with pytest.raises(DataError, match="study 'a' needs its data"):
        resume_study("a", store=tmp_path)


def test_a_line_that_cannot_run_leaves_no_study_and_changes_none(cancer, tmp_path):
    study = tune(cancer, trials=2, store=tmp_path, name="a", **SMALL)
    before = (study.path / HEADER).read_bytes()
    for wrong in ({"folds": 5}, {"on": "dask"}, {"storage": "no url"}, {"folds": 5, "name": "a", "fresh": True}):
        with pytest.raises(NNLabError, match=r"5 folds|has no folds|expected ray|no URL"):
            tune(cancer, trials=2, store=tmp_path, **SMALL | wrong)
    for wrong in ({"on": "dask"}, {"storage": "no url"}):
        with pytest.raises(SpecError, match=r"expected ray|no URL"):
            resume_study("a", cancer, store=tmp_path, trials=9, **wrong)
    assert (study.path / HEADER).read_bytes() == before
    assert [path.parent for path in tmp_path.rglob(HEADER)] == [study.path]
    assert len(resume_study(data=cancer, store=tmp_path).trials) == 2


def test_a_study_of_a_file_prepares_it_again(tmp_path):
    load_breast_cancer(as_frame=True).frame.to_csv(tmp_path / "cancer.csv", index=False)
    data = prepare(str(tmp_path / "cancer.csv"), target="target", scale="standard")
    tune(data, trials=2, store=tmp_path, name="a", **SMALL)
    assert len(resume_study("a", store=tmp_path, trials=3).trials) == 3


def test_a_study_ends_when_trials_gain_no_more_than_chance_and_says_so(cancer, tmp_path):
    events = []
    options = SMALL | {"pruner": "none", "sampler": "random", "name": "until"}
    study = tune(cancer, trials=500, until=6, store=tmp_path, view=events.append, **options)
    ended = events[-1]
    assert isinstance(ended, StudyFinished)
    assert ended.reason == "settled"
    assert 7 <= ended.trials < 500
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert f"6 trials in a row brought no gain beyond chance, so the study ends at {ended.trials} of 500" in notes[-1]
    scores = study.trials["score"]
    early = scores[: ended.trials - 6].min()
    assert scores.min() > early - 0.2
    again = []
    tune(cancer, trials=500, until=6, store=tmp_path, view=again.append, **options)
    assert not any(isinstance(event, TrialDone) for event in again)
    assert again[-1].reason == "settled"
    more = []
    tune(cancer, trials=ended.trials + 2, until=400, store=tmp_path, view=more.append, **options)
    assert more[-1].reason == "completed"


def test_true_gains_keep_a_study_going(cancer, tmp_path):
    """A grid from hopeless to good: each of the first trials is a gain beyond chance."""
    space = ("lr={1e-7,1e-4,1e-3,5e-3,2e-2}",)
    options = {"epochs": 6, "hidden": (16,), "space": space, "batch_size": 32, "lr": 1e-7, "population": 1}
    study = tune(cancer, trials=5, until=2, sampler="grid", pruner="none", store=tmp_path, **options)
    by_lr = study.trials.set_index("lr")["score"]
    assert by_lr.min() < by_lr[1e-7] / 1.5
    assert len(study.trials) >= 3


SCARCE = """
import json, resource, sys
from sklearn.datasets import load_diabetes
from nnlab.core.data.prepare import prepare
from nnlab.core.tune.search import tune
import optuna

data = prepare(load_diabetes(return_X_y=True), scale="standard")
options = dict(epochs=2, optimizer="sgd", sampler="grid", batch_size=64, hidden=(8,), lr=1e-2)
tune(data, trials=1, store=False, space=("lr={1e-2,1e-3}",), **options)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 10**9, resource.RLIM_INFINITY))
study = tune(data, trials=10, store=sys.argv[1], space=("hidden={8,32768-32768}", "lr={1e-2,100}"), **options)
table = study.trials[["number", "hidden", "lr", "state"]].to_dict("records")
print(json.dumps([table, study.messages, study.best.optimizer.values["lr"]]))
"""


def test_out_of_memory_and_diverging_trials_end_as_such_and_the_study_goes_on(tmp_path):
    command = [sys.executable, "-c", SCARCE, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    table, messages, best = json.loads(done.stdout)
    assert len(table) == 4
    for row in table:
        if row["hidden"] != "8":
            assert (row["state"], "memory" in messages[str(row["number"])]) == ("failed", True)
        elif row["lr"] > 1:
            assert (row["state"], "became" in messages[str(row["number"])]) == ("failed", True)
        else:
            assert row["state"] == "complete"
    assert best == 1e-2


@pytest.mark.slow
def test_memory_after_many_trials_is_as_after_few(cancer, tmp_path):
    """Resident memory after 200 trials is that after 20, but for the trials' own record."""
    seen = {}

    def view(event):
        if isinstance(event, TrialDone) and event.number in (20, 199):
            seen[event.number] = resident()

    options = SMALL | {"epochs": 1, "sampler": "random", "pruner": "none"}
    tune(cancer, trials=200, store=tmp_path, view=view, **options)
    assert seen[199] - seen[20] < 24e6


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
