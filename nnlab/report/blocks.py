"""The parts of a text report, each in HTML, Markdown and plain text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from nnlab.report.html import code_html, shown, visible
from nnlab.report.markdown import md, md_code


class Block(Protocol):
    """What a report is made of; Table is one too."""

    def html(self) -> str: ...
    def markdown(self) -> str: ...
    def text(self) -> str: ...


@dataclass(frozen=True)
class Sentence:
    """A paragraph that begins with what matters most, in bold."""

    strong: str
    rest: str = ""

    def html(self) -> str:
        return f"<p><b>{shown(self.strong)}</b>{_space(self.rest)}{shown(self.rest)}</p>"

    def markdown(self) -> str:
        return f"**{md(self.strong)}**{_space(self.rest)}{md(self.rest)}"

    def text(self) -> str:
        return visible(f"{self.strong}{_space(self.rest)}{self.rest}")


@dataclass(frozen=True)
class Section(Sentence):
    """A sentence whose beginning is the heading of what follows."""

    def html(self) -> str:
        return f"<h4>{shown(self.strong.removesuffix(':'))}</h4>\n<p>{shown(self.rest)}</p>"


@dataclass(frozen=True)
class Code:
    """Lines to run again, under a title."""

    title: str
    source: str

    def html(self) -> str:
        return f"<h4>{shown(self.title)}</h4>\n{code_html(self.source)}"

    def markdown(self) -> str:
        return f"**{md(self.title)}**\n\n{md_code(self.source)}"

    def text(self) -> str:
        return f"{self.title}\n" + "\n".join(f"    {line}" for line in visible(self.source).splitlines())


@dataclass(frozen=True)
class Line:
    """A line to run, said in passing: it belongs to the sentence before."""

    words: str
    source: str

    def html(self) -> str:
        return f"<p>{shown(self.words)}</p>\n{code_html(self.source)}"

    def markdown(self) -> str:
        return f"{md(self.words)}\n\n{md_code(self.source)}"

    def text(self) -> str:
        return f"{self.words}\n" + "\n".join(f"    {line}" for line in visible(self.source).splitlines())


def _space(rest: str) -> str:
    return "" if not rest or rest[0] in ",;:." else " "


def render(blocks: Iterable[Block]) -> dict[str, str]:
    """The blocks as text/html, text/markdown and text/plain."""
    kept = list(blocks)
    return {
        "text/html": "\n".join(block.html() for block in kept),
        "text/markdown": "\n\n".join(block.markdown() for block in kept),
        "text/plain": "\n\n".join(block.text() for block in kept),
    }
