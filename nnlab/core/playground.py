"""What a network gives along one feature, or over two, or over two principal components, while it learns.

All other features stay as they are in a typical row: at their median over the training rows.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.events import Lookable, Looked

if TYPE_CHECKING:
    from torch import nn

    from nnlab.core.controls import Controls
    from nnlab.core.registry import Part
    from nnlab.core.spec import TrainSpec

PCA = "pca"
COMPONENTS = ("first component", "second component")
SIDE, LENGTH = 28, 100  # points of a side of a surface; of a curve
ENDS = (1.0, 99.0)  # percentiles of the training rows between which features go
ROOM = 0.05  # beyond them
DOTS = 300
ROWS = 20_000  # at most so many tell where the rows lie
SEEN = 256  # rows by which activations are looked at
BINS = 16
EVERY = 0.4  # seconds at least between two looks
REST = 100  # a look that took t seconds is followed by 100 t without
SHARE = 0.02  # of the time since the run began, all looks together at most
FIRST_AFTER = 2.0  # seconds; a shorter run has its final picture


@dataclass(frozen=True, eq=False)
class Ground:
    """What is looked at. names: of the axes. axes: the values of each (points,), as the network sees them; units: the
    same in the user's. x: features (points, n), the second axis going fastest. dots: a sample of the training rows on
    the axes (m, axes), y their targets: codes or values in the target's units. rows: features of some of them.
    """

    names: tuple[str, ...]
    axes: tuple[np.ndarray, ...]
    units: tuple[np.ndarray, ...]
    x: np.ndarray
    dots: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    target: Any
    loss: "Part"

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def ends(self) -> tuple[float, float] | None:
        """Between which numbers the colours go, of the surface and of the rows alike; None for classes."""
        if self.target.classes:
            return None
        low, high = np.percentile(self.y, ENDS)
        return float(low), float(high)

    def values(self, model: "nn.Module", device: str) -> np.ndarray:
        """What the network gives at each point: probabilities (points, classes), or (points, 1) in the target's
        units."""
        from nnlab.core.predict import forward, points

        output = points(forward(model, self.x, device), self.loss, self.target.task).cpu()
        if self.target.classes:
            return np.asarray(output.double().softmax(1).numpy())
        return np.asarray(self.target.decode(output.numpy()), np.float64)


def asked_ground(data: Prepared, words: Sequence[str] | None, spec: "TrainSpec") -> Ground | None:
    """The ground of a run of this spec; None where none is asked for."""
    from nnlab.core.network import loss_of

    return ground_of(data, words, loss_of(spec, data.target)) if words else None


def ground_of(data: Prepared, words: Sequence[str], loss: "Part") -> Ground:
    """What one or two features span, or `pca`. SpecError for features that there are not, or that are codes."""
    if list(words) == [PCA]:
        return _of_components(data, loss)
    names = list(data.feature_names)
    whole = (piece for word in words for piece in ([word] if word in names else word.split(",")))
    words = [piece.strip() for piece in whole]
    if not 1 <= len(words) <= 2:
        raise SpecError(f"playground={','.join(words)}: expected one feature, two, or {PCA}")
    for word in words:
        if word not in names:
            raise SpecError(f"playground={word}: no such feature{did_you_mean(word, names)}; or {PCA}")
        if names.index(word) in data.pipeline.codes:
            raise SpecError(f"playground={word}: a category has no order; name numbers, or {PCA}")
    places = [names.index(word) for word in words]
    axes = tuple(_axis(data.train.x[:, place], SIDE if len(places) == 2 else LENGTH) for place in places)
    typical = np.median(_some(data.train.x, ROWS), axis=0).astype(data.train.x.dtype)
    typical[list(data.pipeline.codes)] = np.round(typical[list(data.pipeline.codes)])
    mesh = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    x = np.repeat(typical[None], len(mesh[0]), axis=0)
    for place, values in zip(places, mesh, strict=True):
        x[:, place] = values
    units = tuple(_in_units(data, typical, place, axis) for place, axis in zip(places, axes, strict=True))
    return _ground(data, tuple(words), (axes, units), x, _some(data.train.x, DOTS)[:, places], loss)


def _ground(data: Prepared, names: tuple[str, ...], axes: Any, x: np.ndarray, dots: np.ndarray, loss: "Part") -> Ground:
    y = _some(data.train.y, DOTS)
    y = y if data.target.classes else np.asarray(data.target.decode(y), np.float64)
    values, units = axes
    return Ground(names, values, units, x, dots, y, _some(data.train.x, SEEN), data.target, loss)


def _of_components(data: Prepared, loss: "Part") -> Ground:
    """The plane through the mean of the rows along which they spread most; codes of categories stay as they are."""
    x = _some(data.train.x, ROWS).astype(np.float64)
    numbers = np.setdiff1d(np.arange(x.shape[1]), list(data.pipeline.codes))
    if len(numbers) < 2:
        raise SpecError(f"playground={PCA}: there are {len(numbers)} features that are numbers; two are needed")
    middle = np.median(x, axis=0).round()
    middle[numbers] = x[:, numbers].mean(0)
    _, _, directions = np.linalg.svd(x[:, numbers] - middle[numbers], full_matrices=False)
    plane = directions[:2]
    placed = (x[:, numbers] - middle[numbers]) @ plane.T
    axes = tuple(_axis(column, SIDE) for column in placed.T)
    mesh = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    points = np.repeat(middle[None], len(mesh), axis=0)
    points[:, numbers] += mesh @ plane
    dots = (_some(data.train.x, DOTS)[:, numbers] - middle[numbers]) @ plane.T
    return _ground(data, COMPONENTS, (axes, axes), points.astype(data.train.x.dtype), dots, loss)


def _some(values: np.ndarray, most: int) -> np.ndarray:
    """The same rows every time: every so many-th."""
    return values[:: max(1, -(-len(values) // most))]


def _axis(values: np.ndarray, count: int) -> np.ndarray:
    low, high = np.percentile(values, ENDS)
    room = ROOM * (high - low) or 1.0
    return np.linspace(low - room, high + room, count)


def _in_units(data: Prepared, typical: np.ndarray, place: int, axis: np.ndarray) -> np.ndarray:
    """The axis in the user's units, where the preparation can be undone."""
    x = np.repeat(typical[None], len(axis), axis=0)
    x[:, place] = axis
    name = data.feature_names[place]
    try:
        column = data.inverse(x)[name]
        return np.asarray(column.to_numpy(), np.float64)
    except (DataError, KeyError, TypeError, ValueError):
        return axis


class Looker:
    """Looks at the network over the ground of the controls when it is time: 1% of it, and a few one-off costs, what is
    done with what is seen included; at the layers at once when they are wanted."""

    def __init__(self, controls: "Controls") -> None:
        self._controls = controls
        self._began = time.perf_counter()
        self._next = self._began + FIRST_AFTER
        self._before = self._spent = 0.0

    def __call__(self, event: Lookable, show: Callable[[Looked], None]) -> None:
        ground = self._controls.ground
        if ground is None:
            return
        if self._controls.layers_wanted:
            self._controls.layers_wanted = False
            show(Looked(layers=event.look(lambda model, device: layers_of(model, ground.rows, device))))
        if time.perf_counter() < self._next:
            return
        began = time.thread_time()  # CPU time: others on a busy machine do not make looks rarer
        show(Looked(event.look(ground.values)))
        before, self._before = self._before, time.thread_time() - began
        self._spent += self._before
        rest = max(EVERY, REST * min(before, self._before))
        self._next = max(time.perf_counter() + rest, self._began + self._spent / SHARE)


@dataclass(frozen=True)
class Layer:
    """One layer: histograms (counts) of its weights and of what it gives for some rows, with their mean and spread."""

    name: str
    weights: tuple[int, ...]
    weight_mean: float
    weight_std: float
    given: tuple[int, ...] = ()
    given_mean: float = float("nan")
    given_std: float = float("nan")
    zeros: float = float("nan")


def layers_of(model: "nn.Module", rows: np.ndarray, device: str) -> list[Layer]:
    """Each layer with a matrix of weights, in order. rows: features (n, features) for the activations."""
    from nnlab.core.predict import forward

    given: dict[str, np.ndarray] = {}
    layers = {name: layer for name, layer in model.named_modules() if _weights(layer) is not None}

    def keep(name: str) -> Any:
        return lambda layer, inputs, output: given.__setitem__(name, output.detach().float().cpu().numpy())

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        forward(model, rows, device)
    finally:
        for hook in hooks:
            hook.remove()
    return [_layer(name or "network", _weights(layer), given.get(name)) for name, layer in layers.items()]


def _weights(layer: "nn.Module") -> np.ndarray | None:
    weight = layer._parameters.get("weight")
    return weight.detach().float().cpu().numpy() if weight is not None and weight.ndim > 1 else None


def _layer(name: str, weights: Any, given: np.ndarray | None) -> Layer:
    counts = tuple(np.histogram(weights[np.isfinite(weights)], BINS)[0].tolist())
    first = (name, counts, float(weights.mean()), float(weights.std()))
    if given is None or not given.size:
        return Layer(*first)
    shown = tuple(np.histogram(given[np.isfinite(given)], BINS)[0].tolist())
    return Layer(*first, shown, float(given.mean()), float(given.std()), float((given <= 0).mean()))
