"""The picture that stays of what a network gives over a ground."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.playground import COMPONENTS
from nnlab.report import bundle
from nnlab.report.blocks import Block
from nnlab.report.bundle import Bundle, picture
from nnlab.report.charts import ROUND, number_axis
from nnlab.report.colours import inks_of, painted
from nnlab.report.drawing import FAINT, MUTED, VALID, draw, label, title
from nnlab.report.tables import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.data.prepare import Prepared
    from nnlab.core.playground import Ground
    from nnlab.core.run import Run

WIDTH, HEIGHT = 560, 320  # points of the page
MOST_NAMED = 5
COLORS = 256  # of a surface, whose shades would leave none of the few for text and dots


def bundles_over(
    run: "Run", line: str | None, data: "Prepared | None", ground: "Ground | None", before: Iterable[Block] = ()
) -> list[Bundle]:
    """What is shown of a run, and at its end what it gives over the ground. before: is said first."""
    shown = bundle.run_bundles(run, line, data, before)
    return shown if ground is None or run.best_epoch is None else [*shown, playground_bundle(run, ground)]


def playground_bundle(run: "Run", ground: "Ground") -> Bundle:
    """The best weights over the ground, with a sample of the training rows."""
    values = ground.values(run.model, run.device)
    panel = _surface if len(ground.axes) == 2 else _curves

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        panel(axes, ground, values)
        axes.set_xlabel(label(ground.names[0]))

    words = f"{ground.target.name} over {' and '.join(ground.names)}"
    return picture(draw(WIDTH, HEIGHT, paint, COLORS), words)


def dot_inks(ground: "Ground", y: np.ndarray) -> list[str]:
    """The colour of each row: of its class, or of its number as the surface has it."""
    if ground.target.classes:
        inks = inks_of(len(ground.target.classes))
        return [inks[int(code)] for code in y]
    pixels = painted(y[:, None], (len(y), 1), ground.ends)[0]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in pixels.tolist()]


def _legend(ground: "Ground") -> list[tuple[str, str]]:
    classes = ground.target.classes
    named = [(label(name, 14), ink) for name, ink in zip(classes, inks_of(len(classes)), strict=True)]
    where = "through the mean of the rows" if ground.names == COMPONENTS else "others at their median"
    others = [(where, MUTED)] * (ground.x.shape[1] > len(ground.axes))
    return [*named[:MOST_NAMED], *others]


def _surface(axes: "Axes", ground: "Ground", values: np.ndarray) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ends = [float(end) for axis in ground.axes for end in (axis[0], axis[-1])]
    how: dict[str, Any] = {"aspect": "auto", "interpolation": "bilinear"}
    axes.imshow(painted(values, ground.shape, ground.ends), extent=(ends[0], ends[1], ends[2], ends[3]), **how)
    inks = dot_inks(ground, ground.y)
    axes.scatter(ground.dots[:, 0], ground.dots[:, 1], s=13, c=inks, edgecolors="white", linewidths=0.6)
    axes.set_xlim(*ends[:2])
    axes.set_ylim(*ends[2:])
    axes.grid(False)
    for axis, at, units in zip((axes.xaxis, axes.yaxis), ground.axes, ground.units, strict=True):
        if (np.diff(units) > 0).all():
            places = MaxNLocator(nbins=5, steps=ROUND).tick_values(float(units.min()), float(units.max()))
            places = places[(places >= units.min()) & (places <= units.max())]
            axis.set_ticks(np.interp(places, units, at), [f"{place:,.6g}" for place in places])
        else:
            axis.set_major_locator(MaxNLocator(nbins=5, steps=ROUND))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_ylabel(label(ground.names[1]))
    low_high = " to ".join(number(end, 3) for end in ground.ends or ())
    title(axes, label(ground.target.name, 24), _legend(ground), low_high)


def _curves(axes: "Axes", ground: "Ground", values: np.ndarray) -> None:
    units = ground.units[0]
    if not ground.target.classes:
        axes.plot(np.interp(ground.dots[:, 0], ground.axes[0], units), ground.y, "o", color=FAINT, markersize=3)
    inks = inks_of(len(ground.target.classes)) or [VALID]
    for column, ink in zip(values.T, inks, strict=True):
        axes.plot(units, column, color=ink)
    if ground.target.classes:
        axes.set_ylim(-0.02, 1.04)
    number_axis(axes)
    title(axes, label(ground.target.name, 24), _legend(ground))
