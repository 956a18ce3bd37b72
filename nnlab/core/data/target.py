"""The target: what is predicted, how it becomes numbers, and how predictions become labels or units again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from nnlab.core.data.columns import Column, as_number, as_text, column_of, number_text, option, parse_numbers, shown
from nnlab.core.data.readings import reading_of
from nnlab.core.data.spelling import merged, rewritten, usual_levels
from nnlab.core.data.steps import SCALERS
from nnlab.core.data.written import Reading
from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.registry import Part
from nnlab.core.spec import make
from nnlab.core.wording import counted

Task = Literal["binary", "multiclass", "regression"]
DROPPING = ", or by --drop_rows 1"
ADVICE = "mend them, or leave these rows out"
FEW = 20  # at most so many different whole numbers are taken as classes

AT_ONCE = 1 << 20  # rows that are scaled at a time


@dataclass(frozen=True)
class Target:
    """classes: labels in the order of their codes, () for regression. scaled = (value - mean) / scale, or as the scaler
    and its state say where there is one. ends: where a scaler clips, the least and largest training number; beyond them
    the scale goes on in a straight line, so that no score is taken against a clipped target. reading: how text is read
    as numbers, where it is not written as numbers usually are. dtype: of scaled numbers, and of the features beside.
    usual: how classes that differ only in their spelling are written, by their plain form; None: each is a class."""

    name: str
    task: Task
    classes: tuple[Any, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    scaler: str = ""
    scaling: Mapping[str, Any] = field(default_factory=dict)
    ends: tuple[float, float] | None = None
    reading: Reading | None = None
    dtype: str = "float32"
    usual: Mapping[str, str] | None = None

    @property
    def done(self) -> str:
        """How the numbers are scaled, in words."""
        return f"{self.scaler} scaled" if self.scaler else "standardized" if self.scale != 1.0 else "as it is"

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers in the target's units as those of `dtype` that the network learns."""
        if self.scaler:
            return np.asarray(self._bent(numbers.astype(np.float64)), self.dtype)
        out = np.empty(len(numbers), self.dtype)
        for low in range(0, len(numbers), AT_ONCE):
            rows = numbers[low : low + AT_ONCE].astype(np.float64)
            out[low : low + AT_ONCE] = (rows - self.mean) / self.scale
        return out

    def encode(self, values: Any) -> np.ndarray:
        """Labels as int64 codes, or numbers as they are scaled; DataError for a missing value or a label not known."""
        import pandas as pd

        return self.encode_column(column_of(self.name, pd.Series(values)))

    def encode_column(self, column: Column) -> np.ndarray:
        """The same for a column."""
        check_complete(column)
        if self.task == "regression":
            if self.reading:
                self.reading.check_numbers(column)
                column = self.reading.column(column, ADVICE)
            return self.scaled(as_number(column, ADVICE).data)
        codes, levels = as_text(column)
        levels = levels if self.usual is None else rewritten(levels, self.usual)
        known = {text: code for code, text in enumerate(self.labels)}
        table = match(levels, known)
        if (strange := np.flatnonzero(table[codes] < 0)).size:
            label = levels[codes[strange[0]]]
            raise DataError(
                f"target {self.name!r} has {counted(len(strange), 'row')} whose class the training did not see: "
                f"{label!r} (row {shown(strange)}); classes are {shown(self.labels)}{did_you_mean(label, self.labels)}"
            )
        return table[codes]

    def decode(self, encoded: Any) -> np.ndarray:
        """Codes as labels, or scaled numbers in the target's units (float64)."""
        if self.task == "regression":
            numbers = np.asarray(encoded, np.float64)
            if self.scaler:
                return self._unbent(numbers)
            return numbers * self.scale + self.mean
        labels = np.array(self.classes) if len({type(c) for c in self.classes}) == 1 else _objects(self.classes)
        return labels[np.asarray(encoded, np.int64)]

    def _bent(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers as the scaler has them, in a straight line beyond the ends."""
        apply = SCALERS[self.scaler].facts["apply"]
        if self.ends is None:
            return np.asarray(apply(numbers, self.scaling))
        inside = np.clip(numbers, *self.ends)
        return np.asarray(apply(inside, self.scaling) + (numbers - inside) / self._slope())

    def _unbent(self, scaled: np.ndarray) -> np.ndarray:
        """The numbers that `_bent` gave."""
        back = SCALERS[self.scaler].facts["inverse"]
        if self.ends is None:
            return np.asarray(back(scaled, self.scaling))
        inside = np.clip(scaled, *self._scaled_ends())
        return np.asarray(back(inside, self.scaling) + (scaled - inside) * self._slope())

    def _scaled_ends(self) -> np.ndarray:
        return np.asarray(SCALERS[self.scaler].facts["apply"](np.asarray(self.ends, np.float64), self.scaling))

    def _slope(self) -> float:
        """Units of the target for one scaled unit, from end to end."""
        low, high = self._scaled_ends()
        return float((self.ends[1] - self.ends[0]) / (high - low)) if self.ends else 1.0

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(label_text(label) for label in self.classes)

    def fitted(self, numbers: np.ndarray, part: Part) -> "Target":
        """Scaled by the training rows' numbers as the part says; classes stay as they are."""
        if self.task != "regression" or part.name == "none":
            return self
        numbers = numbers.astype(np.float64, copy=False)
        if part.name == "standard":
            return replace(self, mean=float(numbers.mean()), scale=float(numbers.std()) or 1.0)
        state = make(SCALERS, part, numbers.astype(np.float64), np.random.default_rng(0))
        ends = (float(numbers.min()), float(numbers.max()))
        facts, beyond = SCALERS[part.name].facts, np.array([2 * ends[1] - ends[0]])
        if "inverse" not in facts:
            raise SpecError(f"scale_target={part.name}: this scaler has no inverse, and predictions need one")
        clips = ends[0] < ends[1] and not np.allclose(
            facts["inverse"](facts["apply"](beyond, state), state), beyond, 1e-3
        )
        return replace(self, scaler=part.name, scaling=state, ends=ends if clips else None)

    def state(self) -> dict[str, Any]:
        """As JSON values; `target_from` takes them back."""
        return {
            "name": self.name,
            "task": self.task,
            "classes": list(self.classes),
            "mean": self.mean,
            "scale": self.scale,
            **self._scaling_state(),
            **({"reading": self.reading.state()} if self.reading else {}),
            **({"dtype": self.dtype} if self.dtype != "float32" else {}),
            **({} if self.usual is None else {"usual": dict(self.usual)}),
        }

    def _scaling_state(self) -> dict[str, Any]:
        if not self.scaler:
            return {}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in self.scaling.items()}
        return {"scaler": self.scaler, "scaling": plain} | ({"ends": list(self.ends)} if self.ends else {})


def target_from(state: Mapping[str, Any]) -> Target:
    """The target that `state` wrote."""
    scaling = {k: np.asarray(v) if isinstance(v, list) else v for k, v in state.get("scaling", {}).items()}
    numbers = (float(state["mean"]), float(state["scale"]))
    ends = (float(state["ends"][0]), float(state["ends"][1])) if "ends" in state else None
    classes = tuple(state["classes"])
    reading = Reading.from_state(state["reading"]) if "reading" in state else None
    scaler, dtype = state.get("scaler", ""), np.dtype(state.get("dtype", "float32")).name
    usual = state.get("usual")
    return Target(state["name"], state["task"], classes, *numbers, scaler, scaling, ends, reading, dtype, usual)


def _objects(items: tuple[Any, ...]) -> np.ndarray:
    found = np.empty(len(items), object)
    found[:] = items
    return found


def label_text(label: Any) -> str:
    """A label as the level that a column holds for it."""
    return str(label) if isinstance(label, str | bool) else number_text(label)


def match(levels: np.ndarray, known: Mapping[str, int]) -> np.ndarray:
    """The int64 code of each level, -1 where it is not known, and a last -1 for missing ones. '3.0' finds '3'."""
    table = np.full(len(levels) + 1, -1, np.int64)
    table[:-1] = [known.get(level, -1) for level in levels]
    if (table[:-1] < 0).any() and len(levels):
        lost = np.flatnonzero(table[:-1] < 0)
        numbers, junk = parse_numbers(levels[lost])
        for place, number in zip(lost[~junk], numbers[~junk], strict=True):
            if np.isfinite(number):
                table[place] = known.get(number_text(number), -1)
    return table


def check_complete(column: Column, way: str = "") -> None:
    """DataError where the target is missing in a row. way: what else can be done about it."""
    gaps = np.flatnonzero(column.missing())
    if len(gaps):
        raise DataError(
            f"target {column.name!r} is missing in {len(gaps)} of {len(column.data)} rows (row {shown(gaps)}); "
            f"leave them out, e.g. df.dropna(subset=[{column.name!r}]){way}"
        )


def read_target(column: Column, task: Task | None, merge: bool = False) -> tuple[Target, np.ndarray, str | None]:
    """The target, its int64 codes or float64 numbers, and what was assumed. task: what the user says, or None.

    merge: classes that differ only in their spelling are one, written as most rows write it.
    """
    check_complete(column, DROPPING)
    if merge:
        return _merged(column, task)
    if column.kind == "date":
        raise DataError(f"target {column.name!r} is a date; give a number, e.g. days since a first date")
    if reading := _reading(column, task):
        target, numbers, _ = _regression(reading.column(column), task)
        return replace(target, reading=reading), numbers, f"target {column.name!r}: {reading.words}"
    column = _digits_as_number(column, task)
    if task == "regression" or (task is None and _is_regression(column)):
        return _regression(column, task)
    return _classes(column, task)


def _merged(column: Column, task: Task | None) -> tuple[Target, np.ndarray, str | None]:
    if column.kind != "text":
        what = option("merge_levels", column.name)
        raise SpecError(f"{what}: the target has no classes that are text; leave it out")
    usual = usual_levels(column, np.arange(len(column.data)))
    target, numbers, note = read_target(merged(column, usual), task)
    return replace(target, usual=usual), numbers, note


def _reading(column: Column, task: Task | None) -> Reading | None:
    """How a text column is read that is to be a number, or has too many different ones to be classes."""
    if column.kind != "text" or not (task == "regression" or (task is None and len(column.levels) > FEW)):
        return None
    if not parse_numbers(column.levels)[1].any():
        return None
    counts = np.bincount(column.data, minlength=len(column.levels))
    found = reading_of(column.levels, counts, 0 if task else FEW)
    return found[0] if found and found[1] == 1 else None


def _digits_as_number(column: Column, task: Task | None) -> Column:
    if column.kind == "text" and (task == "regression" or not parse_numbers(column.levels)[1].any()):
        return as_number(column, ADVICE)
    return as_number(column, ADVICE) if column.kind == "number" else column


def _is_regression(column: Column) -> bool:
    if column.kind != "number":
        return False
    different = _different(column.data)
    if len(different) <= 2:
        return bool((different % 1).any())
    return not column.whole or len(different) > FEW or 3 * len(different) > len(column.data)


def _codes(found: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The place of each number among the different ones; whole ones near to each other are looked up in a table."""
    low, reach = found[0], float(found[-1]) - float(found[0])
    if numbers.dtype.kind not in "iu" or reach >= min(len(numbers), np.iinfo(numbers.dtype).max):
        return np.searchsorted(found, numbers)
    table = np.zeros(int(reach) + 1, np.int64)
    table[found - low] = np.arange(len(found))
    return table.take((numbers - low).astype(np.int64, copy=False))


def _different(numbers: np.ndarray) -> np.ndarray:
    """The different numbers in order; whole ones near to each other are counted, which is faster than to sort."""
    if numbers.dtype.kind in "iu" and len(numbers):
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < len(numbers) and high < 2**62 and low > -(2**62):
            return (np.flatnonzero(np.bincount(numbers.astype(np.int64) - low)) + low).astype(numbers.dtype)
    return np.unique(numbers)


def _regression(column: Column, task: Task | None) -> tuple[Target, np.ndarray, str | None]:
    read = as_number(column, ADVICE)
    check_complete(read, DROPPING)  # words such as '-' are missing only where numbers are read
    numbers = read.data
    if numbers.dtype != np.float32:  # a copy as float64 would be twice as large, with the same values
        numbers = numbers.astype(np.float64)
    if numbers.min() == numbers.max():
        raise DataError(f"target {column.name!r} is {numbers[0]:g} in every row; there is nothing to learn")
    note = None
    if task is None and column.whole and len(np.unique(numbers)) <= FEW:
        note = f"target {column.name!r} is read as a number; task=multiclass reads it as classes"
    return Target(column.name, "regression"), numbers, note


def _classes(column: Column, task: Task | None) -> tuple[Target, np.ndarray, str | None]:
    if column.kind == "number":
        found = _different(column.data)
        codes = _codes(found, column.data)
        labels = [int(v) if float(v).is_integer() else v.item() for v in found]
    else:
        used = np.bincount(column.data, minlength=len(column.levels)) > 0
        words = [word for word, there in zip(column.levels, used, strict=True) if there]
        order = sorted(range(len(words)), key=words.__getitem__)
        place = np.full(len(column.levels), -1)
        place[np.flatnonzero(used)[order]] = np.arange(len(words))
        codes, labels = place[column.data], [words[i] for i in order]
        labels = [word == "True" for word in labels] if column.kind == "bool" else labels
    _check_classes(column, labels, task)
    target = Target(column.name, task or ("binary" if len(labels) == 2 else "multiclass"), tuple(labels))
    note = None
    if column.kind == "number" and len(labels) > 2 and task is None:
        note = f"target {column.name!r} is read as {len(labels)} classes; task=regression reads it as a number"
    return target, codes.astype(np.int64, copy=False), note


def _check_classes(column: Column, labels: list[Any], task: Task | None) -> None:
    rows, n = len(column.data), len(labels)
    if n == 1:
        raise DataError(f"target {column.name!r} has one class only, {labels[0]!r}; at least two are needed")
    if n > FEW and 2 * n > rows:
        raise DataError(
            f"target {column.name!r} has {n} different values in {rows} rows, too many for classes; "
            f"is it the right column? Numbers are predicted with task=regression"
        )
    if rows < 2 * n:
        raise DataError(
            f"target {column.name!r} has {n} classes in {rows} rows; at least {2 * n} rows are needed, two for each "
            f"class: give more rows or leave out rare classes"
        )
    if task == "binary" and n > 2:
        raise DataError(f"task=binary needs two classes; target {column.name!r} has {n}: {shown(labels)}")
