"""Random numbers of a run that nobody else shares, and the order of rows."""

import random
import threading
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ONE_AT_A_TIME = threading.RLock()  # the generators are global: runs in several threads take turns with them


class PrivateRandom:
    """The global generators of Python, NumPy and torch: the run's own inside `with`, the user's outside of it."""

    def __init__(self, seed: int, device: str) -> None:
        self._device = device
        self._outside: Any = None
        with _ONE_AT_A_TIME:
            outside = take_states(self._device)
            self._seed(seed)
            self._inside = take_states(self._device)
            put_states(self._device, outside)

    def __enter__(self) -> None:
        _ONE_AT_A_TIME.acquire()
        self._outside = take_states(self._device)
        put_states(self._device, self._inside)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = take_states(self._device)
        put_states(self._device, self._outside)
        _ONE_AT_A_TIME.release()

    def state(self) -> tuple[Any, ...]:
        """The states of the run's generators."""
        return tuple(self._inside)

    def load_state(self, state: tuple[Any, ...]) -> None:
        """Go on from what `state` gave; a device that it does not tell of keeps its own."""
        *host, device = state
        self._inside = (*host, self._inside[-1] if device is None else device)

    def _seed(self, seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the user's other devices too
        if self._device == "cuda":
            torch.cuda.manual_seed(seed)
        elif self._device == "mps":
            torch.mps.manual_seed(seed)


def take_states(device: str) -> tuple[Any, ...]:
    """The states of the global generators of Python, NumPy and torch, on the CPU and on the device."""
    device_state = None
    if device == "cuda":
        device_state = torch.cuda.get_rng_state()
    elif device == "mps":
        device_state = torch.mps.get_rng_state()
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), device_state


def put_states(device: str, states: tuple[Any, ...]) -> None:
    """Set all generators to states that were taken."""
    python, numpy, cpu, device_state = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if device == "cuda":
        torch.cuda.set_rng_state(device_state)
    elif device == "mps":
        torch.mps.set_rng_state(device_state)


def member_seed(seed: int, member: int) -> int:
    """The seed of what a member of an ensemble draws by itself: the run's for the first, else no other run's."""
    return seed + member * 2**31


def row_order(seed: int, epoch: int, rows: int) -> Tensor:
    """The order of training rows in an epoch, a permutation that depends on (seed, epoch) alone."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.randperm(rows, generator=torch.Generator().manual_seed(int(mixed >> 1)), device="cpu")
