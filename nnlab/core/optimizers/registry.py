"""The registry of optimizers and of what is put around them, with the ranges that they share.

An optimizer is called with torch parameter groups and its values, and gives a torch.optim.Optimizer that keeps all it
needs in state_dict. Groups that must not decay have "decays": False; "head" is the place of the last layer's matrix
among the params of its group. Facts: closure=True where a step evaluates the
loss several times, full_batch=True where it needs all rows at once. A wrapper is called with an optimizer and values.
Files that register import torch inside their functions; classes with an update of their own are in nnlab.core.stepping.
"""

from typing import Any

from nnlab.core.params import Within
from nnlab.core.registry import Registry

OPTIMIZERS = Registry("optimizer")
WRAPPERS = Registry("optimizer wrapper")

Groups = list[dict[str, Any]]
AdaptiveLr = Within(1e-8, 10.0, log=True, search=(3e-4, 3e-2))
SgdLr = Within(1e-8, 100.0, log=True, search=(1e-3, 1.0))
Decay = Within(0.0, 10.0, search=(0.0, 0.3), least=1e-6)
Beta = Within(0.0, 0.99999, search=(0.8, 0.999))
Eps = Within(1e-16, 1.0, log=True, search=(1e-9, 1e-5))
Momentum = Within(0.0, 0.9999, search=(0.5, 0.99))


def has_fused(groups: Groups) -> bool:
    """torch's fused step exists for floating tensors on cpu, cuda and mps; elsewhere its default is used."""
    weights = [weight for group in groups for weight in group["params"]]
    return all(weight.is_floating_point() and weight.device.type in ("cpu", "cuda", "mps") for weight in weights)
