"""Numbers as learned vectors: layers that map (rows, numbers) to (rows, numbers, width).

With members, several networks side by side, each has an embedding of its own: (rows, members, numbers, width).
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BOUNDLESS = 1e30  # an infinity that an average of weights can hold


class NumericEmbedding(nn.Module):
    """A vector of `width` for each of some numbers. lead: the shape (numbers,) or (members, numbers) of the weights."""

    role = "embedding"
    undecayed = True

    def __init__(self, lead: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lead, self.width = lead, width

    def fit(self, x: Tensor) -> None:
        """Take what is needed from training rows (rows, numbers)."""

    def _over(self, x: Tensor) -> Tensor:
        """(rows, numbers) -> (rows, 1, numbers, 1) or (rows, numbers, 1), so that weights of shape lead apply."""
        return (x.unsqueeze(1) if len(self.lead) > 1 else x).unsqueeze(-1)


class Periodic(NumericEmbedding):
    """linear(cos(2 pi w x), sin(2 pi w x)), then ReLU where wanted: PL and PLR (Gorishniy et al. 2022)."""

    def __init__(self, lead: tuple[int, ...], width: int, frequencies: int, sigma: float, relu: bool) -> None:
        super().__init__(lead, width)
        self.frequency = nn.Parameter(torch.randn(*lead, frequencies) * sigma)
        self.linear = EachLinear(lead, 2 * frequencies, width)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, numbers) -> (rows, *lead, width)."""
        angle = 2.0 * math.pi * self.frequency * self._over(x)
        out = self.linear(torch.cat([angle.cos(), angle.sin()], -1))
        return functional.relu(out) if self.relu else out


class PeriodicBiased(NumericEmbedding):
    """linear(cos(2 pi w x + b)) with x itself beside it: PBLD (RealMLP; Holzmüller et al. 2024)."""

    def __init__(self, lead: tuple[int, ...], width: int, frequencies: int, sigma: float) -> None:
        super().__init__(lead, width)
        self.frequency = nn.Parameter(torch.randn(*lead, frequencies) * sigma)
        self.phase = nn.Parameter(torch.empty(*lead, frequencies).uniform_(-math.pi, math.pi))
        self.linear = EachLinear(lead, frequencies, width - 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, numbers) -> (rows, *lead, width)."""
        over = self._over(x)
        waves = torch.cos(torch.addcmul(self.phase, self.frequency, over, value=2.0 * math.pi))
        return torch.cat([self.linear(waves), over.expand(*waves.shape[:-1], 1)], -1)


class PiecewiseLinear(NumericEmbedding):
    """linear(x) + V e(x), e: how far x has come through each bin, bins by quantiles of the training rows.

    Gorishniy et al. 2022 (PLE), as TabM has it: V begins as 0, no activation (Gorishniy et al. 2025).
    """

    def __init__(self, lead: tuple[int, ...], width: int, bins: int) -> None:
        super().__init__(lead, width)
        bound = width**-0.5
        self.slope = nn.Parameter(torch.empty(*lead, width).uniform_(-bound, bound))
        self.shift = nn.Parameter(torch.empty(*lead, width).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.zeros(*lead, bins, width))
        numbers = lead[-1]
        self.register_buffer("low", torch.zeros(numbers, bins))
        self.register_buffer("inverse", torch.zeros(numbers, bins))
        self.register_buffer("least", torch.zeros(numbers, bins))
        self.register_buffer("most", torch.zeros(numbers, bins))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Bins from quantiles of rows (rows, numbers). Equal quantiles are one edge; what is left over stays empty."""
        low, inverse, least, most = (self.get_buffer(name) for name in ("low", "inverse", "least", "most"))
        bins = low.shape[1]
        for place, column in enumerate(x.double().cpu().numpy().T):
            edges = np.unique(np.quantile(column, np.linspace(0.0, 1.0, bins + 1)))
            edges = edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])
            count = len(edges) - 1
            low[place, :count] = torch.from_numpy(edges[:-1]).to(low)
            inverse[place, :count] = torch.from_numpy(1.0 / np.maximum(np.diff(edges), 1e-12)).to(low)
            most[place, :count] = 1.0
            least[place, 0], most[place, count - 1] = -BOUNDLESS, BOUNDLESS

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, numbers) -> (rows, *lead, width)."""
        low, inverse, least, most = (self.get_buffer(name) for name in ("low", "inverse", "least", "most"))
        done = torch.minimum(torch.maximum((x.unsqueeze(-1) - low) * inverse, least), most)
        plain = torch.addcmul(self.shift, self.slope, self._over(x))
        return plain + torch.einsum("rnb,...nbw->r...nw", done, self.weight)


class EachLinear(nn.Module):
    """A linear layer of its own for each number (and member). lead: (numbers,) or (members, numbers)."""

    undecayed = True

    def __init__(self, lead: tuple[int, ...], n_in: int, n_out: int) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.weight = nn.Parameter(torch.empty(*lead, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(*lead, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, *lead, n_in) -> (rows, *lead, n_out)."""
        *_, n_in, n_out = self.weight.shape
        weight = self.weight.flatten(0, -3)  # a copy where members do not lie one behind the other
        out = torch.bmm(x.reshape(len(x), -1, n_in).transpose(0, 1), weight).transpose(0, 1)
        return out.reshape(*x.shape[:-1], n_out) + self.bias
