"""Pictures of an evaluation: how good the predictions are, and what the columns do to them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.report.charts import ROUND, WIDE, in_rows, number_axis
from nnlab.report.drawing import BEST, FAINT, INK, MUTED, SERIES, TRAIN, VALID, decimate, draw, label, title
from nnlab.report.tables import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.evaluated.evaluated import Evaluated

ROW = 268  # points of the page
MOST_CURVES = 6  # classes
MOST_CELLS = 25  # classes of a confusion matrix that is drawn
MOST_DOTS = 1500
MOST_BARS = 14
MAP = ("#f3f7fd", "#1f66cc")

Dependences = Sequence[tuple[tuple[str, ...], "pd.DataFrame"]]


def outcome_picture(found: "Evaluated", one: Any) -> bytes:
    """Of classes the confusion matrix, ROC, precision and recall, calibration; of numbers
    predicted against true, residuals and their spread. one: the class that is looked at."""
    panels = _regression_panels() if not found.labels else _class_panels(found)

    def paint(figure: "Figure") -> None:
        for place, panel in zip(in_rows(figure, len(panels)), panels, strict=True):
            panel(place, found, one)

    return draw(WIDE, (ROW + 30) * -(-len(panels) // 2), paint)


def columns_picture(found: "Evaluated", important: "pd.DataFrame | None", drawn: Dependences, one: Any) -> bytes:
    """The importance of the columns, then the partial dependence on some."""
    count = (important is not None) + len(drawn)

    def paint(figure: "Figure") -> None:
        axes = in_rows(figure, count)
        if important is not None:
            _importance_panel(axes.pop(0), important, found.main)
        for place, (names, table) in zip(axes, drawn, strict=False):
            (_surface_panel if len(names) == 2 else _dependence_panel)(place, names, table, found, one)

    return draw(WIDE, ROW * -(-count // 2), paint)


def _class_panels(found: "Evaluated") -> list[Any]:
    shown = len(found.labels) <= MOST_CELLS
    return [*([_confusion_panel] if shown else []), _roc_panel, _recall_panel, _calibration_panel]


def _regression_panels() -> list[Any]:
    return [_predicted_panel, _residual_panel, _spread_panel]


def _drawn_classes(found: "Evaluated", one: Any) -> list[tuple[Any, str]]:
    """The classes whose curves are drawn, with their colours: of two one, of more the most frequent."""
    if len(found.labels) == 2:
        return [(one, VALID)]
    order = np.argsort(-np.bincount(found.y, minlength=len(found.labels)), kind="stable")[:MOST_CURVES]
    chosen = [found.labels[place] for place in order]
    return list(zip(chosen if one in chosen else [*chosen[:-1], one], SERIES, strict=False))


def _roc_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    for name, color in _drawn_classes(found, one):
        curve = found.of(name).roc
        axes.plot(*_thinned(curve, "false_positive_rate", "true_positive_rate"), color=color)
    _mark_half(axes, found, one, lambda line: (line.fp / max(line.fp + line.tn, 1), line.recall))
    area = found.metrics.get("roc_auc")
    title(axes, "ROC", _legend(found, one), f"area {number(area, 3)}" if area is not None else "")
    _unit_square(axes, "false positive rate", "true positive rate")


def _recall_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    for name, color in _drawn_classes(found, one):
        curve = found.of(name).precision_recall
        axes.step(*_thinned(curve, "recall", "precision"), color=color, where="post")
    _mark_half(axes, found, one, lambda line: (line.recall, line.precision))
    share = float(found.of(one).true.mean())
    axes.axhline(share, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    title(axes, "precision and recall", _legend(found, one)[:3])
    _unit_square(axes, "recall", "precision")


def _calibration_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    """Of two classes the probability of one, of more that of the class that is predicted."""
    from nnlab.core.evaluated.evaluated import OneClass

    binary = len(found.labels) == 2
    top = OneClass("predicted", found.output.argmax(1) == found.y, found.output.max(1))
    curve = (found.of(one) if binary else top).calibration()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    heights = curve["rows"] / max(curve["rows"].max(), 1) * 0.25
    axes.bar(curve["predicted"], heights, width=0.06, color=TRAIN, alpha=0.35, zorder=1)
    axes.plot(curve["predicted"], curve["observed"], "o-", color=VALID, markersize=4)
    title(axes, "calibration", [("rows", TRAIN)])
    _unit_square(axes, f"probability of {_short(one) if binary else 'the predicted class'}", "share that is so")


def _confusion_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    counts = found.confusion.to_numpy(float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    _shade(axes, shares, 0.0, 1.0)
    size, words = len(counts), [_short(name, 10) for name in found.labels]
    some = np.arange(0, size, -(-size // 12))
    axes.set_xticks(some, [words[at] for at in some], rotation=30 if size > 4 else 0)
    axes.set_yticks(some, [words[at] for at in some])
    if size <= 12:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.55 else INK if count else FAINT
            axes.text(
                column, row, f"{int(count):,}", ha="center", va="center", color=color, fontsize=9 if size <= 6 else 7.5
            )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    title(axes, "confusion", [("shade: share of true", MUTED)])


def _predicted_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    true, predicted = _dots(found.true, found.output)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    axes.plot([low, high], [low, high], color=BEST, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(true, predicted, "o", color=VALID, markersize=3, alpha=0.4, markeredgewidth=0)
    r2 = found.metrics.get("r2")
    title(axes, "predicted against true", (), f"r2 {number(r2, 3)}" if r2 is not None else "")
    _numbers(axes, "true", "predicted")


def _residual_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    predicted, residual = _dots(found.output, found.true - found.output)
    axes.axhline(0, color=BEST, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(predicted, residual, "o", color=VALID, markersize=3, alpha=0.4, markeredgewidth=0)
    title(axes, "residuals", [("true less predicted", MUTED)])
    _numbers(axes, "predicted", "")


def _spread_panel(axes: "Axes", found: "Evaluated", one: Any) -> None:
    residual = found.true - found.output
    counts, edges = np.histogram(residual, bins=min(40, max(8, int(np.sqrt(len(residual))))))
    axes.stairs(counts, edges, fill=True, color=VALID, alpha=0.9)
    axes.axvline(0, color=BEST, linewidth=0.8, linestyle=(0, (4, 3)))
    title(axes, "spread of residuals", [("rows", MUTED)])
    _numbers(axes, "true less predicted", "")


def _importance_panel(axes: "Axes", important: "pd.DataFrame", metric: str) -> None:
    top = important[:MOST_BARS][::-1]
    places, mean = np.arange(len(top)), top["importance"].to_numpy()
    axes.barh(places, mean, height=0.6, color=VALID)
    if top["low"].notna().all():
        ends = np.abs(np.stack([mean - top["low"], top["high"] - mean]))
        axes.errorbar(mean, places, xerr=ends, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks(places, [label(name, 18) for name in top.index], color=INK)
    axes.set_ylim(-0.6, max(len(top), 3) - 0.4)
    axes.grid(False)
    axes.grid(True, axis="x")
    _few_ticks(axes.xaxis, 4)
    axes.set_xlabel(f"worse {metric} when shuffled")
    title(axes, "importance", [("95% interval", MUTED)])


def _dependence_panel(
    axes: "Axes", names: tuple[str, ...], table: "pd.DataFrame", found: "Evaluated", one: Any
) -> None:
    """The mean over rows; of one class, or of a number, also where most single rows lie."""
    name, words = names[0], []
    groups = list(table.groupby("class", sort=False)) if "class" in table else [(None, table)]
    order = dict(_drawn_classes(found, one)) if len(groups) > 1 else {}
    kind = _kind(table[name])
    levels = kind == "levels"
    for at, (group, part) in enumerate((key, part) for key, part in groups if not order or key in order):
        color = order.get(group, SERIES[at])
        x = np.arange(len(part)) if levels else part[name].to_numpy()
        if levels:
            ends = [part["mean"] - part["low"], part["high"] - part["mean"]]
            bars: dict[str, Any] = {"yerr": ends} if len(groups) == 1 else {}
            axes.errorbar(x, part["mean"], fmt="o", color=color, ecolor=FAINT, markersize=4, **bars)
            axes.set_xticks(x, [label(level, 9) for level in part[name]], rotation=30 if len(x) > 4 else 0)
            axes.set_xlim(-0.5, max(len(x), 2) - 0.5)
        else:
            axes.plot(x, part["mean"], color=color, marker="o" if len(x) < 4 else None, markersize=4)
            if len(groups) == 1:
                axes.fill_between(x, part["low"], part["high"], color=color, alpha=0.13, linewidth=0)
        words.append((label(group, 12), color) if order else ("80% of rows", MUTED))
    title(axes, label(name, 20), words[:4])
    what = "probability" if found.labels else found.run.pipeline.target.name
    axes.set_ylabel(f"{what} of {_short(one)}" if found.labels and not order else label(what, 24))
    if found.labels:
        axes.set_ylim(-0.02, 1.04)
        number_axis(axes)
    if kind == "dates":
        _date_ticks(axes.xaxis)
    elif not levels:
        _few_ticks(axes.xaxis, 4)


def _kind(values: "pd.Series") -> str:
    """numbers, dates or levels."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "dates"
    whole = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    return "numbers" if whole else "levels"


def _surface_panel(axes: "Axes", names: tuple[str, ...], table: "pd.DataFrame", found: "Evaluated", one: Any) -> None:
    grids = [table[name].drop_duplicates().to_numpy() for name in names]
    values = table["mean"].to_numpy().reshape(len(grids[0]), len(grids[1])).T
    low, high = (0.0, 1.0) if found.labels else (float(values.min()), float(values.max()))
    _shade(axes, values, low, high)
    axes.invert_yaxis()
    for axis, grid in zip((axes.xaxis, axes.yaxis), grids, strict=True):
        some = np.unique(np.linspace(0, len(grid) - 1, min(len(grid), 5)).round().astype(int))
        axis.set_ticks(some, [_tick(grid[at]) for at in some])
    axes.set_xlabel(label(names[0], 24))
    axes.set_ylabel(label(names[1], 24))
    ends = f"{number(float(values.min()), 3)} to {number(float(values.max()), 3)}"
    title(axes, f"probability of {_short(one)}" if found.labels else "prediction", (), ends)


def _shade(axes: "Axes", values: np.ndarray, low: float, high: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    inks = LinearSegmentedColormap.from_list("nnlab", list(MAP), N=16)
    axes.imshow(values, aspect="auto", cmap=inks, vmin=low, vmax=high, interpolation="nearest")
    axes.grid(False)


def _mark_half(axes: "Axes", found: "Evaluated", one: Any, place: Any) -> None:
    """Where a threshold of one half stands on the curve of the class that is looked at."""
    line = next(found.of(one).thresholds([0.5]).itertuples(index=False))
    axes.plot(*place(line), "o", color=INK, markersize=5.5, markeredgecolor="white", zorder=5)


def _legend(found: "Evaluated", one: Any) -> list[tuple[str, str]]:
    named = [(_short(name, 10), color) for name, color in _drawn_classes(found, one)]
    return [*named[:3], ("at 0.5" if len(named) == 1 else f"{_short(one, 10)} at 0.5", INK)]


def _thinned(curve: "pd.DataFrame", x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    return decimate(curve[x].to_numpy(float), curve[y].to_numpy(float), 400)


def _dots(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(x) <= MOST_DOTS:
        return x, y
    some = np.random.default_rng(0).choice(len(x), MOST_DOTS, replace=False)
    return x[some], y[some]


def _unit_square(axes: "Axes", x: str, y: str) -> None:
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    axes.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _numbers(axes: "Axes", x: str, y: str) -> None:
    number_axis(axes)
    _few_ticks(axes.xaxis, 5)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _few_ticks(axis: Any, most: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, min_n_ticks=2, steps=ROUND))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _date_ticks(axis: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator: Any = AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _tick(value: Any) -> str:
    return number(float(value), 3) if isinstance(value, int | float | np.number) else label(str(value)[:10], 10)


def _short(name: Any, longest: int = 14) -> str:
    return label(name, longest)
