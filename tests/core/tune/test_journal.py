"""The study's journal under cuts, kills and racing writers."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading

import optuna
import pytest

from nnlab.core.errors import StoreError
from nnlab.core.store.locks import file_lock
from nnlab.core.tune.journal import SafeJournal, open_journal

WORKER = """
import sys, optuna
from pathlib import Path
from nnlab.core.tune.journal import open_journal
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=open_journal(Path(sys.argv[1])), study_name="s", load_if_exists=True)
for _ in range(int(sys.argv[2])):
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 1)
    study.tell(trial, x)
    print(trial.number, flush=True)
"""


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_at(path):
    return optuna.create_study(storage=open_journal(path), study_name="s", load_if_exists=True)


def run_trial(study):
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    return trial.number


def start_worker(path, trials):
    command = [sys.executable, "-c", WORKER, str(path), str(trials)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_journal_cut_at_every_byte_of_its_last_record_loses_no_trial(tmp_path):
    whole = tmp_path / "whole.log"
    study = study_at(whole)
    for _ in range(3):
        run_trial(study)
    data = whole.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(data)):  # at `last` the record is gone, at the end only its newline
        path = tmp_path / "cut.log"
        path.write_bytes(data[:cut])
        again = study_at(path)
        assert [t.state.name for t in again.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
        assert run_trial(again) == 3
        assert [t.state.name for t in study_at(path).trials] == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]
        for line in path.read_bytes().splitlines():
            json.loads(line)


def test_a_journal_of_one_torn_line_starts_clean(tmp_path):
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"op_code":0,"stu')
    assert run_trial(study_at(path)) == 0
    assert study_at(path).trials[0].state.name == "COMPLETE"


def test_damage_inside_the_journal_is_named(tmp_path):
    path = tmp_path / "journal.log"
    run_trial(study_at(path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    with pytest.raises(StoreError, match=r"journal\.log is damaged"):
        open_journal(path)


def test_racing_processes_lose_no_trial(tmp_path):
    path = tmp_path / "journal.log"
    workers = [start_worker(path, 8) for _ in range(3)]
    numbers = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(numbers) == list(range(24))
    assert all(trial.state.name == "COMPLETE" for trial in study_at(path).trials)


def test_kills_leave_a_journal_that_goes_on_at_once(tmp_path):
    path = tmp_path / "journal.log"
    finished = set()
    for _ in range(3):
        worker = start_worker(path, 100_000)
        told = [worker.stdout.readline() for _ in range(15)]
        os.kill(worker.pid, signal.SIGKILL)
        told += worker.communicate()[0].splitlines()
        finished |= {int(line) for line in told if line.strip()}
    study = study_at(path)
    done = {trial.number for trial in study.trials if trial.state.name == "COMPLETE"}
    assert finished <= done
    assert run_trial(study) == len(study.trials) - 1  # a stock lock of a killed holder would stall here for 30 s


def test_only_the_values_of_epochs_are_not_synced(tmp_path, monkeypatch):
    synced = []
    study = study_at(tmp_path / "journal.log")
    trial = study.ask()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(handle))
    trial.report(0.5, 1)
    assert synced == []
    study.tell(trial, 0.5)
    assert len(synced) == 1


@pytest.mark.parametrize("flock", [True, False])
def test_the_lock_excludes_threads_with_flock_and_without(tmp_path, monkeypatch, flock):
    if not flock:
        monkeypatch.setattr(fcntl, "flock", no_flock)
    inside, most = [], []

    def work():
        for _ in range(20):
            with file_lock(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert max(most) == 1


def no_flock(handle, operation):
    raise OSError(errno.ENOLCK, "no locks available")


def test_a_full_disk_is_an_error_and_the_journal_stays_readable(tmp_path, monkeypatch):
    path = tmp_path / "journal.log"
    study = study_at(path)
    run_trial(study)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        study.ask()
    monkeypatch.undo()
    assert study_at(path).trials[0].state.name == "COMPLETE"
    assert isinstance(study_at(path)._storage._backend, SafeJournal)
