"""Completion of magic lines and their cell bodies: what could stand at the cursor, and the text that it replaces."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nnlab.core.choosing import OF_ANY
from nnlab.core.data.sheets import split_sheet
from nnlab.core.metrics import METRICS
from nnlab.core.options import Option
from nnlab.core.params import Column, Param, Weights, Within
from nnlab.core.spec import PER_COLUMN, PrepareSpec
from nnlab.core.tune.objectives import OF_NETWORK
from nnlab.core.tune.space import STEPS
from nnlab.magics.column_words import column_words
from nnlab.magics.options import topics
from nnlab.magics.scan import OPENERS, Word, quote, scan
from nnlab.magics.space_words import entry_words, searchable, value_words
from nnlab.magics.subjects import (
    EXCEL,
    SUFFIXES,
    columns,
    is_a,
    is_array,
    is_frame,
    is_network_or_maker,
    is_own_function,
    is_prepared,
    is_start,
    sheets,
    visible,
)
from nnlab.magics.text import FLAG_WORDS
from nnlab.magics.verbs import VERBS, Verb, any_option, options_for

MAGIC = re.compile(r"^\s*(?:[^%=#]+=\s*)?(%{0,2})(nn_\w*)(?:(\s)(.*))?$", re.DOTALL)
MANY_WORDS = ("space", "objectives")  # options that take all words up to the next
MOST = 300  # candidates; nobody reads more
FIND = "find"  # the value of --lr that asks for a test of learning rates
BODY_NAME = re.compile(r"\s*([\w.-]*)$")
BODY_VALUE = re.compile(r"\s*([^\W\d][\w.-]*)\s*:\s*(.*)$")


# What the variables are that an option can name.
VARIABLES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (is_network_or_maker, "network"),
    "data": (is_prepared, "data"),
    "frame": (is_frame, "table"),
    "loss": (is_own_function, "function"),
    "metrics": (is_own_function, "function"),
}

# What can be compared besides the loss and metrics.
MEASURED: dict[str, tuple[str, ...]] = {"monitor": (), "objectives": OF_NETWORK, "sort": OF_ANY, "where": OF_ANY}
TAGS = ("tag", "untag", "tagged")  # options that take a tag

Stored = Callable[[str], list[str]]  # "run", "unfinished" (runs to resume), "study" or "tag" -> names, newest first


class Candidate(NamedTuple):
    """One word that could stand at the cursor, and what it is."""

    text: str
    kind: str


@dataclass(frozen=True)
class Found:
    """Candidates for the text before the cursor. alone: no other completer can know better."""

    fragment: str = ""
    candidates: tuple[Candidate, ...] = ()
    alone: bool = True


@dataclass(frozen=True)
class Place:
    """What is known around the cursor. words: the subjects; names: variables; stored: asks the store for names."""

    verb: Verb
    words: tuple[Word, ...]
    options: Mapping[str, str]
    names: Mapping[str, Any]
    stored: Stored


def complete(before: str, after: str, names: Mapping[str, Any], stored: Stored) -> Found | None:
    """What fits between the text of the cell before the cursor and the rest of its line; None outside these magics."""
    *above, line = before.split("\n")
    heads = [text for text in above if text.strip()]
    if heads and heads[0].lstrip().startswith("%%"):
        head = MAGIC.match(heads[0])
        return _in_body(head, line, heads[1:], names, stored) if head and head[2] in VERBS else None
    match = MAGIC.match(line)
    if match is None:
        return None
    if match[3] is None:
        found = [Candidate(match[1] + verb, "magic") for verb in VERBS if verb.startswith(match[2])]
        return Found(match[1] + match[2], tuple(found)) if match[1] else None
    return _in_line(VERBS[match[2]], match[4], after, names, stored) if match[2] in VERBS else None


def _in_line(verb: Verb, text: str, after: str, names: Mapping[str, Any], stored: Stored) -> Found:
    cut = scan(text)
    words = list(cut.words)
    typing = bool(words) and words[-1].end == len(text) and not cut.muted
    if not typing and "#" in text[words[-1].end if words else 0 :]:
        return Found()
    current = text[words.pop().start :] if typing else ""
    subjects, options, pending = _sorted(verb, words)
    later, more, _ = _sorted(verb, list(scan(after).words))
    place = Place(verb, (*subjects, *later), {**more, **options}, names, stored)
    known = options_for(verb, place.options)
    if current.startswith("-"):
        name, equals, value = current.partition("=")
        if equals:
            return _value(_said(known, name.lstrip("-")), value, place)
        asks = (Candidate("--help", "option"),) if "--help".startswith(current) else ()
        return Found(current, (*_options(known, current, place), *_of_columns(verb, current, place), *asks))
    if pending in ("help", "h"):
        return _matching(current, [Candidate(word, "topic") for word in topics(verb, place.options)])
    if pending and not (verb.words > 1 and _is_flag(known.get(pending))):
        found = _value(_said(known, pending) or any_option(verb).get(pending), current, place)
        if found.candidates or not _is_flag(known.get(pending)):
            return found
    if len(subjects) < verb.words:
        found = _subject(place, current)
        if found.candidates or current:
            return found
    return Found(current, _options(known, "--", place)) if not current else Found()


def _sorted(verb: Verb, words: list[Word]) -> tuple[list[Word], dict[str, str], str | None]:
    """Subjects, options, and the option that waits for its value; lenient, since the line is not finished."""
    known = any_option(verb)
    subjects: list[Word] = []
    options: dict[str, str] = {}
    pending: str | None = None
    for word in words:
        if word.is_option:
            name, value = word.after_equals()
            options[name] = value.text if value else ""
            pending = None if value else name
        elif pending and not (_is_flag(known.get(pending)) and word.text.lower() not in FLAG_WORDS):
            options[pending] = word.text
            pending = pending if pending in MANY_WORDS else None
        else:
            subjects.append(word)
            pending = None
    return subjects, {name: value for name, value in options.items() if value}, pending


def _is_flag(option: Option | None) -> bool:
    return option is not None and option.param.kind is bool


def _underscored(name: str) -> str:
    return name.replace("-", "_")


def _options(known: Mapping[str, Option], typed: str, place: Place) -> tuple[Candidate, ...]:
    """Options by their short names; by the qualified ones where a point is typed or the short name is shared."""
    start = _underscored(typed.lstrip("-"))
    short = {option.owner + option.name for name, option in known.items() if "." not in name}
    found = []
    for name, option in known.items():
        spare = "." in name and "." not in typed and option.owner + option.name in short
        if name.startswith(start) and name not in place.options and not spare:
            found.append(Candidate("--" + (name if "_" in typed else name.replace("_", "-")), "option"))
    return tuple(found)


def _said(known: Mapping[str, Option], name: str) -> Option | None:
    """The option of a name; --impute.age takes the values of --impute."""
    step, point, _ = name.partition(".")
    own = known.get(_underscored(name))
    return own if own or not point or step not in PER_COLUMN else known.get(step)


def _of_columns(verb: Verb, typed: str, place: Place) -> tuple[Candidate, ...]:
    """--impute.age for each column of the table, once --impute. is typed."""
    step, point, _ = typed.lstrip("-").partition(".")
    if not point or step not in PER_COLUMN or PrepareSpec not in verb.specs:
        return ()
    names = columns(place.words[0] if place.words else None, place.names)
    words = [f"--{step}.{quote(name, '=')}" for name in names]
    return tuple(Candidate(word, "option") for word in words if word.startswith(typed))


def _value(option: Option | None, current: str, place: Place) -> Found:
    if option is None:
        return Found()
    param = option.param
    if param.name == "space":
        return _ranges(current, place)
    if isinstance(param.domain, Within) and param.many:
        default = param.show(param.default)
        return Found(current, (Candidate(default, "default"),) if default.startswith(current) else ())
    start = _item_start(current) if param.many else 0
    return _matching(current[start:], _words_for(param, current[start:], place), many=param.many)


def _words_for(param: Param, typed: str, place: Place) -> list[Candidate]:
    """The words that can be typed as the value of a parameter."""
    if own := column_words(param.name, typed.lstrip("\"'"), place.words, place.options, place.names):
        return [Candidate(name, "column" if param.name != "label" else "value") for name in own]
    if isinstance(param.domain, Column):
        subject = place.words[0] if place.words else None
        return [Candidate(name, "column") for name in columns(subject, place.names)]
    found = [Candidate(word, "value") for word in param.choices]
    if isinstance(param.domain, Within) and param.default is not None:
        found.insert(0, Candidate(param.show(param.default), "default"))
    if param.name == "lr" and place.verb.name == "nn_train":
        found.append(Candidate(FIND, "value"))
    if isinstance(param.domain, Weights):
        found += [Candidate(word, "value") for word in (param.domain.word, "none")]
    if param.name in VARIABLES:
        test, kind = VARIABLES[param.name]
        found += [Candidate(name, kind) for name in visible(place.names, test)]
    elif param.name in MEASURED:
        found += [Candidate(name, "value") for name in ("loss", *METRICS, *MEASURED[param.name])]
    if param.optional and param.choices:
        found.append(Candidate(param.unset, "value"))
    return [*found, *_kept_words(param, place)]


def _kept_words(param: Param, place: Place) -> list[Candidate]:
    """What the store holds that the parameter can name."""
    if param.name == "from":
        starts = [Candidate(name, "variable") for name in visible(place.names, is_start)]
        return [*starts, *_runs(place), *_studies(place)]
    if param.name == "replay":
        return _runs(place)
    if param.name == "resume" and place.verb.name == "nn_tune":
        studies = _studies(place)
        return [*([Candidate("last", "study")] if studies else []), *studies]
    if param.name == "resume":
        waiting = place.stored("unfinished")
        return [Candidate(name, "run") for name in (*(("last",) if waiting else ()), *waiting)]
    return [Candidate(name, "tag") for name in place.stored("tag")] if param.name in TAGS else []


def _runs(place: Place) -> list[Candidate]:
    return [Candidate(name, "run") for name in ("last", *place.stored("run"))]


def _studies(place: Place) -> list[Candidate]:
    return [Candidate(name, "study") for name in place.stored("study")]


def _item_start(current: str) -> int:
    """Where the last item of an unfinished list begins."""
    start, inside = 0, ""
    for place, char in enumerate(current):
        if inside:
            inside = "" if char == inside else inside
        elif char in "\"'" and place == start:
            inside = char
        elif char == "," or char in OPENERS or (char.isspace() and place == start):
            start = place + 1
    return start


def _matching(typed: str, found: Iterable[Candidate], many: bool = False) -> Found:
    """The candidates that go on from what is typed, in quotes where they need them."""
    opened = typed[:1] if typed[:1] in ("'", '"') else ""
    kept: dict[str, Candidate] = {}
    for text, kind in found:
        if text.startswith(typed[len(opened) :]) and len(kept) < MOST:
            shown = f"{opened}{text}{opened}" if opened and opened not in text else quote(text, "," if many else "")
            kept.setdefault(shown, Candidate(shown, kind))
    return Found(typed, tuple(kept.values()))


def _ranges(current: str, place: Place) -> Found:
    """Entries of a space: names with their usual ranges, or one more choice of a name."""
    opened = current[:1] if current[:1] in ("'", '"') else ""
    typed, words = entry_words(current[len(opened) :], place.options)
    if typed != current[len(opened) :]:
        return Found(typed, tuple(Candidate(word, "value") for word in words))
    quotes = [opened or ('"' if " " in word else "") for word in words]
    kept = (Candidate(f"{quote}{word}{quote}", "range") for quote, word in zip(quotes, words, strict=True))
    return Found(current, tuple(kept))


def _subject(place: Place, current: str) -> Found:
    verb, names = place.verb.name, place.names
    if verb in ("nn_train", "nn_tune"):
        return _matching(current, [Candidate(name, "data") for name in visible(names, is_prepared)])
    if verb == "nn_preprocess":
        return _table(current, names)
    if verb == "nn_panel":
        data = _matching(current, [Candidate(name, "data") for name in visible(names, is_prepared)])
        return Found(current, (*data.candidates, *_table(current, names).candidates))
    found = _runs(place)
    if verb in ("nn_load", "nn_report"):
        found += _studies(place)
    if verb == "nn_report":
        found += [Candidate(name, "variable") for name in visible(names, lambda value: is_a(value, ("nnlab", "Study")))]
    if verb in ("nn_runs", "nn_diff", "nn_diagnose", "nn_attach", "nn_stop", "nn_evaluate"):
        found += [Candidate(name, "variable") for name in visible(names, lambda value: is_a(value, ("nnlab", "Run")))]
    known = _matching(current, found)
    return known if known.candidates or verb in ("nn_runs", "nn_diff", "nn_stop") else _paths(current, ())


def _table(current: str, names: Mapping[str, Any]) -> Found:
    """Frames of the notebook and files; after X, the arrays, after book.xlsx its sheets."""
    file, sheet = split_sheet(current.strip("\"'"))
    if file.lower().endswith(EXCEL) and (inside := sheets(file)):
        whole = [] if sheet is not None else [Candidate(file, "path")]
        return _matching(current, [*whole, *(Candidate(f"{file}::{name}", "sheet") for name in inside)])
    first, comma, second = current.rpartition(",")
    if comma and first in names:
        return _matching(second, [Candidate(name, "array") for name in visible(names, is_array)])
    found = _matching(current, [Candidate(name, "table") for name in visible(names, is_frame)])
    files = _paths(current, SUFFIXES)
    return Found(current, (*found.candidates, *files.candidates))


def _paths(current: str, suffixes: tuple[str, ...]) -> Found:
    """Folders, and files that end in one of the suffixes."""
    typed = current.strip("\"'")
    folder = os.path.dirname(typed)
    found = []
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder) or "."), key=lambda entry: entry.name)
    except (OSError, ValueError):
        return Found(current)
    for entry in entries:
        path = os.path.join(folder, entry.name)
        if entry.is_dir() and not entry.name.startswith("."):
            found.append(Candidate(path + "/", "path"))
        elif suffixes and entry.name.lower().endswith(suffixes):
            found.append(Candidate(path, "path"))
    return _matching(current, found)


def _in_body(
    head: re.Match[str], line: str, lines: list[str], names: Mapping[str, Any], stored: Stored
) -> Found | None:
    """Option lines; Python bodies are left to IPython's own completion."""
    verb = VERBS[head[2]]
    if not all(BODY_VALUE.match(text) or text.lstrip().startswith("#") for text in lines):
        return None
    subjects, options, _ = _sorted(verb, list(scan(head[4] or "").words))
    above = {m[1].replace("-", "_"): m[2] for text in lines if (m := BODY_VALUE.match(text))}
    place = Place(verb, tuple(subjects), {**above, **options}, names, stored)
    known = options_for(verb, place.options)
    if match := BODY_VALUE.match(line):
        return _body_value(_underscored(match[1]), match[2], place)
    if match := BODY_NAME.match(line):
        found = [Candidate(name.text[2:] + ": ", name.kind) for name in _options(known, "--" + match[1], place)]
        if verb.name == "nn_tune":
            found += [Candidate(f"{step}: ", "option") for step in STEPS if step.startswith(match[1])]
        return Found(match[1], tuple(found), alone=bool(lines) or not verb.body.count("Python"))
    return None


def _body_value(name: str, typed: str, place: Place) -> Found:
    """A value of an option, and for %%nn_tune a range of it."""
    found = _value(options_for(place.verb, place.options).get(name), typed, place)
    param = searchable(place.options).get(name) if place.verb.name == "nn_tune" else None
    if param is None:
        return found
    fragment, words = value_words(param, typed)
    own = tuple(Candidate(word, "value" if fragment != typed else "range") for word in words)
    return Found(fragment, own if fragment != typed else (*found.candidates, *own))


def stored_names(kind: str) -> list[str]:
    """Names, numbers and ids of runs of the store, newest first, names of its studies or tags; [] without a store."""
    from nnlab.core.errors import NNLabError
    from nnlab.core.store.marks import known_tags
    from nnlab.core.store.numbers import numbers_of
    from nnlab.core.store.runs import Store

    try:
        store = Store()
        if kind == "study":
            return store.studies()
        runs = store.unfinished() if kind == "unfinished" else store.runs()
    except (NNLabError, OSError):
        return []
    if kind == "tag":
        return known_tags(run.path for run in runs)
    known = numbers_of(info.path for info in runs)
    names = dict.fromkeys(info.name for info in runs if info.name)
    return [*names, *(str(known[info.path]) for info in runs if info.path in known), *(info.id for info in runs)]
