"""Who trains a run: a process, told from a later one of the same number by its start time and the machine's boot."""

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

QUIET = 3600.0  # seconds without a write after which a run of a machine that cannot be asked counts as dead


def current_owner() -> dict[str, Any]:
    """This process, as it is written into status.json."""
    pid = os.getpid()
    return {"pid": pid, "start": process_start(pid), "boot": boot_id(), "host": platform.node()}


def is_alive(owner: Mapping[str, Any], last_write: float) -> bool:
    """Whether the process still lives. last_write (seconds since 1970) decides where it runs on another machine."""
    if owner.get("host") != platform.node():
        return time.time() - last_write < QUIET
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0 or owner.get("boot") != boot_id():
        return False
    if owner.get("start"):
        return process_start(pid) == owner["start"]
    return _exists(pid)


def process_start(pid: int) -> str:
    """When a process started, in the kernel's own ticks; '' if it is dead, or where the system has no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()  # the program's name may hold blanks and brackets
    return "" if state in ("Z", "X") else fields[18]


def boot_id() -> str:
    """What changes with every start of the machine; '' where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)  # type: ignore[attr-defined]
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined]
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
