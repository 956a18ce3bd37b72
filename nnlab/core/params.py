"""A hyperparameter, declared once in a signature and read by every face.

    def sgd(groups: "Groups", lr: Annotated[float, Within(1e-6, 100.0, log=True), "step size"] = 0.1): ...

`params_of(sgd)` gives {"lr": Param(...)}: option, check, help, slider, search range and completion ask that one object.
Files that declare parameters must not use `from __future__ import annotations` (the annotation itself is read) and
import torch inside their functions, so that help and completion work before torch is loaded.
"""

import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nnlab.core.errors import SpecError, did_you_mean, nearest
from nnlab.core.foreign import hint_for_choice

UNSET_WORDS = ("none", "auto", "off")


@dataclass(frozen=True)
class Within:
    """Numbers from low to high, both included. log: spread by ratio. search: the narrower range that is offered.

    least: where low is 0, what sliders go down to by ratio before they come to it.
    """

    low: float
    high: float
    log: bool = False
    search: tuple[float, float] | None = None
    least: float | None = None

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high  # False for nan

    def __str__(self) -> str:
        return " to ".join(str(int(n)) if abs(n) < 1e12 and n == int(n) else f"{n:g}" for n in (self.low, self.high))

    @property
    def offered(self) -> "Within":
        """The range of sliders and of the search."""
        low, high = self.search or (self.low, self.high)
        return Within(low, high, self.log, least=self.least)


@dataclass(frozen=True)
class Column:
    """The name of a column of the user's frame; completion offers the columns."""


@dataclass(frozen=True)
class Weights:
    """Numbers of 0 or more by label, as in yes=3,no=1, or one word that stands for all."""

    word: str

    def __str__(self) -> str:
        return f'{self.word}, none, or a weight of 0 or more for each label, as in "yes=3,no=1"'

    def fits(self, items: tuple[str, ...]) -> bool:
        """Whether it is the word alone, or each item a label with its weight, none of them twice."""
        try:
            return items == (self.word,) or len(by_label(items)) == len(items)
        except ValueError:
            return False


@dataclass(frozen=True)
class Param:
    """One hyperparameter as its signature declares it.

    kind: bool, int, float, str or Part (an entry of the registry `domain`). many: a tuple of such values. optional:
    None is a value, written none, auto or off. domain: Within, a tuple of choices, a registry, Column, Weights, None:
    any text.
    """

    name: str
    kind: type
    default: Any
    domain: Any
    help: str
    many: bool = False
    optional: bool = False

    def read(self, raw: Any) -> Any:
        """The value of raw, text or typed; SpecError if it is not allowed."""
        if raw is None or (isinstance(raw, str) and raw.lower() in UNSET_WORDS and not self._lists(raw)):
            if self.optional:
                return None
            if raw is None or not (self.many or self._free):  # a column may be called none
                raise self._error(raw)
        if not self.many:
            return self._one(raw)
        given = labelled(raw) if isinstance(self.domain, Weights) else raw
        items = tuple(self._one(item) for item in split_list(given, numbers=isinstance(self.domain, Within)))
        if isinstance(self.domain, Weights) and not self.domain.fits(items):
            raise self._error(raw)
        return items if items or not self.optional else None

    def _lists(self, word: str) -> bool:
        return any(word.lower() == choice.lower() for choice in self.choices)

    def _one(self, raw: Any) -> Any:
        if isinstance(self.domain, Within):
            value = self._number(raw)
            if value is None or value not in self.domain:
                raise self._error(raw)
            return value
        if isinstance(self.domain, Mapping):
            return self._entry(raw)
        if self._free:
            return str(raw)
        return self._choice(raw)

    def _number(self, raw: Any) -> int | float | None:
        if isinstance(raw, bool):
            return None
        try:
            value = float(raw)
        except (TypeError, ValueError, OverflowError):
            return None
        if not math.isfinite(value):
            return None
        if self.kind is int:
            return int(value) if value == int(value) else None
        return value

    def _entry(self, raw: Any) -> Any:
        """A name of the registry; anything that already is a Part keeps its values."""
        name = getattr(raw, "name", raw)
        if not isinstance(name, str) or name not in self.domain:
            raise self._error(raw)
        return raw if isinstance(raw, self.kind) else self.kind(name)

    def _choice(self, raw: Any) -> Any:
        spelled = {str(choice).lower(): choice for choice in self.domain}
        if self.kind is bool:
            spelled |= {"yes": True, "on": True, "1": True, "no": False, "off": False, "0": False}
        key = str(raw).lower()
        if key not in spelled:
            raise self._error(raw)
        return spelled[key]

    def _error(self, raw: Any) -> SpecError:
        if hint := hint_for_choice(self.name, raw):
            return SpecError(f"{self.name}={raw}: {hint}")
        kind = {int: "whole number, ", float: "number, "}.get(self.kind, "") if isinstance(self.domain, Within) else ""
        near = did_you_mean(raw, self.choices) if isinstance(raw, str) else ""
        many = "a list, each " if self.many and not isinstance(self.domain, Weights) else ""
        return SpecError(f"{self.name}={raw}: expected {many}{kind}{self._allowed_near(raw)}{near}")

    @property
    def _free(self) -> bool:
        return self.domain is None or isinstance(self.domain, (Column, Weights))

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that can be typed for the value; empty for numbers and free text."""
        if self._free or isinstance(self.domain, Within):
            return ()
        return ("on", "off") if self.kind is bool else tuple(str(choice) for choice in self.domain)

    @property
    def allowed(self) -> str:
        """What can be given, in words."""
        if self._free:
            words = {Column: "column names", Weights: str(self.domain)}.get(type(self.domain), "any text")
        elif isinstance(self.domain, Within):
            words = str(self.domain)
        else:
            words = ", ".join(self.choices)
        return f"{words} or {self.unset}" if self.optional else words

    def _allowed_near(self, raw: Any) -> str:
        """What can be given, of a long list the words that are near."""
        if not self.choices:
            return self.allowed
        words = nearest(raw, self.choices, f"--help {self.name}")
        return f"{words} or {self.unset}" if self.optional else words

    @property
    def unset(self) -> str:
        """The word for None: auto where the help says what nnlab then does, else none."""
        return "auto" if "auto" in self.help else "none"

    def show(self, value: Any) -> str:
        """A value as a person would type it; `read` takes it back."""
        return self.unset if value is None else show_value(value)

    @property
    def shown_default(self) -> str:
        """The default as a person would type it."""
        return "required" if self.default is None and not self.optional else self.show(self.default)


def show_value(value: Any) -> str:
    """A value as a person would type it on a magic line; `read` takes it back."""
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (tuple, list)):
        return ",".join(show_value(item) for item in value) or "none"
    return str(getattr(value, "name", value))


CELL = re.compile(r'\s*(?:("(?:[^"]|"")*")\s*|([^,]*))(?:,|$)', re.DOTALL)  # "a, b",c: quotes keep commas and spaces


def split_list(raw: Any, numbers: bool = True) -> list[Any]:
    """The items of a list as users write it: [128, 64], 128,64 and for numbers 128-64; a Python sequence; one value."""
    if isinstance(raw, str):
        text = raw.strip()
        if re.fullmatch(r"\[.*\]|\((.*,.*)?\)", text, re.DOTALL):  # "size (cm)" is a name
            text = text[1:-1].strip()
        if text.lower() in ("", "none"):
            return []
        if numbers and re.fullmatch(r"\d+(-\d+)+", text):
            return text.split("-")
        cells = [quoted[1:-1].replace('""', '"') or plain.strip() for quoted, plain in CELL.findall(text)]
        return [cell for cell in cells if cell]
    return list(raw) if isinstance(raw, Iterable) else [raw]


def as_cell(item: str) -> str:
    """An item as `split_list` reads it out of a text again: in quotes where it has commas, or spaces at its ends."""
    return '"{}"'.format(item.replace('"', '""')) if set(item) & set(',"') or item != item.strip() else item


def labelled(raw: Any) -> Any:
    """A mapping from labels to weights as the words of a line, {"yes": 3} as ["yes=3"]; else raw."""
    return [f"{label}={weight}" for label, weight in raw.items()] if isinstance(raw, Mapping) else raw


def by_label(items: Iterable[str]) -> dict[str, float]:
    """The weights that items such as yes=3 give; ValueError where one is none."""
    found = {}
    for item in items:
        label, _, number = item.rpartition("=")
        weight = float(number)
        if not label.strip() or not 0.0 <= weight < math.inf:
            raise ValueError(item)
        found[label.strip()] = weight
    return found


def params_of(make: Callable[..., Any]) -> dict[str, Param]:
    """The Annotated arguments of a function or dataclass by name; plain arguments are nnlab's to supply."""
    return dict(_declared(make))


@functools.lru_cache(maxsize=256)
def _declared(make: Callable[..., Any]) -> dict[str, Param]:
    found = {}
    for name, argument in inspect.signature(make).parameters.items():
        if get_origin(argument.annotation) is Annotated:
            default = None if argument.default is inspect.Parameter.empty else argument.default
            found[name] = _param(name, argument.annotation, default)
    return found


def _param(name: str, annotation: Any, default: Any) -> Param:
    kind, *facts = get_args(annotation)
    domain, help_text = (facts[0] if len(facts) > 1 else None), facts[-1]
    optional = many = False
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [k for k in get_args(kind) if k is not type(None)]
        kind, optional = kinds[0], True
    if get_origin(kind) is tuple:
        kind, many = get_args(kind)[0], True
    if get_origin(kind) is Literal:
        domain = get_args(kind)
        kind = type(domain[0])
    if kind is bool:
        domain = (True, False)
    return Param(name, kind, default, domain, help_text, many, optional)
