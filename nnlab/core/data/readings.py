"""Which reading a column of text has, by the cells of its training rows."""

import re
from dataclasses import replace

import numpy as np

from nnlab.core.data.columns import Column, option, shown
from nnlab.core.data.written import Cell, Reading, body_pattern, cell_of, missing_words
from nnlab.core.errors import DataError

# (between thousands, decimal): the first pair that goes with most cells is taken, so '1,234' has thousands unless the
# column holds what cannot, such as '1,5'
MARKS = ((",", "."), (".", ","), (" ", "."), (" ", ","), ("'", "."), ("'", ","))
SAMPLE = 1000  # levels that tell whether a column is about numbers at all
THREE_DIGITS = re.compile(r"[0-9]{1,3}\.[0-9]{3}")
ALONE = ("m", "b")  # letters that are often something else (metres, the second of '1A', '1B') where they stand alone


def reading_of(levels: np.ndarray, counts: np.ndarray, few: int = 0) -> tuple[Reading, float] | None:
    """The reading that goes with most cells, and the share of them; None where no number is written in such a way.

    counts: training rows of each level. few: so few different numbers, repeated, are levels if nothing but a letter or
    an open end tells that they are numbers. Cells of another unit than most do not go with the reading.
    """
    sample = levels[:: max(1, len(levels) // SAMPLE)]
    if 2 * sum(cell_of(level) is not None for level in sample) < len(sample):
        return None
    cells = [cell_of(level) for level in levels]
    reading = _marked(cells, counts, _usual_unit(cells, counts))
    reading = replace(reading, sizes=_has_sizes(cells, reading), ends=any(cell.ends for cell in cells if cell))
    numbers = np.array([reading.number(cell) for cell in cells])
    read, there = ~np.isnan(numbers), ~missing_words(levels)
    kept = [cell for cell, good in zip(cells, read, strict=True) if cell and good]
    if not kept or _like_keys(kept, reading):
        return None
    different = len(np.unique(numbers[read]))
    if different <= few and 2 * different <= counts[read].sum() and not _surely_numbers(kept, reading):
        return None
    share = float(counts[read].sum() / counts[there].sum())
    return replace(reading, examples=_examples(levels, cells, numbers, reading)), share


def lenient_reading(column: Column, levels: np.ndarray, counts: np.ndarray) -> Reading:
    """The reading that goes with most cells, the others being missing; DataError for two units, or for no number."""
    cells = [cell_of(level) for level in levels]
    there = [(level, cell) for level, cell in zip(levels, cells, strict=True) if cell]
    way = f"{option('categorical', column.name)} or {option('drop', column.name)}"
    units = {cell.unit: level for level, cell in there if cell.unit}
    plain = [level for level, cell in there if not cell.unit and (cell.size or cell.value(",", ".") != 0)]
    if "%" in units and plain:
        units[""] = plain[0]
    if len(units) > 1:
        few = shown(units.values())
        raise DataError(f"coerce={column.name}: the numbers have several units: {few}; make them one, or {way}")
    reading = replace(_marked(cells, counts, next(iter(units), "")), sizes=True, ends=True, lenient=True)
    numbers = np.array([reading.number(cell) for cell in cells])
    if np.isnan(numbers).all():
        raise DataError(f"coerce={column.name}: no training row holds a number, but {shown(levels)}; {way}")
    return replace(reading, examples=_examples(levels, cells, numbers, reading))


def _usual_unit(cells: list[Cell | None], counts: np.ndarray) -> str:
    rows: dict[str, int] = {}
    for cell, count in zip(cells, counts, strict=True):
        if cell and (cell.unit or cell.size or cell.value(",", ".") != 0):  # 0 is 0 in any unit
            rows[cell.unit] = rows.get(cell.unit, 0) + int(count)
    return max(rows, key=rows.__getitem__, default="")


def _marked(cells: list[Cell | None], counts: np.ndarray, unit: str) -> Reading:
    """The first marks that go with most cells. A currency's '1.234' beside '950' has thousands, or it had decimals."""
    rows = [_rows(cells, counts, *marks) for marks in MARKS]
    best = rows.index(max(rows))
    bodies = [cell.body for cell in cells if cell]
    dotted = [body for body in bodies if "." in body]
    some = unit not in ("", "%") and 0 < len(dotted) < len(bodies)
    if best == 0 and some and rows[1] == rows[0] and all(THREE_DIGITS.fullmatch(body) for body in dotted):
        best = 1
    return Reading(unit, *MARKS[best])


def _rows(cells: list[Cell | None], counts: np.ndarray, thousands: str, decimal: str) -> int:
    written = body_pattern(thousands, decimal)
    good = [cell is not None and written.fullmatch(cell.body) is not None for cell in cells]
    return int(counts[good].sum())


def _has_sizes(cells: list[Cell | None], reading: Reading) -> bool:
    """Whether the letters mean thousands, millions, billions: not where m or b is the only one and nothing tells it."""
    sized = [cell for cell in cells if cell and cell.size]
    letters = {cell.size.lower() for cell in sized}
    if len(letters) != 1 or not letters <= set(ALONE):
        return bool(letters)
    upper = all(cell.size == "M" for cell in sized)
    return upper or reading.unit not in ("", "%") or any(reading.decimal in cell.body for cell in sized)


def _like_keys(cells: list[Cell], reading: Reading) -> bool:
    """Groups parted by points or blanks, as many digits everywhere: telephone numbers and addresses look like this."""
    grouped = [cell.body for cell in cells if reading.thousands in cell.body]
    if reading.thousands not in (" ", ".") or not grouped or any(cell.unit for cell in cells):
        return False
    return len({sum(mark.isdigit() for mark in cell.body) for cell in cells}) == 1 and reading.decimal not in grouped[0]


def _surely_numbers(cells: list[Cell], reading: Reading) -> bool:
    marks = any(reading.thousands in cell.body for cell in cells)
    return marks or bool(reading.unit) or any("," in cell.body or (cell.size and "." in cell.body) for cell in cells)


def _examples(
    levels: np.ndarray, cells: list[Cell | None], numbers: np.ndarray, reading: Reading
) -> tuple[tuple[str, float], ...]:
    """As few cells as show each way of writing that there is; plain numbers show none."""
    ways = {i: _ways(cell, reading) for i, cell in enumerate(cells) if cell and not np.isnan(numbers[i])}
    shown: set[str] = set()
    found = []
    for i in sorted(ways, key=lambda i: (-len(ways[i]), numbers[i] == 0)):
        if ways[i] - shown:
            shown |= ways[i]
            found.append((str(levels[i]), float(numbers[i])))
    return tuple(found[:3])


def _ways(cell: Cell, reading: Reading) -> set[str]:
    """What is written in a cell besides a plain number."""
    marks = [mark for mark in (reading.thousands, "," if reading.decimal == "," else " ") if mark in cell.body]
    more = {"+" if cell.ends else "", "(" if cell.bracketed else "", cell.unit, cell.size.lower()}
    return (more | set(marks)) - {""}
