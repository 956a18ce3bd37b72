"""The trials of a study in one picture: parallel coordinates, slices, courses, and the fronts of several objectives."""

from typing import TYPE_CHECKING

from nnlab.report.charts import WIDE
from nnlab.report.drawing import FAINT, MUTED, draw, label, title
from nnlab.report.study_plots import MOST_LINES, Plot, courses, fronts, parallel, scored, slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.tune.study import Study

ROW = 170  # points of a row of plots
BESIDE = 2  # plots in a row
MOST_SLICES = 4
LONGEST = 14
ACROSS = 90  # characters under a row of axes, so that their names do not touch


def overview(study: "Study", lines: int = MOST_LINES) -> bytes | None:
    """How the values of the trials go with their scores, and how they came to them; None for fewer than two trials.

    lines: of a plot that has one for each trial, at most."""
    trials, importance = scored(study), study.importance
    wide = [plot for plot in (parallel(study, trials, importance, lines),) if plot]
    small = slices(study, trials, importance)[:MOST_SLICES]
    course, further = courses(study, trials, lines), fronts(study)[1:]  # the first front has a picture of its own
    more = [plot for plot in (course, *further) if plot]
    rows = [row for row in (wide, small[:BESIDE], small[BESIDE:], more[:BESIDE]) if row]
    if not wide:
        return None

    def paint(figure: "Figure") -> None:
        for parts, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
            for axes, plot in zip(parts.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                _paint(axes, plot)

    return draw(WIDE, ROW * len(rows), paint)


def _paint(axes: "Axes", plot: Plot) -> None:
    for line in plot.lines:
        xs, ys = [x for x, _ in line.points], [y for _, y in line.points]
        axes.plot(xs, ys, color=line.color, linewidth=1.8 if line.thick else 0.8, alpha=1.0 if line.thick else 0.6)
    for color, large in sorted({(dot.color, dot.large) for dot in plot.dots}, key=lambda one: one[1]):
        dots = [dot for dot in plot.dots if (dot.color, dot.large) == (color, large)]
        axes.plot([d.x for d in dots], [d.y for d in dots], "o", color=color, markersize=6 if large else 3.5)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.04, 1.04)
    longest = min(LONGEST, ACROSS // len(plot.axes)) if plot.axes else LONGEST
    axes.set_xticks([tick.place for tick in plot.x_ticks], [label(tick.text, longest) for tick in plot.x_ticks])
    if plot.axes:
        _parallel_axes(axes, plot)
    else:
        axes.set_yticks([tick.place for tick in plot.y_ticks], [label(tick.text, LONGEST) for tick in plot.y_ticks])
    title(axes, plot.title or "Trials", plot.legend)


def _parallel_axes(axes: "Axes", plot: Plot) -> None:
    axes.set_yticks([])
    axes.grid(visible=False)
    for x in plot.axes:
        axes.axvline(x, color=FAINT, linewidth=0.8, zorder=0)
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
    for tick in plot.y_ticks:
        last = tick.at == plot.axes[-1]
        side, how = (3, "left") if last else (-3, "right")
        axes.annotate(
            label(tick.text, LONGEST),
            (tick.at, tick.place),
            (side, 0),
            textcoords="offset points",
            ha=how,
            va="center",
            color=MUTED,
            size=7.5,
            bbox=behind,
            annotation_clip=False,
        )
