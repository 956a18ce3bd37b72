"""Vectors of categories in front of a stack, by hand."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nnlab.core.layers import CategoryEmbedding
from nnlab.core.learners.stack.layers import Build, Port


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of codes that share a table. places: of the columns; offsets: where each begins in the table.

    w, dw: (K, levels, width). start: where their vectors stand in the output.
    """

    places: Tensor
    offsets: Tensor
    w: Tensor
    dw: Tensor
    start: int

    @property
    def end(self) -> int:
        """Where they end."""
        return self.start + len(self.places) * self.w.shape[2]

    def rows(self, x: Tensor) -> Tensor:
        """Rows of the table for x (rows, n_in), one behind the other."""
        return x.index_select(1, self.places).long().add_(self.offsets).view(-1)


class Codes:
    """y = the columns without codes, then the rows of the tables that the codes tell.

    dW of a row of a table: the sum of the gradients of all places where it stands.
    """

    def __init__(self, prefix: str, layer: CategoryEmbedding) -> None:
        self._prefix, self._layer = prefix, layer

    def bind(self, port: Port, build: Build) -> Port:
        """Values (K, rows, n_in) -> (K, rows, n_out)."""
        x, others = port.value, self._layer.get_buffer("others")
        y, dy = build.take(self._layer.n_out), build.take(self._layer.n_out)
        tables = self._tables(build, len(others))
        alike = x.stride(0) == 0 or build.members == 1
        seen: list[list[Tensor]] = []

        def forward() -> None:
            seen[:] = [[table.rows(own) for table in tables] for own in (x[:1] if alike else x)]
            for k in range(build.members):
                y[k, :, : len(others)].copy_(x[k].index_select(1, others))
                for table, rows in zip(tables, seen[0 if alike else k], strict=True):
                    vectors = table.w[k].index_select(0, rows)
                    y[k, :, table.start : table.end].copy_(vectors.view(build.rows, -1))

        def backward() -> None:
            for k in range(build.members):
                for table, rows in zip(tables, seen[0 if alike else k], strict=True):
                    slopes = dy[k, :, table.start : table.end].reshape(len(rows), -1)
                    sums = torch.ops.aten.embedding_dense_backward
                    sums.out(slopes, rows, table.w.shape[1], -1, False, out=table.dw[k])

        build.add([forward], [backward])
        return Port(y, dy, free=False)

    def _tables(self, build: Build, start: int) -> list[Columns]:
        found: list[Columns] = []
        for name in (f"columns{number}" for number in range(len(self._layer.tables))):
            weight = f"{self._prefix}tables.{len(found)}.weight"
            w, dw = (build.flat.of(buffer, weight) for buffer in (build.flat.values, build.flat.gradients))
            places, offsets = (self._layer.get_buffer(which) for which in (name, f"{name}_offsets"))
            found.append(Columns(places, offsets, w, dw, start))
            start = found[-1].end
        return found
