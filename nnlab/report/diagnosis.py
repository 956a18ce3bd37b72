"""What the doctor says of a run: evidence drawn small, verdicts with what mends them, and the layers over time."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.spec import CUSTOM
from nnlab.core.wording import counted
from nnlab.report.blocks import Block, Line, Section, Sentence
from nnlab.report.bundle import Bundle, page, picture
from nnlab.report.charts import ROUND, WIDE
from nnlab.report.drawing import BEST, GRID, TRAIN, VALID, decimate, draw, label, title
from nnlab.report.specs import python_call

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab.core.diagnose.doctor import Diagnosis
    from nnlab.core.diagnose.registry import Plot, Verdict

IN_ROW, ROW_HEIGHT = 2, 190
FEWEST_BARS = 5  # for which there is room, so that two are no walls
MAPS = {
    "gradient": "gradient norm",
    "weight": "weight norm",
    "activation": "activation (RMS)",
    "update": "step by weight norm",
}
MOST_NAMES = 12  # layers that have their name at a heat map
LAYER_HEIGHT, LEAST_HEIGHT, MOST_HEIGHT = 17, 62, 340  # of a heat map, in points of the page
TINY = 1e-300  # a norm of 0 has no logarithm
INK_WIDTH, INK_HEIGHT = 6, 6  # of the scale, in points
INKS = ("#f2f6fc", "#c5d9f3", "#7fadea", "#1f66cc", "#123c78", "#0a1e3d")  # from little to much
WORDS = {
    "exploding_gradients": "exploding gradients",
    "vanishing_gradients": "vanishing gradients",
    "lr_too_high": "learning rate too high",
    "lr_too_low": "learning rate too low",
    "no_shuffling": "no shuffling",
    "label_noise": "wrong labels",
    "class_ignored": "a class ignored",
    "miscalibrated": "miscalibration",
    "loading_bound": "waiting for rows",
}


def diagnosis_bundles(diagnosis: "Diagnosis", lines: Mapping[str, str] | None = None) -> list[Bundle]:
    """The evidence of each verdict, then the verdicts, then heat maps of the layers.

    lines: what mends it, by the verdict's name; without them the calls of Python.
    """
    plots = [(words_of(verdict.name), verdict.plot) for verdict in diagnosis.verdicts if verdict.plot is not None]
    plots += [("more rows", diagnosis.curve.plot)] if diagnosis.curve is not None else []
    found = []
    if plots:
        words = f"evidence: {', '.join(name for name, _ in plots)}"
        across, down = min(len(plots), IN_ROW), math.ceil(len(plots) / IN_ROW)
        size = (WIDE * across // IN_ROW, ROW_HEIGHT * down)
        found.append(picture(draw(*size, lambda figure: _paint_evidence(figure, plots, across)), words))
    found.append(page(diagnosis_blocks(diagnosis, lines)))
    if len(diagnosis.run.record.probes) > 1:
        looks, layers = len(diagnosis.run.record.probes), len(diagnosis.run.record.probes[0].layers)
        words = f"{', '.join(MAPS.values())} of {counted(layers, 'layer')} at {counted(looks, 'step')}"
        found.append(picture(draw(WIDE, _maps_height(layers), lambda figure: _paint_maps(figure, diagnosis)), words))
    return found


def diagnosis_blocks(diagnosis: "Diagnosis", lines: Mapping[str, str] | None = None) -> Iterator[Block]:
    """The headline, each verdict with its evidence and what mends it, and what could not be looked at."""
    from nnlab.core.diagnose.mending import mending_words

    run = diagnosis.run
    network = run.spec.model.values.get("name") or CUSTOM if run.spec.model.name == CUSTOM else run.spec.model
    yield Sentence(_headline(diagnosis), f"in run {run.name or run.id}: {network} on {run.pipeline.target.name}")
    for place, verdict in enumerate(diagnosis.verdicts, 1):
        numbered = f"{place}. " if len(diagnosis.verdicts) > 1 else ""
        yield Section(f"{numbered}{verdict.what}:", verdict.evidence)
        line = (lines or {}).get(verdict.name) if lines is not None else _call(diagnosis, verdict)
        if line:
            advice = f" ({verdict.advice})" if verdict.advice else ""
            by = f", by {words}" if (words := mending_words(run, verdict)) else ""
            yield Line(f"This would {verdict.effect}{by}{advice}:", line)
    if diagnosis.curve is not None:
        yield Sentence("learning curve:", str(diagnosis.curve))
    for why, names in diagnosis.open.items():
        yield Sentence("not looked at:", f"{', '.join(map(words_of, names))}; {why}")


def words_of(name: str) -> str:
    """The name of a diagnosis in words."""
    return WORDS.get(name, name.replace("_", " "))


def _headline(diagnosis: "Diagnosis") -> str:
    count = len(diagnosis.verdicts)
    return f"{counted(count, 'finding')}" if count else "nothing was found"


def _call(diagnosis: "Diagnosis", verdict: "Verdict") -> str:
    """The call of Python that mends it."""
    from nnlab.core.diagnose.mending import mended, options_that_mend, prepared_anew

    steps = []
    if verdict.look:
        steps.append("nnlab.evaluate(run, data, frame=frame).top_losses(20)")
    if verdict.prepare:
        spec = prepared_anew(diagnosis.run, verdict)
        steps.append(f"data = {python_call('prepare', spec, f'frame, target={spec.target!r}')}")
    if verdict.fix or verdict.prepare:
        wanted, calibrate = mended(diagnosis.run, verdict)
        call = python_call("fit", wanted, keep=options_that_mend(diagnosis.run, verdict))
        steps.append(f"run = {call[:-1]}, calibrate=True)" if calibrate else f"run = {call}")
    return "\n".join(steps)


def _paint_evidence(figure: "Figure", plots: Sequence[tuple[str, "Plot"]], across: int) -> None:
    axes = figure.subplots(math.ceil(len(plots) / across), across, squeeze=False).ravel()
    for panel, (name, plot) in zip(axes, plots, strict=False):
        _evidence_panel(panel, plot)
        title(panel, name)
    for panel in axes[len(plots) :]:
        panel.set_axis_off()


def _evidence_panel(axes: "Axes", plot: "Plot") -> None:
    from matplotlib.ticker import MaxNLocator

    if plot.labels:
        _bars(axes, plot)
    else:
        colors = [VALID] if len(plot.lines) == 1 else [TRAIN, VALID]
        for (name, values), color in zip(plot.lines.items(), colors, strict=False):
            x, y = decimate(np.asarray(plot.x, float), np.asarray(values, float), 300)
            axes.plot(x, y, color=color, marker="o" if len(x) < 12 else None, markersize=3, label=name)
        if len(plot.lines) > 1:
            axes.legend(frameon=False, fontsize=7.5, handlelength=1.2, loc="best")
        if plot.place is not None:
            axes.axvline(plot.place, color=BEST, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        _level(axes, plot)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=ROUND, min_n_ticks=1))
    if plot.log and all(np.nanmin(values) > 0 for values in plot.lines.values()):
        axes.set_yscale("log")
    axes.set_xlabel(label(", by ".join(filter(None, (plot.title, plot.x_label))), 50))


def _level(axes: "Axes", plot: "Plot", left: bool = False) -> None:
    """The value to compare with, as a line with its name; left: where that stands."""
    if plot.level is None:
        return
    axes.axhline(plot.level, color=BEST, linewidth=0.8, zorder=1)
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    side: dict[str, Any] = {"ha": "left" if left else "right", "va": "bottom", "fontsize": 7.5, "color": BEST}
    axes.annotate(label(plot.level_name), (0.0 if left else 1.0, plot.level), (0, 2), **place, **side)


def _bars(axes: "Axes", plot: "Plot") -> None:
    values = np.asarray(next(iter(plot.lines.values())), float)
    places = np.arange(len(values))
    if plot.log and values.size and np.nanmax(values) > 0:
        axes.set_yscale("log")
        values = np.where(np.isfinite(values), np.maximum(values, np.nanmin(values[values > 0])), np.nan)
    axes.bar(places, values, width=0.66, color=VALID)
    axes.set_xlim(-0.6, max(len(places), FEWEST_BARS) - 0.4)
    full = len(places) >= FEWEST_BARS and plot.level is not None and values[-1] > plot.level > values[0]
    _level(axes, plot, left=full)  # where no bar hides its name
    some = places if len(places) <= 8 else places[:: math.ceil(len(places) / 8)]
    axes.set_xticks(some, [label(plot.labels[at], 12) for at in some])


def _maps_height(layers: int) -> int:
    return 2 * (min(max(LAYER_HEIGHT * layers, LEAST_HEIGHT), MOST_HEIGHT) + 62)


def _paint_maps(figure: "Figure", diagnosis: "Diagnosis") -> None:
    looks = diagnosis.run.record.probes
    values = {name: np.array([look.values[name] for look in looks], float).T for name in MAPS}
    with np.errstate(divide="ignore", invalid="ignore"):
        values["update"] = values["update"] / values["weight"]
    for axes, (name, words) in zip(figure.subplots(2, 2).ravel(), MAPS.items(), strict=True):
        ink_of = _heat_map(axes, values[name], looks[0].layers, [look.step for look in looks])
        title(axes, words)
        _scale(axes, values[name], ink_of)


def _heat_map(axes: "Axes", values: np.ndarray, layers: Sequence[str], steps: Sequence[int]) -> Callable[[float], Any]:
    """Layers from the input at the top, looks from left to right, by ratio; what is not finite is orange. Gives the ink
    of a logarithm."""
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("nnlab", list(INKS), N=24).with_extremes(bad=BEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log10(values)
    shown[values == 0] = np.nanmin(shown[np.isfinite(shown)], initial=0.0)
    shown[~np.isfinite(shown)] = np.nan
    low, high = np.nanmin(shown, initial=np.inf), np.nanmax(shown, initial=-np.inf)
    room = max(0.0, 1.0 - (high - low)) / 2 if high >= low else 0.5  # a factor of ten fills the inks at least
    image = axes.imshow(shown, aspect="auto", cmap=colors, vmin=low - room, vmax=high + room, interpolation="nearest")
    axes.grid(False)
    names = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), MOST_NAMES)).round().astype(int))
    axes.set_yticks(names, [label(layers[at], 16) for at in names])
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 6)).round().astype(int))
    axes.set_xticks(places, [f"{steps[at]:,}" for at in places])
    axes.set_xlabel("step")
    axes.set_ylabel("layer")
    axes.spines[["bottom"]].set_color(GRID)
    return lambda power: image.to_rgba(np.array([power]))[0]


def _scale(axes: "Axes", values: np.ndarray, ink_of: Callable[[float], Any]) -> None:
    """Over the map at the right: the least and the largest value with the inks from one to the other."""
    from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, HPacker, TextArea
    from matplotlib.patches import Rectangle

    finite = values[np.isfinite(values)]
    parts: list[Any] = []
    if len(finite) < values.size:
        parts.append(TextArea("not finite", textprops={"color": BEST, "size": 9.5}))
    if len(finite):
        inks = DrawingArea(INK_WIDTH * len(INKS), INK_HEIGHT)
        ends = float(finite.min()), float(finite.max())
        first, last = (math.log10(max(end, TINY)) for end in ends)
        for at, power in enumerate(np.linspace(first, last, len(INKS))):
            ink = ink_of(float(power))
            inks.add_artist(Rectangle((INK_WIDTH * at, 0), INK_WIDTH, INK_HEIGHT, color=ink, linewidth=0))
        low, high = (TextArea(_short(end), textprops={"size": 9.5}) for end in ends)
        parts += [low, inks, high]
    packed = HPacker(children=parts, align="center", pad=0, sep=4)
    place: dict[str, Any] = {"bbox_to_anchor": (1, 1.02), "bbox_transform": axes.transAxes}
    axes.add_artist(AnchoredOffsetbox(loc="lower right", child=packed, frameon=False, borderpad=0, pad=0, **place))


def _short(value: float) -> str:
    """Two digits, in powers of ten only where it is very large or very small."""
    if 100 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    mantissa, mark, power = f"{value:.2g}".partition("e")
    return f"{mantissa}e{int(power)}" if mark else mantissa
