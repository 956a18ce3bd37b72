"""The transformer over the columns of a row (Gorishniy et al. 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of some tokens to all (Vaswani et al. 2017). dropout: share of the weights that are 0."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self._heads, self._dropout = heads, dropout

    def forward(self, some: Tensor, every: Tensor) -> Tensor:
        """some: (rows, s, width), every: (rows, t, width) -> (rows, s, width)."""
        key, value = self.key_value(every).chunk(2, -1)
        query, key, value = (
            part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in (self.query(some), key, value)
        )
        dropout = self._dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed(norm(x)). first: its own norm in front of the attention is left out.

    The last block of a network reads all tokens but gives the first alone, from which the prediction is made.
    """

    one_layer = True

    def __init__(
        self,
        norms: list[nn.Module],
        attention: Attention,
        feed: nn.Module,
        drops: tuple[nn.Module, nn.Module],
        last: bool,
    ) -> None:
        super().__init__()
        self.norm = norms[0]
        self.attention = attention
        self.feed_norm = norms[1]
        self.feed = feed
        self.drop, self.feed_drop = drops
        self._last = last

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, tokens, width); the same, or (rows, 1, width) of the last block."""
        normed = self.norm(x)
        some = slice(0, 1) if self._last else slice(None)
        x = x[:, some] + self.drop(self.attention(normed[:, some], normed))
        return x + self.feed_drop(self.feed(self.feed_norm(x)))


class FTTransformer(nn.Module):
    """Tokens of the columns behind a token of the row, blocks, and a head on what became of the row's token."""

    def __init__(self, tokens: nn.Module, width: int, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.tokens = tokens
        bound = width**-0.5
        self.row = RowToken(torch.empty(width).uniform_(-bound, bound))
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, n_out)."""
        x = self.row(self.tokens(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


class RowToken(nn.Module):
    """A learned token in front of those of the columns, [CLS]."""

    role = "embedding"

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, tokens, width) -> (rows, 1 + tokens, width)."""
        return torch.cat([self.weight.expand(len(x), 1, -1), x], 1)
