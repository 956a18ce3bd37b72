"""The compiled operations: built once on a machine by the compiler that is there, and looked at before they are used."""

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

import torch

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
LONGEST = 120  # seconds that a compiler may take
OFF = "NNLAB_COMPILE"  # of the environment: 0 leaves all to torch


@functools.cache
def library() -> "ctypes.CDLL | None":
    """The operations, compiled at first use on this machine; None without a compiler or torch's own products."""
    if os.environ.get(OFF) == "0":
        return None
    gemm = _gemm()
    path = _built() if gemm is not None else None
    if path is None:
        return None
    try:
        found = ctypes.CDLL(str(path))
    except OSError:  # a folder that nothing may be run from
        return None
    found.run.restype = found.adam.restype = found.set_gemm.restype = None
    found.run.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    pointers = [ctypes.c_void_p] * 7
    found.adam.argtypes = [*pointers, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32]
    found.set_gemm(gemm)
    return found


def _gemm() -> "ctypes.c_void_p | None":
    """The function of matrix products that torch itself calls, where its library shows it."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        path = Path(torch.__file__).parent / "lib" / name
        with contextlib.suppress(OSError, AttributeError):
            return ctypes.cast(ctypes.CDLL(str(path)).sgemm_, ctypes.c_void_p)
    return None


def _built() -> Path | None:
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    text = SOURCE.read_bytes()
    what = "\n".join([text.decode(), compiler, *FLAGS, platform.platform(), _processor()])
    name = f"step-{hashlib.sha256(what.encode()).hexdigest()[:16]}.so"
    for folder in (_cache(), Path(tempfile.gettempdir()) / f"nnlab-{os.getuid() if hasattr(os, 'getuid') else 'user'}"):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / name
            if path.exists() or _compile(compiler, path):
                return path
            return None
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


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnlab"


def _processor() -> str:
    """What tells one processor from another: a folder may be shared by machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    return platform.processor()
