"""Looks into a network while it learns: what each layer's gradients, weights, steps and activations are like.

A look takes the gradients that the step itself made, the weights before and after it, and one pass of a few training
rows in eval mode with all random states put back: no bit of the training changes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.core.data.prepare import Prepared
from nnlab.core.events import Probed, Warned
from nnlab.core.learners.protocol import Learner
from nnlab.core.parameter_groups import EMBEDDINGS
from nnlab.core.predict import forward
from nnlab.core.randomness import put_states, take_states

ROWS = 64  # of the training part, the same each time; a look then costs half a step
MOST_LAYERS = 48
SAME = 1e-6  # of a layer's root mean square: a unit that varies less over the rows says nothing
NEAR_END = 0.02  # of a bounded activation's range: so near to an end its slope is almost nothing
SOUNDS = ("activation", "dead", "saturated")
BOUNDED = {
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}
AT_HAND = 1e-3  # seconds within which rows are there: no step waits for them, however short it is


class Probe:
    """Makes steps of a learner and tells what they did. `take` gives what was seen since the last call."""

    def __init__(self, model: nn.Module, data: Prepared, device: str) -> None:
        self._device = device
        self._enter(model)
        self._whole = self._sizes
        self._x, self._y = data.train.x, data.train.y.astype(np.float64)
        some = np.unique(np.linspace(0, len(self._x) - 1, min(ROWS, len(self._x))).round().astype(int))
        self._rows = torch.from_numpy(np.ascontiguousarray(self._x[some])).to(device)
        self._mean, self._spread = float(self._y.mean()), float(self._y.std())
        self._seen: list[Probed | Warned] = []
        self._off = not self._weights

    def _enter(self, model: nn.Module) -> None:
        """Look into this network."""
        self._model, self._layers = model, weight_layers(model)
        self._weights = [
            (at, weight)
            for at, layer in enumerate(self._layers.values())
            for weight in layer.parameters(recurse=False)
            if weight.requires_grad
        ]
        self._sizes = [weight.numel() for _, weight in self._weights]

    def step(self, learner: Learner, rows: Tensor, lr: float, epoch: int, number: int) -> None:
        """The learner's step, which is the number-th of the run."""
        if learner.model is not self._model:  # members have left it
            self._enter(learner.model)
        if self._off:
            learner.step(rows, lr)
            return
        first = rows if rows.ndim == 1 else rows[0]  # of members with rows of their own, the first one's
        gathering = self._gathering(first)
        before = [weight.detach().clone() for _, weight in self._weights]
        began = time.perf_counter()
        learner.step(rows, lr)
        took = time.perf_counter() - began
        try:
            values = self._look(before, learner.draws)
        except Exception as error:  # a network that cannot be looked into can still be trained
            self._off = True
            self._seen.append(Warned(f"layers are not looked at: {type(error).__name__}: {error}"))
            return
        load = float("nan")
        if gathering is not None:
            load = round(gathering / (gathering + took), 4) if gathering > AT_HAND else 0.0
        self._seen.append(Probed(epoch, number, tuple(self._layers), values, self._drift(first), load))

    def _look(self, before: list[Tensor], draws: bool) -> dict[str, tuple[float, ...]]:
        """What the layers are like after a step. before: their weights before it. draws: whether a pass may, too."""
        weights: list[Tensor] = [weight for _, weight in self._weights]
        states = take_states(self._device) if draws else None
        try:
            with torch.no_grad():
                steps = torch._foreach_sub(weights, before)
                slopes = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
                found = self._norms({"gradient": slopes, "weight": before, "update": steps}) | self._activations()
        finally:
            if states is not None:
                put_states(self._device, states)
        return {name: tuple(float(f"{value:.4g}") for value in line) for name, line in found.items()}

    def take(self) -> list[Probed | Warned]:
        """What was seen since the last call."""
        seen, self._seen = self._seen, []
        return seen

    def _gathering(self, rows: Tensor) -> float | None:
        """Seconds that it takes to fetch the rows of a step from memory or disk; None where they are on a device."""
        if self._device != "cpu":
            return None
        began = time.perf_counter()
        torch.from_numpy(self._x).index_select(0, rows)
        return time.perf_counter() - began

    def _drift(self, rows: Tensor) -> float:
        """How far the mean target of the step's rows is from that of all, in standard deviations of a random draw."""
        count, every = len(rows), len(self._y)
        if count >= every or not self._spread > 0:
            return float("nan")
        deviation = self._spread * ((every - count) / (every - 1) / count) ** 0.5
        return float(f"{(self._y[rows.cpu().numpy()].mean() - self._mean) / deviation:.4g}")

    def _norms(self, kinds: dict[str, list[Tensor] | tuple[Tensor, ...]]) -> dict[str, list[float]]:
        """The norm of each layer's numbers of a kind; members that have left count as the mean of the others."""
        every = torch.stack(torch._foreach_norm([tensor for kind in kinds.values() for tensor in kind])).tolist()
        found: dict[str, list[float]] = {}
        for place, kind in enumerate(kinds):
            squares, norms = [0.0] * len(self._layers), every[place * len(self._weights) :]
            for (at, _), norm, size, whole in zip(self._weights, norms, self._sizes, self._whole, strict=False):
                squares[at] += norm**2 * (whole / size)
            found[kind] = [square**0.5 for square in squares]
        return found

    def _activations(self) -> dict[str, list[float]]:
        with _Ear(list(self._layers.values())).listening(self._model) as heard:
            forward(self._model, self._rows, self._device)
        order = {id(layer): at for at, layer in enumerate(self._layers.values())}
        told = [(kind, order[id(sound.layer)], fact) for place, sound in enumerate(heard)
                for kind, fact in zip(SOUNDS, _facts(sound, place == len(heard) - 1), strict=False)]  # fmt: skip
        found = {kind: [float("nan")] * len(self._layers) for kind in SOUNDS}
        values = torch.stack([fact for *_, fact in told]).tolist() if told else []  # the one wait for the device
        for (kind, at, _), value in zip(told, values, strict=True):
            found[kind][at] = value
        return found


def weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that have a weight matrix of their own, by name, in the order of the network; tables are left out."""
    found = {
        name or type(layer).__name__.lower(): layer
        for name, layer in model.named_modules()
        if not isinstance(layer, EMBEDDINGS)
        and any(weight.ndim > 1 and weight.requires_grad for weight in layer.parameters(recurse=False))
    }
    names = list(found)
    kept = np.unique(np.linspace(0, len(names) - 1, min(len(names), MOST_LAYERS)).round().astype(int))
    return {names[at]: found[names[at]] for at in kept}


@dataclass(eq=False)
class _Sound:
    """What a layer gave, and what came of it: out of an activation, else what the next layer got of the same width."""

    layer: nn.Module
    output: Tensor
    after: Tensor | None = None
    bounds: tuple[float, float] | None = None


class _Ear:
    """Hooks that hear a pass of a model: one sound for each layer, in the order they are called."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self.heard: list[_Sound] = []
        self._layers = layers

    @contextmanager
    def listening(self, model: nn.Module) -> Iterator[list[_Sound]]:
        """Inside, passes of the model are heard."""
        hooks: list[Any] = [layer.register_forward_pre_hook(self._given) for layer in self._layers]
        hooks += [layer.register_forward_hook(self._layer) for layer in self._layers]
        for layer in model.modules():
            if type(layer).__module__ == "torch.nn.modules.activation" and layer not in self._layers:
                hooks.append(layer.register_forward_hook(self._activation))
        try:
            yield self.heard
        finally:
            for hook in hooks:
                hook.remove()

    def _given(self, layer: nn.Module, given: tuple[Any, ...]) -> None:
        x, last = _numbers(given), self.heard[-1] if self.heard else None
        if x is not None and last is not None and last.after is None and x.shape[-1:] == last.output.shape[-1:]:
            last.after = x.clone()

    def _layer(self, layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        x = _numbers(output)
        if x is not None and all(sound.layer is not layer for sound in self.heard):
            self.heard.append(_Sound(layer, x.clone()))

    def _activation(self, layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        x = _numbers(output)
        if x is not None and self.heard and self.heard[-1].output.shape == x.shape:
            self.heard[-1].after, self.heard[-1].bounds = x.clone(), BOUNDED.get(type(layer))


def _numbers(passed: Any) -> Tensor | None:
    """The first tensor of what a layer gets or gives, if it holds real numbers."""
    first = passed[0] if isinstance(passed, tuple) and passed else passed
    return first if isinstance(first, Tensor) and first.is_floating_point() and first.ndim else None


def _facts(sound: _Sound, last: bool) -> list[Tensor]:
    """Root mean square, shares of dead units and, where it has ends, of values near an end of their range; of the last
    layer the first."""
    values = sound.output if sound.after is None else sound.after
    units = values.movedim(1, -1) if isinstance(sound.layer, nn.modules.conv._ConvNd) and values.ndim > 2 else values
    units = units.reshape(-1, units.shape[-1]).float()
    size = units.square().mean().sqrt()
    if last or len(units) < 2:
        return [size]
    lows, highs = units.aminmax(dim=0)
    facts = [size, (highs - lows <= SAME * size).float().mean()]
    if bounds := sound.bounds or _bounds(lows, highs):
        margin = NEAR_END * (bounds[1] - bounds[0])
        facts.append(((units < bounds[0] + margin) | (units > bounds[1] - margin)).float().mean())
    return facts


def _bounds(lows: Tensor, highs: Tensor) -> tuple[float, float] | None:
    """The range of an activation that is no module, where it looks like that of tanh."""
    if not -1.0 <= lows.min().item() < -0.5:
        return None
    return (-1.0, 1.0) if 0.5 < highs.max().item() <= 1.0 else None
