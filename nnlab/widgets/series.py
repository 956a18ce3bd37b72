"""A chart of named curves over epochs: by ratio, smoothed, zoomed, with bands, a run before it, and words on hover."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnlab.widgets import look
from nnlab.widgets.curves import SHORT, decimals, figure, put_ticks, ticks

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # bqplot's scales are declared in an old way of traitlets
    import bqplot

HOVERED = 80  # points of a curve that say what they are; an epoch between them is near one
ENOUGH = 9.0  # epochs after the first that the chart has room for at least
ORDER = ("gap", "spread", "before", "raw", "lines", "marks", "changes", "best", "words")  # from the back to the front


@dataclass(frozen=True)
class How:
    """How curves are shown. smooth: the share of the last value that is kept, 0 for none. hidden: names left out."""

    log: bool = False
    smooth: float = 0.0
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Drawn:
    """What a chart shows. x: epochs (n,). curves: values (n,) by name. before: another run's curves, x and y by name.

    best: epoch and value of a dot. shaded: two names between whose curves is shaded. spread: half the height of a band
    around a curve (n,), by its name. marks, changes: dots of other epochs.
    """

    x: np.ndarray
    curves: Mapping[str, np.ndarray]
    before: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    best: tuple[float, float] | None = None
    shaded: tuple[str, str] | None = None
    spread: Mapping[str, np.ndarray] = field(default_factory=dict)
    marks: Sequence[tuple[float, float]] = ()
    changes: Sequence[tuple[float, float]] = ()


class SeriesChart:
    """Curves by name, each in its colour. first: the smallest epoch."""

    def __init__(self, colours: Mapping[str, str], *, first: int = 1) -> None:
        self._colours, self._first = dict(colours), float(first)
        self._x_scale, self._y_scale = bqplot.LinearScale(min=self._first, max=first + ENOUGH), bqplot.LinearScale()
        self._scales = {"x": self._x_scale, "y": self._y_scale}
        self._x_axis = bqplot.Axis(scale=self._x_scale, grid_lines="none", tick_format="d")
        self._y_axis = bqplot.Axis(scale=self._y_scale, side="left", tick_format=".2f")
        self._y_axis.orientation = "vertical"  # says the same to older bqplots
        self._seen = (0.0, 1.0), (self._first, first + ENOUGH)
        self._log = self._zoomed = False
        self.moves = 0  # how often the front end has moved a scale
        self._inks = list(self._colours.values())
        self._told = False
        self._there: dict[str, Any] = {"lines": self._many(self._inks, stroke_width=2)}
        axes = [self._x_axis, self._y_axis]
        self.widget: Any = figure([*self._there.values()], axes, scale_x=self._x_scale, scale_y=self._y_scale)
        for scale in (self._x_scale, self._y_scale):
            scale.observe(self._follow_zoom, ["min", "max"])  # perhaps on another thread

    def _many(self, inks: list[str], **how: Any) -> Any:
        nothing = np.full((len(inks), 2), np.nan)
        return bqplot.Lines(x=np.full(2, self._first), y=nothing, scales=self._scales, colors=inks, **how)

    def _between(self, ink: str) -> Any:
        how: dict[str, Any] = {"fill": "between", "fill_colors": [ink] * 2, "fill_opacities": [0.16] * 2}
        return self._many([ink] * 2, opacities=[0.0] * 2, **how)

    def _set(self, inks: list[str], size: int) -> Any:
        return bqplot.Scatter(x=[], y=[], scales=self._scales, colors=inks, default_size=size, stroke="transparent")

    def tell(self) -> None:
        """From now on points say what they are under the pointer."""
        self._told = True

    def _mark(self, name: str, make: Callable[[], Any]) -> Any:
        """A mark that is made when it is needed first: each costs a message, and most runs are short."""
        if name not in self._there:
            self._there[name] = make()
            self.widget.marks = sorted_marks(self._there)
        return self._there[name]

    def draw(self, drawn: Drawn, how: How) -> None:
        """Show the curves; one message for a mark or axis that changed."""
        self._log = how.log
        x = drawn.x
        raw = {name: self._high(drawn.curves.get(name), len(x), name, how) for name in self._colours}
        shown = {name: smoothed(y, how.smooth) for name, y in raw.items()}
        _lines(self._there["lines"], x, np.stack(list(shown.values())))
        self._there["lines"].marker = "circle" if len(x) == 1 else None
        inks, before = self._inks, self._shown_before(drawn, how)
        faint = np.stack(list(raw.values())) if how.smooth else None
        self._set_lines("raw", x, faint, lambda: self._many(inks, opacities=[0.3] * len(inks), stroke_width=1))
        for name, (x_before, y) in before.items():
            self._set_lines(f"before {name}", x_before, y[None], lambda name=name: self._ghost(name))  # type: ignore[misc]
        for name in self._there:
            if name.startswith("before ") and name.removeprefix("before ") not in before:
                _lines(self._there[name], np.zeros(0), np.zeros((1, 0)))
        pair = drawn.shaded if drawn.shaded and not how.hidden & set(drawn.shaded) else None
        gap = np.stack([shown[name] for name in pair]) if pair else None
        self._set_lines("gap", x, gap, lambda: self._between(look.TRAIN))
        self._set_lines("spread", x, self._ends(drawn, how), lambda: self._between(look.VALID))
        self._set_dots("best", [drawn.best] if drawn.best else [], look.BEST)
        self._set_dots("marks", drawn.marks, look.FAINT)
        self._set_dots("changes", drawn.changes, look.CHANGE)
        if self._told:
            self._set_hover(x, drawn, raw)
        self._draw_axes(x, [*shown.values(), *(y for _, y in before.values())])

    def _ghost(self, name: str) -> Any:
        return self._many([self._colours[name]], line_style="dashed", opacities=[0.6], stroke_width=1.5)

    def _shown_before(self, drawn: Drawn, how: How) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The curves of the run before, as high as they are drawn."""
        kept = {name: curve for name, curve in drawn.before.items() if name in self._colours and name not in how.hidden}
        return {name: (x, smoothed(self._lifted(y), how.smooth)) for name, (x, y) in kept.items()}

    def _set_lines(self, name: str, x: np.ndarray, ys: np.ndarray | None, make: Callable[[], Any]) -> None:
        """Give lines their points; None or nothing but gaps: none, and no lines are made for it."""
        if ys is None or np.isnan(ys).all():
            if name in self._there:
                _lines(self._there[name], np.zeros(0), np.zeros((len(np.atleast_2d(self._there[name].y)), 0)))
            return
        _lines(self._mark(name, make), x, ys)

    def _high(self, values: np.ndarray | None, count: int, name: str, how: How) -> np.ndarray:
        """How high a curve is drawn; nan where it is hidden."""
        return np.full(count, np.nan) if values is None or name in how.hidden else self._lifted(values)

    def _lifted(self, values: np.ndarray) -> np.ndarray:
        """Where a value stands: its logarithm by ratio, where what is not positive has no place."""
        values = np.where(np.isfinite(values), values, np.nan)
        if not self._log:
            return values
        return np.log10(np.where(values > 0, values, np.nan))

    def _ends(self, drawn: Drawn, how: How) -> np.ndarray | None:
        for name, half in drawn.spread.items():
            if name in drawn.curves and name not in how.hidden:
                middle = drawn.curves[name]
                return np.stack([smoothed(self._lifted(middle + sign * half), how.smooth) for sign in (-1, 1)])
        return None

    def _set_dots(self, name: str, dots: Iterable[tuple[float, float]], ink: str) -> None:
        points = np.array(list(dots), float).reshape(-1, 2)
        if not len(points) and name not in self._there:
            return
        mark = self._mark(name, lambda: self._set([ink], 40))
        x, y = points[:, 0], self._lifted(points[:, 1])
        if not (np.array_equal(x, mark.x) and np.array_equal(y, mark.y, equal_nan=True)):
            with mark.hold_sync():
                mark.x, mark.y = x, y

    def _hovering(self) -> Any:
        mark = self._set(["transparent"], 140)
        tip = bqplot.Tooltip(fields=["name"], show_labels=False)
        tip.add_class("nnl-tip")
        mark.tooltip, mark.display_names = tip, False
        return mark

    def _set_hover(self, x: np.ndarray, drawn: Drawn, high: Mapping[str, np.ndarray]) -> None:
        some = np.unique(np.linspace(0, len(x) - 1, min(len(x), HOVERED)).round().astype(int))
        best = drawn.best[0] if drawn.best else None
        some = np.union1d(some, np.flatnonzero(x == best)) if best is not None else some
        points = [(x[at], y[at], f"{name} {look.number(float(drawn.curves[name][at]))}, epoch {x[at]:,.0f}")
                  for name, y in high.items() if name in drawn.curves for at in some if np.isfinite(y[at])]  # fmt: skip
        mark = self._mark("words", self._hovering)
        with mark.hold_sync():
            mark.x, mark.y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
            mark.names = np.array([p[2] for p in points], dtype=object)

    def _draw_axes(self, x: np.ndarray, ys: Iterable[np.ndarray]) -> None:
        last = max(float(x[-1]), self._first + ENOUGH)
        seen = np.concatenate([np.ravel(y) for y in ys])
        seen = seen[np.isfinite(seen)]
        ends = (float(seen.min()), float(seen.max())) if len(seen) else self._seen[0]
        self._seen = ends, (self._first, last)
        scales = (self._y_scale, self._x_scale)
        if self._zoomed and all(scale.min is not None and scale.max is not None for scale in scales):
            y_ends, x_ends = ((float(scale.min), float(scale.max)) for scale in scales)
            self._mark_axes(y_ends, x_ends)
        elif not self._zoomed:
            if last > self._first + ENOUGH and self._x_scale.max is not None:
                self._x_scale.max = None
            self._mark_axes(*self._seen)

    def _mark_axes(self, y: tuple[float, float], x: tuple[float, float]) -> None:
        put_ticks(self._x_axis, ticks(*x, 4, whole=True), "d" if x[1] < SHORT else "~s")
        if self._log:
            places = log_ticks(*y)
            put_ticks(self._y_axis, list(places), "~g", list(places.values()))
        else:
            places_y = ticks(*y, 4)
            put_ticks(self._y_axis, places_y, decimals(places_y))

    def zoom(self, on: bool) -> None:
        """Let the wheel zoom and the pointer move what is seen; off: show all again."""
        if on == self._zoomed:
            return
        self._zoomed = on
        if on:
            scales = {"x": [self._x_scale], "y": [self._y_scale]}
            self.widget.interaction = bqplot.PanZoom(scales=scales)
            return
        old, self.widget.interaction = self.widget.interaction, None
        if old is not None:
            old.close()
        whole = self._seen[1][1] > self._first + ENOUGH
        self._x_scale.min, self._x_scale.max = self._first, None if whole else self._first + ENOUGH
        self._y_scale.min = self._y_scale.max = None
        self._mark_axes(*self._seen)

    def _follow_zoom(self, change: Any) -> None:
        self.moves += self._zoomed


def sorted_marks(there: Mapping[str, Any]) -> list[Any]:
    """The marks from the back to the front."""
    return [there[name] for name in sorted(there, key=lambda name: ORDER.index(name.partition(" ")[0]))]


def smoothed(values: np.ndarray, keep: float) -> np.ndarray:
    """The exponential mean of the values (n,) without the pull of the first, as in TensorBoard; gaps stay gaps."""
    if not keep:
        return values
    found, mean, weight = np.full(len(values), np.nan), 0.0, 0.0
    for at, value in enumerate(values):
        if math.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
            found[at] = mean / weight
    return found


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Round numbers between 10**low and 10**high by the place of their logarithm: 1, 2 and 5, or only powers of 10."""
    wide = high - low > 2.5
    found = {}
    for power in range(math.floor(low) - 1, math.ceil(high) + 1):
        for digit in (1,) if wide else (1, 2, 5):
            at = power + math.log10(digit)
            if low - 1e-9 <= at <= high + 1e-9:
                found[round(at, 6)] = f"{digit * 10.0**power:g}"
    if len(found) < 3:
        plain = ticks(10.0**low, 10.0**high, 4)
        found = {round(math.log10(at), 6): f"{at:{decimals(plain)}}" for at in plain if at > 0} or found
    if len(found) > 6:
        found = dict(list(found.items())[:: math.ceil(len(found) / 6)])
    return found or {round(low, 6): f"{10.0**low:.3g}"}


def _lines(mark: Any, x: np.ndarray, ys: np.ndarray) -> None:
    """Give a mark its points, if they are others; a line of one point is drawn as two."""
    if len(x) == 0:
        x, ys = np.zeros(2), np.full((len(ys), 2), np.nan)
    elif len(x) == 1:  # bqplot would squeeze its axis away, and a line of one point is not seen
        x, ys = np.repeat(x, 2), np.repeat(ys, 2, axis=1)
    ys = ys[0] if len(ys) == 1 else ys  # as bqplot keeps it
    if np.array_equal(x, mark.x) and np.array_equal(ys, mark.y, equal_nan=True):
        return
    if np.isnan(ys).all() and np.isnan(np.asarray(mark.y)).all():
        return
    with mark.hold_sync():
        mark.x, mark.y = x, ys
