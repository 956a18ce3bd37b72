"""Layers that torch lacks, or has but slower."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Dropout):
    """nn.Dropout with masks from 16-bit random numbers on the CPU, where drawing the mask is most of its cost.

    p is rounded to 1/65536, and kept values are scaled by what was truly kept, so the expectation is exact. fixed: a
    change of the run's dropout while it lives, or by its schedule, leaves this one alone.
    """

    def __init__(self, p: float = 0.5, *, fixed: bool = False) -> None:
        super().__init__(p)
        self.fixed = fixed

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape; the same where the layer does not train."""
        dropped, size = round(self.p * 65536), x.numel()
        if not self.training or not 0 < dropped < 65536 or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty((size + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # four 16-bit draws in each
        kept = words.view(torch.int16)[:size].view(x.shape) >= dropped - 32768
        return x * kept.to(x.dtype).mul_(65536 / (65536 - dropped))


class CategoryEmbedding(nn.Module):
    """Columns of codes become learned vectors behind the other columns (Guo and Berkhahn 2016).

    codes: position -> (cardinality, width). Columns of one width share a table, each with an offset, so that one lookup
    serves all of them. Codes 0 (unseen) and 1 (missing) begin as zeros: what training never shows adds nothing.
    members: networks side by side, each with vectors of its own. dropout: the chance that a level is 0 for all rows of
    a step (Gal & Ghahramani 2016). widths: of the columns of codes, in the order of the output.
    """

    role = "embedding"

    def __init__(
        self, n_in: int, codes: Mapping[int, tuple[int, int]], *, members: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.tables = nn.ModuleList()
        self.widths = sorted(width for _, width in codes.values())
        self.n_out = n_in - len(codes) + sum(self.widths)
        self._members, self._dropout = members, dropout
        others = [i for i in range(n_in) if i not in codes]
        self.register_buffer("others", torch.tensor(others, dtype=torch.long), persistent=False)
        self._places: list[str] = []
        for width in sorted(set(self.widths)):
            self._add_table(width, {place: size for place, (size, own) in codes.items() if own == width})

    def _add_table(self, width: int, sizes: Mapping[int, int]) -> None:
        counts = torch.tensor(list(sizes.values()))
        offsets = counts.cumsum(0) - counts
        table: nn.Module = nn.Embedding(int(counts.sum()), width * (self._members or 1))
        with torch.no_grad():
            for code in (0, 1):
                table.get_parameter("weight")[offsets + code] = 0.0
        if self._members is not None:
            table = MemberTable(table.get_parameter("weight").detach(), self._members)
        name = f"columns{len(self.tables)}"
        self.tables.append(table)
        self.register_buffer(name, torch.tensor(list(sizes)), persistent=False)
        self.register_buffer(f"{name}_offsets", offsets, persistent=False)
        self._places.append(name)

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, n_out) or (rows, members, n_out), the columns without codes first."""
        others = x.index_select(1, self.get_buffer("others"))
        parts = [others if self._members is None else others.unsqueeze(1).expand(-1, self._members, -1)]
        for name, table in zip(self._places, self.tables, strict=True):
            codes = x.index_select(1, self.get_buffer(name)).long() + self.get_buffer(f"{name}_offsets")
            vectors = table(codes)
            if self._dropout and self.training:
                kept = torch.rand(table.get_parameter("weight").shape[-2], 1, device=x.device) >= self._dropout
                share = (kept[codes] / (1.0 - self._dropout)).to(x.dtype)
                vectors = vectors * (share if self._members is None else share.unsqueeze(1))
            parts.append(vectors.flatten(-2))
        return torch.cat(parts, -1)


class MemberTable(nn.Module):
    """A table of vectors for each member. start: (levels, members * width)."""

    def __init__(self, start: Tensor, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.view(len(start), members, -1).transpose(0, 1).contiguous())

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (rows, columns) -> (rows, members, columns, width)."""
        members, levels, _ = self.weight.shape
        vectors = functional.embedding(codes, self.weight.transpose(0, 1).reshape(levels, -1))
        return vectors.view(*codes.shape, members, -1).transpose(1, 2)


class Gate(nn.Module):
    """a f(b) of the two halves a, b of the last dimension (Shazeer 2020)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., 2 width) -> (..., width)."""
        a, b = x.chunk(2, -1)
        return a * self._function(b)


class Swish(nn.Module):
    """x sigmoid(b x) with a learned b for each unit (Ramachandran et al. 2017)."""

    undecayed = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        return x * torch.sigmoid(x * self.weight)


class Parametric(nn.Module):
    """x + a (f(x) - x) with a learned a for each unit, 1 at first (RealMLP; Holzmüller et al. 2024)."""

    undecayed = True

    def __init__(self, function: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        return x + self.weight * (self.function(x) - x)  # lerp wants one dtype, which autocast does not give


class BatchNorm(nn.BatchNorm1d):
    """nn.BatchNorm1d over the last dimensions, `shape`, whatever stands in front of them; weights have that shape."""

    undecayed = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(math.prod(shape))
        for values in (self.weight, self.bias, self.running_mean, self.running_var):
            assert values is not None
            values.data = values.data.view(shape)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None and variance is not None and self.num_batches_tracked is not None
        keeps = self.training and self.track_running_stats
        if keeps:
            self.num_batches_tracked.add_(1)
        kept = keeps or not self.training
        rows, weight, bias = x.reshape(-1, self.num_features), self.weight.flatten(), self.bias.flatten()
        running = (mean.view(-1) if kept else None, variance.view(-1) if kept else None)
        share = self.momentum or 0.0
        return functional.batch_norm(rows, *running, weight, bias, self.training, share, self.eps).view(x.shape)


class LayerNorm(nn.Module):
    """Layer normalization of the last dimension with a scale and a shift for each unit of `shape`."""

    undecayed = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        width = self.weight.shape[-1:]
        if self.weight.ndim == 1:
            return functional.layer_norm(x, width, self.weight, self.bias)
        return torch.addcmul(self.bias, functional.layer_norm(x, width), self.weight)


class RMSNorm(nn.Module):
    """Root mean square normalization of the last dimension with a scale for each unit of `shape`."""

    undecayed = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        return functional.rms_norm(x, self.weight.shape[-1:]) * self.weight


class GroupNorm(LayerNorm):
    """Group normalization of the last dimension in 8 parts, fewer where it has no 8 equal ones."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape); the same."""
        width = x.shape[-1]
        flat = functional.group_norm(x.reshape(-1, width), math.gcd(width, 8))
        return torch.addcmul(self.bias, flat.view(x.shape), self.weight)


class Residual(nn.Module):
    """x + inner(x); what is added goes through `drop`."""

    one_layer = True

    def __init__(self, inner: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.inner, self.drop = inner, drop

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape that inner keeps; the same."""
        return x + self.drop(self.inner(x))


class RowDrop(nn.Module):
    """Stochastic depth: with chance p a row is 0 as a whole, others are scaled up (Huang et al. 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, ...); the same where the layer does not train."""
        if not self.training:
            return x
        kept = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) >= self.p
        return x * kept.to(x.dtype).div_(1.0 - self.p)


def row_drop(p: float, block: int, blocks: int) -> nn.Module:
    """Stochastic depth for one of some blocks: the chance grows evenly to p at the last one."""
    return RowDrop(p * (block + 1) / blocks) if p else nn.Identity()


def starts_at_zero(layer: nn.Linear) -> nn.Linear:
    """The last layer of a residual branch, marked for `inits.initialize`."""
    layer.zero_start = True  # type: ignore[assignment]
    return layer


class CrossNet(nn.Module):
    """x <- x0 (W x + b) + x, once for each layer; W of full rank, or U V of a lower one (Wang et al. 2021).

    Layers begin as the identity: products of random sums of features would be nothing but noise.
    """

    def __init__(self, width: int, layers: int, rank: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_square(width, rank) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, width); the same."""
        first = x
        for layer in self.layers:
            x = torch.addcmul(x, first, layer(x))
        return x


def _square(width: int, rank: int | None) -> nn.Module:
    if rank is None or rank >= width:
        return starts_at_zero(nn.Linear(width, width))
    return nn.Sequential(nn.Linear(width, rank, bias=False), starts_at_zero(nn.Linear(rank, width)))


class DeepAndCross(nn.Module):
    """A cross network with a deep one behind it, or beside it (parallel)."""

    def __init__(self, cross: nn.Module, deep: nn.Module, head: nn.Module, parallel: bool) -> None:
        super().__init__()
        self.cross, self.deep, self.head = cross, deep, head
        self._parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, width) -> (rows, n_out)."""
        crossed = self.cross(x)
        if self._parallel:
            return self.head(torch.cat([crossed, self.deep(x)], 1))
        return self.head(self.deep(crossed))


class Autoencoder(nn.Module):
    """A head on a code, and a decoder that writes the inputs again from it.

    In training `added_loss` is the weighted error of that, which the learner adds to the loss of the step.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, weight: float, corruption: float
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self._weight, self._corruption = weight, corruption
        self.added_loss: Tensor | None = None

    def __getstate__(self) -> dict[str, object]:
        """For copies and pickles, which cannot take the graph of the last step."""
        return self.__dict__ | {"added_loss": None}

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, n_out). What is in front of it does not learn to be easily written."""
        if not self.training:
            return self.head(self.encoder(x))
        seen = x
        if self._corruption:
            seen = x * (torch.rand_like(x) >= self._corruption)
        code = self.encoder(seen)
        self.added_loss = self._weight * functional.mse_loss(self.decoder(code), x.detach())
        return self.head(code)
