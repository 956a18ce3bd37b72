"""Which sheet of a workbook is read: book.xlsx::sheet names one, book.xlsx is its first."""

import re
from collections.abc import Sequence

from nnlab.core.errors import DataError, did_you_mean

NAMED = re.compile(r"(.+\.xlsx(?:\.\w+)?)::(.*)", re.IGNORECASE | re.DOTALL)
LISTED = 8  # sheets that a message names


def split_sheet(text: str) -> tuple[str, str | None]:
    """The path of a file and the sheet that is named after it, None where none is.

    >>> split_sheet("shop.xlsx::2024 north"), split_sheet("shop.csv")
    (('shop.xlsx', '2024 north'), ('shop.csv', None))
    """
    found = NAMED.fullmatch(text)
    return (found[1], found[2].strip()) if found else (text, None)


def choose_sheet(path: str, sheets: Sequence[str], wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """The sheet to read, and a note where others are there and none was named; DataError for a sheet that is not."""
    if wanted is None:
        used, *others = sheets
        way = f"{path}::SHEET reads another"
        return used, (f"{path}: sheet {used!r} was read, and not {listed(others)}; {way}",) if others else ()
    if wanted not in sheets:
        got = f"has no sheet {wanted!r}{did_you_mean(wanted, sheets)}" if wanted else "is followed by '::' and no sheet"
        raise DataError(f"{path!r} {got}; its sheets are {listed(sheets)}")
    return wanted, ()


def listed(sheets: Sequence[str]) -> str:
    """The names of some sheets, for a message."""
    return ", ".join(map(repr, sheets[:LISTED])) + (", ..." if len(sheets) > LISTED else "")
