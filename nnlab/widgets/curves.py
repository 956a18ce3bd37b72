"""Charts of the live views. `Chart` is all that the panels know; bqplot is behind it and nowhere else."""

import itertools
import math
import warnings
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from ipywidgets import Layout

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # bqplot's scales are declared in an old way of traitlets
    import bqplot

MOST = 1000  # points of a curve; more are drawn slowly by bqplot and are not seen anyway
SHORT = 10_000  # from here on whole numbers are written as 20k, which leaves them room
CHARTS_HEIGHT = "216px"  # of a row of charts with headings; kept free from the start, so that nothing jumps


class Curves:
    """Values of several curves over one x, appended at little cost."""

    def __init__(self, curves: int) -> None:
        self._x = array("d")
        self._ys = [array("d") for _ in range(curves)]

    def __len__(self) -> int:
        return len(self._x)

    def add(self, x: float, *ys: float) -> None:
        """One point of each curve; nan leaves a gap."""
        self._x.append(x)
        for values, y in zip(self._ys, ys, strict=True):
            values.append(y)

    def values(self, curve: int | None) -> np.ndarray:
        """All points of one curve (n,); None: the x of all."""
        return np.array(self._x if curve is None else self._ys[curve])

    def thinned(self) -> tuple[np.ndarray, np.ndarray]:
        """x (n,) and y (curves, n) with at most MOST points."""
        return thin(np.array(self._x), np.array([np.array(y) for y in self._ys]))


def thin(x: np.ndarray, ys: np.ndarray, most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` of the points x (n,), ys (curves, n): first, last, and of each stretch the extremes of each curve.

    So no spike gets lost. Infinite values become nan, which is drawn as a gap.
    """
    ys = np.where(np.isfinite(ys), ys, np.nan)
    if len(x) <= most:
        return x, ys
    stretches = max(1, (most - 2) // (2 * len(ys)))
    edges = np.linspace(0, len(x), stretches + 1).astype(int)
    low = np.where(np.isnan(ys), np.inf, ys)
    high = np.where(np.isnan(ys), -np.inf, ys)
    keep = {0, len(x) - 1}
    for start, stop in itertools.pairwise(edges):
        if stop > start:
            keep.update(start + low[:, start:stop].argmin(axis=1))
            keep.update(start + high[:, start:stop].argmax(axis=1))
    chosen = np.array(sorted(keep))
    return x[chosen], ys[:, chosen]


def ticks(low: float, high: float, about: int, whole: bool = False) -> list[float]:
    """About so many round numbers from low to high, or whole ones. bqplot's own are too many, or not round."""
    if not high > low or not math.isfinite(high - low):
        return [low] if math.isfinite(low) else []
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= 0.7 * rough)
    step = max(1.0, step) if whole else step
    return [float(n * step) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def decimals(values: Sequence[float]) -> str:
    """The d3 format that shows these ticks with equally many decimals."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 1.0
    places = -math.floor(math.log10(step) + 1e-9) if step > 0 else 0
    return f".{max(0, places)}f" if places <= 5 and step < 1e6 else ".0e"


class Chart:
    """Lines and dots over one x axis of whole numbers.

    lines: the colour of each; dots: the colour of each set of them. first: the smallest x. steps: lines go in steps.
    """

    def __init__(self, lines: Sequence[str], dots: Sequence[str] = (), *, first: int = 1, steps: bool = False) -> None:
        self._first, self._enough = float(first), first + 9.0  # so the first epochs do not fill the whole width
        self._x_scale = bqplot.LinearScale(min=self._first, max=self._enough)
        self._y_scale = bqplot.LinearScale()
        scales = {"x": self._x_scale, "y": self._y_scale}
        self._x_axis = bqplot.Axis(scale=self._x_scale, grid_lines="none", tick_format="d")
        self._y_axis = bqplot.Axis(scale=self._y_scale, side="left", tick_format=".2f")
        self._y_axis.orientation = "vertical"  # says the same to older bqplots
        nothing = np.full((len(lines), 2), np.nan)
        how = "step-after" if steps else "linear"
        self._lines = bqplot.Lines(
            x=np.full(2, float(first)), y=nothing, scales=scales, colors=list(lines), stroke_width=2, interpolation=how
        )
        self._dots = [
            bqplot.Scatter(x=[], y=[], scales=scales, colors=[colour], default_size=30, stroke="transparent")
            for colour in dots
        ]
        self.widget: Any = figure(
            [self._lines, *self._dots], [self._x_axis, self._y_axis], scale_x=self._x_scale, scale_y=self._y_scale
        )

    def draw(self, x: np.ndarray, ys: np.ndarray, dots: Sequence[tuple[np.ndarray, np.ndarray]] = ()) -> None:
        """Show x (n,), ys (lines, n) and (x, y) of each set of dots; one message for a mark or axis that changed."""
        alone = len(x) == 1  # bqplot would squeeze its axis away, and a line of one point is not seen
        if alone:
            x, ys = np.repeat(x, 2), np.repeat(ys, 2, axis=1)
        with self._lines.hold_sync():
            self._lines.x, self._lines.y = x, ys
            self._lines.marker = "circle" if alone else None
        for mark, (dot_x, dot_y) in zip(self._dots, dots, strict=True):
            if not np.array_equal(dot_x, mark.x) or not np.array_equal(dot_y, mark.y):
                with mark.hold_sync():
                    mark.x, mark.y = dot_x, dot_y
        self._draw_axes(x, np.concatenate([ys.ravel(), *(y for _, y in dots)]))

    def _draw_axes(self, x: np.ndarray, y: np.ndarray) -> None:
        last = float(x[-1])
        if last > self._enough and self._x_scale.max is not None:
            self._x_scale.max = None
        end = max(last, self._enough)
        small = end < SHORT
        put_ticks(self._x_axis, ticks(self._first, end, 4 if small else 3, whole=True), "d" if small else "~s")
        seen = y[np.isfinite(y)]
        if len(seen):
            low, high = float(seen.min()), float(seen.max())
            room = 0.0 if high > low else 0.1 * abs(low) or 1.0  # bqplot puts the only tick of a level line elsewhere
            ends = (low - room, high + room) if room else (None, None)
            if (self._y_scale.min, self._y_scale.max) != ends:
                with self._y_scale.hold_sync():
                    self._y_scale.min, self._y_scale.max = ends
            places = ticks(low, high, 4)
            put_ticks(self._y_axis, places, decimals(places))


def figure(marks: list[Any], axes: list[Any], height: int = 190, **own: Any) -> Any:
    """A chart that is as wide as its place, without bqplot's own buttons, which would stand over the curves."""
    shape = {"min_aspect_ratio": 0.1, "max_aspect_ratio": 100, "animation_duration": 0}
    margin = {"top": 8, "bottom": 24, "left": 50, "right": 12}
    how = {**shape, "fig_margin": margin, "background_style": {"fill": "none"}} | own
    made = bqplot.Figure(
        marks=marks, axes=axes, layout=Layout(width="100%", height=f"{height}px", min_width="0"), **how
    )
    if made.has_trait("display_toolbar"):  # older ones have none
        made.display_toolbar = False
    return made


def put_ticks(axis: Any, places: Sequence[float], how: str, words: Sequence[str] | None = None) -> None:
    """Put ticks at these places, if they are not there; words: what stands at each.

    The format goes first, by itself: bqplot writes moved ticks in the one that held before the message. It looks words
    up by the number as JavaScript writes it, which is that of Python where there are not too many digits.
    """
    if words is not None:
        places = [float(f"{place + 0.0:.10g}") for place in places]
    labels = None if words is None else {f"{place:.10g}": word for place, word in zip(places, words, strict=True)}
    with axis.hold_sync():
        axis.tick_format, axis.tick_labels = how, labels
    if not np.array_equal(axis.tick_values, places):
        axis.tick_values = places
