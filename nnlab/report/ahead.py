"""What is known before a run begins: the courses of its schedules, and what a test of step sizes saw."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.wording import counted
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.bundle import Bundle, page, picture
from nnlab.report.charts import WIDE, epoch_axis, in_rows, number_axis
from nnlab.report.drawing import BEST, FAINT, GRID, INK, VALID, decimate, draw, title
from nnlab.report.tables import Table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.lr_range import LrRange
    from nnlab.core.plan import Plan

SHOWN_EPOCHS = 10  # rows of the plan's table


def plan_bundles(plan: "Plan", line: str) -> list[Bundle]:
    """The courses as pictures and at some epochs in a table. line: what trains so."""
    courses = [("learning rate", plan.place, plan.lr)]
    courses += [
        (name, plan.epochs.astype(float), values)
        for name, values in (("dropout", plan.dropout), ("weight decay", plan.weight_decay))
        if values is not None and np.ptp(values)
    ]
    if np.ptp(plan.batch_size) > 1:  # batches of one plan differ by a row
        courses.append(("rows per step", plan.epochs.astype(float), plan.batch_size.astype(float)))

    def paint(figure: "Figure") -> None:
        for axes, (name, x, y) in zip(in_rows(figure, len(courses)), courses, strict=True):
            axes.plot(*decimate(x, y), color=VALID, marker="o" if len(x) < 2 else None, markersize=4)
            title(axes, name)
            epoch_axis(axes, plan.epochs.astype(float) if name != "learning rate" else np.array([0.0, plan.epochs[-1]]))
            number_axis(axes)

    words = ", ".join(name for name, _, _ in courses)
    return [picture(draw(WIDE, 210 * -(-len(courses) // 2), paint), f"planned {words}"), page(_plan_blocks(plan, line))]


def _plan_blocks(plan: "Plan", line: str) -> Iterator[Block]:
    top = f"lr {number(float(plan.lr[0]))} at first, {number(float(plan.lr.max()))} at most"
    yield Sentence(
        counted(int(plan.epochs[-1]), "epoch"), f"of {number(float(plan.batch_size[0]))} rows per step; {top}"
    )
    if plan.open:
        yield Sentence("open:", plan.open)
    some = np.unique(np.linspace(0, len(plan.epochs) - 1, SHOWN_EPOCHS).round().astype(int))
    parts = {"lr at its end": plan.end_lr, "dropout": plan.dropout, "weight decay": plan.weight_decay}
    known = {name: values for name, values in parts.items() if values is not None}
    rows = [[int(plan.epochs[i]), *(float(v[i]) for v in known.values()), int(plan.batch_size[i])] for i in some]
    yield Table(["epoch", *known, "rows per step"], rows, "Plan")
    yield Code("To train so", line)


def lr_range_bundles(found: "LrRange", line: str) -> list[Bundle]:
    """The loss over the step size with the region that learns. line: what trains with the step size found."""
    words = "training loss over the learning rate; region that learns: " + (
        f"{found.low:.2g} to {found.high:.2g}" if found.best else "none, " + found.why
    )
    return [
        picture(draw(WIDE, 252, lambda figure: _paint_range(figure, found)), words),
        page(_range_blocks(found, line)),
    ]


def _paint_range(figure: "Figure", found: "LrRange") -> None:
    axes: Axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot(found.lr, found.loss, color=FAINT, linewidth=0.9)
    axes.fill_between(found.lr, found.smooth - 2 * found.spread, found.smooth + 2 * found.spread, color=GRID)
    axes.plot(found.lr, found.smooth, color=VALID)
    right = "no clear region"
    if found.best is not None and found.low is not None and found.high is not None:
        axes.axvspan(found.low, found.high, color=VALID, alpha=0.07, linewidth=0)
        axes.axvline(found.best, color=BEST, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(found.best, np.interp(found.best, found.lr, found.smooth), "o", color=BEST, markeredgecolor="white")
        right = f"lr {found.best:.2g}"
    words = [("mean of the trials", FAINT), ("smoothed", VALID), ("± 2 standard errors", INK)]
    title(axes, "training loss", words, right)
    axes.set_xlabel("learning rate")
    number_axis(axes)


def _range_blocks(found: "LrRange", line: str) -> Iterator[Block]:
    if found.best is None:
        yield Sentence("no clear region:", f"{found.why}; the learning rate stays as it is")
    else:
        yield Sentence(f"lr {found.best:.2g}", f", of the region that learns: {found.low:.2g} to {found.high:.2g}")
    yield Code("To train with it" if found.best else "To train", line)
