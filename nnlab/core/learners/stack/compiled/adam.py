"""Adam and AdamW on the parts of flat buffers in one call, each part with its own step size and decay."""

from array import array
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat, Group
from nnlab.core.learners.stack.compiled.library import library

Values = dict[str, Any]
Piece = tuple[int, int, Group, int]  # start and size, the group and the member that it is of


class _Parts:
    """Parts of the buffers with room for the step size and the decay of each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._starts = array("q", [number for piece in pieces for number in piece[:2]])
        self._steps = array("d", [0.0] * (2 * len(pieces)))
        self._of = [(at, k, group.factor_of(k), group.decays) for at, (*_, group, k) in enumerate(pieces)]
        self.given = (self._starts.buffer_info()[0], self._steps.buffer_info()[0], len(pieces))

    def fill(self, lrs: Sequence[float], decays: Sequence[float]) -> None:
        """With those of the members."""
        steps = self._steps
        for at, k, factor, decaying in self._of:
            steps[2 * at] = lrs[k] * factor
            steps[2 * at + 1] = decays[k] if decaying else 0.0


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
        self._fixed = array("d", [values[name] for name in ("beta1", "beta2", "eps")])
        self._kept = (*buffers, made)
        self._adam = found.adam
        self._places = [tensor.data_ptr() for tensor in self._kept]
        self._rest = (self._fixed.buffer_info()[0], int(decoupled))

    def __call__(self, lrs: Sequence[float], decays: Sequence[float], apart: bool) -> None:
        """A step. apart: members differ, or their factors do."""
        parts = self._each if apart else self._whole
        parts.fill(lrs, decays)
        self._adam(*self._places, *parts.given, *self._rest)
