"""Rows of a text file that have more or fewer cells than its first line."""

import csv
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from nnlab.core.wording import agreeing, counted

SHOWN = 3  # lines that a message names


def too_wide(opened: IO[str], separator: str) -> str:
    """How many rows have more cells than the first line, where, and what to do; '' where there is none."""
    rows = _numbered(opened, separator)
    _, first = next(rows, (0, []))
    wide = [line for line, row in rows if len(row) > len(first)]
    cells = {"\t": "a tab"}.get(separator, repr(separator))
    way = f"quote the cells that hold {cells}, or remove what is too much"
    return f"{_counted(wide, 'more')}; {way}" if wide else ""


def too_short(opening: Callable[[], IO[str]], separator: str) -> str:
    """How many rows have fewer cells than the first line, and where; '' where there is none. opening: the file anew.

    Most files are done without a parser: a line with too few separators is short, or a part of a quoted cell.
    """
    with opening() as opened:
        width = next((len(row) for _, row in _numbered(opened, separator)), 0)
        if not any(line.count(separator) < width - 1 and not line.isspace() for line in opened):
            return ""
    try:
        with opening() as opened:
            rows = _numbered(opened, separator)
            short = [line for line, row in rows if len(row) < width and (len(row) > 1 or row[0].strip())]
    except csv.Error:  # pandas has read the file already, and no note is worth more than that
        return ""
    return f"{_counted(short, 'fewer')}; their last cells count as missing" if short else ""


def _counted(lines: list[int], how: str) -> str:
    named = ", ".join(map(str, lines[:SHOWN])) + (", ..." if len(lines) > SHOWN else "")
    n = len(lines)
    rows = f"{counted(n, 'row')} {agreeing(n, 'has', 'have')}"
    return f"{rows} {how} cells than the first line ({agreeing(n, 'line', 'lines')} {named})"


def _numbered(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank with the line it begins in: a quoted cell may go over several."""
    reader: Any = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    begin = 1
    for row in reader:
        if row:
            yield begin, row
        begin = reader.line_num + 1
