"""Help of the magics as plain text: examples first, then the options, all read from the declarations."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.options import Option
from nnlab.core.params import Param, params_of
from nnlab.core.registry import Entry, Part, Registry
from nnlab.magics.verbs import Verb, default_of, options_for

WIDTH = 100


def help_text(verb: Verb, chosen: Mapping[str, Any] | None = None, topic: str = "") -> str:
    """The help of a magic given the chosen parts, or of one of its options, parts or fields."""
    if topic:
        return _topic(verb, chosen or {}, topic.lstrip("-").replace("-", "_"))
    blocks = [_head(verb)]
    for title, options in _groups(verb, chosen or {}).items():
        blocks.append(f"{title}\n" + _table((_dashed(name), option) for name, option in options.items()))
    blocks.append(_foot(verb))
    return "\n\n".join(blocks)


def _head(verb: Verb) -> str:
    usage = f"%{verb.name}{('', ' subject', ' [subject ...]')[min(verb.words, 2)]} [--option value ...]"
    examples = "\n".join(textwrap.indent(example, "  ") for example in verb.examples)
    parts = [f"{usage}\n{verb.summary}", f"Examples\n{examples}"]
    if verb.subject:
        parts.append("Subject\n" + textwrap.indent(verb.subject, "  "))
    if verb.body:
        parts.append("Cell magic\n" + textwrap.indent(verb.body, "  "))
    return "\n\n".join(parts)


def _foot(verb: Verb) -> str:
    fields = _registries(verb)
    lines = ["A line ends with ; to show nothing, and may hold a # comment. {name} and $name stand for variables."]
    if fields:
        first = "optimizer" if "optimizer" in fields else next(iter(fields))
        other = list(fields[first])[-1:] or ["..."]
        rest = ", ".join(name for name in fields if name != first)
        lines += [
            f"Options of another part:  %{verb.name} --{_dashed(first)} {other[0]} --help",
            f"What there is to choose:  %{verb.name} --help {first}",
            *textwrap.wrap(f"Likewise for:  {rest}", WIDTH, subsequent_indent=" " * 15),
        ]
    return "\n".join(lines)


def _registries(verb: Verb) -> dict[str, Registry]:
    found = {}
    for spec in verb.specs:
        for name, param in params_of(spec).items():
            if isinstance(param.domain, Registry):
                found[name] = param.domain
    return found


def _groups(verb: Verb, chosen: Mapping[str, Any]) -> dict[str, dict[str, Option]]:
    """The options by what they belong to, each once, by its shortest name."""
    groups: dict[str, dict[str, Option]] = {"Options": {}}
    known = options_for(verb, chosen)
    short = {(option.field, option.part, option.name) for name, option in known.items() if "." not in name}
    for name, option in known.items():
        if "." in name and (option.field, option.part, option.name) in short:
            continue
        title = f"{option.field} {option.part}" if option.part else "Options"
        if option.part and option.name == option.part:
            title = option.field
        groups.setdefault(title, {})[name] = option
    return groups


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _table(rows: Iterable[tuple[str, Option]]) -> str:
    """One option a row: its name, its default, what it is, what it can be."""
    listed = [(f"--{name}", _default(option), option.param) for name, option in rows]
    if not listed:
        return "  (none)"
    first = min(max(len(name) for name, _, _ in listed), 26)
    second = min(max(len(default) for _, default, _ in listed), 16)
    return "\n".join(_row(name, default, param, first, second) for name, default, param in listed)


def _default(option: Option) -> str:
    default = default_of(option)
    return "required" if default is None and not option.param.optional else option.param.show(default)


def _row(name: str, default: str, param: Param, first: int, second: int) -> str:
    left = f"  {name:<{first}}  {default:<{second}}  "
    words = f"{param.help} ({'list, each ' if param.many else ''}{param.allowed})"
    body = textwrap.wrap(words, max(WIDTH - len(left), 40))
    return left + ("\n" + " " * (first + second + 6)).join(body)


def _topic(verb: Verb, chosen: Mapping[str, Any], topic: str) -> str:
    registries = _registries(verb)
    if topic in registries:
        return _listing(verb, topic, registries[topic])
    known = options_for(verb, chosen)
    if topic in known:
        return _table([(_dashed(topic), known[topic])])
    for name, registry in registries.items():
        if topic in registry:
            return _entry(verb, name, registry[topic])
    entries = [entry for registry in registries.values() for entry in registry]
    near = did_you_mean(topic, [*registries, *known, *entries])
    raise SpecError(f"no help on {topic!r}{near}; %{verb.name} --help lists the options")


def topics(verb: Verb, chosen: Mapping[str, Any]) -> list[str]:
    """What --help can be asked about: what there is to choose, the options, and the choices."""
    registries = _registries(verb)
    options = [name for name in options_for(verb, chosen) if "." not in name]
    return [_dashed(name) for name in (*registries, *options, *(entry for one in registries.values() for entry in one))]


def _listing(verb: Verb, field: str, registry: Registry) -> str:
    width = max((len(name) for name in registry), default=0)
    rows = [f"  {name:<{width}}  {entry.summary}" for name, entry in registry.items()]
    param = next(param for spec in verb.specs for name, param in params_of(spec).items() if name == field)
    if param.kind is Part and param.many:
        how = f"--{next(iter(registry), 'l1')} value"
    else:
        how = f"--{_dashed(field)} {'name,name' if param.many else 'name'}"
    return f"{field}: {param.help}; default {param.shown_default}\n" + "\n".join(rows) + f"\n\nTo choose:  {how}"


def _entry(verb: Verb, field: str, entry: Entry) -> str:
    known = options_for(verb, {field: entry.name})  # with the values that the default run brings along
    own = [o for name, o in known.items() if o.part == entry.name and name == f"{field}.{o.name}"]
    table = _table((_dashed(option.name), option) for option in own)
    return f"{field} {entry.name}: {entry.summary}\n{table}\n\nTo choose:  --{_dashed(field)} {entry.name}"
