"""Several networks side by side in one, trained in one pass: their layers, and how their outputs become one.

The convention: in training such a network gives (rows, members, n_out), each member's output for each row, and the loss
is the mean over members (`Batch.loss`). In eval mode it gives (rows, n_out), as every network does: `Joined`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

How = Literal["probabilities", "rates", "outputs"]


class Joined(nn.Module):
    """A network of members that is one network in eval mode, by the mean of what the members predict."""

    def __init__(self, network: nn.Module, how: How) -> None:
        super().__init__()
        self.network, self._how = network, how

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, n_in) -> (rows, members, n_out) in training, else (rows, n_out)."""
        output: Tensor = self.network(x)
        return output if self.training else self.joined(output)

    def joined(self, output: Tensor) -> Tensor:
        """What members' outputs (rows, members, n_out) mean together: (rows, n_out)."""
        return joined(output, self._how)


def together(model: nn.Module, outputs: Tensor) -> Tensor:
    """The outputs (n, n_out) of a network whose members give (K, n, n_out), K = 1 of one that is one alone."""
    return model.joined(outputs.transpose(0, 1)) if isinstance(model, Joined) else outputs[0]


def joined(output: Tensor, how: How) -> Tensor:
    """The outputs (rows, n_out) that mean members' (rows, members, n_out).

    probabilities: logits whose softmax is the mean of the members'. rates: the log of the mean of exp. Else the mean.
    """
    if how == "outputs":
        return output.mean(1)
    logs = output.log_softmax(-1) if how == "probabilities" else output
    return logs.logsumexp(1) - math.log(output.shape[1])


def rows_of(values: Tensor, like: Tensor, chosen: Sequence[int]) -> Tensor:
    """Of (members, ...) those of the chosen ones, which have the shape of `like`; what has it already is shared."""
    return values if values.shape == like.shape else values[list(chosen)]


@torch.no_grad()
def take_members(part: nn.Module, whole: nn.Module, chosen: Sequence[int]) -> None:
    """Let a network of some of the members hold what they have in the whole one; what all share is copied too."""
    for mine, theirs in _pairs(part, whole):
        mine.copy_(rows_of(theirs, mine, chosen))


@torch.no_grad()
def give_members(part: nn.Module, whole: nn.Module, chosen: Sequence[int]) -> None:
    """The way back."""
    for mine, theirs in _pairs(part, whole):
        if mine.shape == theirs.shape:
            theirs.copy_(mine)
        else:
            theirs[list(chosen)] = mine


def _pairs(part: nn.Module, whole: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights and buffers of the same name."""
    mine, theirs = ({**dict(one.named_parameters()), **dict(one.named_buffers())} for one in (part, whole))
    return ((mine[name], theirs[name]) for name in mine)


class MemberLinear(nn.Module):
    """A linear layer of its own for each member. ntk: x W / sqrt(n_in) + b, W and b of N(0, 1) (Jacot et al. 2018)."""

    def __init__(self, members: int, n_in: int, n_out: int, ntk: bool = False) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.ntk, self._scale = ntk, bound if ntk else 1.0
        weight, bias = torch.empty(members, n_out, n_in), torch.empty(members, n_out)
        self.weight = nn.Parameter(weight.normal_() if ntk else weight.uniform_(-bound, bound))
        self.bias = nn.Parameter(bias.normal_() if ntk else bias.uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, members, n_in), or (rows, n_in) for all alike -> (rows, members, n_out)."""
        members, n_out, _ = self.weight.shape
        if x.ndim == 2:
            bias, weight = self.bias.flatten(), self.weight.flatten(0, 1)  # copies where there are gaps between members
            return torch.addmm(bias, x, weight.T, alpha=self._scale).view(len(x), members, n_out)
        bias, weight = self.bias.unsqueeze(1), self.weight.transpose(1, 2)
        return torch.baddbmm(bias, x.transpose(0, 1), weight, alpha=self._scale).transpose(0, 1)


class SharedLinear(nn.Linear):
    """One matrix for all members, with own scales in front and behind: s * (W (r * x)) + b (Wen et al. 2020).

    r, s, b: (members, width). r and s begin as 1, b the same for all.
    """

    undecayed = ("r", "s")

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.r = nn.Parameter(torch.ones(members, n_in))
        self.s = nn.Parameter(torch.ones(members, n_out))
        self.bias = nn.Parameter(self.bias.detach().repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, members, n_in) -> (rows, members, n_out)."""
        return torch.addcmul(self.bias, functional.linear(x * self.r, self.weight), self.s)


class Scale(nn.Module):
    """A learned factor for each unit, so that features that matter can be made larger."""

    role = "scale"
    undecayed = True

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., *shape of the start); the same."""
        return x * self.weight


class Spread(nn.Module):
    """(rows, width) -> (rows, members, width), the same for all; what has members already stays."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self._members = members

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows, width) or (rows, members, width)."""
        return x if x.ndim == 3 else x.unsqueeze(1).expand(-1, self._members, -1)


def first_scales(members: int, widths: list[int], signs: bool) -> Tensor:
    """TabM's only difference between members at first, (members, inputs): a factor for each column and its values.

    widths: how many values each column has. signs: -1 or 1, else N(0, 1), which suits embedded numbers.
    """
    drawn = torch.randint(2, (members, len(widths))) * 2.0 - 1.0 if signs else torch.randn(members, len(widths))
    return drawn.repeat_interleave(torch.tensor(widths), 1)
