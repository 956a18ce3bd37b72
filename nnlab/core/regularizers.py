"""Penalties and limits on the weights, one decorated function each, applied in place after every step.

weights: the tensors that may shrink (no biases, no norms). lr: their step size in that step. Penalties are proximal
steps, so that what they make zero is exactly 0. Facts: scope="input" for those that are given the matrices of the first
layer alone and `columns`, the feature that each of its inputs comes from; zeros=True for those that make zeros.
"""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

REGULARIZERS = Registry("regularizer")
Strength = Within(0.0, 100.0, search=(0.0, 0.01), least=1e-6)
Wide = Within(0.0, 100.0, search=(0.0, 1.0))
Limit = Within(0.0, 1e6, search=(0.5, 5.0))


@REGULARIZERS.add(zeros=True)
def l1(
    weights: "list[Tensor]",
    lr: float,
    strength: Annotated[float, Strength, "weight of the sum of |w| (lasso)"] = 1e-4,
) -> None:
    """Proximal step of the L1 penalty, w = sign(w) max(|w| - lr strength, 0): exact zeros (Parikh & Boyd 2014)."""
    from torch.nn.functional import softshrink

    for weight in weights:
        weight.copy_(softshrink(weight, lr * strength))


@REGULARIZERS.add
def l2(
    weights: "list[Tensor]",
    lr: float,
    strength: Annotated[float, Strength, "weight of the sum of w^2 (ridge)"] = 1e-4,
) -> None:
    """Proximal step of the L2 penalty, w / (1 + 2 lr strength): whatever the optimizer, as for plain SGD."""
    for weight in weights:
        weight.div_(1.0 + 2.0 * lr * strength)


@REGULARIZERS.add(zeros=True)
def elastic_net(
    weights: "list[Tensor]",
    lr: float,
    strength: Annotated[float, Strength, "weight of the sum of both penalties"] = 1e-4,
    l1_share: Annotated[float, Within(0.0, 1.0), "share of the L1 penalty"] = 0.5,
) -> None:
    """Proximal step of strength (share |w| + (1 - share) w^2 / 2), as in scikit-learn (Zou & Hastie 2005)."""
    from torch.nn.functional import softshrink

    for weight in weights:
        shrunk = softshrink(weight, lr * strength * l1_share)
        weight.copy_(shrunk.div_(1.0 + lr * strength * (1.0 - l1_share)))


@REGULARIZERS.add(scope="input", zeros=True)
def group_lasso(
    weights: "list[Tensor]",
    lr: float,
    columns: "Tensor",
    strength: Annotated[float, Wide, "weight of the sum of the sizes of each feature's weights"] = 0.1,
) -> None:
    """Proximal step for all weights of a feature at once: those that do not help get 0 (Yuan & Lin 2006).

    The size of p weights is their norm times the root of p, so that wide layers and embedded features count alike.
    """
    import torch

    for weight in weights:
        counts = torch.bincount(columns) * len(weight)
        squares = weight.new_zeros(len(counts)).index_add_(0, columns, weight.square().sum(0))
        norms = squares.sqrt_().clamp_(min=1e-30)
        kept = (1.0 - lr * strength * counts.sqrt() / norms).clamp_(min=0.0)
        weight.mul_(kept.index_select(0, columns))


@REGULARIZERS.add
def max_norm(
    weights: "list[Tensor]",
    lr: float,
    limit: Annotated[float, Limit, "largest norm of the weights into a neuron"] = 3.0,
) -> None:
    """Rows of weights that are longer than the limit are cut to it (Srivastava et al. 2014)."""
    for weight in weights:
        if weight.ndim > 1:
            weight.copy_(weight.renorm(2, 0, limit))


@REGULARIZERS.add
def spectral_norm(
    weights: "list[Tensor]",
    lr: float,
    limit: Annotated[float, Limit, "largest singular value of a weight matrix"] = 1.0,
) -> None:
    """Matrices are scaled down to a largest singular value (Yoshida & Miyato 2017), found exactly."""
    import torch

    for weight in weights:
        if weight.ndim == 2:
            weight.div_((torch.linalg.matrix_norm(weight, 2) / limit).clamp(min=1.0))
