"""What a network gives over a ground, drawn again and again while it learns; its layers on demand."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
from ipywidgets import HBox, Layout, VBox

from nnlab.core.controls import Controls
from nnlab.core.events import Lookable, Looked
from nnlab.core.playground import Ground, Layer, Looker
from nnlab.report.colours import inks_of, painted
from nnlab.report.playground import dot_inks
from nnlab.report.sparks import spark
from nnlab.report.tables import shorten
from nnlab.widgets import look
from nnlab.widgets.curves import decimals, figure, put_ticks, ticks
from nnlab.widgets.plots import Plane

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # bqplot's scales are declared in an old way of traitlets
    import bqplot

MOST_LAYERS = 24
DOTS = 150


class PlaygroundView:
    """The ground under a row of its own. `take` draws when it is time; the button only says that it was
    pressed."""

    def __init__(self, ground: Ground, controls: Controls, text: Callable[..., Any]) -> None:
        self._ground, self._text = ground, text
        controls.look_at(ground)
        self._looker = Looker(controls)
        self._chart: Any = None
        self._layers = text()
        self._button = ipywidgets.Button(
            description="Layers", icon="bars", tooltip="weights and activations of each layer, as they are now"
        )
        self._button.on_click(lambda button: controls.want_layers())
        self._place = VBox(layout=Layout(flex="1 1 420px", min_width="260px", max_width="560px"))
        right = VBox([self._button, self._layers], layout=Layout(flex="1 1 320px", min_width="240px"))
        self.root = HBox([self._place, right], layout=Layout(width="100%", flex_flow="row wrap"))

    def take(self, event: Lookable | Looked) -> None:
        """Look and draw if it is time; of a run in another process, draw what was seen there."""
        if isinstance(event, Lookable):
            self._looker(event, self._show)
        else:
            self._show(event)

    def _show(self, seen: Looked) -> None:
        if seen.layers is not None:
            self._layers.value = layers_table(seen.layers)
        if seen.values is None:
            return
        first = self._chart is None
        if first:
            self._chart = Surface(self._ground) if len(self._ground.axes) == 2 else Response(self._ground)
        self._chart.draw(seen.values)
        if first:  # an empty chart is not shown
            self._place.children = [self._text(self._title()), self._chart.widget]

    def _title(self) -> str:
        ground = self._ground
        classes = [str(name) for name in ground.target.classes]
        legend = [(shorten(name, 16), ink, True) for name, ink in zip(classes, inks_of(len(classes)), strict=True)]
        what = "probability" if classes else ground.target.name
        return look.title(f"{shorten(what, 24)} as it learns", legend[:6])


class Surface:
    """A picture of colours over two axes with a sample of the rows."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        ends = [(float(axis[0]), float(axis[-1])) for axis in ground.axes]
        x, y = (bqplot.LinearScale(min=low, max=high) for low, high in ends)
        scales = {"x": x, "y": y}
        # bqplot looks at a picture once, so two of them take turns.
        self._pictures = [ipywidgets.Image(format="png") for _ in range(2)]
        corners: dict[str, Any] = {"x": list(ends[0]), "y": list(ends[1])}
        self._image = bqplot.Image(image=self._pictures[0], scales=scales, pixelated=False, **corners)
        some = slice(None, None, max(1, -(-len(ground.dots) // DOTS)))
        dots, inks = ground.dots[some], dot_inks(ground, ground.y[some])
        self._dots = bqplot.Scatter(
            x=dots[:, 0], y=dots[:, 1], scales=scales, colors=inks, default_size=24, stroke="white", stroke_width=1
        )
        axes = [bqplot.Axis(scale=x, grid_lines="none"), bqplot.Axis(scale=y, side="left", grid_lines="none")]
        axes[1].orientation = "vertical"  # says the same to older bqplots
        for axis, name, values, units in zip(axes, ground.names, ground.axes, ground.units, strict=True):
            places = ticks(float(units.min()), float(units.max()), 4)
            at = np.interp(places, units, values) if (np.diff(units) > 0).all() else np.asarray(places)
            put_ticks(axis, list(at), "~g", [f"{place:{decimals(places)}}" for place in places])
            axis.label, axis.label_offset = shorten(name, 30), "28px" if axis is axes[0] else "40px"
        margin = {"top": 8, "bottom": 40, "left": 58, "right": 14}
        surface = figure([self._image, self._dots], axes, 300, fig_margin=margin)
        self.widget: Any = VBox([surface, VBox(self._pictures, layout=Layout(display="none"))])

    def draw(self, values: np.ndarray) -> None:
        """Show values (points, classes), or (points, 1)."""
        from PIL import Image

        raw = io.BytesIO()
        Image.fromarray(painted(values, self._ground.shape, self._ground.ends)).save(raw, "png")
        self._pictures.reverse()
        self._pictures[0].value = raw.getvalue()
        self._image.image = self._pictures[0]


class Response:
    """A curve for each class, or one, over an axis, with the rows of a regression."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._inks = inks_of(len(ground.target.classes)) or [look.VALID]
        what = "probability" if ground.target.classes else ground.target.name
        self._plane = Plane(shorten(ground.names[0], 30), shorten(what, 30), self._inks, [look.FAINT])
        self.widget = self._plane.widget
        if not ground.target.classes:
            dots = np.interp(ground.dots[:, 0], ground.axes[0], ground.units[0])
            self._plane.dot(0, dots, ground.y)

    def draw(self, values: np.ndarray) -> None:
        """Show values (points, classes), or (points, 1)."""
        for place, _ in enumerate(self._inks):
            self._plane.line(place, self._ground.units[0], values[:, place])


def layers_table(layers: list[Layer]) -> str:
    """Weights and activations of each layer as small histograms."""
    rows = []
    for layer in layers[:MOST_LAYERS]:
        given = [spark(layer.given), look.number(layer.given_std), f"{layer.zeros:.0%}"] if layer.given else ["–"] * 3
        rows.append([layer.name, spark(layer.weights), look.number(layer.weight_std), *given])
    return look.table(["layer", "weights", "spread", "activations", "spread", "not above 0"], rows)
