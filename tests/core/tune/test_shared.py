"""Studies in a database: SQLite, and a real PostgreSQL server."""

import os
import subprocess
import sys

import optuna
import pytest
from sklearn.datasets import load_breast_cancer

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import SpecError, StoreError
from nnlab.core.tune.search import tune
from nnlab.core.tune.shared import without_password
from nnlab.core.tune.study import Study
from tests.core.tune import postgres

SMALL = {"epochs": 2, "hidden": (8,), "space": ("lr=1e-3..1e-1", "dropout=0..0.5"), "name": "team"}
WORKER = """
import sys, time
from sklearn.datasets import load_breast_cancer
from nnlab.core.data.prepare import prepare
from nnlab.core.events import EpochDone, TrialDone
from nnlab.core.tune.search import tune

store, url, trials, freeze = sys.argv[1:]
done = 0

def view(event):
    global done
    if isinstance(event, TrialDone):
        done += 1
        print(event.number, flush=True)
    if isinstance(event, EpochDone) and done == int(freeze):
        print("frozen", flush=True)
        time.sleep(1000)

data = prepare(load_breast_cancer(return_X_y=True), scale="standard")
tune(data, trials=int(trials), view=view, store=store, name="team", epochs=2, hidden=(8,), sampler="random",
     space=("lr=1e-3..1e-1", "dropout=0..0.5"), storage=url, population=2)
"""


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


@pytest.fixture(scope="module")
def server():
    if why := postgres.missing():
        pytest.skip(why)
    yield from postgres.served()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/study.db"
        return
    address = request.getfixturevalue("server")
    yield address
    with open_quietly(address) as storage:
        optuna.delete_study(study_name="team", storage=storage)


class open_quietly:
    def __init__(self, address):
        from nnlab.core.tune.shared import open_shared

        self.storage = open_shared(address)

    def __enter__(self):
        return self.storage

    def __exit__(self, *error):
        self.storage.engine.dispose()


def start_worker(store, url, trials, freeze=-1):
    command = [sys.executable, "-c", WORKER, str(store), url, str(trials), str(freeze)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_processes_with_stores_of_their_own_share_the_trials_of_a_database(cancer, tmp_path, url):
    workers = [start_worker(tmp_path / f"store {at}", url, 12) for at in range(2)]
    told = [int(line) for worker in workers for line in worker.communicate(timeout=300)[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(told) == list(range(12))
    (folder,) = (tmp_path / "store 0" / "studies").iterdir()
    study = Study.load(folder, storage=url)
    assert set(study.trials["state"]) == {"complete"}
    here = study.best_run if study.run_of(study.best_trial) else None
    assert here is None or here.metrics["loss"] == study.best_score


def test_a_killed_worker_of_a_database_loses_no_finished_trial(cancer, tmp_path, url):
    worker = start_worker(tmp_path / "a", url, 100, freeze=4)
    assert worker.stdout.read(len("0\n1\n2\n3\nfrozen")) == "0\n1\n2\n3\nfrozen"
    worker.kill()
    worker.communicate()
    study = tune(cancer, trials=6, store=tmp_path / "b", storage=url, sampler="random", population=2, **SMALL)
    assert study.trials["state"].tolist() == ["complete"] * 4 + ["stopped"] * 2 + ["complete"] * 2
    undisturbed = tune(cancer, trials=6, store=tmp_path / "c", sampler="random", population=2, **SMALL)
    assert study.trials["score"].dropna().tolist() == undisturbed.trials["score"].tolist()


def test_another_study_of_the_name_in_the_database_is_refused(cancer, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    tune(cancer, trials=1, store=tmp_path / "a", storage=url, **SMALL)
    with pytest.raises(SpecError, match=r"the database holds another study 'team'.*give --name"):
        tune(cancer, trials=1, store=tmp_path / "b", storage=url, **SMALL | {"epochs": 3})
    with pytest.raises(SpecError, match="--fresh would delete what others hold"):
        tune(cancer, trials=1, store=tmp_path / "a", storage=url, fresh=True, **SMALL)


def test_a_password_is_written_nowhere(cancer, tmp_path, server):
    study = tune(cancer, trials=1, store=tmp_path, storage=server, **SMALL | {"name": "secret"})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(postgres.PASSWORD.encode() in path.read_bytes() for path in files)
    assert len(Study.load(study.path, storage=server).trials) == 1
    with pytest.raises(SpecError, match=r"the password of .* is not written down with the study"):
        Study.load(study.path)
    assert without_password(server).startswith("postgresql+psycopg://nnlab:***@")


@pytest.mark.parametrize(
    ("storage", "error", "message"),
    [
        ("no url", SpecError, "no URL of a database; as in sqlite:///study.db"),
        ("nosuch://x/y", SpecError, "--storage nosuch://x/y needs a driver"),
        ("sqlite:////no/such/folder/study.db", StoreError, "cannot be used"),
        ("postgresql+psycopg://u:pw@127.0.0.1:9/d", StoreError, r"u:\*\*\*@127.0.0.1:9/d cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_says_so_in_a_line(cancer, tmp_path, storage, error, message):
    with pytest.raises(error, match=message) as caught:
        tune(cancer, trials=1, store=tmp_path, storage=storage, **SMALL)
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value).replace("psycopg", "")
