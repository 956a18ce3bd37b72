"""Plots of a study as SVG in the page's own colours, for the live view."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nnlab.core.tune.study import FEW
from nnlab.report import drawing
from nnlab.report.html import esc
from nnlab.report.study_plots import Plot, Scored, courses, fronts, parallel, scored, slices
from nnlab.widgets import look

if TYPE_CHECKING:
    from nnlab.core.tune.study import Study

LEFT, RIGHT, TOP, BOTTOM = 54, 14, 8, 22
WIDE, HIGH = 880, 180
LEAST = 640  # pixels of a wide plot, whose words would be too small to read below; it is then moved sideways
INK = {"dim": "var(--nnl-dim)", "rule": "var(--nnl-rule)"}
LONGEST = 22
HALF_LETTER = 3.1  # pixels that a letter takes on each side of the middle of a word
MOST_BARS = 8
NOT_YET = "two complete trials are needed"
HUES = {
    drawing.TRAIN: look.TRAIN,
    drawing.VALID: look.VALID,
    drawing.BEST: look.BEST,
}  # of the final picture, as they are seen on any ground


def shown(view: str, study: "Study") -> str:
    """One of the charts of a study, as it is now."""
    return VIEWS[view](study, scored(study), study.importance)


def row(plots: Sequence[Plot], empty: str) -> str:
    """Plots side by side, or what is said where there is nothing to see yet."""
    if not plots:
        return f'<div class="nnl-notes" style="padding:78px 0;text-align:center">{esc(empty)}</div>'
    most = max(1, min(3, len(plots)))
    cells = "".join(
        f'<div style="flex:1 1 {100 // most - 2}%;min-width:240px">{_one(plot, most)}</div>' for plot in plots
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 12px">{cells}</div>'


def bars(shares: Sequence[tuple[str, float]], empty: str) -> str:
    """Each name with its share as a bar."""
    if not shares:
        return row((), empty)
    rows = "".join(
        f'<div style="display:flex;align-items:center;gap:10px;font-size:12px;margin:5px 0">'
        f'<span style="flex:0 0 150px;text-align:right;overflow:hidden;text-overflow:ellipsis">{esc(name)}</span>'
        f'<span style="flex:0 1 420px"><i data-share style="display:block;height:9px;border-radius:2px;'
        f'background:{look.VALID};width:{100 * share:.1f}%;min-width:1px"></i></span>'
        f'<span style="color:{INK["dim"]};font-variant-numeric:tabular-nums">{share:.0%}</span></div>'
        for name, share in shares
    )
    return f'<div style="min-height:{HIGH}px">{rows}</div>'


def _one(plot: Plot, beside: int) -> str:
    width = WIDE // beside
    right = 58 if plot.axes else RIGHT
    inner = width - LEFT - right
    bottom = BOTTOM if plot.x_ticks else 8

    def x(share: float) -> float:
        return round(LEFT + share * inner, 1)

    def y(share: float) -> float:
        return round(TOP + (1 - share) * (HIGH - TOP - bottom), 1)

    least = f"min-width:{LEAST}px;" if beside == 1 else ""
    parts = [_line(x(at), y(0), x(at), y(1)) for at in plot.axes or (0.0,)]
    parts += [] if plot.axes else [_line(x(0), y(at), x(1), y(at)) for at in (0.0, 0.5, 1.0)]
    for line in plot.lines:
        points = " ".join(f"{x(px)},{y(py)}" for px, py in line.points)
        how = f'stroke-width="{2.4 if line.thick else 1.2}" stroke-opacity="{1 if line.thick else 0.55}"'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_hue(line.color)}" {how}/>')
    for dot in plot.dots:
        size = 4.5 if dot.large else 3
        parts.append(
            f'<circle cx="{x(dot.x)}" cy="{y(dot.y)}" r="{size}" fill="{_hue(dot.color)}" fill-opacity=".85"/>'
        )
    for tick in plot.y_ticks:
        side = 5 if tick.at == 1.0 and plot.axes else -5
        parts.append(_text(x(tick.at) + side, y(tick.place) + 4, tick.text, "start" if side > 0 else "end"))
    for tick in plot.x_ticks:
        anchor = "middle" if plot.axes or 0 < tick.place < 1 else "start" if tick.place == 0 else "end"
        half = HALF_LETTER * min(len(tick.text), LONGEST) if anchor == "middle" else 0
        parts.append(_text(min(max(x(tick.place), half), width - half), HIGH - 5, tick.text, anchor))
    head = look.title(plot.title, [(word, _hue(color), not plot.lines) for word, color in plot.legend])
    names = esc(plot.title or "trials of the study")
    return (
        f'{head}<div role="group" aria-label="{names}" style="overflow-x:auto">'
        f'<svg viewBox="0 0 {width} {HIGH}" width="100%" role="img" aria-label="{names}" '
        f'style="display:block;{least}max-height:{HIGH + 60}px">{"".join(parts)}</svg></div>'
    )


def _hue(color: str) -> str:
    return esc(HUES.get(color, color))


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" style="stroke:{INK["rule"]}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    words = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    halo = "paint-order:stroke;stroke:var(--jp-layout-color0,#fff);stroke-width:3px"
    style = f"fill:{INK['dim']};font:11px var(--nnl-face);{halo}"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" style="{style}">{esc(words)}</text>'


def _importance(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> str:
    return bars(list(importance.items())[:MOST_BARS], f"importance is told from {FEW} complete trials on")


def _parallel(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> str:
    plot = parallel(study, trials, importance)
    return row([plot] if plot else [], NOT_YET)


def _slices(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> str:
    return row(slices(study, trials, importance), NOT_YET)


def _courses(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> str:
    plot = courses(study, trials)
    return row([plot] if plot else [], "the epochs of these trials are not compared")


def _fronts(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> str:
    return row(fronts(study), NOT_YET)


FRONT = "Front"
VIEWS: dict[str, Callable[["Study", Sequence[Scored], Mapping[str, float]], str]] = {
    "Importance": _importance,
    "Parallel": _parallel,
    "Slices": _slices,
    "Curves": _courses,
    FRONT: _fronts,
}
