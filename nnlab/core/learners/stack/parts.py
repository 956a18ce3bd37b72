"""The gradient of a step's rows in one or several parts, with what memory there is; as `Pieces` does it by autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnlab.core.batch import mass_of
from nnlab.core.device import out_of_memory
from nnlab.core.learners.pieces import backed_off
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.members import Members
from nnlab.core.losses import Loss


class Parts:
    """Makes the gradients of members for all rows of a step, (n,) or (K, n) of their own.

    count: parts that the rows are taken in, one by one. Where memory runs out, what the members hold for a step is
    given up and the step begun again with twice as many parts; `notes` says so. Each part counts by what the mean of
    the loss divides by, so that the gradient is the same.
    buffers: of the networks, which a failed try may have changed.
    """

    def __init__(self, members: Members, table: Table, loss: Loss, buffers: Callable[[], list[Tensor]]) -> None:
        self.count = 1
        self.notes: list[str] = []
        self._members, self._table, self._loss, self._buffers = members, table, loss, buffers
        self._fits = 0  # rows of the largest part that went through

    def __call__(self, rows: Tensor) -> None:
        """Leave the gradients of the mean loss of the rows in the members."""
        if self.fits(rows):
            self._members.gradients(rows)
            return
        before = self._kept()
        while True:
            size = -(-rows.shape[-1] // min(self.count, rows.shape[-1]))
            failure = ""
            try:
                self._taken(rows)
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not out_of_memory(error):
                    raise
                failure = str(error).strip().partition("\n")[0] or type(error).__name__
            if not failure:  # outside of the handler, whose traceback holds the tensors of the failed try
                self._fits = max(self._fits, size)
                return
            self._put_back(before)
            self.count *= 2
            self.notes.append(backed_off(size, failure, self.count))

    def fits(self, rows: Tensor) -> bool:
        """Whether so many rows went through at once before."""
        return self.count == 1 and rows.shape[-1] <= self._fits

    def _taken(self, rows: Tensor) -> None:
        if self.count == 1:
            self._members.gradients(rows)
            return
        flat = self._members.flat
        total, sets = flat.like(), rows if rows.ndim == 2 else rows.unsqueeze(0)
        whole = [self._mass(own) for own in sets]
        for part in sets.tensor_split(min(self.count, rows.shape[-1]), -1):
            self._members.gradients(part if rows.ndim == 2 else part[0])
            shares = [self._mass(own) / mass for own, mass in zip(part, whole, strict=True)]
            flat.scale(flat.gradients, shares)
            total.add_(flat.gradients)
        flat.gradients.copy_(total)

    def _mass(self, rows: Tensor) -> Tensor | float:
        weight = None if self._table.weight is None else self._table.weight[rows]
        return mass_of(self._loss, self._table.y[rows], weight)

    def _kept(self) -> Any:
        """What a try changes, before it."""
        return self._members.before_step(), [(buffer, buffer.clone()) for buffer in self._buffers()]

    def _put_back(self, kept: Any) -> None:
        state, buffers = kept
        self._members.begin_again(state)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
