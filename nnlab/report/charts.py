"""The pictures that stay in a notebook: curves of a run, the target, several runs, a study. Each gives PNG bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.report.drawing import (
    BEST,
    CHANGE,
    FAINT,
    GRID,
    INK,
    MOST_POINTS,
    MUTED,
    SERIES,
    TRAIN,
    VALID,
    decimate,
    draw,
    label,
    title,
)
from nnlab.report.tables import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.events import Changed, Resumed

WIDE, NARROW = 640, 480  # points of the page; a wide picture can be read at 360, too
ROUND = (1, 2, 2.5, 5, 10)  # what ticks count by
STEEP = 30.0  # a loss that falls by more than this factor is drawn by ratio
MOST_BARS = 12
MOST_NAMED = 10  # trials of a front that carry their number


def curves(
    history: "pd.DataFrame",
    metric: str | None,
    best_epoch: int | None = None,
    changes: "Sequence[Changed]" = (),
    resumed: "Sequence[Resumed]" = (),
) -> bytes:
    """Loss of training and validation rows, the metric, and the step size, over the epochs.

    history: as Run.history. metric: its name without valid_; None or "loss" for no panel of its own.
    changes: thin lines; resumed: dotted ones, behind the epoch that was done.
    """
    shown = metric if metric and metric != "loss" and f"valid_{metric}" in history else None

    def paint(figure: "Figure") -> None:
        grid = figure.add_gridspec(2, 1 + bool(shown), height_ratios=[10, 3])
        above = [figure.add_subplot(grid[0, at]) for at in range(1 + bool(shown))]
        panels = [*above, figure.add_subplot(grid[1, :])]
        _loss_panel(panels[0], history, best_epoch)
        if shown:
            _band(panels[1], history, shown)
            _panel(panels[1], history, [(f"valid_{shown}", "validation", VALID)], shown, best_epoch)
        _panel(panels[-1], history, [("lr", "", INK)], "", None, ticks=8)
        number_axis(panels[-1], levels=2)
        panels[-1].set_ylim(bottom=0)
        words = [("changed", CHANGE)] * bool(changes) + [("resumed", MUTED)] * bool(resumed)
        title(panels[-1], "learning rate", words)
        for axes in panels:
            for change in changes:
                axes.axvline(change.epoch, color=CHANGE, linewidth=0.7, alpha=0.7, zorder=1)
            for place in resumed:
                axes.axvline(place.epoch + 0.5, color=MUTED, linewidth=1.0, linestyle=":", zorder=1)

    return draw(WIDE, 370, paint)


def _loss_panel(axes: "Axes", history: "pd.DataFrame", best_epoch: int | None) -> None:
    lines = [("train_loss", "training", TRAIN), ("valid_loss", "validation", VALID)]
    present = [line for line in lines if line[0] in history]
    values = history[[name for name, _, _ in present]].to_numpy(float)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() / values.min() > STEEP:
        axes.set_yscale("log")
    if len(present) == 2:  # what is learned by heart
        x, ends = history.index.to_numpy(float), [history[name].to_numpy(float) for name, _, _ in lines]
        axes.fill_between(*_thinned_pair(x, *ends), color=TRAIN, alpha=0.12, linewidth=0)
    _band(axes, history, "loss")
    _panel(axes, history, present, "loss", best_epoch)


def _band(axes: "Axes", history: "pd.DataFrame", name: str) -> None:
    """One standard deviation over the members to both sides of the validation curve, where that is known."""
    if f"spread_{name}" in history and f"valid_{name}" in history:
        middle, half = (history[f"{kind}_{name}"].to_numpy(float) for kind in ("valid", "spread"))
        x, low, high = _thinned_pair(history.index.to_numpy(float), middle - half, middle + half)
        axes.fill_between(x, low, high, color=VALID, alpha=0.2, linewidth=0)


def _thinned_pair(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most so many points of two curves, the same of both."""
    some = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), MOST_POINTS)).round().astype(int))
    return x[some], low[some], high[some]


def _panel(
    axes: "Axes",
    history: "pd.DataFrame",
    lines: Sequence[tuple[str, str, str]],
    name: str,
    best_epoch: int | None,
    ticks: int = 6,
) -> None:
    epochs = history.index.to_numpy(float)
    style: dict[str, Any] = {
        "marker": _dot(epochs),
        "markersize": 4,
        "linewidth": 1.6 if len(history) < 300 else 1.0,
    }
    for column, _, color in lines:
        axes.plot(*decimate(epochs, history[column].to_numpy(float)), color=color, **style)
    right = ""
    if best_epoch is not None and best_epoch in history.index and lines:
        column = lines[-1][0]
        value = float(history[column].loc[best_epoch])
        right = f"{number(value)}, epoch {best_epoch}"
        axes.axvline(best_epoch, color=BEST, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.plot(best_epoch, value, "o", color=BEST, markersize=5.5, markeredgecolor="white", zorder=5)
    if name:
        title(axes, name, [(word, color) for _, word, color in lines], right)
    epoch_axis(axes, epochs, ticks)
    number_axis(axes)


def in_rows(figure: "Figure", count: int) -> list["Axes"]:
    """So many panels, two in a row; the last one has a row for itself where it stands alone."""
    grid = figure.add_gridspec(-(-count // 2), 2)
    places = [grid[at // 2, at % 2] for at in range(count - count % 2)]
    return [figure.add_subplot(place) for place in [*places, *([grid[count // 2, :]] if count % 2 else [])]]


def _dot(x: np.ndarray) -> str | None:
    """The marker of a curve that would be invisible as a line."""
    return "o" if len(x) < 2 else None


def epoch_axis(axes: "Axes", epochs: np.ndarray, ticks: int = 6) -> None:
    """Whole epochs as the x axis, from the first to the last."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, min_n_ticks=1, steps=ROUND))
    first, last = (epochs[0], epochs[-1]) if len(epochs) else (0.0, 1.0)
    room = max((last - first) * 0.02, 0.3)
    axes.set_xlim(first - room, last + room)
    axes.set_xlabel("epoch")


def number_axis(axes: "Axes", levels: int = 5) -> None:
    """Few round numbers at the y axis, written out; at most so many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        parts = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=parts, numticks=8))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.margins(y=0.08)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=levels, min_n_ticks=2, steps=ROUND))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def target_counts(name: str, counts: Mapping[Any, int]) -> bytes:
    """How many rows each class has, the largest classes first where there are many."""
    return bars(name, list(counts.items()), "rows of each class", "classes")


def bars(name: str, rows: Sequence[tuple[Any, int]], words: str, of: str = "") -> bytes:
    """Lying bars with their counts. words: what is counted; of: what the smallest of many bars are together."""
    colors = [VALID] * min(len(rows), MOST_BARS)
    if len(rows) > MOST_BARS:
        colors[-1] = TRAIN
        rows = sorted(rows, key=lambda bar: -bar[1])
        others = rows[MOST_BARS - 1 :]
        rows = [*rows[: MOST_BARS - 1], (f"{len(others)} other {of}", sum(count for _, count in others))]
    total = max(sum(count for _, count in rows), 1)

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        places = np.arange(len(rows))
        axes.barh(places, [count for _, count in rows], height=0.66, color=colors)
        for place, (_, count) in zip(places, rows, strict=True):
            axes.annotate(
                f"{count:,}  ({count / total:.1%})",
                (count, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
        axes.set_yticks(places, [label(word, 28) for word, _ in rows], color=INK)
        axes.set_xlim(0, 1.22 * max((count for _, count in rows), default=1))
        axes.invert_yaxis()
        _bare(axes)
        title(axes, name, [(words, MUTED)])

    return draw(NARROW, 62 + 23 * len(rows), paint)


def target_histogram(name: str, counts: Sequence[float], edges: Sequence[float]) -> bytes:
    """How the values of a numeric target spread. counts: rows of each bin; edges: one more than counts."""

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes = figure.subplots()
        axes.stairs(counts, edges, fill=True, color=VALID, alpha=0.9)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=ROUND))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=ROUND))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axes.margins(x=0.01)
        title(axes, name, [("rows", MUTED)])

    return draw(NARROW, 190, paint)


def overlay(histories: Mapping[str, "pd.DataFrame"], metric: str) -> bytes:
    """One validation value of several runs over the epochs; runs beyond the eighth are grey."""
    column = f"valid_{metric}"

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        longest = 1.0
        for at, (name, history) in enumerate(histories.items()):
            if column not in history or not len(history):
                continue
            x, y = decimate(history.index.to_numpy(float), history[column].to_numpy(float), 400)
            color = SERIES[at] if at < len(SERIES) else FAINT
            front = at < len(SERIES)
            shown = label(name, 28) if front else "_"
            axes.plot(x, y, color=color, label=shown, zorder=2 + front, marker=_dot(x))
            longest = max(longest, x[-1])
        title(axes, metric, [("validation rows", MUTED)])
        epoch_axis(axes, np.array([1.0, longest]))
        number_axis(axes)
        if len(axes.get_legend_handles_labels()[0]) > 0:
            figure.legend(loc="outside lower left", ncols=2, frameon=False, handlelength=1.4)

    return draw(WIDE, 290 + 20 * -(-min(len(histories), len(SERIES)) // 2), paint)


@dataclass(frozen=True)
class Course:
    """The trials of a study in their order. numbers, scores (nan for none), complete: (trials,) arrays."""

    metric: str
    maximize: bool
    numbers: np.ndarray
    scores: np.ndarray
    complete: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """Places of the trials that may be the best."""
        return np.flatnonzero(self.complete & np.isfinite(self.scores))


def study_history(course: Course, importance: Mapping[str, float] | None = None) -> bytes:
    """The score of each trial and the best so far; below it the importance of what was searched."""
    ranked = sorted((importance or {}).items(), key=lambda item: item[1])[-6:]
    heights = [240, *([50 + 24 * len(ranked)] if ranked else [])]

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        _trials_panel(panels[0], course)
        if ranked:
            _importance_panel(panels[1], ranked)

    return draw(WIDE, sum(heights), paint)


def _trials_panel(axes: "Axes", course: Course) -> None:
    from matplotlib.ticker import MaxNLocator

    counted = course.counted
    x, y = course.numbers[counted], course.scores[counted]
    axes.plot(course.numbers[~course.complete], course.scores[~course.complete], "x", color=FAINT, markersize=4)
    axes.plot(x, y, "o", color=TRAIN, markersize=4)
    words, right = [("trials", TRAIN), ("cut short", FAINT)][: 1 + (not course.complete.all())], ""
    if len(counted):
        best = np.maximum.accumulate(y) if course.maximize else np.minimum.accumulate(y)
        axes.step([*x, course.numbers.max()], [*best, best[-1]], where="post", color=VALID)
        at = int(y.argmax() if course.maximize else y.argmin())
        axes.plot(x[at], y[at], "o", color=BEST, markersize=6, markeredgecolor="white", zorder=5)
        words, right = [*words, ("best so far", VALID)], f"{number(y[at])} by trial {x[at]}"
        axes.set_ylim(*_fence(y))
        _mark_outside(axes, course)
    title(axes, course.metric, words, right)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=ROUND))
    number_axis(axes)


def _mark_outside(axes: "Axes", course: Course) -> None:
    """Triangles at the edge for trials beyond the limits, so that the best so far never comes from nowhere."""
    low, high = axes.get_ylim()
    for outside, place, mark in ((course.scores > high, 0.985, "^"), (course.scores < low, 0.015, "v")):
        at = course.numbers[outside]
        if not len(at):
            continue  # the layout would make room for a line of no points
        where = axes.get_xaxis_transform()
        axes.plot(at, np.full(len(at), place), mark, color=TRAIN, markersize=5, transform=where, clip_on=False)


def _fence(scores: np.ndarray) -> tuple[float, float]:
    """Limits without the hopeless trials, which would press all others into a line."""
    low, high = np.percentile(scores, [25, 75])
    reach = 2.5 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = max(low - reach, scores.min()), min(high + reach, scores.max())
    room = 0.08 * (high - low or reach)
    return float(low - room), float(high + room)


def front(names: tuple[str, str], trials: np.ndarray, front: np.ndarray, numbers: np.ndarray) -> bytes:
    """Trials by two objectives, those of the front with their numbers. trials, front: (n, 2), in the order of names."""

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        order = np.argsort(front[:, 1], kind="stable")
        axes.plot(trials[:, 1], trials[:, 0], "o", color=TRAIN, markersize=4)
        axes.plot(front[order, 1], front[order, 0], "o-", color=BEST, markersize=6, markeredgecolor="white", zorder=5)
        for at in order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_NAMED)).round().astype(int))]:
            axes.annotate(
                f"{numbers[at]}", (front[at, 1], front[at, 0]), xytext=(4, 4), textcoords="offset points", color=MUTED
            )
        axes.set_ylim(*_fence(np.concatenate([trials[:, 0], front[:, 0]])))
        if trials[:, 1].min() > 0 and trials[:, 1].max() > STEEP * trials[:, 1].min():
            axes.set_xscale("log")
        title(axes, names[0], [("trials", TRAIN), ("none is better in all", BEST)])
        axes.set_xlabel(names[1])
        number_axis(axes)

    return draw(WIDE, 252, paint)


def _importance_panel(axes: "Axes", ranked: Sequence[tuple[str, float]]) -> None:
    places = np.arange(len(ranked))
    axes.barh(places, [share for _, share in ranked], height=0.6, color=TRAIN)
    for place, (_, share) in zip(places, ranked, strict=True):
        axes.annotate(f"{share:.0%}", (share, place), xytext=(4, 0), textcoords="offset points", va="center", color=INK)
    axes.set_yticks(places, [label(name, 22) for name, _ in ranked], color=INK)
    axes.set_xlim(0, 1.25 * max(max(share for _, share in ranked), 1e-9))
    _bare(axes)
    title(axes, "importance")


def _bare(axes: "Axes") -> None:
    """Bars carry their numbers, so the axis of the numbers says nothing more."""
    axes.grid(False)
    axes.xaxis.set_visible(False)
    axes.spines[["bottom"]].set_visible(False)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GRID)
