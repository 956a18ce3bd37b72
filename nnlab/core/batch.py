"""The rows of one training step, as techniques see and change them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from nnlab.core.losses import Loss


ROWS = ("y", "weight", "other", "other_weight")  # fields with one entry a row, besides x


@dataclass(frozen=True, eq=False)
class Batch:
    """x: (n, features). y: (n,) codes or scaled values. weight: (n,) or None. codes: bool (features,), columns
    that hold codes for an embedding, which are numbers without an order; None where there are none.

    other: a second target of each row, other_weight: its weight; the first target counts by share. part: share of a
    step's rows that these are, for terms that are means over rows; of: shares that the losses of both targets have in
    those of the whole step, None for all of it.
    """

    x: "Tensor"
    y: "Tensor"
    weight: "Tensor | None" = None
    codes: "Tensor | None" = None
    other: "Tensor | None" = None
    other_weight: "Tensor | None" = None
    share: float = 1.0
    part: float = 1.0
    of: "tuple[Tensor | float, Tensor | float] | None" = None

    def loss(self, output: "Tensor", loss: "Loss") -> "Tensor":
        """The loss of outputs for these rows, of both targets by their share.

        output: (rows, n_out), or (rows, members, n_out): the mean over members.
        """
        if output.ndim == 3:
            return self._repeated(output.shape[1]).loss(output.flatten(0, 1), loss)
        own = loss(output, self.y) if self.weight is None else loss(output, self.y, self.weight)
        if self.of is not None:
            own = (own * self.of[0]).to(own.dtype)
        if self.other is None:
            return own
        more = () if self.other_weight is None else (self.other_weight,)
        second = loss(output, self.other, *more)
        return self.share * own + (1.0 - self.share) * (
            second if self.of is None else (second * self.of[1]).to(own.dtype)
        )

    def _repeated(self, times: int) -> "Batch":
        """Targets and weights of each row that many times."""
        names = [name for name in ROWS if getattr(self, name) is not None]
        return replace(self, **{name: getattr(self, name).repeat_interleave(times) for name in names})


@dataclass(frozen=True, eq=False)
class Pass:
    """A forward pass in training: what a further term of the loss can look at. forward: x -> outputs (n, n_out)."""

    batch: Batch
    output: "Tensor"
    value: "Tensor"
    forward: "Callable[[Tensor], Tensor]"
    criterion: "Loss"

    def loss_at(self, x: "Tensor") -> "Tensor":
        """The loss of the same rows with other features."""
        return self.batch.loss(self.forward(x), self.criterion)

    @property
    def classes(self) -> bool:
        """Whether the outputs are logits."""
        return not self.batch.y.is_floating_point()


def pieces_of(batch: Batch, count: int, loss: "Loss") -> "Iterator[Batch]":
    """The rows in so many pieces of nearly equal size; the losses of all add up to that of the batch."""
    rows, low = len(batch.x), 0
    whole = mass_of(loss, batch.y, batch.weight)
    others = None if batch.other is None else mass_of(loss, batch.other, batch.other_weight)
    for x in batch.x.tensor_split(min(count, rows)):
        here = slice(low, low + len(x))
        low += len(x)
        own = {name: tensor[here] for name in ROWS if (tensor := getattr(batch, name)) is not None}
        piece = replace(batch, x=x, part=len(x) / rows, **own)
        first = mass_of(loss, piece.y, piece.weight) / whole
        second = 1.0 if others is None else mass_of(loss, piece.other, piece.other_weight) / others
        yield replace(piece, of=(first, second))


def mass_of(loss: "Loss", y: "Tensor | None", weight: "Tensor | None") -> "Tensor | float":
    """What the mean of a loss divides by."""
    if weight is not None:
        return weight.sum().clamp(min=1e-12)
    own = getattr(loss, "mass", None)
    return own(y) if own is not None else len(y)  # type: ignore[arg-type]


def inputs_only(x: "Tensor", codes: "Tensor | None") -> "Tensor":
    """A change of the features that leaves codes alone."""
    return x if codes is None else x.masked_fill(codes, 0.0)
