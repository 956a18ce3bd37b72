"""What is put around an optimizer, in the order in which it is given."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.optimizers.registry import WRAPPERS
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer


@WRAPPERS.add(closure=True)
def sam(
    optimizer: "Optimizer",
    rho: Annotated[float, Within(0.0, 10.0, search=(0.01, 0.5)), "how far uphill the gradient is taken; SAM"] = 0.05,
) -> "Optimizer":
    """The gradient where the loss is worst near the weights; two passes a step (Foret et al. 2021)."""
    from nnlab.core.stepping.wrappers import SAM

    return SAM(optimizer, rho)


@WRAPPERS.add
def lookahead(
    optimizer: "Optimizer",
    every: Annotated[int, Within(0, 1000, search=(3, 20)), "steps between two looks back; Lookahead"] = 5,
    share: Annotated[float, Within(0.0, 1.0, search=(0.2, 0.8)), "how far the slow weights follow"] = 0.5,
) -> "Optimizer":
    """Slow weights that follow the fast ones every few steps (Zhang et al. 2019)."""
    from nnlab.core.stepping.wrappers import Lookahead

    return Lookahead(optimizer, every, share)
