import os
import subprocess
import sys
import time

import pytest

from nnlab.core.store.owner import QUIET, boot_id, current_owner, is_alive, process_start

linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system has no /proc")


def test_this_process_is_alive() -> None:
    assert is_alive(current_owner(), 0.0)


def test_a_process_that_has_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {**current_owner(), "pid": child.pid, "start": process_start(child.pid)}
    assert is_alive(owner, 0.0)
    child.kill()
    child.wait()
    assert not is_alive(owner, 0.0)
    assert child.stdin is not None
    child.stdin.close()


@linux
def test_a_killed_process_that_nobody_has_collected_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    owner = {**current_owner(), "pid": child.pid, "start": process_start(child.pid) or "1"}
    deadline = time.monotonic() + 30
    while is_alive(owner, 0.0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(owner, 0.0)
    child.wait()


@linux
@pytest.mark.parametrize("change", [{"start": "1"}, {"boot": "another"}, {"pid": 2**22 + 1}, {"pid": -1}, {"pid": "x"}])
def test_a_reused_number_or_another_boot_is_another_process(change: dict[str, object]) -> None:
    assert boot_id()
    assert not is_alive({**current_owner(), **change}, time.time())


def test_a_process_of_another_machine_counts_as_dead_once_it_is_quiet() -> None:
    owner = {**current_owner(), "host": "elsewhere"}
    assert is_alive(owner, time.time())
    assert not is_alive(owner, time.time() - QUIET - 1)
