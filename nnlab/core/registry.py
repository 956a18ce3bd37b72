"""Entries of one kind by name: the only place where an optimizer, loss, metric or step is listed."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, overload

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.params import Param, params_of

M = TypeVar("M", bound=Callable[..., Any])
NUMBERS = {int: r"[1-9]\d{0,2}", float: r"0\.\d{0,2}[1-9]"}  # one way to write each number of a family


R = TypeVar("R")
_changes = 0  # of all registries, since the process began


def until_registered(make: Callable[..., R]) -> Callable[..., R]:
    """The answers of make, kept by its (hashable) arguments until an entry is registered or taken away anywhere."""
    held: dict[Any, R] = {}
    of = _changes

    def ask(*key: Any) -> R:
        nonlocal of
        if of != _changes:
            held.clear()
            of = _changes
        if key not in held:
            held[key] = make(*key)
        return held[key]

    return ask


@dataclass(frozen=True)
class Part:
    """A named entry of a registry with its values: Part("adamw", {"lr": 1e-3}); others keep the default."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Part({self.name!r}{f', {dict(self.values)}' if self.values else ''})"


@dataclass(frozen=True)
class Entry:
    """A registered function with its declared parameters. facts: what else its registry asks (task, ...)."""

    name: str
    make: Callable[..., Any]
    params: Mapping[str, Param]
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values checked and typed; SpecError for a parameter that the entry does not have."""
        for name in values:
            if name not in self.params:
                known = ", ".join(self.params) or "none"
                raise SpecError(
                    f"{self.name} has no parameter {name!r}; known: {known}{did_you_mean(name, self.params)}"
                )
        return {name: self.params[name].read(value) for name, value in values.items()}


def _note_change() -> None:
    global _changes
    _changes += 1


class Registry(dict[str, Entry]):
    """Entries of one kind. `@REGISTRY.add` or `@REGISTRY.add(fact=...)` registers a function under its own name.

    needs: facts that every entry must have.
    """

    def __init__(self, kind: str, *needs: str) -> None:
        super().__init__()
        self.kind, self.needs = kind, needs
        self._families: dict[str, tuple[Callable[..., Any], type[int] | type[float], Mapping[str, Any]]] = {}

    def __setitem__(self, name: str, entry: Entry) -> None:
        _note_change()
        super().__setitem__(name, entry)

    def __delitem__(self, name: str) -> None:
        _note_change()
        super().__delitem__(name)

    def pop(self, *name: Any) -> Any:
        """As of a dict."""
        _note_change()
        return super().pop(*name)

    def clear(self) -> None:
        """As of a dict."""
        _note_change()
        super().clear()

    def update(self, *entries: Any, **more: Any) -> None:
        """As of a dict."""
        _note_change()
        super().update(*entries, **more)

    @property
    def searched(self) -> tuple[str, ...]:
        """The entries that a search tries: those with the fact searched=True, all where none has it."""
        return tuple(name for name, entry in self.items() if entry.facts.get("searched")) or tuple(self)

    @property
    def nested(self) -> dict[str, Param]:
        """The parameters of the entries that are chosen from a registry themselves (activation), by name."""
        params = (param for entry in self.values() for param in entry.params.values())
        return {param.name: param for param in params if isinstance(param.domain, Registry)}

    @overload
    def add(self, make: M) -> M: ...

    @overload
    def add(self, make: None = None, **facts: Any) -> Callable[[M], M]: ...

    def add(self, make: Any = None, **facts: Any) -> Any:
        """Register make; a name that ends in _ (to avoid a keyword or builtin) is listed without it."""
        if make is None:
            return lambda later: self.add(later, **facts)
        name = make.__name__.rstrip("_")
        summary = (make.__doc__ or "").strip().partition("\n")[0]
        if lost := [fact for fact in self.needs if fact not in facts]:
            way = ", ".join(f"{fact}=..." for fact in self.needs)
            raise SpecError(f"{self.kind} {name} lacks {' and '.join(lost)}; it is registered with .add({way})")
        self[name] = Entry(name, make, self._declared(name, make, summary), summary, facts)
        return make

    def family(self, listed: Sequence[int] | Sequence[float], **facts: Any) -> Callable[[M], M]:
        """Register make(..., number) as name_number for every number from 1 to 999, or from 0.001 to 0.999 where those
        listed are floats; listed: those that help names.

        {} in the first line of its docstring is the number.
        """

        def register(make: M) -> M:
            name, kind = make.__name__.rstrip("_"), type(listed[0])
            self._families[name] = (make, kind, facts)
            for number in listed:
                self[f"{name}_{number}"] = self[f"{name}_{number}"]
            return make

        return register

    def _member(self, name: object) -> Entry | None:
        """The entry of a family that such a name stands for."""
        family, _, text = name.rpartition("_") if isinstance(name, str) else ("", "", "")
        if family not in self._families:
            return None
        make, kind, facts = self._families[family]
        if not re.fullmatch(NUMBERS[kind], text):
            return None
        summary = (make.__doc__ or "").strip().partition("\n")[0].format(text)
        return Entry(f"{family}_{text}", partial(make, number=kind(text)), {}, summary, facts)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._member(name) is not None

    def _declared(self, name: str, make: Callable[..., Any], summary: str) -> dict[str, Param]:
        """The parameters of a new entry; SpecError for what the faces could not show, check or search."""
        if not summary:
            raise SpecError(f"{self.kind} {name} has no docstring; its first line is the help")
        params = params_of(make)
        for argument in inspect.signature(make).parameters.values():
            if argument.default is not argument.empty and argument.name not in params:
                raise SpecError(
                    f"{self.kind} {name}: {argument.name} has a default but no declaration; "
                    f"write {argument.name}: Annotated[float, Within(low, high), 'what it is'] = {argument.default!r}"
                )
        for param in params.values():
            if not param.optional or param.default is not None:
                param.read(param.default)
        return params

    def __missing__(self, name: object) -> Entry:
        if (member := self._member(name)) is not None:
            return member
        raise SpecError(f"no {self.kind} {name!r}; known: {', '.join(sorted(self))}{did_you_mean(name, self)}")
