"""Activations that are not kept for the backward pass but computed once more (Chen et al. 2016)."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from nnlab.core.errors import SpecError

Forward = Callable[..., Any]


class Recomputed:
    """Calls a network so that only the inputs of its blocks are kept: the same numbers, less memory, more time.

    Blocks are the layers with matrices of an nn.Sequential, each with what follows it, and members of nn.ModuleList;
    SpecError for a network that has none.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._blocks = list(_blocks(model))
        if not self._blocks:
            raise SpecError("checkpoint_activations: the network has no nn.Sequential or nn.ModuleList to do it by")

    def __call__(self, x: Tensor) -> Any:
        for module, forward in self._blocks:
            module.forward = forward
        try:
            return self._model(x)
        finally:
            for module, _ in self._blocks:
                del module.forward


def _blocks(module: nn.Module) -> Iterator[tuple[nn.Module, Forward]]:
    """Modules and the forward that each shall have while the network trains."""
    children = list(module.children())
    plain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    if plain and not any(_composite(child) for child in children):
        yield module, _in_segments(children)
        return
    members = isinstance(module, (nn.Sequential, nn.ModuleList))
    for child in children:
        if members and _composite(child) and not isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield child, _once_more(child.forward, child)
        else:
            yield from _blocks(child)


def _composite(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _in_segments(layers: list[nn.Module]) -> Forward:
    """The layers one after the other, each that has matrices together with those behind it."""
    segments: list[nn.Sequential] = []
    for layer in layers:
        begins = any(weight.ndim > 1 for weight in layer.parameters())
        if begins or not segments:
            segments.append(nn.Sequential())
        segments[-1].append(layer)
    steps = [_once_more(segment.forward, segment) for segment in segments]

    def forward(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return forward


def _once_more(forward: Forward, module: nn.Module) -> Forward:
    def recomputed(*args: Any, **more: Any) -> Any:
        from torch.utils.checkpoint import checkpoint

        def contexts() -> tuple[Any, Any]:
            return contextlib.nullcontext(), still_norms(module)

        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **more)

    return recomputed


@contextlib.contextmanager
def still_norms(module: nn.Module) -> Iterator[None]:
    """Inside, running means of batch norms stay as they are, though the same tensors are kept for a backward pass."""
    norms: list[Any] = [layer for layer in module.modules() if getattr(layer, "track_running_stats", False)]
    before = [(layer, layer.momentum, layer.num_batches_tracked) for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
        layer.num_batches_tracked = layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, momentum, count in before:
            layer.momentum, layer.num_batches_tracked = momentum, count
