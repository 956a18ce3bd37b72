"""Studies on a real Ray cluster of several nodes on this machine."""

import contextlib
import inspect
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import RunError, SpecError
from nnlab.core.events import TrialDone
from nnlab.core.own import metric
from nnlab.core.registry import Part
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study

pytest.importorskip("ray", reason='Ray is not installed: pip install "nnlab[ray]"')
from ray._private import services

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SPACE = ("lr=1e-3..1e-1", "dropout=0..0.5")
SMALL = {"epochs": 3, "hidden": (8,), "space": SPACE, "batch_size": 64, "sampler": "random", "pruner": "none"}
STORE = 80 * 2**20  # bytes of each node's object store
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


@pytest.fixture(scope="module")
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    here = Cluster()
    added(here, num_cpus=1)
    here.doomed = added(here, num_cpus=2)
    ray.init(address=here.address, log_to_driver=False, logging_level="ERROR")
    yield here
    ray.shutdown()
    here.shutdown()


def added(cluster, num_cpus):
    """A further node. One whose helpers do not tell their ports in 15 seconds dies, and a busy machine takes longer to
    start them; so the ports are told before. What only watches the cluster is left out."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    told = {"num_cpus": num_cpus, "object_store_memory": STORE, "include_dashboard": False, **ports}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "start_raylet", port_told(services.start_raylet))
        return cluster.add_node(no_monitor=True, include_log_monitor=False, **told)


def port_told(start_raylet):
    """Ray hands all ports to a node but this one, which it looks for in a file."""

    def started(*given, **named):
        facts, name = inspect.signature(start_raylet).bind(*given, **named).arguments, "dashboard_agent_listen_port"
        (Path(facts["session_dir"]) / f"{name}_{facts['node_id']}").write_text(str(facts[name]))
        return start_raylet(*given, **named)

    return started


def table(study):
    return study.trials.sort_values(["lr"])[["state", "score", "lr", "dropout"]].reset_index(drop=True)


def test_a_study_on_a_cluster_finds_what_it_finds_here(cluster, cancer, tmp_path):
    here = tune(cancer, trials=8, population=2, store=tmp_path / "here", **SMALL)
    events = []
    there = tune(cancer, trials=8, population=2, on="ray", store=tmp_path / "there", view=events.append, **SMALL)
    assert table(there).equals(table(here))
    assert there.best == here.best
    assert there.best_run.metrics == here.best_run.metrics
    assert sorted(event.number for event in events if isinstance(event, TrialDone)) == list(range(8))
    loaded = Study.load(there.path)
    frame = load_breast_cancer().data
    assert np.array_equal(loaded.best_run.predict_proba(frame), here.best_run.predict_proba(frame))
    assert there.expected_score == pytest.approx(here.expected_score)


@pytest.mark.usefixtures("registries")
def test_hopeless_trials_are_pruned_over_there(cluster, cancer, tmp_path):
    def hits(y_true, y_pred):
        right = float((y_true == y_pred).mean())
        time.sleep(0.2 if right < 0.8 else 0.0)  # what is hopeless still goes on when the word to end it comes
        return right

    metric(hits)
    options = SMALL | {
        "metrics": ("hits",),
        "epochs": 60,
        "space": ("lr={1e-7,1e-2}",),
        "hidden": (64, 64),
        "batch_size": 16,
    }
    options |= {"pruner": Part("median", {"min_trials": 2, "min_epochs": 2}), "population": 1}
    trials = tune(cancer, trials=10, on="ray", store=tmp_path, **options).trials
    assert set(trials["lr"][trials["state"] == "pruned"]) == {1e-7}
    assert (trials["epochs"][trials["state"] == "pruned"] < 60).all()


def test_stop_ends_what_runs_over_there_and_gives_it_back(cluster, cancer, tmp_path):
    controls = Controls()
    threading.Timer(8.0, controls.stop).start()
    options = SMALL | {"epochs": 1_000_000, "patience": None}  # which would take hours
    study = tune(cancer, trials=4, population=1, on="ray", store=tmp_path, controls=controls, **options)
    assert set(study.trials["state"]) <= {"stopped"}
    again = tune(cancer, trials=2, population=1, on="ray", store=tmp_path / "b", **SMALL)
    assert set(again.trials["state"]) == {"complete"}  # nothing holds the cluster any more


@pytest.mark.usefixtures("registries")
def test_what_fails_over_there_ends_as_such_and_own_functions_travel(cluster, cancer, tmp_path):
    def hits(y_true, y_pred):
        return float((y_true == y_pred).mean())

    metric(hits)
    options = SMALL | {"space": ("lr={1e-2,100}",), "optimizer": "sgd", "metrics": ("hits",), "monitor": "hits"}
    study = tune(cancer, trials=6, on="ray", store=tmp_path, **options)
    trials = study.trials
    assert set(trials["state"][trials["lr"] == 1e-2]) == {"complete"}
    assert study.best_score > 0.5
    with pytest.raises(RunError, match="no trial of study"):
        tune(cancer, trials=3, on="ray", store=False, model=Broken, space=("lr=1e-3..1e-1",), epochs=1)


def Broken(n_in, n_out):
    raise ZeroDivisionError("no such width")


def test_a_killed_node_loses_no_finished_trial(cluster, cancer, tmp_path):
    told = []

    def view(event):
        if isinstance(event, TrialDone):
            told.append(event)
            if sum(one.state == "complete" for one in told) == 3 and event.state == "complete":
                cluster.remove_node(cluster.doomed, allow_graceful=False)

    options = SMALL | {"epochs": 40}
    study = tune(cancer, trials=12, population=1, on="ray", store=tmp_path, view=view, **options)
    states = study.trials.set_index("number")["state"]
    assert (states == "complete").sum() == 12
    assert all(states[event.number] == event.state for event in told)
    lost = states.index[states == "stopped"]
    assert all(study.messages[number] == "its node was lost" for number in lost)
    undisturbed = tune(cancer, trials=1, store=tmp_path / "other", population=1, **options)
    first, values = study.trials, undisturbed.trials[["lr", "dropout"]].loc[0]
    first = first[(first[["lr", "dropout"]] == values).all(axis=1) & (first["state"] == "complete")]
    assert first["score"].tolist() == [undisturbed.trials["score"][0]]  # if it was on the lost node, when tried again


def test_another_word_than_ray_is_refused(cancer, tmp_path):
    with pytest.raises(SpecError, match=r"--on dask: expected ray, or ray://host:port"):
        tune(cancer, trials=1, on="dask", store=tmp_path, **SMALL)
