"""The rows of one training step, as techniques see and change them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nnlab.core.losses import Loss


@dataclass(frozen=True, eq=False)
class Batch:
    """x: (n, features). y: (n,) codes or scaled values. weight: (n,) or None. codes: bool (features,), columns
    that hold codes for an embedding, which are numbers without an order; None where there are none.

    other: a second target of each row, other_weight: its weight; the first target counts by share.
    """

    x: "Tensor"
    y: "Tensor"
    weight: "Tensor | None" = None
    codes: "Tensor | None" = None
    other: "Tensor | None" = None
    other_weight: "Tensor | None" = None
    share: float = 1.0

    def loss(self, output: "Tensor", loss: "Loss") -> "Tensor":
        """The loss of outputs for these rows, of both targets by their share.

        output: (rows, n_out), or (rows, members, n_out): the mean over members.
        """
        if output.ndim == 3:
            return self._repeated(output.shape[1]).loss(output.flatten(0, 1), loss)
        own = loss(output, self.y) if self.weight is None else loss(output, self.y, self.weight)
        if self.other is None:
            return own
        more = () if self.other_weight is None else (self.other_weight,)
        return self.share * own + (1.0 - self.share) * loss(output, self.other, *more)

    def _repeated(self, times: int) -> "Batch":
        """Targets and weights of each row that many times."""
        names = [name for name in ("y", "weight", "other", "other_weight") if getattr(self, name) is not None]
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


def inputs_only(x: "Tensor", codes: "Tensor | None") -> "Tensor":
    """A change of the features that leaves codes alone."""
    return x if codes is None else x.masked_fill(codes, 0.0)


def layers_of(model: "nn.Module", *kinds: type) -> "list[nn.Module]":
    """All layers of some kinds, in order."""
    return [layer for layer in model.modules() if isinstance(layer, kinds)]
