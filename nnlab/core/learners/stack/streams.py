"""Random numbers of the members: each has a stream of its own, so it drops the same whatever stands beside it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

WORD = 4  # 16-bit draws in one of 64 bits
DROPOUT = 0x6D61736B  # sets these draws apart from others of the same seed


class Streams:
    """Masks of dropout out of 16-bit draws: on the CPU NumPy's SFC64, which is the cheapest, else torch's generators.

    A share p is rounded to 1/65536, and kept values are scaled by what is truly kept: the expectation is exact.
    """

    def __init__(self, seeds: Sequence[int], device: str) -> None:
        self._device = device
        self._sources: list[Any] = [self._source(seed) for seed in seeds]

    def _source(self, seed: int) -> Any:
        mixed = np.random.SeedSequence([seed, DROPOUT])
        if self._device == "cpu":
            return np.random.SFC64(mixed)
        own = int(mixed.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(self._device).manual_seed(own)

    @property
    def generators(self) -> list[torch.Generator]:
        """torch's, which a CUDA graph must know of."""
        return [source for source in self._sources if isinstance(source, torch.Generator)]

    def masks(self, count: int, shares: Sequence[float], like: Tensor) -> tuple[Tensor, Any]:
        """Masks (K, count) and the call that draws them anew."""
        masks = like.new_zeros(len(shares), count)
        kept, limits = keep_scales(shares), [min(round(share * 65536), 65535) - 32768 for share in shares]
        scales = torch.tensor(kept, dtype=torch.float64).to(like).unsqueeze(1)
        words = torch.empty(-(-count // WORD), dtype=torch.int64, device=like.device)
        return masks, partial(self._draw, masks, limits, scales, words)

    def _draw(self, masks: Tensor, limits: Sequence[int], scales: Tensor, words: Tensor) -> None:
        for source, limit, mask in zip(self._sources, limits, masks, strict=True):
            if self._device == "cpu":
                draws = torch.from_numpy(source.random_raw(len(words)).view(np.int16))
            else:
                draws = words.random_(-(2**63), None, generator=source).view(torch.int16)
            torch.ge(draws[: len(mask)], limit, out=mask)
        masks.mul_(scales)

    def state(self) -> list[Tensor]:
        """Where the streams are."""
        if self._device == "cpu":
            states = (source.state["state"]["state"] for source in self._sources)
            return [torch.from_numpy(state.view(np.int64).copy()) for state in states]
        return [source.get_state() for source in self._sources]

    def load_state(self, states: Sequence[Tensor]) -> None:
        """Go on from there."""
        for source, state in zip(self._sources, states, strict=True):
            if self._device != "cpu":
                source.set_state(state.cpu())
                continue
            whole = source.state
            whole["state"]["state"] = state.cpu().numpy().view(np.uint64).copy()
            source.state = whole


def keep_scales(shares: Sequence[float]) -> list[float]:
    """1 / (1 - p) for the p that are truly dropped."""
    return [65536 / (65536 - min(round(share * 65536), 65535)) for share in shares]
