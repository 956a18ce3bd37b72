"""The pictures of one column: how its values spread before and after, and how many rows each level has."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.data.spreads import Spread
from nnlab.report import charts
from nnlab.report.drawing import MUTED, TRAIN, VALID, draw, title
from nnlab.report.tables import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HUGE = 1e300  # beyond, limits of an axis would overflow
DATES = 4  # at the axis of a column of dates


def levels(name: str, names: Sequence[str], counts: Sequence[int]) -> bytes:
    """Training rows of the most frequent levels."""
    return charts.bars(name, list(zip(names, counts, strict=True)), "training rows")


def before_after(
    name: str, before: Spread, after: Spread | None, words: Callable[[float], str], dates: bool = False
) -> bytes:
    """The histogram of the training rows, and beside it that of the feature. words: how a value of the column reads."""
    change = after if after is not None and after.bars else None

    def paint(figure: "Figure") -> None:
        panels = np.atleast_1d(figure.subplots(1, 1 + (change is not None)))
        _histogram(panels[0], before, TRAIN, words, dates)
        title(panels[0], name, [("before", TRAIN), ("training rows", MUTED)])
        if change is not None:
            _histogram(panels[1], change, VALID, lambda value: number(value, 3))
            title(panels[1], "", [("after", VALID), ("as a feature", MUTED)])

    return draw(charts.WIDE if change else charts.NARROW, 190, paint)


def _histogram(axes: "Axes", spread: Spread, color: str, words: Callable[[float], str], dates: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = spread.low, spread.high
    if len(spread.bars) == 1:
        axes.bar([words(low)], spread.bars, width=0.3, color=color)
        axes.set_xlim(-1, 1)
    else:
        edges = low + (high / 2 - low / 2) * np.linspace(0, 2, len(spread.bars) + 1)
        scale = max(abs(low), abs(high)) if max(abs(low), abs(high)) > HUGE else 1.0
        axes.stairs(spread.bars, edges / scale, fill=True, color=color, alpha=0.9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=charts.ROUND))
        if dates:  # microseconds that are round are no round dates
            axes.set_xticks(np.linspace(low, high, DATES))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value * scale)))
        axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=charts.ROUND))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
