"""What stands in front of a network: vectors for numbers and categories, and columns that are left out at random."""

import torch
from torch import Tensor, nn

from nnlab.core.inputs import Inputs
from nnlab.core.layers import CategoryEmbedding
from nnlab.core.numeric import EachLinear


class Front(nn.Module):
    """Columns (rows, n_in) -> (rows, n_out): vectors of numbers, columns as they are, vectors of codes, in this order.

    members: networks side by side, each with vectors of its own -> (rows, members, n_out); None: one, without that
    dimension. widths: how many values each column has in the end. share: of columns that are left out in training.
    """

    one_layer = True

    def __init__(self, inputs: Inputs, members: int | None = None) -> None:
        super().__init__()
        self._members, self.share = members, inputs.feature_dropout
        self.plain = inputs.plain  # the columns come out as they are
        self.embedded, self.coded = inputs.embedded, bool(inputs.codes)
        if inputs.embedded:
            self.numbers = inputs.embedding(members)
            self.register_buffer("places", torch.tensor(inputs.numbers), persistent=False)
        if inputs.codes:
            codes = {len(inputs.others) + i: size for i, size in enumerate(inputs.codes.values())}
            n_in = len(inputs.others) + len(codes)
            self.codes = CategoryEmbedding(n_in, codes, members=members, dropout=inputs.embedding_dropout)
        rest = [*inputs.others, *inputs.codes]
        self.register_buffer("rest", torch.tensor(rest, dtype=torch.long), persistent=False)
        widths = [self.numbers.width] * len(inputs.numbers) if inputs.embedded else []
        widths += [1] * len(inputs.others) + (self.codes.widths if inputs.codes else [])
        self.widths, self.n_out = widths, sum(widths)
        self.register_buffer("repeats", torch.tensor(widths), persistent=False)

    def fit_rows(self, x: Tensor) -> None:
        """Let the vectors of numbers see training rows (rows, n_in)."""
        if self.embedded:
            self.numbers.fit(x.index_select(1, self.get_buffer("places")))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, n_out) or (rows, members, n_out)."""
        parts = []
        if self.embedded:
            parts.append(self.numbers(x.index_select(1, self.get_buffer("places"))).flatten(-2))
        rest = x.index_select(1, self.get_buffer("rest"))
        if self.coded:
            parts.append(self.codes(rest))
        elif rest.shape[1]:
            wide = (len(x), rest.shape[1]) if self._members is None else (len(x), self._members, rest.shape[1])
            parts.append(rest if self._members is None else rest.unsqueeze(1).expand(wide))
        out = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return self._thinned(out) if self.share and self.training else out

    def _thinned(self, x: Tensor) -> Tensor:
        """Each column of each row, all its values at once, is 0 with the chance of feature_dropout."""
        kept = torch.rand(*x.shape[:-1], len(self.widths), device=x.device) >= self.share
        scale = kept.to(x.dtype).div_(1.0 - self.share)
        return x * scale.repeat_interleave(self.get_buffer("repeats"), -1, output_size=self.n_out)


class Tokens(nn.Module):
    """Columns (rows, n_in) -> (rows, columns, width): a vector for each column, as FT-Transformer reads them.

    x w + b for numbers and flags; W e(x) + b for numbers with an embedding e; a table and b for codes.
    """

    role = "embedding"
    undecayed = True
    one_layer = True

    def __init__(self, inputs: Inputs, width: int) -> None:
        super().__init__()
        self._share = inputs.feature_dropout
        bound = width**-0.5
        self.register_buffer("others", torch.tensor(inputs.others, dtype=torch.long), persistent=False)
        self.register_buffer("code_places", torch.tensor(list(inputs.codes), dtype=torch.long), persistent=False)
        self._plain = bool(inputs.others)
        if inputs.others:
            self.weight = nn.Parameter(torch.empty(len(inputs.others), width).uniform_(-bound, bound))
            self.bias = nn.Parameter(torch.empty(len(inputs.others), width).uniform_(-bound, bound))
        self._embedded, self._codes, self._width = inputs.embedded, bool(inputs.codes), width
        if inputs.embedded:
            self.numbers = inputs.embedding()
            self.linear = EachLinear(self.numbers.lead, self.numbers.width, width)
            self.register_buffer("places", torch.tensor(inputs.numbers), persistent=False)
        if inputs.codes:
            codes = {i: (count, width) for i, (count, _) in enumerate(inputs.codes.values())}
            self.codes = CategoryEmbedding(len(codes), codes, dropout=inputs.embedding_dropout)
            with torch.no_grad():
                for table in self.codes.tables:
                    table.get_parameter("weight").mul_(bound)  # as small as the vectors of numbers
            self.code_bias = nn.Parameter(torch.empty(len(codes), width).uniform_(-bound, bound))

    def fit_rows(self, x: Tensor) -> None:
        """Let the vectors of numbers see training rows (rows, n_in)."""
        if self._embedded:
            self.numbers.fit(x.index_select(1, self.get_buffer("places")))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, columns, width)."""
        parts = []
        if self._plain:
            plain = x.index_select(1, self.get_buffer("others")).unsqueeze(-1)
            parts.append(torch.addcmul(self.bias, plain, self.weight))
        if self._embedded:
            parts.append(self.linear(self.numbers(x.index_select(1, self.get_buffer("places")))))
        if self._codes:
            codes = self.codes(x.index_select(1, self.get_buffer("code_places")))
            parts.append(codes.view(len(x), -1, self._width) + self.code_bias)
        out = torch.cat(parts, 1)
        if not (self._share and self.training):
            return out
        kept = torch.rand(*out.shape[:-1], 1, device=x.device) >= self._share
        return out * kept.to(x.dtype).div_(1.0 - self._share)
