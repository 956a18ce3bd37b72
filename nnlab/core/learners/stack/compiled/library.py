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
from pathlib import Path
from typing import Any

import torch

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
LONGEST = 120  # seconds that a compiler may take
SWITCH = "NNLAB_COMPILE"  # of the environment: 0 leaves all to torch


@functools.cache
def library() -> "ctypes.CDLL | None":
    """The operations, compiled at first use on this machine; None without a compiler or torch's own products."""
    gemm = _gemm() if os.environ.get(SWITCH) != "0" else None
    path = built() if gemm is not None else None
    if path is None:
        return None
    try:
        found = ctypes.CDLL(str(path))
    except OSError:  # in a folder that nothing may be run from
        return None
    found.run.restype = found.adam.restype = found.set_gemm.restype = None
    found.run.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    found.adam.argtypes = [*[ctypes.c_void_p] * 7, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32]
    found.set_gemm(gemm)
    return found


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
    a, b, out = torch.randn(3, 2), torch.randn(4, 3), torch.zeros(4, 2)
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
    return torch.allclose(out, b @ a, atol=1e-5)


def compiler() -> str | None:
    """The compiler of C of this machine, that of the variable CC first."""
    named = [os.environ["CC"]] if os.environ.get("CC") else []
    return next(filter(None, map(shutil.which, (*named, "cc", "gcc", "clang"))), None)


def built() -> Path | None:
    """The file of the library, which is compiled where it is not there yet; None if it cannot be."""
    command = compiler()
    if command is None:
        return None
    what = "\n".join([SOURCE.read_text(), command, *FLAGS, platform.platform(), _processor()])
    name = f"step-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so"
    for folder in (_cache(), Path(tempfile.gettempdir()) / f"nnlab-{_user()}"):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / name
            return path if path.exists() or _compile(command, path) else None
    return None


def _compile(compiler: str, path: Path) -> bool:
    """Whether it could be; a half-written file never has the name of a whole one."""
    handle, made = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        done = subprocess.run(
            [compiler, *FLAGS, "-o", made, str(SOURCE), "-lm"], capture_output=True, timeout=LONGEST, check=False
        )
        if done.returncode == 0:
            os.replace(made, path)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        Path(made).unlink(missing_ok=True)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnlab"


def _processor() -> str:
    """What tells one processor from another: a folder may be shared by machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    return platform.processor()
