"""The one place where text becomes HTML."""

import base64
import html
import re
from collections.abc import Sequence

from nnlab.core.wording import visible as visible

_MATHS = re.compile(r"[$\\]")
_MAGIC, _OPTIONS = re.compile(r"(\w+ = )?%+nn_"), re.compile(r" (?=--)")
LONGEST_CODE = 60  # characters of a line of code that fit everywhere
LONGEST_WORD = 20  # characters that are not parted, even on a narrow page
_PIECES = re.compile(rf"[^\s_./:-]{{1,{LONGEST_WORD}}}[\s_./:-]*|[\s_./:-]+")
_BREAKS = re.compile(r"[ \-]")
_ALIGNED = re.compile(r'(<\w+(?: [\w-]+="[^"]*")*?) align="(left|right|center|justify)"((?: [\w-]+="[^"]*")*)')
LONGEST_LINE = 40  # characters of a cell that stay on one line: a narrow page is scrolled, options are not torn


def esc(text: object) -> str:
    """Text for an HTML element or a quoted attribute; shown verbatim.

    >>> esc('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(visible(text), quote=True)


def shown(text: object) -> str:
    r"""Text for an HTML element. A notebook looks for mathematics between signs that no tag parts: each stands alone.

    >>> shown("$5 to $9")
    '<span>$</span>5 to <span>$</span>9'
    """
    return _MATHS.sub(r"<span>\g<0></span>", esc(text))


def code_html(source: str) -> str:
    """Lines of code. JupyterLab breaks what is too long anywhere; a magic's line shall break before its options only.

    >>> code_html("%nn_train data --lr 0.1 --weight-decay 0.01 --epochs 80 --patience 10")[:62]
    '<pre><code><nobr>%nn_train data</nobr> <nobr>--lr 0.1</nobr> <'
    """
    return f"<pre><code>{chr(10).join(map(_code_line, source.split(chr(10))))}</code></pre>"


def _code_line(line: str) -> str:
    pieces = _OPTIONS.split(line) if _MAGIC.match(line) and len(line) > LONGEST_CODE else []
    if not pieces or any(len(piece) > LONGEST_LINE or "  " in piece for piece in pieces):
        return esc(line)
    return " ".join(f"<nobr>{esc(piece)}</nobr>" for piece in pieces)


def png_image(png: bytes, words: str, width: int, height: int) -> str:
    """An <img> that brings its picture along. words: for where there are no pictures; width, height: in the page."""
    data = base64.b64encode(png).decode("ascii")
    return f'<p><img src="data:image/png;base64,{data}" alt="{esc(words[:100])}" width="{width}" height="{height}"></p>'


def classed(html: str) -> str:
    """The same for a page that has a style: what notebooks need, which keep no style, and HTML has given up.

    >>> classed('<td align="right"><nobr>no break</nobr></td>')
    '<td class="to-right"><span class="whole">no break</span></td>'
    """
    for old, new in (("<nobr>", '<span class="whole">'), ("</nobr>", "</span>")):
        html = html.replace(old, new)
    return _ALIGNED.sub(_with_class, html)


def _with_class(found: re.Match[str]) -> str:
    before, side, after = found.groups()
    kept = before + after
    return (
        kept.replace(' class="', f' class="to-{side} ', 1)
        if ' class="' in kept
        else f'{before} class="to-{side}"{after}'
    )


def row(tag: str, cells: Sequence[object], align: str) -> str:
    """One <tr>. align: for each cell r, l, or w for left and in as many lines as a narrow page needs.

    JupyterLab puts td and th to the right, so left needs its own <div>.
    """
    return "<tr>" + "".join(_cell(tag, cell, side) for cell, side in zip(cells, align, strict=True)) + "</tr>"


def _whole(inner: str, text: str) -> str:
    """Short text that is not torn. Where a page does not know the tag, it is; JupyterLab undoes the cell's nowrap."""
    if len(text) > LONGEST_LINE or "\n" in text or not _BREAKS.search(text):
        return inner
    return f"<nobr>{inner}</nobr>"


def _cell(tag: str, text: object, side: str) -> str:
    inner = shown(text).replace("\n", "<br>\n")
    if side == "r":
        return f'<{tag} align="right">{inner}</{tag}>'
    inner = _whole(inner, str(text)) if side == "l" else _parted(str(text), inner)
    return f'<{tag}><div align="left">{inner}</div></{tag}>'


def _parted(text: str, inner: str) -> str:
    """Long words may be parted behind their points, dashes and underscores, and in the midst of what is still long."""
    if max(map(len, text.split()), default=0) <= LONGEST_WORD:
        return inner
    pieces = _PIECES.findall(text)
    return "<wbr>".join(shown(piece) for piece in pieces).replace("\n", "<br>\n")
