"""Random numbers of the members: each has a stream of its own, so it drops the same whatever stands beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

DRAWS = 8  # draws of one byte in a word of 64 bits
DROPOUT = 0x6D61736B  # sets these draws apart from others of the same seed


@dataclass(frozen=True, eq=False)
class Masks:
    """values: (K, n), 0 for what is dropped, else 1. draw: draws them anew.

    scales: what each member's kept values are to be multiplied by. Where these are in the values already, there are
    shares instead, those of the members in a tensor, which may change.
    """

    values: Tensor
    draw: Callable[[], None]
    scales: Sequence[float] | None = None
    shares: Tensor | None = None


class Streams:
    """Masks of dropout out of one byte a value: by NumPy's SFC64, which is the cheapest, on a device by torch's.

    recorded: as on a device, also on the CPU.

    A share p is p 256 bytes: one more draw for each mask decides whether that is rounded up or down, so that each value
    is dropped with probability p (to 2^-32); kept values times 1 / (1 - p) have the expectation exactly.
    """

    def __init__(self, seeds: Sequence[int], device: str, recorded: bool = False) -> None:
        self._device, self._host = device, device == "cpu" and not recorded
        self._sources: list[Any] = [self._source(seed) for seed in seeds]
        self._rooms: dict[int, np.ndarray] = {}

    def _source(self, seed: int) -> Any:
        mixed = np.random.SeedSequence([seed, DROPOUT])
        if self._host:
            return np.random.SFC64(mixed)
        own = int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(self._device).manual_seed(own)

    @property
    def generators(self) -> list[torch.Generator]:
        """torch's, which a CUDA graph must know of."""
        return [source for source in self._sources if isinstance(source, torch.Generator)]

    def masks(self, count: int, shares: Sequence[float], like: Tensor) -> Masks:
        """Masks of so many values for members that lose these shares."""
        values = like.new_zeros(len(shares), count)
        words = -(-count // DRAWS)
        if self._host:
            parts = [(*_parted(share), own) for share, own in zip(shares, values.numpy(), strict=True)]
            draw = partial(self._draw, parts, words)
            return Masks(values, draw, scales=[1.0 / (1.0 - share) for share in shares])
        room = torch.empty(words + 1, dtype=torch.int64, device=like.device)
        own = torch.tensor(shares, dtype=torch.float64, device=like.device)
        return Masks(values, partial(self._draw_on_device, values, own, room), shares=own)

    def _draw(self, parts: Sequence[tuple[int, int, Any]], words: int) -> None:
        for source, (limit, extra, own) in zip(self._sources, parts, strict=True):
            drawn = source.random_raw(words + 1)
            lost = min(limit + (int(drawn[words]) >> 32 < extra), 255)
            np.greater_equal(drawn.view(np.uint8)[: len(own)], lost, out=own, casting="unsafe")

    def _draw_on_device(self, values: Tensor, shares: Tensor, words: Tensor) -> None:
        """The same without waiting for the device, scaled."""
        for source, mask, share in zip(self._sources, values, shares, strict=True):
            drawn = words.random_(-(2**63), None, generator=source)
            limit = share * 256
            up = (drawn[-1] >> 32) + 2**31 < limit.frac() * 2**32
            lost = (limit.floor() + up).clamp(max=255)
            torch.ge(drawn.view(torch.uint8)[: len(mask)], lost, out=mask)
            mask.div_(1 - share)

    def addresses(self) -> list[int]:
        """Where NumPy keeps the four words of each stream's state, for code that draws the same by itself."""
        return [source.ctypes.state_address for source in self._sources]

    def room(self, words: int) -> int:
        """The address of memory for draws of so many words and one more, which each draw of as many overwrites."""
        return self._rooms.setdefault(words, np.empty(words + 1, np.uint64)).ctypes.data

    def state(self) -> list[Tensor]:
        """Where the streams are."""
        if self._host:
            states = (source.state["state"]["state"] for source in self._sources)
            return [torch.from_numpy(state.view(np.int64).copy()) for state in states]
        return [source.get_state() for source in self._sources]

    def load_state(self, states: Sequence[Tensor]) -> None:
        """Go on from there."""
        for source, state in zip(self._sources, states, strict=True):
            if not self._host:
                source.set_state(state.cpu())
                continue
            whole = source.state
            whole["state"]["state"] = state.cpu().numpy().view(np.uint64).copy()
            source.state = whole


def _parted(share: float) -> tuple[int, int]:
    """Whole bytes that a share loses of 256, and how many of 2^32 masks lose one more."""
    whole, rest = divmod(share * 256, 1.0)
    return int(whole), round(rest * 2**32)
