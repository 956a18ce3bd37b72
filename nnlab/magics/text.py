"""Line and cell of a magic to values. Pure functions; nothing of a line is ever evaluated. The way back: lines.py."""

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.foreign import hint_for_option, hint_for_search
from nnlab.core.options import Option, is_override, option_word, unknown_option
from nnlab.core.params import UNSET_WORDS, Column, Param, Within
from nnlab.core.spec import PrepareSpec, TuneSpec
from nnlab.magics.scan import Word, caret, items_of, not_a_variable, plain, scan, value_of
from nnlab.magics.verbs import VERBS, Verb, any_option, canonical, options_for

FLAG_WORDS = ("on", "off", "true", "false", "yes", "no", "1", "0")
ALONE = {"resume": "last", "replay": "last"}  # options that mean something without a value
BODY_LINE = re.compile(r"\s*(?:--)?([^\W\d][\w.-]*)\s*:(?:\s+(.*))?$")
RANGE = re.compile(r"\.\.|^\s*\{.*\}|^\s*\[.*\]\s*x\s*\d")
NO_RANGE = re.compile(r"^\s*[^\W\d][\w.-]*\s+(in\s+)?[\d.e-]*\d\s*\.\.\s*\d")  # no Python either: lr 0.1..1
RANGE_LINE = re.compile(r"\s*([^\W\d][\w.-]*)\s*=\s*(\S.*)$")


@dataclass(frozen=True)
class Call:
    """What a magic's text says. options: raw values by option name, body before line; help: a topic, '' for all of it.

    body: the cell body where it is Python.
    """

    verb: Verb
    words: tuple[Word, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    muted: bool = False
    help: str | None = None

    @property
    def subject(self) -> Word | None:
        """The first word that is no option."""
        return self.words[0] if self.words else None

    def chosen(self) -> dict[str, Any]:
        """The parts that the options name, by field."""
        return {name: value for name, value in self.options.items() if "." not in name}


def parse(line: str, cell: str | None, verb: str, names: Mapping[str, Any] | None = None) -> Call:
    """The call that a line and a cell body make; SpecError with the place for what cannot be read.

    names: the variables that {name} and $name stand for; None leaves them as text.
    """
    prefix = f"{'%' if cell is None else '%%'}{verb} "
    cut = scan(line)
    if cut.problem:
        raise caret(line, cut.problem, prefix)
    reader = _Line(VERBS[verb], cut.words, names)
    reader.read()
    if reader.help is not None:
        return Call(reader.verb, tuple(reader.words), reader.options, help=reader.help)
    _check_words(reader, line, prefix)
    body, below = _body(reader.verb, cell, names)
    options = _over(reader.verb, below, reader.options)
    if "space" in below and "space" in reader.options:
        options["space"] = [*below["space"], *reader.options["space"]]
    _check_options(reader.verb, options)
    return Call(reader.verb, tuple(reader.words), options, body, cut.muted)


class _Line:
    """Sorts the words of a line into subjects and options."""

    def __init__(self, verb: Verb, words: tuple[Word, ...], names: Mapping[str, Any] | None) -> None:
        self.verb, self.rest, self.names = verb, list(words), names
        self.known = any_option(verb)
        self.words: list[Word] = []
        self.options: dict[str, Any] = {}
        self.help: str | None = None

    def read(self) -> None:
        while self.rest:
            word = self.rest.pop(0)
            if word.is_option:
                self._option(word)
            else:
                self.words.append(word)

    def _option(self, word: Word) -> None:
        name, value = word.after_equals()
        if name in ("h", "help"):
            topic = value or (self.rest.pop(0) if self.rest and not self.rest[0].is_option else None)
            self.help = topic.text if topic else ""
            return
        if name in self.options:
            raise SpecError(f"option {name!r} is given twice")
        option = self.known.get(name)
        if option is None and (flag := self._flag(name)) and value is None:
            self.options[flag] = False
            return
        given = [value] if value else self._values(option.param if option else None)
        while self._goes_on(option, given):
            given = [_joined((given[0], self.rest.pop(0)))]
        if not given and name in ALONE and option:
            self.options[name] = ALONE[name]
            return
        if not given and option and option.param.kind is not bool:
            if name not in options_for(self.verb, self.options):
                raise no_option(self.verb, name, self.options)
            usual = f", as in  --{name} {option.param.shown_default}" if option.value and name == option.part else ""
            raise SpecError(f"--{name} needs a value: {option.param.allowed}{usual}")
        self.options[name] = read_words(option.param if option else None, given, self.names, f"--{name}")

    def _flag(self, name: str) -> str | None:
        """The switch that --no-name turns off."""
        flag = name.removeprefix("no_")
        option = self.known.get(flag) if flag != name and flag not in self.options else None
        return flag if option is not None and option.param.kind is bool else None

    def _goes_on(self, option: Option | None, given: list[Word]) -> bool:
        """Whether a list ends in a comma, as in --drop Name, Ticket."""
        if option is None or not option.param.many or takes_many_words(option.param) or len(given) != 1:
            return False
        text, quoted = given[0].chunks[-1]
        return not quoted and text.endswith(",") and bool(self.rest) and not self.rest[0].is_option

    def _values(self, param: Param | None) -> list[Word]:
        """The words that belong to the option just read: one, none for a bare flag, all up to the next for ranges."""
        given: list[Word] = []
        while self.rest and not self.rest[0].is_option:
            if param is not None and param.kind is bool and self.rest[0].text.lower() not in _flag_words(param):
                break
            given.append(self.rest.pop(0))
            if not takes_many_words(param):
                break
        return given


def _flag_words(param: Param) -> tuple[str, ...]:
    return (*FLAG_WORDS, *UNSET_WORDS) if param.optional else FLAG_WORDS


def takes_many_words(param: Param | None) -> bool:
    """Whether an option takes all words up to the next one."""
    return param is not None and param.many and param.domain is None


def read_words(param: Param | None, words: list[Word], names: Mapping[str, Any] | None, where: str) -> Any:
    """The raw value that words give an option: text, a list of text, or the value of a variable."""
    if not words:
        return True
    if takes_many_words(param):
        if len(words) == 1 and not words[0].quoted and words[0].text.lower() in UNSET_WORDS:
            return words[0].text
        return [str(plain(value_of(word, names, braces=False), where)) for word in words]
    word = words[0]
    items = items_of(word) if param is not None and param.many else None
    if items is not None and (isinstance(param and param.domain, Column) or len(word.chunks) > 1):
        return items
    return plain(value_of(word, names), where)


def _check_words(reader: _Line, line: str, prefix: str) -> None:
    verb, words = reader.verb, reader.words
    if verb.words == 1 and len(words) == 2 and words[0].text.endswith(",") and not words[0].quoted:
        joined = Word((*words[0].chunks, *words[1].chunks), words[0].start, words[1].end)  # X, y
        reader.words = words = [joined]
    if len(words) > verb.words:
        if verb.words == 1 and re.match(r"[^\W\d][\w.]*[\[(]", words[0].text) and not words[0].chunks[0][1]:
            raise not_a_variable(line[words[0].start : words[-1].end], verb.name)
        extra = words[verb.words]
        subject = verb.subject.partition(":")[0]
        taken = (f"one {subject}" if verb.words == 1 else subject) if verb.words else "options only"
        raise caret(line, (f"{extra.text!r} is one word too many; %{verb.name} takes {taken}", extra.start), prefix)


def _check_options(verb: Verb, options: Mapping[str, Any]) -> None:
    known = any_option(verb)
    for name in options:
        if name not in known and not (PrepareSpec in verb.specs and is_override(name)):
            raise no_option(verb, name, options)


def no_option(verb: Verb, name: str, chosen: Mapping[str, Any]) -> SpecError:
    """What to say of an option that the magic does not have."""
    if TuneSpec in verb.specs and (hint := hint_for_search(name)):
        return SpecError(f"%{verb.name} has no option {name!r}: {hint}")
    for spec in verb.specs:
        text = str(unknown_option(spec, name, chosen))
        if text.startswith(f"no option {name!r}: "):
            return SpecError(f"%{verb.name} has {text}")
        if not text.startswith("no option"):
            return SpecError(text)
    if elsewhere := _elsewhere(verb, name):
        return SpecError(f"%{verb.name} has no option {name!r}: {elsewhere}")
    words = options_for(verb, chosen)
    return SpecError(f"%{verb.name} has no option {name!r}{did_you_mean(name, words)}; %{verb.name} --help lists them")


def _elsewhere(verb: Verb, name: str) -> str:
    """The magic that has such an option, where people expect it here."""
    for other in (VERBS["nn_preprocess"], VERBS["nn_train"]):
        if not set(other.specs) & set(verb.specs):
            if name in any_option(other) or is_override(name):
                return f"it is one of %{other.name}"
            if hint := hint_for_option(name, table=PrepareSpec in other.specs):
                return f"in %{other.name}, {hint}"
    return ""


def _over(verb: Verb, below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers of options, the upper one winning though it may spell a name another way."""
    parts = {**below, **above}
    hidden = {canonical(verb, name, parts) for name in above}
    kept = {name: value for name, value in below.items() if canonical(verb, name, parts) not in hidden}
    return kept | dict(above)


def layered(
    verb: Verb, layers: Iterable[Mapping[str, Any]], top: Mapping[str, Any], parts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Default layers, lowest first, under the options of a call; what does not apply to the chosen parts falls out.

    A layer that names a part speaks of that part only: its values go when another part is chosen above it. parts: parts
    that are chosen though no option says so, by field.
    """
    stack = list(layers)
    chosen = {name: value for layer in (*stack, top, parts or {}) for name, value in layer.items() if "." not in name}
    known = options_for(verb, chosen)
    found: dict[str, Any] = {}
    for layer in stack:
        fitting = {
            name: value
            for name, value in layer.items()
            if name in known and name not in (parts or {}) and not _of_another_part(known[name], layer, chosen)
        }
        found = _over(verb, found, fitting)
    return _over(verb, found, top)


def _of_another_part(option: Option, layer: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    return bool(option.part) and option.field in layer and str(layer[option.field]) != str(chosen[option.field])


def _body(verb: Verb, cell: str | None, names: Mapping[str, Any] | None) -> tuple[str | None, dict[str, Any]]:
    """The Python source of a body, or its options."""
    lines = _option_lines(cell or "")
    if lines is None:
        if not verb.body:
            raise SpecError(f"%%{verb.name} takes options in its body, one a line, such as  name: value")
        if TuneSpec in verb.specs and (line := next(filter(NO_RANGE.search, (cell or "").splitlines()), None)):
            raise SpecError(f"{line.strip()!r}: a range stands behind its name, as in  lr: 1e-4..1e-1 log")
        return cell, {}
    options: dict[str, Any] = {}
    known = any_option(verb)
    for name, text in lines:
        _read_body_line(name, text, known, options, names)
    return None, options


def _read_body_line(
    name: str, text: str, known: Mapping[str, Option], options: dict[str, Any], names: Mapping[str, Any] | None
) -> None:
    cut = scan(text)
    if cut.problem:
        raise caret(text, cut.problem, f"{name}: ")
    if name in options:
        raise SpecError(f"option {name!r} is given twice")
    option = known.get(name)
    if "space" in known and name != "space" and RANGE.search(text):
        words = " ".join(str(value_of(word, names, braces=False)) for word in cut.words)
        options.setdefault("space", []).append(f"{name}={words}")
    elif "space" in known and option and _is_one(option.param) and "," in text:
        raise SpecError(f"{name}: {text}: one value is kept fixed; to try each write  {name}: {{{text.strip('[]()')}}}")
    elif not cut.words:
        raise SpecError(f"{name}: needs a value" + (f": {option.param.allowed}" if option else ""))
    else:
        one = len(cut.words) == 1 or takes_many_words(option.param if option else None)
        words_given = list(cut.words) if one else [_joined(cut.words)]
        options[name] = read_words(option.param if option else None, words_given, names, f"{name}:")


def _is_one(param: Param) -> bool:
    """Whether a parameter has one number or one of some choices, of which a search could try several."""
    return not param.many and bool(param.choices or isinstance(param.domain, Within))


def _joined(words: tuple[Word, ...]) -> Word:
    """hidden: 128, 64 and target: my column are one value each."""
    chunks = list(words[0].chunks)
    for word in words[1:]:
        chunks += [(" ", ""), *word.chunks]
    return Word(tuple(chunks), words[0].start, words[-1].end)


def _option_lines(cell: str) -> list[tuple[str, str]] | None:
    """The (name, value) lines of a body; None if it is Python."""
    found = []
    for line in cell.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = BODY_LINE.match(line) or _range_line(line)
        word = match[1] if match else "lambda"
        if match is None or (keyword.iskeyword(word) and word != "from"):
            return None
        found.append((option_word(word), match[2] or ""))
    return found


def _range_line(line: str) -> re.Match[str] | None:
    """A range as a line of a magic has it, lr=1e-4..1e-1; of Python only what would be a set."""
    match = RANGE_LINE.match(line)
    return match if match and RANGE.search(match[2]) else None
