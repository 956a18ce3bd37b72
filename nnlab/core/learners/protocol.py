"""What the loop asks of a learner."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class Learner(Protocol):
    """Holds the network, its optimizer and the data on the device; the loop decides when and with which step size.

    Nothing but `take_loss` and `measure` may wait for the device. why: what of the run another learner cannot do.
    draws: whether steps take numbers from the global generators.
    """

    name: str
    why: str
    draws: bool
    device: str
    parameters: int

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""

    def step(self, rows: Tensor, lr: float) -> None:
        """One step on the training rows with these numbers."""

    def steps(self, batches: Sequence[Tensor], lrs: Sequence[float]) -> None:
        """One step after the other, with the rows and the step size of each: the same bits as by `step`."""

    def take_notes(self) -> list[str]:
        """What the user should know of the steps since the last call."""

    def take_loss(self) -> float:
        """Mean training loss over the rows seen since the last call; nan if there were none."""

    def outputs_of_members(self) -> Tensor:
        """What each member that goes on gives for the validation rows, (K, n, n_out); K = 1 of a network that is one
        alone."""

    def measure(self, outputs: Tensor, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """The loss and every metric, or these, of what some members give for the validation rows, together."""

    def change(self, name: str, value: float) -> float:
        """Set weight_decay, dropout, label_smoothing or the amount of an augmentation from the next step on, of those
        that the run has; gives the old value."""

    def snapshot(self) -> Mapping[str, Tensor]:
        """A copy of weights and buffers."""

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights and buffers back from a snapshot."""

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, in plain values and tensors; the tensors are the learner's own, no copies."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, in a learner of the same spec and data."""


class Ensemble(Learner, Protocol):
    """A learner whose network has members."""

    def keep(self, members: Sequence[int]) -> None:
        """Only these go on to learn, with the bits that they would have beside the others: what those have is not asked
        for again until all come back with `restore`."""
