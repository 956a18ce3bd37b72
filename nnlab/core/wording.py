"""Numbers and nouns that go together, and text that cannot act where it is shown."""

import re

# Control characters, marks that reorder the text around them, halves of surrogate pairs: none may act on a page, nor
# in a terminal.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: object) -> str:
    r"""Text with characters that act instead of showing spelled out: an escape becomes \x1b."""
    return _ACTING.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), str(text))


def counted(count: int, noun: str, nouns: str = "") -> str:
    """1 run, 1,200 runs. nouns: of more than one, where that is no noun with an s.

    >>> counted(1, "row"), counted(1200, "row"), counted(0, "class", "classes")
    ('1 row', '1,200 rows', '0 classes')
    """
    return f"{count:,} {agreeing(count, noun, nouns or f'{noun}s')}"


def agreeing(count: int, one: str, many: str) -> str:
    """The word for one, or that for many.

    >>> f"3 of 5 rows {agreeing(3, 'is', 'are')} left out"
    '3 of 5 rows are left out'
    """
    return one if count == 1 else many
