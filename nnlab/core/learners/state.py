"""What a network holds besides its weights: values of its layers that change while a run lives."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def dropouts(model: nn.Module) -> list[Any]:
    """The layers whose share can be changed while a run lives."""
    return [m for m in model.modules() if isinstance(m, DROPOUTS) and not getattr(m, "fixed", False)]


def set_dropout(model: nn.Module, share: float) -> float:
    """Another share of dropout in all of these layers; gives the old one. Nothing changes where there is none."""
    layers = dropouts(model)
    old = float(layers[0].p) if layers else share
    for layer in layers:
        layer.p = share
    return old


def network_state(model: nn.Module) -> dict[str, Any]:
    """Weights, all buffers, also those that are not saved with weights, and shares of dropout."""
    weights = model.state_dict()
    hidden = {name: buffer for name, buffer in model.named_buffers() if name not in weights}
    return {"weights": weights, "hidden": hidden, "dropout": [layer.p for layer in dropouts(model)]}


@torch.no_grad()
def load_network(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Take back what `network_state` gave."""
    model.load_state_dict(state["weights"])
    buffers: dict[str, Tensor] = dict(model.named_buffers())
    for name, value in state["hidden"].items():
        if name in buffers and buffers[name].shape == value.shape:  # one made by a first pass comes back by itself
            buffers[name].copy_(value)
    for layer, share in zip(dropouts(model), state["dropout"], strict=True):
        layer.p = share
