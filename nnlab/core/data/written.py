"""How numbers are written in text: currency, marks between thousands, %, K/M/B and open ends; and reading them."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

from nnlab.core.data.columns import MISSING_NUMBER, Column, as_number
from nnlab.core.errors import DataError
from nnlab.core.wording import counted

SIGNS = "".join(chr(i) for i in range(0x20D0) if unicodedata.category(chr(i)) == "Sc")
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|KRW|SGD|HKD|TRY|RUB|ILS|THB"
UNIT = rf"(?:US|A|C|R)?[{re.escape(SIGNS)}]|{CODES}"
CELL = re.compile(
    rf"(?P<end><=|>=|[<>≤≥])? ?(?P<minus>[-+(])? ?(?P<before>{UNIT})? ?(?P<sign>[-+])?"
    r"(?P<body>[0-9](?:[0-9.,' ]*[0-9])?\.?|[.,][0-9]+)(?P<power>e[-+]?[0-9]{1,3})?"
    rf" ?(?P<size>k|mio|mn|m|bn|b)? ?(?P<after>%|{UNIT})?(?P<close>\))?(?P<more>\+)?",
    re.IGNORECASE,
)
SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9}
SAME = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2019": "'"})


@dataclass(frozen=True)
class Cell:
    """What a cell is made of. body: digits and marks. bracketed: below zero as accounts write it, (5)."""

    body: str
    negative: bool
    bracketed: bool
    unit: str
    size: str
    ends: bool
    power: str

    def value(self, thousands: str, decimal: str) -> float:
        """The number by these marks, in its unit; NaN where the body does not go with them."""
        if not body_pattern(thousands, decimal).fullmatch(self.body):
            return np.nan
        value = float(self.body.replace(thousands, "").replace(decimal, ".") + self.power) * SIZES[self.size.lower()]
        return -value if self.negative else value


def cell_of(text: str) -> Cell | None:
    """The parts of a text that is a number in some way; None for any other."""
    found = CELL.fullmatch(text.translate(SAME).strip())
    if not found:
        return None
    part = {name: value or "" for name, value in found.groupdict().items()}
    bracketed = part["minus"] == "("
    twice = (part["before"] and part["after"]) or (part["minus"] and part["sign"]) or (part["end"] and part["more"])
    dialled = part["minus"] == "+" and " " in part["body"]  # a telephone number
    if bool(part["close"]) != bracketed or twice or dialled or (part["after"] == "%" and part["size"]):
        return None
    return Cell(
        body=part["body"],
        negative=bracketed or "-" in (part["minus"], part["sign"]),
        bracketed=bracketed,
        unit=(part["before"] + part["after"]).upper(),
        size=part["size"],
        ends=bool(part["end"] or part["more"]),
        power=part["power"],
    )


@cache
def body_pattern(thousands: str, decimal: str) -> re.Pattern[str]:
    """Digits in groups of three, or in none. A first group of 0 is no group: '0,125' has a decimal comma."""
    t, d = re.escape(thousands), re.escape(decimal)
    return re.compile(rf"[1-9][0-9]{{0,2}}(?:{t}[0-9]{{3}})+(?:{d}[0-9]*)?|[0-9]+(?:{d}[0-9]*)?|{d}[0-9]+")


def missing_words(levels: np.ndarray) -> np.ndarray:
    """A flag for each level that says that there is no number."""
    return np.array([level.lower() in MISSING_NUMBER for level in levels], bool)


@dataclass(frozen=True)
class Reading:
    """How a column's text is read as numbers.

    unit: %, a currency or ''. thousands, decimal: the marks. sizes: K, M and B multiply. ends: '10+' and '<5' are 10
    and 5. lenient: as the user asked, a cell without a number counts as missing and one without a currency has the
    same. examples: cells of the training rows and what they are.
    """

    unit: str = ""
    thousands: str = ","
    decimal: str = "."
    sizes: bool = False
    ends: bool = False
    lenient: bool = False
    examples: tuple[tuple[str, float], ...] = ()

    def parse(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of each level (NaN: none), and a flag for each that is no number where that is a mistake."""
        numbers, junk = self.found(levels)
        return numbers, junk & (not self.lenient)

    def found(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with a flag for each level that is neither a number nor a word for missing."""
        numbers = np.array([self.number(cell_of(level)) for level in levels], np.float64)
        return numbers, np.isnan(numbers) & ~missing_words(levels)

    def number(self, cell: Cell | None) -> float:
        """The number of a cell, NaN where it is not written so; 0 needs no unit."""
        if cell is None or (cell.size and not self.sizes) or (cell.ends and not self.ends):
            return np.nan
        value = cell.value(self.thousands, self.decimal)
        if cell.unit != self.unit and (cell.unit or (value != 0 and not (self.lenient and self.unit != "%"))):
            return np.nan
        return value / 100 if self.unit == "%" else value

    @property
    def words(self) -> str:
        """How the examples are read, for a report."""
        examples = [(text.translate(SAME), value) for text, value in self.examples]
        texts = ", ".join(f"{text!r} is read as {value:.10g}" for text, value in examples)
        shown = "".join(text for text, _ in examples)
        marks = [f"{self.thousands!r} parts thousands"] if self.thousands in shown else []
        marks += ["',' is the decimal mark"] if self.decimal == "," and "," in shown else []
        return texts + (f" ({', '.join(marks)})" if marks else "")

    def lost(self, column: Column) -> tuple[int, list[str]]:
        """How many cells of a text column hold no number, and their different texts."""
        if column.kind != "text":
            return 0, []
        bad = np.flatnonzero(np.append(self.found(column.levels)[1], False)[column.data])
        return len(bad), list(dict.fromkeys(column.levels[column.data[bad]]))

    def column(self, column: Column, advice: str | None = None) -> Column:
        """The column as numbers; DataError for cells that are not written like those of the training rows."""
        return as_number(column, advice, self.parse)

    def check_numbers(self, column: Column) -> None:
        """DataError for a number column where a file's reader may have made numbers of text in another sense."""
        if column.kind != "number":
            return
        values = column.data[~column.missing()].astype(np.float64)
        odd = np.zeros(len(values), bool)
        if self.unit == "%":
            odd = values != 0
        elif self.thousands == ".":
            odd = np.full(len(values), not column.whole)  # a reader has made 1.5 of '1.500'
        if odd.any():
            raise DataError(
                f"column {column.name!r} holds {counted(int(odd.sum()), 'number')} such as {values[odd][0]:g}, "
                f"but in training it was text: {self.words}; give it as text that is written so"
            )

    def state(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"examples": [list(example) for example in self.examples]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Reading":
        """The reading that `state` wrote."""
        return cls(**(dict(state) | {"examples": tuple((text, value) for text, value in state["examples"])}))
