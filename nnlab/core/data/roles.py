"""What a column is, by its training rows.

Numeric, binary, categorical and date columns are learnt from; id, constant and text columns are set aside.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from nnlab.core.data.columns import Column, as_number, as_text, column_of, option, parse_numbers, part_option, shown
from nnlab.core.data.dates import DATE_LIKE, ambiguous, as_date, date_format, parse_dates
from nnlab.core.data.readings import lenient_reading, reading_of
from nnlab.core.data.spelling import merged, usual_levels
from nnlab.core.data.written import Reading
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec
from nnlab.core.wording import agreeing, counted

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["numeric", "binary", "categorical", "date", "id", "constant", "text", "target", "dropped"]
SET_ASIDE: tuple[Role, ...] = ("id", "constant", "text")

ID_NAME = re.compile(r"(^|[\W_])(id|uuid|guid|key|index|nr|no)$|[a-z](Id|ID)$", re.ASCII)
ID_NUMBERS = "every row has its own number"
ONE_VALUE = "one value in all training rows"
DIGITS = re.compile(r"[+-]?[0-9]{16,300}")
FEWEST_FOR_ID = 20  # in fewer rows all values may differ by chance
NUMBERS_SHARE = 0.8  # at least so many of a text column's cells are numbers, or dates: the others are mistakes
SAMPLE = 1000  # levels that tell whether a column is about dates at all
FEW_LEVELS = 10
MANY = 1000  # rows that most often tell that a column has more than two values
WORDS = ("numeric", "coerce", "categorical", "date", "drop")
SET_TEXT_ASIDE = Part("drop")


@dataclass(frozen=True, eq=False)
class Typed:
    """A column, its role, why it has it, and its values in the form of the role (None if it is left out)."""

    name: str
    role: Role
    why: str
    column: Column | None
    missing: int
    as_category: bool = False
    date_format: str | None = None
    reading: Reading | None = None
    usual: Mapping[str, str] | None = None  # how levels that are merged are written, by their plain form
    had_gaps: bool = False  # in training rows, which were filled along an order
    levels_of: Literal["number", "bool", "text", "date"] = "text"  # of a category: what its levels were


def read_column(name: str, series: "pd.Series | Column", spec: PrepareSpec) -> Column:
    """The column of a series; one that cannot be read and is to be dropped holds the same in every row."""
    try:
        return column_of(name, series)
    except DataError:
        if name not in spec.drop or isinstance(series, Column):
            raise
    return Column(name, "bool", np.zeros(len(series), np.int8), np.array(["False", "True"], object))


def to_keep(column: Typed) -> str:
    """The option that learns from a column which was set aside, as it is typed."""
    if column.role == "text":
        return part_option("text", column.name, "tfidf")
    return option("numeric" if column.why == ID_NUMBERS else "categorical", column.name)


def type_column(column: Column, train: np.ndarray, spec: PrepareSpec, positional: bool = False) -> Typed:
    """The column with its role, overrides of the spec first; only training rows decide.

    positional: columns of an array, which keep their places: numbers are never set aside, not even where all are equal.
    """
    missing = int(np.count_nonzero(column.missing()))
    if told := _told(column, train, spec, missing):
        return told
    if column.kind == "number":
        typed = _number(as_number(column), missing, train)
        if positional and (typed.role == "id" or typed.why == ONE_VALUE):
            return Typed(column.name, "numeric", "", as_number(column), missing)
        return typed
    if column.kind == "date":
        return _date(column, missing, train)
    typed = _text(column, missing, train)
    if typed.role == "text" and spec.part_of("text", column.name, "text").name != SET_TEXT_ASIDE.name:
        return _free_text(column, missing, train)
    return typed


def _told(column: Column, train: np.ndarray, spec: PrepareSpec, missing: int) -> Typed | None:
    """The column as the user says it is to be read; None where nothing is said."""
    if column.name in spec.drop:
        return Typed(column.name, "dropped", "dropped", None, missing)
    if column.name in spec.numeric:
        return _told_numeric(column, train)
    if column.name in spec.coerce:
        return _coerced(column, train)
    if column.name in spec.categorical:
        return _category(column, missing, train)
    if column.name in spec.date:
        return _date(column, missing, train)
    if column.name in _told_texts(spec):
        return _free_text(column, missing, train)
    return None


def _told_texts(spec: PrepareSpec) -> list[str]:
    """Columns (and roles) that have a text step of their own."""
    return [name for name, part in spec.overrides.get("text", {}).items() if part.name != SET_TEXT_ASIDE.name]


def merge_levels(typed: Typed, train: np.ndarray) -> Typed:
    """A category whose levels are one where they are the same but for their spelling; SpecError for another column."""
    if not typed.as_category or typed.column is None:
        what = option("merge_levels", typed.name)
        raise SpecError(f"{what}: the column is {typed.role} and has no levels; leave it out or read it as categorical")
    codes, levels = as_text(typed.column)
    column = Column(typed.name, "text", codes, levels)
    usual = usual_levels(column, train)
    return replace(typed, column=merged(column, usual), usual=usual)


def check_overrides(spec: PrepareSpec, names: list[str]) -> None:
    """SpecError for an override that is no column, is the target, or is given twice."""
    given = [(word, name) for word in WORDS for name in getattr(spec, word)]
    given += [("text", name) for name in _told_texts(spec) if name not in get_args(Role) or name in names]
    for step, parts in spec.overrides.items():
        for name in parts:
            if name == spec.target:
                more = f"; {option('scale-target', parts[name].name)} scales it" if step == "scale" else ""
                raise SpecError(f"{step}.{name}: that is the target, not a feature{more}")
            if name not in names and name not in get_args(Role):
                known = [*names, *get_args(Role)]
                raise DataError(f"{step}.{name}: no such column or role{did_you_mean(name, known)}")
    seen: dict[str, str] = {}
    for word, name in (*given, *(("merge_levels", name) for name in spec.merge_levels)):
        if name == spec.target and word != "merge_levels":
            raise SpecError(f"{word}={name}: that is the target; it cannot be a feature as well")
        if name not in names:
            raise DataError(f"{word}={name}: no such column{did_you_mean(name, names)}")
        if word != "merge_levels" and seen.setdefault(name, word) != word:
            raise SpecError(f"column {name!r} is given as {seen[name]} and as {word}; choose one")


def _number(column: Column, missing: int, train: np.ndarray) -> Typed:
    if _plainly_numeric(column.data[train[:MANY]]):
        return Typed(column.name, "numeric", "", column, missing)
    values = column.data[train]
    there = len(values) - (int(np.isnan(values).sum()) if missing else 0)
    if not there:
        return Typed(column.name, "constant", "empty in all training rows", None, missing)
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if low < high and float(low) == float(high):
        return _category(column, missing, train)  # whole numbers that are one as floats: their digits are names
    if low == high:
        if there == len(train):
            return Typed(column.name, "constant", ONE_VALUE, None, missing)
        return _category(column, missing, train)  # what tells is whether the value is there
    if _is_id(column, values, len(train)):
        return Typed(column.name, "id", ID_NUMBERS, None, missing)
    return Typed(column.name, "binary" if _two(values, low, high) else "numeric", "", column, missing)


def _plainly_numeric(values: np.ndarray) -> bool:
    """Whether some of the values tell that all are no constant, no pair and no id."""
    if not len(values):
        return False
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if not float(low) < float(high) or _two(values, low, high):
        return False
    return values.dtype.kind == "f" or len(np.unique(values)) < len(values)


def _two(values: np.ndarray, low: float, high: float) -> bool:
    """Whether all values are one of two, or missing."""
    return bool(((values == low) | (values == high) | (values != values)).all())


def _is_id(column: Column, values: np.ndarray, rows: int) -> bool:
    """Whole numbers that all differ, and are named as an id, count the rows, or are too large for exact floats."""
    if not column.whole or rows < FEWEST_FOR_ID or len(np.unique(values[:1000])) < len(values[:1000]):
        return False
    if len(np.unique(values)) < len(values):
        return False
    counts = float(values.max()) - float(values.min()) < 1.05 * len(column.data)
    return counts or bool(ID_NAME.search(column.name)) or float(np.abs(values.astype(np.float64)).max()) > 2**53


def _category(column: Column, missing: int, train: np.ndarray, counts: np.ndarray | None = None) -> Typed:
    """counts: training rows of each level of a text column, where they are known."""
    typed = _as_levels(column)
    two = np.count_nonzero(_counts(typed, train) if counts is None else counts) == 2
    role: Role = "binary" if two else "categorical"
    return Typed(column.name, role, "", typed, missing, as_category=True, levels_of=column.kind)


def _as_levels(column: Column) -> Column:
    return column if column.kind == "text" else Column(column.name, "text", *as_text(column))


def _counts(column: Column, train: np.ndarray) -> np.ndarray:
    """Training rows of each level."""
    return np.bincount(column.data[train].astype(np.int64) + 1, minlength=len(column.levels) + 1)[1:]


def _free_text(column: Column, missing: int, train: np.ndarray) -> Typed:
    typed = _as_levels(column)
    if (typed.data[train] < 0).all():
        return Typed(column.name, "constant", "empty in all training rows", None, missing)
    return Typed(column.name, "text", "", typed, missing)


def _date(column: Column, missing: int, train: np.ndarray, written: str | None = None) -> Typed:
    """written: the format of text, None: to be found."""
    why = ""
    if column.kind != "date":
        codes, levels = as_text(column)
        seen = np.unique(codes[train])
        seen = levels[seen[seen >= 0]]
        written = written or date_format(seen, forced=True)
        if written and ambiguous(seen, written):
            why = f"dates such as {seen[0]!r} are read as {'day' if written.startswith('%d') else 'month'} first"
    dates = as_date(column, written)
    days = dates.data[train]
    days = days[~np.isnat(days)]
    if not len(days) or days.min() == days.max():
        return Typed(column.name, "constant", "one date in all training rows", None, missing)
    return Typed(column.name, "date", why, dates, missing, date_format=written)


def _text(column: Column, missing: int, train: np.ndarray) -> Typed:
    counts = _counts(column, train)
    used = np.flatnonzero(counts)
    levels, rows = column.levels[used], int(counts.sum())
    if not rows:
        return Typed(column.name, "constant", "empty in all training rows", None, missing)
    if column.kind == "text":
        if typed := _text_numbers(column, levels, counts[used], train):
            return typed
        if written := date_format(levels) or _usual_dates(levels, counts[used]):
            return _date(column, missing, train, written)
        if aside := _aside(levels, rows):
            return Typed(column.name, aside[0], aside[1], None, missing)
    if len(levels) == 1 and rows == len(train):
        return Typed(column.name, "constant", ONE_VALUE, None, missing)
    typed = _category(column, missing, train, counts)
    return replace(typed, why=_half_numbers(column.name, levels, counts[used])) if column.kind == "text" else typed


def _text_numbers(column: Column, levels: np.ndarray, counts: np.ndarray, train: np.ndarray) -> Typed | None:
    """A text column of numbers; None for other text; DataError for one of numbers and a few cells that are none."""
    if _long_digits(levels, counts):
        return None
    plain = _is_numeric(levels, counts)
    if plain and not parse_numbers(levels)[1].any():
        number = as_number(column)
        return _number(number, int(number.missing().sum()), train)
    reading, share = reading_of(levels, counts, FEW_LEVELS) or (None, 0.0)
    if reading is None or share < 1:
        if plain:
            as_number(column)  # names the cells
        if reading is None or share < NUMBERS_SHARE or not _many(levels, counts, reading):
            return None
    number = reading.column(column)
    typed = _number(number, int(number.missing().sum()), train)
    if typed.as_category:  # one number and gaps
        return _category(column, typed.missing, train)
    if typed.column is None:
        return typed
    why = f"{reading.words}; {option('categorical', column.name)} reads levels" if reading.words else ""
    return replace(typed, why=why, reading=reading)


def _long_digits(levels: np.ndarray, counts: np.ndarray) -> bool:
    """Whether most cells are whole numbers of so many digits that floats would make different ones equal."""
    lossy = [bool(DIGITS.fullmatch(level)) and int(float(level)) != int(level) for level in levels]
    return bool(2 * counts[lossy].sum() > counts.sum())


def _half_numbers(name: str, levels: np.ndarray, counts: np.ndarray) -> str:
    """What to say of levels most of which are different numbers."""
    numbers = parse_numbers(levels)[0]
    there = ~np.isnan(numbers)
    share = counts[there].sum() / counts.sum()
    if share < 0.5 or len(np.unique(numbers[there])) <= FEW_LEVELS:
        return ""
    return f"{share:.0%} of its cells are numbers, but it is read as levels; {option('coerce', name)} reads numbers"


def _many(levels: np.ndarray, counts: np.ndarray, reading: Reading) -> bool:
    """Whether there are many different numbers among those that are read."""
    numbers = reading.parse(levels)[0]
    read = ~np.isnan(numbers)
    different = len(np.unique(numbers[read]))
    return different > FEW_LEVELS or 2 * different > int(counts[read].sum())


def _told_numeric(column: Column, train: np.ndarray) -> Typed:
    """Numbers, however they are written if all cells are."""
    reading = None
    if column.kind == "text" and parse_numbers(column.levels)[1].any():
        found = reading_of(*_seen(column, train))
        reading = found[0] if found and found[1] == 1 else None
    number = reading.column(column) if reading else as_number(column)
    why = reading.words if reading else ""
    return Typed(column.name, "numeric", why, number, int(number.missing().sum()), reading=reading)


def _coerced(column: Column, train: np.ndarray) -> Typed:
    """Numbers, and missing what is none."""
    if column.kind != "text":
        return _told_numeric(column, train)
    reading = lenient_reading(column, *_seen(column, train))
    number, (lost, texts) = reading.column(column), reading.lost(column)
    parts = [reading.words] if reading.examples else []
    if lost:
        they = agreeing(lost, "holds no number and counts", "hold no number and count")
        parts.append(f"{counted(lost, 'cell')} of {len(column.data):,} {they} as missing: {shown(texts)}")
    why = "; ".join(parts)
    return Typed(column.name, "numeric", why, number, int(number.missing().sum()), reading=reading)


def _seen(column: Column, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels of the training rows and how many rows have each."""
    counts = _counts(column, train)
    used = np.flatnonzero(counts)
    return column.levels[used], counts[used]


def _is_numeric(levels: np.ndarray, counts: np.ndarray) -> bool:
    """Whether text is numbers, maybe with a few mistakes among many different ones (but 0, 1, 2, 3+ are levels)."""
    numbers, junk = parse_numbers(levels)
    cells, different = counts[~np.isnan(numbers)].sum(), len(np.unique(numbers[~np.isnan(numbers)]))
    wrong = counts[junk].sum()
    if not wrong or not different:
        return different > 0
    many = different > FEW_LEVELS or 2 * different > cells
    return bool(many and cells >= NUMBERS_SHARE * (cells + wrong))


def _usual_dates(levels: np.ndarray, counts: np.ndarray) -> str | None:
    """The format of dates with a few mistakes among many different ones, which reading them names; None for others."""
    few = levels[:: max(1, len(levels) // SAMPLE)]
    like = np.array([bool(DATE_LIKE.fullmatch(level)) for level in few])
    if like.mean() < NUMBERS_SHARE or like.sum() <= FEW_LEVELS or not (written := date_format(few[like])):
        return None
    read = ~np.isnat(parse_dates(levels, written))
    return written if counts[read].sum() >= NUMBERS_SHARE * counts.sum() else None


def _aside(levels: np.ndarray, rows: int) -> tuple[Role, str] | None:
    """Text that is different in most rows, as an id or as free text."""
    if rows < FEWEST_FOR_ID // 2 or 2 * len(levels) < rows:
        return None
    sample = levels[:: max(1, len(levels) // 500)]
    words = np.mean([len(level.split()) for level in sample])
    if len(levels) == rows and words < 2:
        return "id", "every row has its own value"
    return "text", "most rows have their own text"
