"""Penalties on the weights, one decorated function each, applied in place after every step.

weights: the tensors that may shrink (no biases, no norms). lr: the step size of that step.
"""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

REGULARIZERS = Registry("regularizer")


@REGULARIZERS.add
def l1(
    weights: "list[Tensor]",
    lr: float,
    strength: Annotated[float, Within(0.0, 100.0, search=(0.0, 0.01)), "weight of the sum of |w| (lasso)"] = 1e-4,
) -> None:
    """Proximal step of the L1 penalty, w = sign(w) max(|w| - lr strength, 0): exact zeros (Parikh & Boyd 2014)."""
    from torch.nn.functional import softshrink

    for weight in weights:
        weight.copy_(softshrink(weight, lr * strength))
