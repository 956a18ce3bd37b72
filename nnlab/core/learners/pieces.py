"""The gradient of a step's rows in one or several pieces, with what memory there is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.batch import Batch, pieces_of
from nnlab.core.device import out_of_memory
from nnlab.core.losses import Loss
from nnlab.core.randomness import put_states, take_states


class Pieces:
    """Calls `backward` (rows -> their loss, gradients added to those that are there) for all rows of a step.

    count: pieces that the rows are taken in, one after the other: the memory of one piece, the gradient of all. Where
    memory runs out, the step is begun again with twice as many, and `notes` says so.
    """

    def __init__(self, model: nn.Module, loss: Loss, device: str, count: int) -> None:
        self.count = count
        self.notes: list[str] = []
        self._model, self._loss, self._device = model, loss, device
        self._fits = 0  # rows of the largest piece that went through

    def __call__(self, batch: Batch, backward: Callable[[Batch], Tensor]) -> Tensor:
        """The loss of the rows."""
        if self.count == 1 and len(batch.x) <= self._fits:
            return backward(batch)
        return self._careful(batch, backward)

    def _careful(self, batch: Batch, backward: Callable[[Batch], Tensor]) -> Tensor:
        """The same where it is not known whether memory suffices: what a failed try changes is put back."""
        rows = len(batch.x)
        kept = None if -(-rows // self.count) <= self._fits else Kept(self._model, self._device)
        while True:
            size = -(-rows // min(self.count, rows))
            failure = ""
            try:
                loss = self._taken(batch, backward)
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not out_of_memory(error):
                    raise
                failure = str(error).strip().partition("\n")[0] or type(error).__name__
            if not failure:  # outside of the handler, whose traceback holds the tensors of the failed try
                self._fits = max(self._fits, size)
                return loss
            self._model.zero_grad(set_to_none=True)
            if kept is not None:
                kept.put_back()
            if self._device == "cuda":
                torch.cuda.empty_cache()
            self.count *= 2
            self.notes.append(backed_off(size, failure, self.count))

    def _taken(self, batch: Batch, backward: Callable[[Batch], Tensor]) -> Tensor:
        if self.count == 1:
            return backward(batch)
        total: Tensor | None = None
        for piece in pieces_of(batch, self.count, self._loss):
            loss = backward(piece)
            total = loss if total is None else total + loss
        assert total is not None
        return total


def backed_off(rows: int, failure: str, count: int) -> str:
    """What to say where so many rows did not fit and are taken in so many parts from then on."""
    return (
        f"memory ran out with {rows} rows at a time ({failure:.120}); from here on each step takes its rows in "
        f"{count} parts, with the same gradient; --accumulate {count} begins so"
    )


class Kept:
    """Random states and buffers before a try."""

    def __init__(self, model: nn.Module, device: str) -> None:
        self._device = device
        self._states: tuple[Any, ...] = take_states(device)
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def put_back(self) -> None:
        put_states(self._device, self._states)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)
