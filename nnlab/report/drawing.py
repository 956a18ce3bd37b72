"""How every picture of nnlab is drawn: one style, no pyplot, a small PNG on a white card."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.report.html import visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT, GRID = "#1b2430", "#66717f", "#b4bdc8", "#e9edf1"
TRAIN, VALID, BEST, CHANGE = "#8693a3", "#1f66cc", "#d6480a", "#7c4dbd"
SERIES = ("#1f66cc", "#d6480a", "#138a72", "#a63d97", "#b98900", "#4aa3df", "#7a5c3e", "#5b6472")
SHARPNESS = 2  # dots of the PNG for one of the page: sharp on dense screens
COLORS = 40  # of the palette; anti-aliased text needs about five shades of each ink
MOST_POINTS = 1000

# The first that is installed draws, the others lend the characters it lacks. DejaVu Sans comes with matplotlib.
FONTS = ("Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
FONTS_BEYOND_LATIN = ("Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "WenQuanYi Zen Hei")

STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "text.usetex": False,
    "axes.edgecolor": "#c3cad2",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": "#c3cad2",
    "ytick.color": "#c3cad2",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def draw(width: int, height: int, paint: "Callable[[Figure], None]", colors: int = COLORS) -> bytes:
    """The PNG that paint draws on a figure of width x height points of the page, in so many colours."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # The user's own matplotlib settings (dark styles, TeX) are put aside, and a missing glyph is a box, not a warning.
    with matplotlib.style.context(["default", STYLE, {"font.family": _fonts()}]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.1, wspace=0.03, hspace=0.03)
        figure = Figure(figsize=(width / 100, height / 100), dpi=100 * SHARPNESS, layout=layout)
        canvas: Any = FigureCanvasAgg(figure)
        paint(figure)
        canvas.draw()  # once; savefig would draw it twice, the first time only to lay it out
    return _few_colors(np.asarray(canvas.buffer_rgba()), colors)


def _few_colors(pixels: np.ndarray, colors: int) -> bytes:
    """The picture with a palette: a third of the size, and no eye sees it. pixels: uint8 (height, width, RGBA).

    The palette is made for what is not paper, which is nine pixels of ten and keeps its own colour.
    """
    from PIL import Image

    packed = pixels.view(np.uint32)[..., 0]
    inked = packed != packed[0, 0]
    row: Any = Image.fromarray(pixels[inked][None, :, :3])
    row = row.quantize(colors - 1, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    places = np.zeros(inked.shape, np.uint8)
    places[inked] = np.asarray(row)[0] + 1
    picture, small = Image.fromarray(places), io.BytesIO()
    picture.putpalette([*pixels[0, 0, :3].tolist(), *row.getpalette()[: 3 * (colors - 1)]])
    picture.save(small, "PNG", compress_level=8)  # the highest, 9, takes half as long again for no fewer bytes
    return small.getvalue()


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in (*FONTS, *FONTS_BEYOND_LATIN) if name in installed]


def label(text: object, longest: int = 40) -> str:
    r"""Text that matplotlib draws verbatim, on one line: `$` would begin mathematics."""
    line = " ".join(visible(text).split())
    return (line if len(line) <= longest else line[: longest - 1] + "…").replace("$", r"\$")


def title(axes: "Axes", name: str, words: Sequence[tuple[str, str]] = (), right: str = "") -> None:
    """A bold name over the axes, then the words of the legend in their colours; at the right what is worth reading."""
    from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

    def place(loc: str, x: float, texts: list[tuple[str, dict[str, Any]]]) -> None:
        parts: list[Artist] = [TextArea(label(text), textprops=props) for text, props in texts]
        box = HPacker(children=parts, align="baseline", pad=0, sep=6)
        anchor: dict[str, Any] = {"bbox_to_anchor": (x, 1.02), "bbox_transform": axes.transAxes}
        axes.add_artist(AnchoredOffsetbox(loc=loc, child=box, frameon=False, borderpad=0, pad=0, **anchor))

    legend = [(word, {"color": color, "size": 9.5}) for word, color in words]
    place("lower left", 0, [(name, {"weight": "bold", "size": 10.5}), *legend])
    if right:
        place("lower right", 1, [("", {"weight": "bold", "size": 10.5}), (right, {"color": BEST, "size": 9.5})])


def decimate(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` points of a curve: of each stretch its smallest and largest value, so that spikes stay.

    x, y: (n,) float. Both ends stay; values that are not finite are left out of long curves.
    """
    if len(x) <= most:
        return x, y
    finite = np.flatnonzero(np.isfinite(y))
    if len(finite) <= most:
        return x[finite], y[finite]
    stretches = np.array_split(finite[1:-1], (most - 2) // 2)
    kept = [finite[0], finite[-1]]
    for stretch in stretches:
        kept += [stretch[np.argmin(y[stretch])], stretch[np.argmax(y[stretch])]]
    places = np.unique(kept)
    return x[places], y[places]
