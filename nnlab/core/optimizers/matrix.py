"""Steps that see a weight as a matrix: orthogonal ones, and Adam in a rotated basis."""

from typing import TYPE_CHECKING, Annotated

from nnlab.core.optimizers.registry import OPTIMIZERS, AdaptiveLr, Beta, Decay, Eps, Groups, Momentum, has_fused
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch.optim import Optimizer


@OPTIMIZERS.add
def muon(
    groups: Groups,
    lr: Annotated[
        float, AdaptiveLr, "step size at the peak of the schedule, the same for both kinds of weights"
    ] = 3e-3,
    momentum: Annotated[float, Momentum, "share of the last step that is kept, Nesterov's"] = 0.95,
    beta1: Annotated[float, Beta, "of AdamW: decay of the mean of the gradient"] = 0.9,
    beta2: Annotated[float, Beta, "of AdamW: decay of the mean of its square"] = 0.999,
    eps: Annotated[float, Eps, "of AdamW: added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.1,
) -> "Optimizer":
    """Orthogonalized momentum for hidden matrices, AdamW for all else (torch.optim.Muon; Jordan 2024).

    Updates are scaled to the size of AdamW's (Liu et al. 2025), so that one step size serves both. The last layer and
    embeddings are AdamW's.
    """
    from torch.optim import AdamW, Muon

    from nnlab.core.stepping.together import Together

    matrices = [weight for group in groups if group.get("decays", True) for weight in group["params"]]
    matrices = [weight for weight in matrices if weight.ndim == 2]
    heads = [group["params"][group["head"]] for group in groups if "head" in group] or matrices[-1:]
    matrices = [weight for weight in matrices if all(weight is not head for head in heads)]
    groups = [{key: value for key, value in group.items() if key != "head"} for group in groups]  # no place in a part
    hidden = {id(weight) for weight in matrices}
    rest = [group | {"params": [w for w in group["params"] if id(w) not in hidden]} for group in groups]
    rest = [group for group in rest if group["params"]]
    fused = has_fused(groups)
    others = AdamW(rest, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=fused)
    if not matrices:
        return others
    own = [group | {"params": [w for w in group["params"] if id(w) in hidden]} for group in groups]
    own = [group for group in own if group["params"]]
    first = Muon(own, lr=lr, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
    return Together([first, others])


@OPTIMIZERS.add
def soap(
    groups: Groups,
    lr: Annotated[float, AdaptiveLr, "step size at the peak of the schedule"] = 3e-3,
    beta1: Annotated[float, Beta, "decay of the mean of the gradient"] = 0.95,
    beta2: Annotated[float, Beta, "decay of the mean squares and of the preconditioner"] = 0.95,
    every: Annotated[int, Within(1, 10_000, log=True, search=(1, 100)), "steps between two new bases"] = 10,
    largest: Annotated[int, Within(0, 65_536), "sides above this are not preconditioned"] = 1024,
    eps: Annotated[float, Eps, "added to the divisor"] = 1e-8,
    weight_decay: Annotated[float, Decay, "share of the weights taken off, times the step size"] = 0.01,
) -> "Optimizer":
    """Adam in the eigenbasis of Shampoo's Kronecker factors, a second-order method (Vyas et al. 2024)."""
    from nnlab.core.stepping.soap import SOAP

    return SOAP(groups, lr, (beta1, beta2), every, largest, eps, weight_decay)
