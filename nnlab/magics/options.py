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
ALL = "all"  # the topic that lists every option
MANY = 8  # choices, of which the short help names so many


def help_text(verb: Verb, chosen: Mapping[str, Any] | None = None, topic: str = "") -> str:
    """The help of a magic given the chosen parts; topic: all for every option, or one option, part or field."""
    topic = topic.lstrip("-").replace("-", "_")
    if topic and topic != ALL:
        return _topic(verb, chosen or {}, topic)
    brief = topic != ALL and bool(verb.first)
    groups = _first(verb, chosen or {}) if brief else _groups(verb, chosen or {})
    tables = [
        f"{title}\n" + _table(((_dashed(name), option) for name, option in options.items()), brief)
        for title, options in groups.items()
    ]
    more = [_more(verb, chosen or {}, groups)] if brief else []
    return "\n\n".join([_head(verb), *tables, *more, _foot(verb)])


def _first(verb: Verb, chosen: Mapping[str, Any]) -> dict[str, dict[str, Option]]:
    """The options that most people need, as far as the chosen parts have them, and all of parts chosen by name."""
    known = options_for(verb, chosen)
    first = {title: {name: known[name] for name in names if name in known} for title, names in verb.first.items()}
    there = {(o.field, o.part, o.name) for options in first.values() for o in options.values()}
    for title, options in _groups(verb, chosen).items():
        named = [(n, o) for n, o in options.items() if o.field in chosen and o.part == str(chosen[o.field])]
        rest = {name: o for name, o in named if (o.field, o.part, o.name) not in there}
        first |= {title: rest} if rest else {}
    return first


def _more(verb: Verb, chosen: Mapping[str, Any], shown: Mapping[str, Mapping[str, Option]]) -> str:
    count = sum(map(len, _groups(verb, chosen).values())) - sum(map(len, shown.values()))
    return f"{count} more options:  %{verb.name} --help {ALL}"


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
                found |= {inner: one.domain for inner, one in param.domain.nested.items()}
    return found


def _groups(verb: Verb, chosen: Mapping[str, Any]) -> dict[str, dict[str, Option]]:
    """The options by what they belong to, each once, by its shortest name."""
    groups: dict[str, dict[str, Option]] = {"Options": {}}
    known = options_for(verb, chosen)
    shortest: dict[tuple[Any, ...], str] = {}
    for name, option in known.items():
        key = (option.field, option.part, option.name)
        shortest[key] = min(name, shortest.get(key, name), key=len)
    for name, option in known.items():
        if name != shortest[option.field, option.part, option.name]:
            continue
        title = f"{option.field} {option.part}" if option.part else "Options"
        if option.part and option.name == option.part:
            title = option.field
        groups.setdefault(title, {})[name] = option
    return groups


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _table(rows: Iterable[tuple[str, Option]], brief: bool = False) -> str:
    """One option a row: its name, its default, what it is, what it can be. brief: of many choices the first few."""
    listed = [(f"--{name}", _default(option), option.param) for name, option in rows]
    if not listed:
        return "  (none)"
    first = min(max(len(name) for name, _, _ in listed), 26)
    second = min(max(len(default) for _, default, _ in listed), 16)
    return "\n".join(_row(name, default, param, (first, second), brief) for name, default, param in listed)


def _default(option: Option) -> str:
    default = default_of(option)
    return "required" if default is None and not option.param.optional else option.param.show(default)


def _row(name: str, default: str, param: Param, widths: tuple[int, int], brief: bool) -> str:
    first, second = widths
    left = f"  {name:<{first}}  {default:<{second}}  "
    allowed = param.allowed
    if brief and len(param.choices) > MANY:
        allowed = f"{', '.join(param.choices[:MANY])}, ...: --help {param.name} lists {len(param.choices)}"
    words = f"{param.help} ({'list, each ' if param.many else ''}{allowed})"
    body = textwrap.wrap(words, max(WIDTH - len(left), 40))
    return left + ("\n" + " " * (first + second + 6)).join(body)


def _topic(verb: Verb, chosen: Mapping[str, Any], topic: str) -> str:
    registries = _registries(verb)
    if topic in registries:
        return _listing(verb, topic, registries[topic])
    known = options_for(verb, chosen)
    if topic in known and known[topic].part != topic:
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
    first = [ALL] if verb.first else []
    entries = (entry for one in registries.values() for entry in one)
    return [_dashed(name) for name in (*first, *registries, *options, *entries)]


def _listing(verb: Verb, field: str, registry: Registry) -> str:
    width = max((len(name) for name in registry), default=0)
    rows = [f"  {name:<{width}}  {entry.summary}" for name, entry in registry.items()]
    own = {name: param for spec in verb.specs for name, param in params_of(spec).items()}
    nested = (one.domain.nested for one in own.values() if isinstance(one.domain, Registry))
    param = own[field] if field in own else next(found[field] for found in nested if field in found)
    if param.kind is Part and param.many:
        how = f"--{next(iter(registry), 'l1')} value"
    else:
        how = f"--{_dashed(field)} {'name,name' if param.many else 'name'}"
    return f"{field}: {param.help}; default {param.shown_default}\n" + "\n".join(rows) + f"\n\nTo choose:  {how}"


def _entry(verb: Verb, field: str, entry: Entry) -> str:
    known = options_for(verb, {field: entry.name})  # with the values that the default run brings along
    own = [o for name, o in known.items() if o.part == entry.name and name == f"{field}.{o.name}"]
    table = _table((_dashed(option.name), option) for option in own)
    listed = any(option.value for option in own)  # of which there may be several, each a word of its own
    how = f"--{_dashed(entry.name)} value" if listed else f"--{_dashed(field)} {entry.name}"
    return f"{field} {entry.name}: {entry.summary}\n{table}\n\nTo choose:  {how}"
