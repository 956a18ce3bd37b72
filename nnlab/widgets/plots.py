"""Plots over two axes of numbers: curves, dots that can be pressed. bqplot is behind it, as behind `curves.Chart`."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nnlab.widgets.curves import decimals, figure, put_ticks, ticks

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # bqplot's scales are declared in an old way of traitlets
    import bqplot

UNIT = [0.0, 0.25, 0.5, 0.75, 1.0]


class Plane:
    """Lines and sets of dots over x and y, each named. lines, dots: the colour of each. unit: both axes go from 0 to 1.

    pressed: called with the place of the dot of the first set that is pressed.
    """

    def __init__(
        self,
        x: str,
        y: str,
        lines: Sequence[str] = (),
        dots: Sequence[str] = (),
        *,
        unit: bool = False,
        pressed: Callable[[int], None] | None = None,
    ) -> None:
        ends = {"min": 0.0, "max": 1.0} if unit else {}
        scales = {"x": bqplot.LinearScale(**ends), "y": bqplot.LinearScale(**ends)}
        how: dict[str, Any] = {"tick_values": UNIT, "tick_format": ".2~f"} if unit else {}
        self._axes = [
            bqplot.Axis(scale=scales["x"], label=x, grid_lines="none", label_offset="28px", **how),
            bqplot.Axis(scale=scales["y"], label=y, side="left", label_offset="40px", **how),
        ]
        self._axes[1].orientation = "vertical"  # says the same to older bqplots
        self._unit = unit
        self._lines = [
            bqplot.Lines(x=[0.0, 0.0], y=[0.0, 0.0], scales=scales, colors=[colour], stroke_width=2) for colour in lines
        ]
        self._dots = [
            bqplot.Scatter(x=[], y=[], scales=scales, colors=[colour], default_size=40, stroke="transparent")
            for colour in dots
        ]
        if pressed is not None:
            self._listen(self._dots[0], pressed)
        margin = {"top": 8, "bottom": 40, "left": 54, "right": 14}
        self.widget: Any = figure([*self._lines, *self._dots], [*self._axes], 230, fig_margin=margin)

    def _listen(self, mark: Any, pressed: Callable[[int], None]) -> None:
        mark.interactions = {"click": "select"}
        mark.selected_style, mark.unselected_style = {"stroke": "currentColor", "stroke-width": 2}, {"opacity": 0.5}

        def chosen(change: Any) -> None:
            if change["new"] is not None and len(change["new"]):
                pressed(int(change["new"][-1]))

        mark.observe(chosen, "selected")

    def line(self, place: int, x: np.ndarray, y: np.ndarray) -> None:
        """Show a line of points x (n,), y (n,)."""
        _set(self._lines[place], x, y)
        self._mark_axes()

    def dot(self, place: int, x: ArrayLike, y: ArrayLike) -> None:
        """Show a set of dots."""
        _set(self._dots[place], x, y)
        self._mark_axes()

    def _mark_axes(self) -> None:
        """Few round numbers at the axes; bqplot's own are too many, or not round."""
        if self._unit:
            return
        for axis, name in zip(self._axes, ("x", "y"), strict=True):
            values = np.concatenate([np.asarray(getattr(mark, name), float) for mark in (*self._lines, *self._dots)])
            values = values[np.isfinite(values)]
            if len(values):
                places = ticks(float(values.min()), float(values.max()), 4)
                put_ticks(axis, places, decimals(places))


def _set(mark: Any, x: ArrayLike, y: ArrayLike) -> None:
    with mark.hold_sync():
        mark.x, mark.y = np.asarray(x, float), np.asarray(y, float)
