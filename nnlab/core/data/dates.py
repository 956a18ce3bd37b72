"""Dates as they are written in text: which format a column has, and reading it."""

import re

import numpy as np

from nnlab.core.data.columns import NO_LEVELS, Column, as_text, option, shown
from nnlab.core.errors import DataError
from nnlab.core.wording import agreeing, counted

DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
NAMED = ("%b %Y", "%B %Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y")  # months by their name
DATE_FORMATS = (
    "ISO8601",
    *(day + time for time in ("", " %H:%M", " %H:%M:%S") for day in DAYS),
    "%Y/%m",
    *NAMED,
)
COMPACT_DATES = ("%Y%m%d", "%Y", "%m-%Y", "%m/%Y")  # only where the user says that the column is a date
MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
DATE_LIKE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4})([ T]\d{1,2}:\d{2}.*)?"
    r"|(1[5-9]|20|21)\d{2}[-/](0[1-9]|1[0-2])"  # a year and a month; 12-2019 may be the number of a part
    rf"|(\d{{1,2}}[ -])?{MONTH}[ -]\d{{4}}|{MONTH} \d{{1,2}}, \d{{4}}"
)


def date_format(levels: np.ndarray, forced: bool = False) -> str | None:
    """The first known format that all levels have; forced: also 20240131 and 2024."""
    if not forced and not all(DATE_LIKE.fullmatch(level) for level in levels[:50]):
        return None
    for written in DATE_FORMATS + COMPACT_DATES if forced else DATE_FORMATS:
        if not np.isnat(parse_dates(levels[:50], written)).any() and not np.isnat(parse_dates(levels, written)).any():
            return written
    return None


def parse_dates(levels: np.ndarray, written: str) -> np.ndarray:
    """Levels as datetime64[us] in UTC, NaT where a level does not have the format."""
    import pandas as pd

    found = pd.to_datetime(pd.Series(levels, dtype=object), format=written, errors="coerce", utc=True)
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def as_date(column: Column, written: str | None = None) -> Column:
    """The column as dates in the format that the training rows had; DataError for cells that are none."""
    if column.kind == "date":
        return column
    codes, levels = as_text(column)
    written = written or date_format(levels, forced=True) or "ISO8601"
    dates = parse_dates(levels, written)
    bad = np.flatnonzero(np.append(np.isnat(dates), False)[codes])
    if len(bad):
        raise DataError(
            f"column {column.name!r} has {counted(len(bad), 'cell')} of {len(codes):,} that "
            f"{agreeing(len(bad), 'is no date', 'are no dates')} like the others: "
            f"{shown(dict.fromkeys(levels[codes[bad]]))}; mend them, or {option('categorical', column.name)} "
            f"or {option('drop', column.name)}"
        )
    return Column(column.name, "date", np.append(dates, np.datetime64("NaT", "us"))[codes], NO_LEVELS)


def ambiguous(levels: np.ndarray, written: str) -> bool:
    """Whether the dates could also be read with day and month the other way round."""
    other = written.translate(str.maketrans("dm", "md"))
    return other != written and other in DATE_FORMATS and not np.isnat(parse_dates(levels, other)).any()
