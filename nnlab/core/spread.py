"""How far the members of an ensemble are apart: what they are unsure of, beside the mean that is predicted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.errors import RunError
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nnlab.core.data.prepare import Rows
    from nnlab.core.data.target import Target


def spread_of_predictions(model: "nn.Module", x: np.ndarray, target: "Target", device: str, loss: Part) -> np.ndarray:
    """Standard deviation over members: of probabilities (n, classes), or of predictions (n,) in the target's units.

    RunError for a network that is one alone.
    """
    from nnlab.core.predict import forward_of_members, points

    outputs = forward_of_members(model, x, device).cpu()
    if len(outputs) == 1:
        raise RunError("this run has no members that could differ; train with --model packed, or realmlp --members 4")
    if target.classes:
        return np.asarray(outputs.double().softmax(-1).std(0).numpy())
    predicted = [target.decode(points(output, loss, target.task)[:, 0].numpy()) for output in outputs]
    return np.asarray(np.std(predicted, axis=0, ddof=1))


def spread_of_metrics(
    outputs: "Tensor", rows: "Rows", target: "Target", loss: Part, metrics: Sequence[str]
) -> dict[str, float]:
    """Standard deviation over members of each metric, as each alone would score; {} for a network that is one alone.

    outputs: of the members, (K, n, n_out), on the CPU."""
    import torch

    from nnlab.core.losses import levels_of
    from nnlab.core.metrics import measure
    from nnlab.core.predict import points

    if len(outputs) == 1:
        return {}
    truth = torch.from_numpy(rows.y if target.classes else np.asarray(target.decode(rows.y), np.float64))
    found: dict[str, list[float]] = {name: [] for name in metrics}
    for output in outputs:
        if not target.classes:
            values = target.decode(points(output, loss, target.task).numpy())
            output = torch.from_numpy(np.asarray(values, np.float64))
        for name, value in measure(tuple(metrics), output, truth, levels_of(loss)).items():
            found[name].append(value)
    return {name: float(np.std(values, ddof=1)) for name, values in found.items()}
