"""A search that is given another course while it runs: values pinned, ranges narrowed, trials queued.

Each step is kept with the study's trials, so that every process that works on it, and the one that goes on with it,
keeps to it from its next trials on. The space itself stays what it was: what is narrowed can be freed again.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.tune.grammar import entries, plain
from nnlab.core.tune.ranges import CLOSE, Lists, Range, Searched, Space, Value, from_json, held_params, inner_ranges
from nnlab.core.tune.space import lines_of, params_named, parse

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from nnlab.core.tune.header import Header

Kind = Literal["pin", "narrow", "free", "queue"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STEER = "steer"  # how the keys of the study's attributes begin that hold the steps
QUEUED = "queued"  # the attribute of a trial that was asked for by hand


@dataclass(frozen=True)
class Steer:
    """One step. when: seconds since 1970; trial: how many trials there were; said: of each name the value that it is
    pinned to or tried with, or its range; None where it is free again."""

    when: float
    trial: int
    kind: Kind
    said: Mapping[str, Value | Searched]

    @property
    def text(self) -> str:
        """As a person types it: "lr=0.001", "lr=0.0001..0.001 log", "lr"."""
        parts = (name if self.kind == "free" else f"{name}={_shown(one)}" for name, one in self.said.items())
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        said = {n: one.to_json() if isinstance(one, (Range, Lists)) else one for n, one in self.said.items()}
        return {"when": self.when, "trial": self.trial, "kind": self.kind, "said": said}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Steer":
        """What to_json gave."""
        said = {name: from_json(one) if isinstance(one, dict) else one for name, one in value["said"].items()}
        return cls(float(value["when"]), int(value["trial"]), value["kind"], said)


def read_steer(kind: str, lines: Iterable[str], header: "Header") -> dict[str, Value | Searched]:
    """What is said of each name, checked against the space of the study; SpecError names what cannot be.

    lines: "lr=1e-3" to pin or queue, "lr=1e-4..1e-3" or "model={mlp,resnet}" to narrow, "lr" to free.
    """
    if kind not in KINDS:
        raise SpecError(f"a study cannot {kind!r}{did_you_mean(kind, KINDS)}; it can {', '.join(KINDS)}")
    if kind == "free":
        names = [word for line in lines for word in line.replace(",", " ").split()]
        return {_known(name, header.space): None for name in names or header.space}
    found = list(entries(lines))
    if not found:
        raise SpecError(f"{kind}: nothing is said; write a name and its value, as in lr=0.001")
    if kind == "narrow":
        return {name: _narrowed(_known(name, header.space), text, header) for name, text in found}
    said = {name: _value(_known(name, header.space), text, header) for name, text in found}
    for name in said if kind == "queue" else ():
        when = header.space[name].when
        if when is not None and when.name in said and not when.holds(said):
            raise SpecError(f"queue: {name} is searched only{when}; leave one of the two out")
    return dict(said)


def _shown(one: Any) -> str:
    """A value or a range as it is typed; None is auto."""
    return "auto" if one is None else str(plain(one))


def _known(name: str, space: Space) -> str:
    if name not in space:
        raise SpecError(
            f"{name} is not searched in this study, which searches {', '.join(space)}{did_you_mean(name, space)}"
        )
    return name


def _value(name: str, text: str, header: "Header") -> Value:
    """A value of a searched name, in its range."""
    problem = None
    for param in params_named(name, header.space, header.base):
        try:
            value = plain(param.read(text))
        except SpecError as error:
            problem = error
            continue
        if value in header.space[name]:
            return value
    if problem is not None:
        raise problem
    raise SpecError(f"{name}={text} is outside of what the study searches: {header.space[name]}")


def _narrowed(name: str, text: str, header: "Header") -> Searched:
    """A part of a name's range."""
    if not any(sign in text for sign in ("..", "{", "[", ",")):
        raise SpecError(f"{name}={text} is one value; pin it, or narrow to a part of {header.space[name]}")
    others = {other: replace(one, when=None) for other, one in header.space.items() if other != name}
    wide = header.space[name]
    narrow = replace(parse([*lines_of(others, header.base), f"{name}={text}"], header.base)[name], when=wide.when)
    inside = inner_ranges(narrow, name)
    for inner, one in inner_ranges(wide, name).items():
        if inner in inside and not _within(inside[inner], one):
            raise SpecError(f"{name}={text} is not within what the study searches: {wide}")
    if type(narrow) is not type(wide) or (isinstance(narrow, Lists) and narrow.same != wide.same):  # type: ignore[union-attr]
        raise SpecError(f"{name}={text}: write it in the form of what the study searches: {wide}")
    if isinstance(wide, Range) and wide.step and isinstance(narrow, Range) and not narrow.choices:
        first = wide.low + wide.step * math.ceil((narrow.low - wide.low) / wide.step - CLOSE)
        if first > narrow.high:
            raise SpecError(f"{name}={text}: none of {wide} lies between; make it wider")
    return narrow


def _within(one: Range, other: Range) -> bool:
    if one.choices:
        return all(choice in other for choice in one.choices)
    return not other.choices and other.low <= one.low and one.high <= other.high


def steps_of(study: "optuna.Study") -> list[Steer]:
    """All steps of a study, oldest first."""
    held = sorted((key, value) for key, value in study.user_attrs.items() if key.startswith(f"{STEER} "))
    return [Steer.from_json(value) for _, value in held]


def steer(study: "optuna.Study", header: "Header", kind: str, lines: Iterable[str]) -> Steer:
    """Take a step: it is on record when this returns, and the next trials keep to it. SpecError: nothing was done."""
    said = read_steer(kind, lines, header)
    trials = len(study.get_trials(deepcopy=False))
    step = Steer(time.time(), trials, kind, said)  # type: ignore[arg-type]  # read_steer has checked it
    if kind == "queue":
        values: Any = said
        study.enqueue_trial(held_params(header.space, values), user_attrs={QUEUED: step.when})
    study.set_user_attr(f"{STEER} {time.time_ns():020}", step.to_json())
    return step


def steered_space(space: Space, steps: Iterable[Steer]) -> Space:
    """What is searched now: of a pinned name its one value, of a narrowed one what is left of its range."""
    now = dict(space)
    for step in steps:
        for name, one in step.said.items() if step.kind != "queue" else ():
            now[name] = space[name] if step.kind == "free" else _searched(one)
    return now


def _searched(one: Value | Searched) -> Searched:
    return one if isinstance(one, (Range, Lists)) else Range(choices=(one,))


def allowed_params(space: Space, now: Space) -> dict[str, Range]:
    """What is left, by the names that Optuna knows; only of names that were steered."""
    found: dict[str, Range] = {}
    for name, one in now.items():
        wide = space[name]
        if one == wide:
            continue
        if isinstance(one, Range) and len(one.choices) == 1:
            found |= {inner: Range(choices=(value,)) for inner, value in wide.params(one.choices[0], name).items()}
        else:
            found |= inner_ranges(one, name)
    return found


class Steerable:
    """The steps of a study, for whoever holds it. Lines are as in --space; keywords do where the name is a word."""

    header: "Header"
    _journal: "optuna.Study"

    def pin(self, *lines: str, **values: Any) -> None:
        """Try only this value of a name from the next trials on: `study.pin(lr=1e-3)`, `study.pin("sgd.lr=0.1")`."""
        self._steer("pin", lines, values)

    def narrow(self, *lines: str, **ranges: Any) -> None:
        """Try only a part of a range from the next trials on: `study.narrow("lr=1e-4..1e-3", model="{mlp,resnet}")`."""
        self._steer("narrow", lines, ranges)

    def free(self, *names: str) -> None:
        """Take pins and narrowings of these names back; of all names if none is said."""
        self._steer("free", names, {})

    def queue(self, *lines: str, **values: Any) -> None:
        """Try these values next; what is not said of them the sampler draws. It counts as one of the trials."""
        self._steer("queue", lines, values)

    def _steer(self, kind: Kind, lines: Iterable[str], values: Mapping[str, Any]) -> None:
        said = [f"{name}={_shown(tuple(one) if isinstance(one, list) else one)}" for name, one in values.items()]
        steer(self._journal, self.header, kind, [*lines, *said])

    @property
    def steering(self) -> "pd.DataFrame":
        """What was done by hand while it ran: when (UTC), trial (from which on it holds), what, values as typed."""
        import pandas as pd

        rows = [(datetime.fromtimestamp(s.when, UTC), s.trial, s.kind, s.text) for s in steps_of(self._journal)]
        return pd.DataFrame(rows, columns=["when", "trial", "what", "values"])
