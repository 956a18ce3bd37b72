"""Where a run computes: device and CPU threads."""

import contextlib
from collections.abc import Iterator

import torch

from nnlab.core.errors import RunError

NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
SMALL_STEP = 1 << 27  # multiply-adds of a step below which a second thread costs more than it gives


def pick_device(wanted: str) -> str:
    """The device's name; auto takes cuda, then mps, then cpu. RunError if the wanted one is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise RunError(
            f"device={wanted}: torch sees none here; use {' or '.join(n for n in there if there[n])} or auto"
        )
    return wanted


def device_or_cpu(trained_on: str) -> str:
    """The device that a run was trained on where this machine has it, else the CPU."""
    try:
        return pick_device(trained_on)
    except RunError:
        return "cpu"


def threads_for(wanted: int | None, batch: int, parameters: int) -> int:
    """CPU threads of a run; auto takes one for a small network, on which two would mostly wait for each other."""
    if wanted is not None:
        return wanted
    return 1 if batch * parameters < SMALL_STEP else torch.get_num_threads()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)


@contextlib.contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """So many CPU threads inside; the old number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
