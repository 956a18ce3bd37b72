"""Where the numbers of a stack lie: weights of all members in one flat buffer, activations in room that is kept.

Every part begins and ends at a multiple of a vector, so that elementwise kernels never take their path for leftovers,
which may round otherwise: a member has the same bits whatever stands beside it.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

VECTOR = 64  # numbers: twice the widest vector of float32, which is what torch's loops take at a time


def padded(count: int) -> int:
    """The next multiple of a vector."""
    return -(-count // VECTOR) * VECTOR


@dataclass(frozen=True)
class Group:
    """Parameters that are stepped alike, from start to stop in the flat buffer. factor: on the step size, one for each
    member where they differ."""

    start: int
    stop: int
    decays: bool
    factor: float | tuple[float, ...] = 1.0

    def factor_of(self, member: int) -> float:
        """A member's factor."""
        return self.factor[member] if isinstance(self.factor, tuple) else self.factor


Groups = Sequence[tuple[Sequence[str], bool, float | tuple[float, ...]]]


class Flat:
    """Weights, gradients and moments of K modules of one shape; the modules' parameters become views of it.

    A parameter of shape s is (K, *s), its members one behind the other. Groups are contiguous. joint: the parameters of
    a module have a first dimension for members, of which there may be several in one; K is the number of all. turned:
    matrices that lie column by column. of: as many losses the mean is of that a module learns, those of members that
    have left it too.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        groups: Groups,
        joint: bool = False,
        turned: Collection[str] = (),
        of: int | None = None,
    ) -> None:
        given = {name: [weight] for name, weight in modules[0].named_parameters()}
        for module in modules[1:]:
            for name, weight in module.named_parameters():
                given[name].append(weight)
        some = next(iter(given.values()))[0]
        self._turned = turned
        self.joint, self.in_module = joint, some.shape[0] if joint else 1
        self.members = len(modules) * self.in_module
        self.mean_of = of or self.in_module
        first = {name: weights[0][0] if joint else weights[0] for name, weights in given.items()}
        self._places: dict[str, tuple[int, int, torch.Size]] = {}
        self.groups: list[Group] = []
        at = 0
        for names, decays, factor in groups:
            start = at
            for name in names:
                size = padded(first[name].numel())
                self._places[name] = (at, size, first[name].shape)
                at += size * self.members
            self.groups.append(Group(start, at, decays, factor))
        self.values = torch.zeros(at, dtype=some.dtype, device=some.device)
        self.gradients = torch.zeros_like(self.values)
        for name, weights in given.items():
            for own, weight in zip(self.views(self.values, name), weights, strict=True):
                own.copy_(weight.data)
                weight.data = own

    def views(self, buffer: Tensor, name: str) -> Sequence[Tensor]:
        """What the parameter of each module is in a buffer of this layout."""
        whole = self.of(buffer, name)
        return torch.split(whole, self.in_module) if self.joint else whole.unbind(0)

    def like(self) -> Tensor:
        """Another buffer of this layout, of zeros: moments, an average."""
        return torch.zeros_like(self.values)

    def of(self, buffer: Tensor, name: str) -> Tensor:
        """A parameter in a buffer of this layout, (K, *shape)."""
        start, size, shape = self._places[name]
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if name in self._turned:
            strides = [1, shape[0]]
        return buffer.as_strided((self.members, *shape), (size, *strides), start)

    def parts(self, buffer: Tensor, group: Group, member: int) -> list[Tensor]:
        """What a member has in a group, padding included."""
        return [buffer.narrow(0, start, size) for start, size in self.places(group, member)]

    def places(self, group: Group, member: int) -> list[tuple[int, int]]:
        """Start and size of that."""
        return [
            (start + member * size, size)
            for start, size, _ in self._places.values()
            if group.start <= start < group.stop
        ]

    def scale(self, buffer: Tensor, factors: Sequence[Tensor | float]) -> None:
        """Multiply all that a member has in a buffer of this layout by its factor; one factor: that of all."""
        if len(factors) == 1:
            buffer.mul_(factors[0])
            return
        for group in self.groups:
            for member, factor in enumerate(factors):
                for part in self.parts(buffer, group, member):
                    part.mul_(factor)

    @property
    def names(self) -> list[str]:
        """Parameters by their names in the modules."""
        return list(self._places)


class Room:
    """Memory of activations, taken in the same order for each batch size and used again."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._kept: list[Tensor] = []
        self._next = 0
        self.grew = False

    def begin(self) -> None:
        """Take from the start again; what was taken before is overwritten."""
        self._next, self.grew = 0, False

    def take(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of the shape, with whole vectors of memory behind it."""
        size = padded(math.prod(shape))
        if self._next == len(self._kept):
            self._kept.append(self._like.new_zeros(size, dtype=dtype))
        elif self._kept[self._next].numel() < size:
            self._kept[self._next] = self._like.new_zeros(size, dtype=dtype)
            self.grew = True
        found = self._kept[self._next]
        self._next += 1
        return found[: math.prod(shape)].view(shape)

    def take_members(self, members: int, *shape: int, apart: bool) -> Tensor:
        """A tensor (K, *shape). apart: each member's part begins at a whole vector."""
        if not apart:
            return self.take(members, *shape)
        return by_member(self.take(members * padded(math.prod(shape))), members, shape)


def by_member(memory: Tensor, members: int, shape: Sequence[int]) -> Tensor:
    """A row of vectors as (members, *shape), each member's part at a whole vector."""
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return memory.as_strided((members, *shape), (padded(math.prod(shape)), *strides))


def whole(tensor: Tensor) -> Tensor:
    """A tensor of a Room as one row of whole vectors, for kernels that round leftovers otherwise."""
    size = padded(tensor.numel()) if tensor.is_contiguous() else tensor.shape[0] * tensor.stride(0)
    return tensor.as_strided((size,), (1,))
