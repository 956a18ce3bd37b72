"""What stands in front of a network, by hand: vectors of numbers, columns as they are, vectors of codes."""

from functools import partial

import torch
from torch import Tensor

from nnlab.core.front import Front as Module
from nnlab.core.learners.stack.codes import Codes
from nnlab.core.learners.stack.layers import Build, Port
from nnlab.core.learners.stack.numbers import room_for, vectors_of


class Front:
    """y = vectors of numbers, then columns as they are, then vectors of codes.

    Values lie turned in memory, (K, n_out, rows): vectors of numbers are made so, and columns are copied as a whole.
    Only vectors have a gradient; columns as they are cost none.
    """

    odd = True  # products of members are made one by one

    def __init__(self, prefix: str, layer: Module) -> None:
        if layer.share:
            raise KeyError("Front that leaves columns out")
        self.n_out = layer.n_out
        self._rest = layer.get_buffer("rest")
        self._codes = Codes(f"{prefix}codes.", layer.codes) if layer.coded else None
        self._numbers, self._width = None, 0
        if layer.embedded:
            self._places = layer.get_buffer("places")
            self._width = layer.numbers.width * len(self._places)
            self._numbers = vectors_of(f"{prefix}numbers.", layer.numbers)

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, n_in) -> (K, rows, n_out)."""
        x = port.value[:1] if port.value.stride(0) == 0 else port.value
        y, parts = room_for(build, build.members, self.n_out, build.rows), list[tuple[slice, Tensor]]()
        turned = room_for(build, len(x), x.shape[2], build.rows)
        build.add([partial(turned.copy_, x.mT)], [])
        if self._numbers is not None:
            slope = self._add_numbers(turned, y[:, : self._width], build)
            parts.append((slice(0, self._width), slope))
        if len(self._rest):
            rest = room_for(build, len(x), len(self._rest), build.rows)
            build.add([partial(torch.index_select, turned, 1, self._rest, out=rest)], [])
            if self._codes is None:
                build.add([partial(y[:, self._width :].copy_, rest)], [])
            else:
                coded = self._codes.bind(Port(rest.mT.expand(build.members, -1, -1), None, free=False), build)
                build.add([partial(y[:, self._width :].copy_, coded.value.mT)], [])
                assert coded.slope is not None
                parts.append((slice(self._width, self.n_out), coded.slope))
        return Port(y.mT, None, free=False, parts=parts)

    def _add_numbers(self, turned: Tensor, y: Tensor, build: Build) -> Tensor:
        """Fill y (K, values, rows) with the vectors of numbers; gives where their gradient is wanted."""
        assert self._numbers is not None
        count = len(self._places)
        x = room_for(build, len(turned), count, build.rows)
        slope = room_for(build, build.members, self._width, build.rows)
        build.add([partial(torch.index_select, turned, 1, self._places, out=x)], [])
        y, by_number = (values.view(len(values), count, -1, build.rows) for values in (y, slope))
        self._numbers.bind(x, y, by_number, build)
        return slope.mT
