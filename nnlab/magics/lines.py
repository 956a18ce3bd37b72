"""Values as the line of a magic that says them: the way back of text.py, for reports, the doctor and the panel."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

from nnlab.core.options import Option, options_of, override_values
from nnlab.core.params import UNSET_WORDS, Param, Weights, as_cell, params_of, show_value
from nnlab.core.recipe import must_name_network
from nnlab.core.registry import Part
from nnlab.core.spec import CUSTOM, PrepareSpec, TrainSpec, defaults_for
from nnlab.magics.scan import Word, quote
from nnlab.magics.text import takes_many_words
from nnlab.magics.verbs import VERBS, canonical, options_for


def to_line(
    verb: str, subject: str | Word, *specs: Any, extra: Mapping[str, Any] | None = None, keep: Collection[str] = ()
) -> str:
    """The shortest line that repeats specs: only what differs from the defaults. subject: as it was written.

    extra: more options, None for none. keep: names of options that are written though they have their defaults.
    """
    chosen = {f.name: getattr(spec, f.name) for spec in reversed(specs) for f in fields(spec)}
    known = options_for(VERBS[verb], chosen)
    words = [f"%{verb}", subject_text(subject)]
    for spec in specs:
        written = list(_written(spec, {canonical(VERBS[verb], name, chosen) for name in keep}))
        if verb == "nn_train" and _lacks_model(spec, written):
            written.insert(0, (known["model"], spec.model.name))
        for option, value in written:
            words += [f"--{_option_word(option, known)}", _shown(option.param, value)]
        if isinstance(spec, PrepareSpec):
            for name, value in override_values(spec).items():
                words += _column_words(name, value)
    for name, value in (extra or {}).items():
        if value is not None:
            words += [f"--{_dashed(name)}", _shown(known[name].param, value) if name in known else quote(str(value))]
    return " ".join(word for word in words if word)


def _lacks_model(spec: Any, written: list[tuple[Option, Any]]) -> bool:
    """Whether the data would choose a network where the spec has one that is the default."""
    said = (f"{option.field}.{option.name}" if option.part else option.name for option, _ in written)
    return isinstance(spec, TrainSpec) and must_name_network(spec, said)


def words_of(options: Mapping[str, Any], known: Mapping[str, Option]) -> list[str]:
    """Checked values of options as the words of a line. options: by full name; one that is not known is of a column."""
    words: list[str] = []
    for name, value in options.items():
        if option := known.get(name):
            # a part that the line leaves open has no short names until one of its values chooses it
            part = known.get(option.field) if option.part and option.field not in options else None
            word = _dashed(name) if part is not None and part.param.optional else _option_word(option, known)
            words += [f"--{word}", _shown(option.param, value)]
        else:
            words += _column_words(name, value)
    return words


def _column_words(name: str, value: Any) -> list[str]:
    """--impute.age knn."""
    step, _, column = name.partition(".")
    return [f"--{_dashed(step)}.{quote(column, '=')}", quote(show_value(value))]


def _written(spec: Any, keep: Collection[str]) -> Iterator[tuple[Option, Any]]:
    """The options that give a spec, with their values: those that differ from the defaults, and those to keep."""
    known = options_of(type(spec), {f.name: getattr(spec, f.name) for f in fields(spec)})
    for name, default in defaults_for(spec).items():
        value, param = getattr(spec, name), params_of(type(spec))[name]
        if param.kind is Part and param.many:
            yield from (found for part in value for found in _written_listed(part, known, name))
            continue
        word = getattr(value, "name", value) if param.kind is Part else value
        own_network = isinstance(value, Part) and word == CUSTOM
        if not own_network and (word != (getattr(default, "name", default)) or name in keep):
            yield known[name], word
        if isinstance(value, Part) and not own_network:
            base = default.values if isinstance(default, Part) and default.name == word else {}
            yield from _written_values(name, value, base, known, keep)


def _written_listed(part: Part, known: Mapping[str, Option], field: str) -> Iterator[tuple[Option, Any]]:
    """The values of a part in a list: always the one that its name stands for, others where they are no default."""
    for full, option in known.items():
        if full == f"{field}.{option.name}" and option.part == part.name:
            value = part.values.get(option.value, option.param.default)
            if option.name == part.name or value != option.param.default:
                yield option, value


def _written_values(
    name: str, part: Part, base: Mapping[str, Any], known: Mapping[str, Option], keep: Collection[str]
) -> Iterator[tuple[Option, Any]]:
    """The values of a part; base: those that the default part brings along."""
    for full, option in known.items():
        if option.field == name and option.part == part.name and full == f"{name}.{option.name}":
            value = part.values.get(option.name, option.param.default)
            if value != base.get(option.name, option.param.default) or full in keep:
                yield option, value


def subject_text(subject: str | Word) -> str:
    """A subject as it must be written to be read as the same again."""
    if isinstance(subject, str):
        return subject if re.fullmatch(r"[^\W\d]\w*(,[^\W\d]\w*)*", subject) else quote(subject)
    if not subject.quoted:
        return quote(subject.text)
    return quote(subject.text) if quote(subject.text) != subject.text else f"'{subject.text}'"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _option_word(option: Option, known: Mapping[str, Option]) -> str:
    """The short name of an option where it is unique, else the one with its field."""
    short = known.get(option.name) == option or not option.part
    return _dashed(option.name if short else f"{option.field}.{option.name}")


def _shown(param: Param, value: Any) -> str:
    if takes_many_words(param):
        lonely = len(value) == 1 and value[0].lower() in UNSET_WORDS  # a text that would be read as: there is none
        return f"'{value[0]}'" if lonely else " ".join(quote(item) for item in value) or "none"
    if isinstance(param.domain, Weights):
        return _shown_weights(value)
    if param.many and param.kind is str and value:
        return ",".join(_shown_item(item) for item in value)
    return quote(value) if isinstance(value, str) else param.show(value)


def _shown_weights(value: tuple[str, ...]) -> str:
    cells = ",".join(as_cell(item) for item in value)
    if set("'\"") <= set(cells):  # labels with both quotes: each in its own; the empty one says that none holds a list
        return ",".join(quote(item, ",") for item in value) + "''"
    return quote(cells) if cells else "none"


def _shown_item(item: str) -> str:
    bare = re.fullmatch(r"[^\W\d]\w*(\.\d+)?", item) and item.lower() not in UNSET_WORDS
    return item if bare else (quoted if (quoted := quote(item, ",")) != item else f"'{item}'")
