"""Adam and AdamW on the parts of flat buffers, and whole steps with them, in one call."""

import ctypes
import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat, Group
from nnlab.core.learners.stack.compiled.library import library
from nnlab.core.learners.stack.compiled.program import Program

Values = dict[str, Any]
Piece = tuple[int, int, Group, int]  # start and size, the group and the member that it is of
PART, FIXED = struct.Struct("=3q2d"), struct.Struct("=6Q2q3d")  # as in `kernels.c`


class _Parts:
    """Parts of the buffers, each with the factor and the decay of its member."""

    def __init__(self, pieces: Sequence[Piece], places: Sequence[int], values: Values, decoupled: bool) -> None:
        self._pieces = pieces
        self._memory = ctypes.create_string_buffer(PART.size * len(pieces))
        fixed = [values[name] for name in ("beta1", "beta2", "eps")]
        told = FIXED.pack(*places, ctypes.addressof(self._memory), len(pieces), decoupled, *fixed)
        self._told = ctypes.create_string_buffer(told)
        self._decays: list[float] = []
        self.address = ctypes.addressof(self._told)

    def set(self, decays: Sequence[float]) -> None:
        """The weight decay of each member."""
        if self._decays == decays:
            return
        self._decays = list(decays)
        for at, (start, size, group, k) in enumerate(self._pieces):
            decay = decays[k] if group.decays else 0.0
            PART.pack_into(self._memory, at * PART.size, start, size, k, group.factor_of(k), decay)


class CompiledAdam:
    """The step of all members. buffers: values, gradients, means, squares. made: how many steps there were, a tensor of
    one number, which is counted up."""

    def __init__(self, flat: Flat, buffers: Sequence[Tensor], made: Tensor, values: Values, decoupled: bool) -> None:
        found = library()
        assert found is not None
        self._kept = (*buffers, made)
        places = [tensor.data_ptr() for tensor in self._kept]
        groups = [group for group in flat.groups if group.start < group.stop]
        wholes = [(group.start, group.stop - group.start, group, 0) for group in groups]
        every = range(flat.members)
        pieces = [(*place, group, k) for group in groups for k in every for place in flat.places(group, k)]
        self._whole, self._each = (_Parts(parts, places, values, decoupled) for parts in (wholes, pieces))
        self._adam, self._train = found.adam, found.train

    def __call__(self, lrs: Sequence[float], decays: Sequence[float], apart: bool) -> None:
        """A step with the step size and the decay of each member. apart: these differ, or their factors do."""
        rates = array("d", lrs)
        self._adam(self._parts(decays, apart), rates.buffer_info()[0])

    def train(
        self,
        program: Program,
        rows: Tensor,
        batches: Sequence[Tensor],
        lrs: Sequence[Sequence[float]],
        decays: Sequence[float],
        apart: bool,
    ) -> None:
        """Steps with the gradients that a program makes of the rows with the numbers in `rows`, those of each batch."""
        # As many numbers as are copied, and of that kind: what lies elsewhere in memory is nobody's to read.
        kept = [
            batch
            if batch.dtype == rows.dtype and batch.shape == rows.shape and batch.is_contiguous()
            else batch.to(rows.dtype).expand_as(rows).contiguous()
            for batch in batches
        ]
        places, rates = array("Q", [batch.data_ptr() for batch in kept]), array("d", chain.from_iterable(lrs))
        self._train(
            *program.place,
            rows.data_ptr(),
            places.buffer_info()[0],
            rows.numel(),
            self._parts(decays, apart),
            rates.buffer_info()[0],
            len(lrs[0]),
            len(lrs),
        )

    def _parts(self, decays: Sequence[float], apart: bool) -> int:
        """The address of the parts that are stepped alike."""
        parts = self._each if apart else self._whole
        parts.set(decays)
        return parts.address
