"""What a network gives for rows, without a trace on the network."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nnlab.core.device import out_of_memory
from nnlab.core.losses import LOSSES, levels_of
from nnlab.core.members import Joined
from nnlab.core.precision import as_weights
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from torch import nn

    from nnlab.core.data.target import Target

CHUNK = 8192  # rows at a time: bounds the memory, and fixes how sums are grouped, so that equal rows give equal bits


def forward(model: "nn.Module", x: np.ndarray | Tensor, device: str | torch.device, chunk: int = CHUNK) -> Tensor:
    """Outputs (n, n_out) on the device for x (n, features), in eval mode without gradients; training flags come back.

    A network may change its input in place, so it gets copies; and keep what it computes (a mask, a table of
    positions) for training, so these are no inference tensors. Where memory runs out, fewer rows are taken at a time.
    """
    rows = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
    training = [module for module in model.modules() if module.training]
    model.eval()
    chunk = min(chunk, max(len(rows), 1))
    try:
        while True:
            try:
                return _in_chunks(model, rows, device, chunk)
            except (RuntimeError, MemoryError) as error:
                if chunk == 1 or not out_of_memory(error):
                    raise
            chunk = -(-chunk // 2)
    finally:
        for module in training:
            module.training = True


def forward_of_members(model: "nn.Module", x: np.ndarray | Tensor, device: str | torch.device) -> Tensor:
    """What each member gives for x as in `forward`, (K, n, n_out); K = 1 of a network that is one alone."""
    if isinstance(model, Joined):
        return forward(model.network, x, device).transpose(0, 1)
    return forward(model, x, device).unsqueeze(0)


@torch.no_grad()
def _in_chunks(model: "nn.Module", rows: Tensor, device: str | torch.device, chunk: int) -> Tensor:
    places = range(0, max(len(rows), 1), chunk)
    parts = (as_weights(rows[at : at + chunk], model).to(device, copy=True) for at in places)
    outputs = [as_columns(model(part)) for part in parts]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def as_columns(output: Tensor) -> Tensor:
    """A network of one output may leave out its column."""
    return output.unsqueeze(1) if output.ndim == 1 else output


def points(output: Tensor, loss: Part, task: str) -> Tensor:
    """The predictions (n, 1) in outputs of a regression, in units of the scaled target; outputs of classes as they are.

    The first output, or exp of it where the loss learns a log rate; all where it learns quantiles, whose first is the
    prediction.
    """
    if task != "regression" or levels_of(loss):
        return output
    first = output[:, :1]
    return first.exp() if LOSSES[loss.name].facts.get("rate") else first


def measurable(output: Tensor, y: np.ndarray, target: "Target") -> tuple[Tensor, Tensor]:
    """Outputs and truth as metrics take them: logits (n, classes) and codes, or numbers (n, k), (n,) in own units."""
    if target.classes:
        return output, torch.from_numpy(y)
    values, truth = (torch.from_numpy(np.asarray(target.decode(one), np.float64)) for one in (output.numpy(), y))
    return values, truth
