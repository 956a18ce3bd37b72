"""Changes of the rows of a step, one decorated function each: fn(batch, **values) -> Batch; training only.

The first value is how much there is of it; 0 is off. Random numbers are those of the run. Facts: mixes=True for those
that give rows a second target.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from nnlab.core.batch import Batch, inputs_only
from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

AUGMENTS = Registry("augmentation")


@AUGMENTS.add(mixes=True)
def mixup(
    batch: Batch,
    alpha: Annotated[float, Within(0.0, 10.0, search=(0.05, 1.0)), "of Beta(alpha, alpha), the shares; mixup"] = 0.2,
) -> Batch:
    """Rows are mixed with others, targets too (Zhang et al. 2018). A code is that of the larger share."""
    import numpy as np
    import torch

    share = float(np.random.beta(alpha, alpha))
    order = torch.randperm(len(batch.x), device=batch.x.device)
    x = torch.lerp(batch.x[order], batch.x, share)
    if batch.codes is not None:
        x = torch.where(batch.codes, batch.x if share >= 0.5 else batch.x[order], x)
    return _mixed(batch, x, order, share)


@AUGMENTS.add(mixes=True)
def cutmix(
    batch: Batch,
    alpha: Annotated[float, Within(0.0, 10.0, search=(0.05, 1.0)), "of Beta(alpha, alpha), the shares; CutMix"] = 0.2,
) -> Batch:
    """Some columns of each row come from another row, targets by their share (Yun et al. 2019, for columns)."""
    import numpy as np
    import torch

    own = torch.rand(batch.x.shape[1], device=batch.x.device) < float(np.random.beta(alpha, alpha))
    order = torch.randperm(len(batch.x), device=batch.x.device)
    return _mixed(batch, torch.where(own, batch.x, batch.x[order]), order, float(own.float().mean()))


@AUGMENTS.add
def input_noise(
    batch: Batch,
    std: Annotated[float, Within(0.0, 10.0, search=(0.01, 0.3)), "deviation of normal noise on the features"] = 0.1,
) -> Batch:
    """Normal noise on all features but codes (Bishop 1995)."""
    import torch

    return replace(batch, x=batch.x + inputs_only(torch.randn_like(batch.x), batch.codes) * std)


@AUGMENTS.add
def swap_noise(
    batch: Batch,
    share: Annotated[float, Within(0.0, 1.0, search=(0.02, 0.3)), "share of cells from another row of the batch"] = 0.1,
) -> Batch:
    """Cells are swapped for those of another row, so that every column keeps its distribution (Jahrer 2017)."""
    import torch

    rows = torch.randint(len(batch.x), batch.x.shape, device=batch.x.device)
    swapped = torch.rand(batch.x.shape, device=batch.x.device) < share
    return replace(batch, x=torch.where(swapped, batch.x.gather(0, rows), batch.x))


def augmented(batch: Batch, parts: Sequence[Part]) -> Batch:
    """The rows of a step after these augmentations. Of several that mix rows, one is drawn for each step."""
    mixing = [part for part in parts if AUGMENTS[part.name].facts.get("mixes")]
    if len(mixing) > 1:
        import torch

        taken = mixing[int(torch.randint(len(mixing), ()))]
        parts = [part for part in parts if part not in mixing or part is taken]
    for part in parts:
        batch = AUGMENTS[part.name].make(batch, **part.values)
    return batch


def _mixed(batch: Batch, x: "object", order: "object", share: float) -> Batch:
    weight = None if batch.weight is None else batch.weight[order]  # type: ignore[index]
    return replace(batch, x=x, other=batch.y[order], other_weight=weight, share=share)  # type: ignore[arg-type,index]
