"""What a spec changes from the defaults, as a table and as the Python that repeats it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nnlab.core.options import override_values
from nnlab.core.params import Param, params_of, show_value
from nnlab.core.recipe import must_name_network
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, PrepareSpec, TrainSpec, defaults_for
from nnlab.report.tables import Table, number

NO_DEFAULT = "–"
SAID_ELSEWHERE = ("target",)  # it has no default, and every report names it


def differences(spec: Any) -> list[tuple[str, Any, str]]:
    """(option, value, default in words) of each option that is not at its default, in the order of declaration."""
    found: list[tuple[str, Any, str]] = []
    params = params_of(type(spec))
    for name, default in defaults_for(spec).items():
        value, param = getattr(spec, name), params[name]
        if param.kind is Part and param.many:
            found += [row for part in value for row in _listed(param, part)]
        elif isinstance(value, Part):
            found += _part_differences(name, param, default, value)
        elif name in SAID_ELSEWHERE:
            continue
        elif value != default and not (param.many and tuple(value) == tuple(default or ())):
            found.append((name, value, param.show(default)))
    if isinstance(spec, PrepareSpec):
        found += [(name, value, NO_DEFAULT) for name, value in override_values(spec).items()]
    return found


def _part_differences(field: str, param: Param, default: Part | None, part: Part) -> Iterator[tuple[str, Any, str]]:
    if part.name == CUSTOM:
        yield field, str(part.values.get("name") or CUSTOM), param.shown_default
        return
    if part.name != getattr(default, "name", None):
        yield field, part.name, param.show(default)
    known = {name: p.default for name, p in param.domain[part.name].params.items()} if part.name in param.domain else {}
    brought = default.values if default is not None and part.name == default.name else {}
    for name, value in (known | dict(part.values)).items():
        if name not in known:
            yield f"{field}.{name}", value, NO_DEFAULT
        elif value != (usual := brought.get(name, known[name])):
            yield f"{field}.{name}", value, show_value(usual)


def _listed(param: Param, part: Part) -> Iterator[tuple[str, Any, str]]:
    """A part of a list: its name with its first value (l1 0.001), name.parameter with the others that are given."""
    first, *others = param.domain[part.name].params.values()
    yield part.name, part.values.get(first.name, first.default), NO_DEFAULT
    yield from (
        (f"{part.name}.{p.name}", part.values[p.name], show_value(p.default))
        for p in others
        if part.values.get(p.name, p.default) != p.default
    )


def chosen_and_said(spec: Any, start: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any, str]]]:
    """What of a spec was chosen for the data, (option, value), and what the user said over it, as `differences`.

    start: the spec that was chosen.
    """
    own = {name: (value, default) for name, value, default in differences(spec)}
    chosen = {name: (value, default) for name, value, default in differences(start)}
    kept = [(name, value) for name, (value, _) in chosen.items() if name in own and own[name][0] == value]
    said: list[tuple[str, Any, str]] = []
    for name, (value, default) in (chosen | own).items():
        if name not in own:  # said, and as the default is
            said.append((name, default, show_value(value)))
        elif name not in dict(kept):
            said.append((name, value, show_value(chosen[name][0]) if name in chosen else default))
    return kept, said


def differs_table(
    spec: Any, title: str = "Differs from the defaults", rows: Sequence[tuple[str, Any, str]] | None = None
) -> Table | None:
    """The differences, or these rows of them, with the default beside each; None if all is default."""
    found = differences(spec) if rows is None else rows
    rows = [(name, rounded(value), default) for name, value, default in found]
    return Table(["option", "value", "default"], rows, title, "lll") if rows else None


def rounded(value: Any) -> str:
    """A value for people. Searched values have sixteen digits; the line that repeats the run has them all."""
    if value is None:  # what is auto is so by default, and no difference
        return "none"
    return number(value) if isinstance(value, float) else show_value(value)


def magic_options(spec: Any) -> str:
    """The options of a magic's line that give this spec: --epochs 7 --optimizer.lr 0.05."""
    words = []
    for name, value, _ in differences(spec):
        if name != "model" or spec.model.name != CUSTOM:
            text = "none" if value is None else show_value(value)
            text = repr(value) if isinstance(value, float) else text
            words += [f"--{name}", json.dumps(text, ensure_ascii=False) if set(text) & set(" \"'#;") else text]
    return " ".join(words)


def python_call(verb: str, spec: Any, subject: str = "data", keep: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The call of nnlab that gives this spec: nnlab.fit(data, optimizer='sgd', lr=0.1).

    keep: options that are written though they have their defaults.
    """
    words = [subject]
    qualified = {}
    rows = [(name, value) for name, value, _ in differences(spec)]
    named = {name.rpartition(".")[2] for name, _ in rows}
    rows += [(name, value) for name, value in keep.items() if name.rpartition(".")[2] not in named]
    if isinstance(spec, TrainSpec) and must_name_network(spec, (name for name, _ in rows)):
        rows.insert(0, ("model", spec.model.name))
    for name, value in rows:
        if "." in name:
            qualified[name] = value
        elif name == "model" and spec.model.name == CUSTOM:
            words.append(f"model={value if value.isidentifier() else '...'}")
        else:
            words.append(f"{name}={value!r}")
    words += [f"**{qualified!r}"] if qualified else []
    return f"nnlab.{verb}({', '.join(words)})"
