"""One-shot architecture search: one network that holds all others is trained, then its parts are ranked.

Each training step draws a depth, widths and an activation and trains only that part of the largest network; units
beyond a width are masked (slimmable networks: Yu et al. 2019; single path: Guo et al. 2020, "Single Path One-Shot
Neural Architecture Search with Uniform Sampling"). Parts are then measured on the validation rows with the shared
weights, and the best of them are what the trials of the study train from scratch.

Imports torch; import this module only where such a search begins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.building import activation_layer
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import SpecError
from nnlab.core.fit import fit, own_part
from nnlab.core.learners.start import class_counts, measured, tensors_of
from nnlab.core.losses import make_loss
from nnlab.core.models import MODELS
from nnlab.core.network import fit_rows, inputs_of, loss_of, network_for
from nnlab.core.params import split_list
from nnlab.core.predict import forward
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.tune.header import Header
from nnlab.core.tune.ranges import Lists, Range, Searched, Space, Value, joined

NAMES = ("hidden", "activation")  # of the architecture, which one network can hold in all their values
WHOLE = 0.25  # chance of a step for the largest network
FIELDS = {name: (name, f"mlp.{name}", f"model.{name}") for name in NAMES}  # how a space may name them


class Supernet(nn.Module):
    """A perceptron of which only a part is used: `part` holds its widths and its activation.

    widths: of the largest network, layer by layer. draw: gives a part for each step of the training.
    """

    def __init__(self, front: nn.Module | None, n_in: int, n_out: int, widths: Sequence[int], parts: "Parts") -> None:
        super().__init__()
        self.front, self.parts = front, parts
        sizes = [n_in, *widths]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, widths, strict=False))
        self.heads = nn.ModuleList(nn.Linear(width, n_out) for width in widths)  # one for each depth
        shape = (max(widths),)
        self.activations = nn.ModuleDict({name: activation_layer(name, shape) for name in parts.activations})
        self.drop = nn.Dropout(parts.dropout)
        self.part: tuple[tuple[int, ...], str] = (tuple(widths), parts.activations[0])

    def forward(self, x: Tensor) -> Tensor:
        """x (n, features) to (n, n_out): in training through a part that is drawn, else through `part`."""
        widths, activation = self.parts.draw() if self.training else self.part
        h = x if self.front is None else self.front(x)
        for layer, width in zip(self.layers, widths, strict=False):
            h = self.activations[activation](layer(h))
            if width < h.shape[1]:
                h = h * (torch.arange(h.shape[1], device=h.device) < width)
            h = self.drop(h)
        out: Tensor = self.heads[len(widths) - 1](h)
        return out


class Parts:
    """Draws parts of what is searched. hidden, activation: their ranges; what is not searched is as in base."""

    def __init__(self, space: Space, base: TrainSpec, seed: int) -> None:
        values = part_values(MODELS, base.model)
        self._rng = np.random.default_rng(seed)
        self.names = {kind: next((n for n in FIELDS[kind] if n in space), None) for kind in NAMES}
        self._searched = {kind: space[name] for kind, name in self.names.items() if name}
        self._fixed = {"hidden": joined(values["hidden"]), "activation": str(values["activation"])}
        self.dropout = float(values["dropout"])

    @property
    def activations(self) -> list[str]:
        """All that may be drawn."""
        searched = self._searched.get("activation")
        return [str(one) for one in searched.choices] if isinstance(searched, Range) else [self._fixed["activation"]]

    def values(self) -> dict[str, Value]:
        """A part as a trial's values, by the searched names."""
        return {str(self.names[kind]): drawn(searched, self._rng) for kind, searched in self._searched.items()}

    def read(self, values: Mapping[str, Value]) -> tuple[tuple[int, ...], str]:
        """The widths and the activation of such values."""
        said = {kind: values[name] for kind, name in self.names.items() if name}
        hidden, activation = ({**self._fixed, **said}[kind] for kind in NAMES)
        return widths_of(str(hidden)), str(activation)

    def draw(self) -> tuple[tuple[int, ...], str]:
        """A part to train, now and then the whole: its outer units would learn too seldom (Yu et al.'s sandwich)."""
        widths, activation = self.read(self.values())
        return (tuple(self.largest) if self._rng.random() < WHOLE else widths), activation

    @property
    def largest(self) -> list[int]:
        """The width of each layer of the network that holds all parts."""
        searched = self._searched.get("hidden")
        if isinstance(searched, Lists):
            item = searched.item
            return [int(max(item.choices) if item.choices else item.high)] * searched.most  # type: ignore[type-var, arg-type]
        lists = [widths_of(str(one)) for one in searched.choices] if searched else [widths_of(self._fixed["hidden"])]
        return [max(one[at] for one in lists if len(one) > at) for at in range(max(map(len, lists)))]


def widths_of(text: str) -> tuple[int, ...]:
    """128-64 as numbers."""
    return tuple(int(item) for item in split_list(text))


def drawn(searched: Searched, rng: np.random.Generator) -> Value:
    """A value at random, of numbers by ratio where their range is."""
    if isinstance(searched, Lists):
        length = int(rng.integers(searched.least, searched.most + 1))
        items = [drawn(searched.item, rng) for _ in range(1 if searched.same else length)]
        return joined(items * length if searched.same else items)
    if searched.choices:
        return searched.choices[rng.integers(len(searched.choices))]
    if searched.step:
        steps = math.floor((searched.high - searched.low) / searched.step + 1e-9)
        value = searched.low + searched.step * int(rng.integers(steps + 1))
    elif searched.log:
        value = math.exp(rng.uniform(math.log(searched.low), math.log(searched.high)))
    else:
        value = float(rng.uniform(searched.low, searched.high))
    return round(value) if searched.whole else value


def check(space: Space, base: TrainSpec) -> None:
    """SpecError where no one network can hold what is searched."""
    if base.model.name != "mlp" or "model" in space or part_values(MODELS, base.model)["norm"] != "none":
        raise SpecError("sampler one_shot searches parts of one mlp without norm; write --model mlp --norm none")
    if not any(name in space for names in FIELDS.values() for name in names):
        raise SpecError('sampler one_shot searches hidden and activation; give them, as in "hidden=[32..256]x1..3"')
    if gated := [name for name in Parts(space, base, 0).activations if ACTIVATIONS[name].facts.get("gated")]:
        raise SpecError(f"sampler one_shot: activation {gated[0]} has a gate of its own and cannot share weights")


def ranked(
    header: Header, data: Prepared, count: int, longer: float = 1.0, **told: Any
) -> tuple[Run, list[tuple[float, dict[str, Value]]]]:
    """Train the network that holds all others; gives its run, and so many of its parts with their validation values,
    best first. longer: its epochs for one of a trial's. told: view, controls and name, as for `fit`."""
    base, metric = header.base, header.metric
    parts = Parts(header.space, base, base.seed)
    make = partial(supernet, parts, base, data)  # called by the run, so that its seed draws the weights
    spec = replace(base, model=own_part(make, None), embed=TrainSpec().embed, feature_dropout=0.0)
    epochs = max(1, round(longer * base.epochs))
    spec = replace(spec, embedding_dropout=0.0, init=None, epochs=epochs, patience=None)
    run = fit(data, spec=spec, model=make, store=False, baseline=False, **told)
    if run.finished.reason not in ("completed", "stopped_early"):
        return run, []
    held: dict[tuple[tuple[int, ...], str], dict[str, Value]] = {}
    for _ in range(20 * count):
        values = parts.values()
        held.setdefault(parts.read(values), values)
        if len(held) == count:
            break
    found = list(zip(_values(run, data, metric, list(held)), held.values(), strict=True))
    sign = -1.0 if header.maximize else 1.0
    return run, sorted(found, key=lambda one: sign * one[0] if math.isfinite(one[0]) else math.inf)


def supernet(parts: Parts, base: TrainSpec, data: Prepared) -> Supernet:
    """The largest network, behind the vectors of numbers and codes that the base has."""
    inputs = inputs_of(base, data.pipeline)
    whole = network_for(base, data.pipeline)
    fit_rows(whole, torch.from_numpy(data.train.x).float())
    front = None if inputs.plain else whole[0]  # type: ignore[index]
    layers = [layer for layer in whole.modules() if isinstance(layer, nn.Linear)]
    body = layers if inputs.plain else [m for m in whole[1].modules() if isinstance(m, nn.Linear)]  # type: ignore[index]
    return Supernet(front, body[0].in_features, body[-1].out_features, parts.largest, parts)


def _values(run: Run, data: Prepared, metric: str, parts: Sequence[tuple[tuple[int, ...], str]]) -> list[float]:
    """The validation value of each part with the weights that all share."""
    loss = loss_of(run.spec, data.target)
    x, y, weight = tensors_of(data.valid, run.spec, data, "cpu")
    loss_made, names = make_loss(loss, class_counts(data)), () if metric == "loss" else (metric,)
    network = next(module for module in run.model.modules() if isinstance(module, Supernet))
    values = []
    for part in parts:
        network.part = part
        output = forward(run.model, x, run.device).cpu()
        values.append(float(measured(output, (x[:0], y, weight), loss_made, loss, data.target, names)[metric]))
    return values
