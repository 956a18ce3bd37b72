"""What a search may try for one name: numbers between two ends, choices, or lists of either.

Each knows what Optuna holds of a value: a number or a choice under the name itself; a list such as 128-64 as its length
and its items, hidden.length and hidden.1, hidden.2, or hidden.all where all items are the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlab.core.params import show_value, split_list

if TYPE_CHECKING:
    from optuna import Trial

Value = bool | int | float | str | None
CLOSE = 1e-9  # of a step, within which a number is one of its multiples


@dataclass(frozen=True)
class When:
    """A condition: a name is only searched where another one has one of these values."""

    name: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        shown = ",".join(show_value(value) for value in self.values)
        return f" if {self.name}={shown if len(self.values) == 1 else f'{{{shown}}}'}"

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether it does, for the values of a trial."""
        value = values.get(self.name)
        return self.name in values and any(value == one and type(value) is type(one) for one in self.values)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        return {"name": self.name, "values": list(self.values)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any] | None) -> "When | None":
        """What to_json gave; None for None."""
        return None if plain is None else cls(str(plain["name"]), tuple(plain["values"]))


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included, log: spread by ratio, step: low and every so far; or choices, values as
    a person types them."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()
    step: float | None = None
    when: When | None = None

    def __str__(self) -> str:
        return f"{self.allowed}{self.when or ''}"

    @property
    def allowed(self) -> str:
        """As it is typed, without its condition."""
        if self.choices:
            return f"{{{','.join(show_value(choice) for choice in self.choices)}}}"
        ends = f"{show_value(self.low)}..{show_value(self.high)}"
        return ends + (" log" if self.log else "") + (f" step {show_value(self.step)}" if self.step else "")

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not self.low <= value <= self.high or (self.whole and value != int(value)):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < CLOSE

    @property
    def size(self) -> float:
        """How many values there are; inf for numbers that lie as close as one likes."""
        if self.choices:
            return len(self.choices)
        if self.step:
            return self._steps + 1
        return self.high - self.low + 1 if self.whole else math.inf

    @property
    def _steps(self) -> int:
        """How often the step fits between the ends."""
        return math.floor((self.high - self.low) / (self.step or 1.0) + CLOSE)

    def suggest(self, trial: "Trial", name: str) -> Value:
        """The trial's value, drawn by the study's sampler."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.whole:
            low, step = int(self.low), int(self.step or 1)
            return trial.suggest_int(name, low, low + step * self._steps, step=step, log=self.log)
        high = self.low + self.step * self._steps if self.step else self.high
        return trial.suggest_float(name, self.low, high, step=self.step, log=self.log)

    def params(self, value: Value, name: str) -> dict[str, Value]:
        """What Optuna holds of a value."""
        return {name: value}

    def typed(self, params: Mapping[str, Any], name: str) -> Value:
        """The value that Optuna's params stand for; KeyError where they have none."""
        value: Value = params[name]
        return value

    def grid(self, count: int, name: str) -> dict[str, list[Value]]:
        """The choices, or count numbers evenly over the range, ends included, by the name that Optuna knows."""
        return {name: self.points(count)}

    def points(self, count: int) -> list[Value]:
        """The choices, or count numbers evenly over the range, ends included."""
        if self.choices:
            return list(self.choices)
        if self.step:
            places = dict.fromkeys(round(self._steps * i / (count - 1)) for i in range(count))
            values: list[Value] = [self.low + self.step * place for place in places]
            return [round(value) for value in values] if self.whole else values  # type: ignore[arg-type]
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        spread = [low + (high - low) * i / (count - 1) for i in range(count)]
        inner = [math.exp(value) if self.log else value for value in spread[1:-1]]
        numbers = [self.low, *inner, self.high]
        return list(dict.fromkeys(round(value) for value in numbers)) if self.whole else list(dict.fromkeys(numbers))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        when = {"when": self.when.to_json()} if self.when else {}
        if self.choices:
            return {"choices": list(self.choices)} | when
        plain = {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}
        return plain | ({"step": self.step} if self.step else {}) | when

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Range":
        """What to_json gave."""
        when = When.from_json(plain.get("when"))
        if "choices" in plain:
            return cls(choices=tuple(plain["choices"]), when=when)
        return cls(plain["low"], plain["high"], plain["log"], plain["whole"], step=plain.get("step"), when=when)


@dataclass(frozen=True)
class Lists:
    """Lists of least to most items, each from `item`; same: all items of a list are equal. Typed as 128-64."""

    item: Range
    least: int
    most: int
    same: bool = False
    when: When | None = None

    def __str__(self) -> str:
        return f"{self.allowed}{self.when or ''}"

    @property
    def allowed(self) -> str:
        """As it is typed, without its condition."""
        inner, words = str(self.item), ""
        if self.item.choices:
            inner = inner.strip("{}")
        else:
            inner, _, words = inner.partition(" ")
        count = f"{self.least}..{self.most}" if self.most > self.least else f"{self.least}"
        return " ".join(filter(None, (f"[{inner}]x{count}", words, "same" if self.same else "")))

    def __contains__(self, value: object) -> bool:
        items = self._items(value)
        if items is None or not self.least <= len(items) <= self.most:
            return False
        return all(item in self.item for item in items) and not (self.same and len(set(items)) > 1)

    def _items(self, value: object) -> list[Value] | None:
        """The items of a typed list; None for what is none."""
        try:
            read = int if self._whole else float
            return [read(item) for item in split_list(value)] if isinstance(value, str) else None
        except ValueError:
            return None

    @property
    def _whole(self) -> bool:
        return self.item.whole or (bool(self.item.choices) and all(isinstance(one, int) for one in self.item.choices))

    @property
    def size(self) -> float:
        """How many lists there are."""
        lengths = range(self.least, self.most + 1)
        return sum(self.item.size if self.same else self.item.size**length for length in lengths)

    def suggest(self, trial: "Trial", name: str) -> Value:
        """The trial's list: first its length, then as many items."""
        length = self.least
        if self.most > self.least:
            length = trial.suggest_int(f"{name}.length", self.least, self.most)
        if self.same:
            return joined([self.item.suggest(trial, f"{name}.all")] * length)
        return joined([self.item.suggest(trial, f"{name}.{place}") for place in range(1, length + 1)])

    def params(self, value: Value, name: str) -> dict[str, Value]:
        """What Optuna holds of a list."""
        items = self._items(value) or []
        length = {f"{name}.length": len(items)} if self.most > self.least else {}
        if self.same:
            return {**length, f"{name}.all": items[0]}
        return {**length, **{f"{name}.{place}": item for place, item in enumerate(items, 1)}}

    def typed(self, params: Mapping[str, Any], name: str) -> Value:
        """The list that Optuna's params stand for; KeyError where they have none."""
        length = params[f"{name}.length"] if self.most > self.least else self.least
        if self.same:
            return joined([params[f"{name}.all"]] * length)
        return joined([params[f"{name}.{place}"] for place in range(1, length + 1)])

    def grid(self, count: int, name: str) -> dict[str, list[Value]]:
        """Lengths, and count items for each place, by the names that Optuna knows."""
        lengths: dict[str, list[Value]] = {}
        if self.most > self.least:
            lengths = {f"{name}.length": list(range(self.least, self.most + 1))}
        places = ["all"] if self.same else range(1, self.most + 1)
        return lengths | {f"{name}.{place}": self.item.points(count) for place in places}

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        when = {"when": self.when.to_json()} if self.when else {}
        return {"item": self.item.to_json(), "least": self.least, "most": self.most, "same": self.same} | when


Searched = Range | Lists
Space = dict[str, Searched]


def from_json(plain: Mapping[str, Any]) -> Searched:
    """What to_json gave."""
    if "item" in plain:
        when = When.from_json(plain.get("when"))
        item, ends = Range.from_json(plain["item"]), (int(plain["least"]), int(plain["most"]))
        return Lists(item, *ends, bool(plain["same"]), when)
    return Range.from_json(plain)


def joined(items: Sequence[Value]) -> str:
    """A list as it is typed; whole numbers as 128-64, others with commas."""
    whole = all(isinstance(item, int) and item >= 0 for item in items)
    return ("-" if whole else ",").join(show_value(item) for item in items)


def typed_values(space: Space, params: Mapping[str, Any]) -> dict[str, Value]:
    """The values of the searched names that Optuna's params have, in the order of the space."""
    found = {}
    for name, searched in space.items():
        try:
            found[name] = searched.typed(params, name)
        except KeyError:
            continue
    return found


def inner_ranges(searched: Searched, name: str) -> dict[str, Range]:
    """What is searched by the names that Optuna knows; of a list its length and each place that it may have."""
    if isinstance(searched, Range):
        return {name: searched}
    length = Range(searched.least, searched.most, whole=True)
    places = ("all", *range(1, searched.most + 1))
    return {f"{name}.length": length} | {f"{name}.{place}": searched.item for place in places}


def holding(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """The values without those of names whose condition does not hold."""
    return {name: value for name, value in values.items() if (when := space[name].when) is None or when.holds(values)}


def held_params(space: Space, values: Mapping[str, Value]) -> dict[str, Value]:
    """What Optuna holds of the values of searched names."""
    return {inner: one for name, value in values.items() for inner, one in space[name].params(value, name).items()}
