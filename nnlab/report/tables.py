"""Tables that show the same in HTML, Markdown and plain text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from nnlab.report.html import row, shown, visible
from nnlab.report.markdown import md

LONGEST_CELL = 200  # characters; a longer one would push the rest of the table off the page


@dataclass(frozen=True)
class Table:
    """Column names and rows of values. align: l, r or w (as `row` tells) for each column; without it numbers go
    right, all else left."""

    columns: Sequence[object]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    align: str = ""

    def html(self) -> str:
        """A bare <table>: no style, class or script."""
        head = f"<h4>{shown(self.title)}</h4>\n" if self.title else ""
        lines = [f"<table><thead>{row('th', [shorten(c) for c in self.columns], self._sides)}</thead><tbody>"]
        lines += [row("td", cells, self._sides) for cells in self._cells]
        return head + "\n".join(lines) + "</tbody></table>"

    def markdown(self) -> str:
        """A pipe table."""
        head = f"**{md(self.title)}**\n\n" if self.title else ""
        rules = ["---:" if side == "r" else ":---" for side in self._sides]
        cells = [[md(shorten(c)) for c in self.columns], rules, *([md(c) for c in line] for line in self._cells)]
        return head + "\n".join("| " + " | ".join(line) + " |" for line in cells)

    def text(self) -> str:
        """Columns of equal width, two spaces apart."""
        lines = [[_one_line(shorten(c)) for c in self.columns], *([_one_line(c) for c in line] for line in self._cells)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        padded = [
            "  ".join(c.rjust(w) if s == "r" else c.ljust(w) for c, w, s in zip(line, widths, self._sides, strict=True))
            for line in lines
        ]
        return "\n".join(([_one_line(self.title)] if self.title else []) + [line.rstrip() for line in padded])

    @property
    def _cells(self) -> list[list[str]]:
        return [[shorten(show(value)) for value in line] for line in self.rows]

    @property
    def _sides(self) -> str:
        return self.align or "".join("r" if self._numeric(at) else "l" for at in range(len(self.columns)))

    def _numeric(self, at: int) -> bool:
        values = [line[at] for line in self.rows if line[at] is not None]
        return bool(values) and all(isinstance(v, Real) and not isinstance(v, bool) for v in values)


def show(value: Any) -> str:
    """A value as a cell shows it; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        return number(float(value))
    return str(value)


def number(value: float, digits: int = 4) -> str:
    """As many digits that count; whole above 1000; more digits where these would make a 1 of what is less.

    >>> number(0.95804), number(31234.5), number(1.0), number(0.00001234), number(0.99996)
    ('0.958', '31,234', '1', '1.234e-05', '0.99996')
    """
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    while abs(value) < 1 and float(f"{value:.{digits}g}") in (-1, 1):
        digits += 1
    return f"{value + 0.0:.{digits}g}"  # + 0: -0 is 0


def shorten(text: object, longest: int = LONGEST_CELL) -> str:
    """Text cut in the middle, so that its beginning and end can still be read."""
    text = str(text)
    return text if len(text) <= longest else f"{text[: longest - longest // 3]} … {text[-longest // 3 :]}"


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())
