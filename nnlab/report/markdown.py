"""The one place where text becomes Markdown."""

import re

from nnlab.report.html import visible

# Mathematics is looked for in the source and again in the page, there between signs that no tag parts.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
_ENTITIES |= {"$": "<span>&#36;</span>", "\\": "<span>&#92;</span>"}
_MARKS = re.compile(r"[&<>|$`\\]|[*_\[\]~#!]")


def md(text: object) -> str:
    r"""Text for a line or table cell of Markdown; shown verbatim, line breaks as spaces.

    >>> md("a|b_c")
    'a&#124;b\\_c'
    """
    line = " ".join(visible(text).split())
    return _MARKS.sub(lambda found: _ENTITIES.get(found.group(), "\\" + found.group()), line)


def md_code(text: str) -> str:
    """A fenced block; its fence is longer than any run of backticks inside."""
    text = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"
