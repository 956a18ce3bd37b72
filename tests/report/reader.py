"""What a reader, and a browser, make of a report."""

from html.parser import HTMLParser

from nnlab.report.bundle import Bundle

BARE = {"table", "thead", "tbody", "tr", "th", "td", "p", "b", "code", "pre", "h4", "div", "br", "nobr", "span", "wbr"}


class Reader(HTMLParser):
    """The tags, attribute names and text of a piece of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data: str) -> None:
        self.text += data


def size_of(bundles: list[Bundle]) -> int:
    return sum(len(str(data)) for bundle in bundles for data in bundle.data.values())


def check_bare(html: str) -> Reader:
    read = Reader(html)
    assert read.tags <= BARE and read.attributes <= {"align"}
    return read
