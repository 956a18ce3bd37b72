"""The average of a network's weights beside the network."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.averages import Share
from nnlab.core.members import rows_of


class Average:
    """A running average of all floating weights and buffers. share: how much the new ones count, by step.

    keep_zeros: weights that are exactly 0, as a penalty makes them, are so in the average too, which else only nears 0.
    """

    def __init__(self, model: nn.Module, share: Share, steps: int, keep_zeros: bool = False) -> None:
        self._model, self._share, self._steps, self._keep_zeros = model, share, steps, keep_zeros
        self._mean: list[Tensor] | None = None
        self._step = 0

    def _tensors(self) -> list[Tensor]:
        return [tensor for tensor in self._model.state_dict(keep_vars=True).values() if tensor.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of another step in."""
        share = self._share(self._step, self._steps)
        self._step += 1
        if share is None:
            return
        tensors = [tensor.detach() for tensor in self._tensors()]
        if self._mean is None:
            self._mean = [tensor.clone() for tensor in tensors]
        else:
            torch._foreach_lerp_(self._mean, tensors, share)
        if self._keep_zeros:
            for mean, own in zip(self._mean, tensors, strict=True):
                if own.ndim > 1:
                    mean.masked_fill_(own == 0, 0.0)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The network has the average inside, and its own weights again after."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for own, mean in zip(self._tensors(), self._mean or (), strict=False):
            kept = own.detach().clone()
            own.copy_(mean)
            mean.copy_(kept)

    def of(self, model: nn.Module, chosen: Sequence[int]) -> "Average":
        """The same of a network that holds some of the members of this one."""
        kept = Average(model, self._share, self._steps, self._keep_zeros)
        kept._step = self._step
        if self._mean is not None:
            pairs = zip(self._mean, kept._tensors(), strict=True)
            kept._mean = [rows_of(mean, own, chosen).clone() for mean, own in pairs]
        return kept

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"step": self._step, "mean": self._mean}

    def load(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._step, mean = state["step"], state["mean"]
        self._mean = mean and [kept.to(own.device).clone() for kept, own in zip(mean, self._tensors(), strict=True)]
