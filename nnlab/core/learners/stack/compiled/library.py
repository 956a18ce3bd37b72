"""The compiled operations: built once on a machine by the compiler that is there."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
PLACE, COUNT = ctypes.c_void_p, ctypes.c_int64
FUNCTIONS = {
    "set_gemm": [PLACE],
    "run": [PLACE, COUNT],
    "adam": [PLACE, PLACE],
    "train": [PLACE, COUNT, PLACE, PLACE, COUNT, PLACE, PLACE, COUNT, COUNT],
}
LONGEST = 120  # seconds that a compiler may take
SWITCH = "NNLAB_COMPILE"  # of the environment: 0 leaves all to torch


@functools.cache
def library() -> "ctypes.CDLL | None":
    """The operations, compiled at first use on this machine; None without a compiler or torch's own products."""
    gemm = _gemm() if os.environ.get(SWITCH) != "0" else None
    for path in built() if gemm is not None else ():
        with contextlib.suppress(OSError, AttributeError):  # in a folder that nothing may be run from, or of other code
            found = ctypes.CDLL(str(path))
            for name, given in FUNCTIONS.items():
                function = getattr(found, name)
                function.restype, function.argtypes = None, given
            found.set_gemm(gemm)
            return found
    return None


def compiles(like: Tensor) -> bool:
    """Whether steps on numbers like these are compiled."""
    return like.device.type == "cpu" and like.dtype == torch.float32 and library() is not None


def _gemm() -> "ctypes.c_void_p | None":
    """The function of matrix products that torch itself calls, where it is shown and does what it should."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        path = Path(torch.__file__).parent / "lib" / name
        with contextlib.suppress(OSError, AttributeError):
            found = ctypes.CDLL(str(path)).sgemm_
            return ctypes.cast(found, ctypes.c_void_p) if _multiplies(found) else None
    return None


def _multiplies(gemm: Any) -> bool:
    """Whether a product of two matrices comes out, as BLAS has it: columns one behind the other, all by reference."""
    a, b, out = torch.arange(6.0).view(3, 2), torch.arange(12.0).view(4, 3), torch.zeros(4, 2)
    m, n, inner = (ctypes.c_int(size) for size in (2, 4, 3))
    one, none, plain = ctypes.c_float(1.0), ctypes.c_float(0.0), ctypes.c_char(b"N")
    places = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (a, b, out)]
    lines = [ctypes.byref(size) for size in (m, inner, m)]
    sizes = [ctypes.byref(size) for size in (m, n, inner)]
    gemm.restype = None
    gemm(
        *(ctypes.byref(plain) for _ in range(2)),
        *sizes, ctypes.byref(one), places[0], lines[0], places[1], lines[1], ctypes.byref(none), places[2], lines[2],
    )  # fmt: skip
    return torch.equal(out, b @ a)


def compiler() -> str | None:
    """The compiler of C of this machine, that of the variable CC first."""
    named = [os.environ["CC"]] if os.environ.get("CC") else []
    found = next(filter(None, map(shutil.which, (*named, "cc", "gcc", "clang"))), None)
    return None if found is not None and _only_asks(found) else found


def _only_asks(command: str) -> bool:
    """Whether it is what macOS has in a compiler's place, which opens a window that asks to install one."""
    if platform.system() != "Darwin" or Path(command).parent != Path("/usr/bin"):
        return False
    with contextlib.suppress(OSError):
        return subprocess.run(["/usr/bin/xcode-select", "-p"], capture_output=True, check=False).returncode != 0
    return True


def built() -> Iterator[Path]:
    """Files of the library, the best first, compiled where they are not there yet; none where that cannot be.

    Whatever compiled it, it is used as long as it fits the machine: another compiler may round otherwise, and a run
    that is resumed from a terminal shall have the bits that it would have had in the notebook.
    """
    if not SOURCE.is_file():  # in a program that was packed without it
        return
    system = (platform.system(), platform.machine(), *platform.libc_ver())
    what = "\n".join([SOURCE.read_text(), *FLAGS, *system, _processor()])
    name = f"step-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so"
    for folder in _folders():
        path = folder / name
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _trusted(folder):
                if not path.exists() and not _compile(path):
                    return
                yield path


def _folders() -> Iterator[Path]:
    """Where it may be kept: in the user's cache, else in a folder of the user's own among temporary files."""
    with contextlib.suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnlab"
    with contextlib.suppress(OSError):  # nowhere to write
        yield Path(tempfile.gettempdir()) / f"nnlab-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _trusted(folder: Path) -> bool:
    """Whether what is in there is this user's or the machine's: code that others left under its name is not run."""
    return not hasattr(os, "getuid") or folder.stat().st_uid in (0, os.getuid())


def _compile(path: Path) -> bool:
    """Whether it could be; a half-written file never has the name of a whole one."""
    command = compiler()
    if command is None:
        return False
    handle, made = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        done = subprocess.run(
            [command, *FLAGS, "-o", made, str(SOURCE), "-lm"], capture_output=True, timeout=LONGEST, check=False
        )
        if done.returncode == 0:
            os.replace(made, path)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        Path(made).unlink(missing_ok=True)


def _processor() -> str:
    """What tells one processor from another: a folder may be shared by machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    return platform.processor()
