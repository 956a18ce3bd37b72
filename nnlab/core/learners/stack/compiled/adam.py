"""Adam and AdamW on the parts of flat buffers in one call, each part with its own step size and decay."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat, Group
from nnlab.core.learners.stack.compiled.library import library

Values = dict[str, Any]


Piece = tuple[int, int, Group, int]  # start and size, the group and the member that it is of


class _Parts:
    """Parts of the buffers with room for the step size and the decay of each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._starts = np.array([piece[:2] for piece in pieces], np.int64)
        self._steps = np.zeros((len(pieces), 2))
        self._members = [k for *_, k in pieces]
        self._factors = [(group.factor_of(k), float(group.decays)) for *_, group, k in pieces]
        self.given = (self._starts.ctypes.data, self._steps.ctypes.data, len(pieces))

    def fill(self, lrs: Sequence[float], decays: Sequence[float]) -> None:
        """With those of the members."""
        self._steps[:] = [
            (lrs[k] * factor, decays[k] * decaying)
            for k, (factor, decaying) in zip(self._members, self._factors, strict=True)
        ]


class CompiledAdam:
    """The step of all members. buffers: values, gradients, means, squares. made: how many steps there were, a tensor of
    one number, which is counted up."""

    def __init__(self, flat: Flat, buffers: Sequence[Tensor], made: Tensor, values: Values, decoupled: bool) -> None:
        found = library()
        assert found is not None
        groups = [group for group in flat.groups if group.start < group.stop]
        every = range(flat.members)
        self._whole = _Parts([(group.start, group.stop - group.start, group, 0) for group in groups])
        pieces = [(group, k, piece) for group in groups for k in every for piece in flat.places(group, k)]
        self._each = _Parts([(start, size, group, k) for group, k, (start, size) in pieces])
        self._fixed = np.array([values[name] for name in ("beta1", "beta2", "eps")])
        self._kept = (*buffers, made)
        self._adam, self._decoupled = found.adam, int(decoupled)
        self._places = [tensor.data_ptr() for tensor in self._kept]

    def __call__(self, lrs: Sequence[float], decays: Sequence[float], apart: bool) -> None:
        """A step. apart: members differ, or their factors do."""
        parts = self._each if apart else self._whole
        parts.fill(lrs, decays)
        self._adam(*self._places, *parts.given, self._fixed.ctypes.data, self._decoupled)
