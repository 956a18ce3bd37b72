"""A magic line cut into words. Not the shell's rules: no escapes, so a Windows path is text; lists may hold blanks.

'...' is text as it is; "..." may hold blanks, and {name} and $name in it stand for variables, as in bare text. A quote
opens at the start of a word, after = , or a bracket, and right after another quote; elsewhere (it's) it is text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.options import option_word
from nnlab.core.params import show_value

REFERENCE = re.compile(r"\{([^\W\d]\w*)\}|\$([^\W\d]\w*)")
DOLLAR = re.compile(r"()\$([^\W\d]\w*)")
OPENERS, CLOSERS = "[({", "])}"
SHOWN = 60  # characters of an expression in a message
PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Word:
    """One word. chunks: (text, quote) pairs, quote being '', '"' or "'"; start and end: its place in the line."""

    chunks: tuple[tuple[str, str], ...]
    start: int = 0
    end: int = 0

    @property
    def text(self) -> str:
        """The word without its quotes."""
        return "".join(text for text, _ in self.chunks)

    @property
    def quoted(self) -> bool:
        """Whether some of it stood in quotes."""
        return any(quote for _, quote in self.chunks)

    @property
    def is_option(self) -> bool:
        """Whether it is --name or -h, outside quotes."""
        first = self.chunks[0] if self.chunks else ("", "")
        return first[1] == "" and (first[0].startswith("--") or first[0] == "-h")

    def after_equals(self) -> tuple[str, "Word | None"]:
        """--name=value as name and the word of the value; None if there is no =."""
        name = ""
        for i, (text, quoted) in enumerate(self.chunks):
            head, equals, rest = (text, "", "") if quoted else text.partition("=")
            name += head
            if equals:
                tail = ((rest, ""), *self.chunks[i + 1 :]) if rest else self.chunks[i + 1 :]
                return option_word(name.lstrip("-")), Word(tail, self.start, self.end)
        return option_word(name.lstrip("-")), None


@dataclass(frozen=True)
class Scan:
    """The words of a line. problem: what is wrong with it and where, if anything."""

    words: tuple[Word, ...]
    muted: bool = False
    problem: tuple[str, int] | None = None


def scan(line: str) -> Scan:
    """Cut a line into words; a # at the start of a word begins a comment, a ; at the end mutes."""
    words: list[Word] = []
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
        elif line[place] == "#":
            break
        elif _ends(line, place):
            return Scan(tuple(words), muted=True)
        else:
            word, problem = _Reader(line, place).read()
            words.append(word)
            if problem:
                return Scan(tuple(words), problem=problem)
            place = word.end
    return Scan(tuple(words))


def _ends(line: str, place: int) -> bool:
    rest = line[place:].lstrip("; \t\xa0")
    return line[place] == ";" and (not rest or rest.startswith("#"))


class _Reader:
    """Reads one word from a place of the line."""

    def __init__(self, line: str, start: int) -> None:
        self.line, self.start, self.place = line, start, start
        self.chunks: list[tuple[str, str]] = []
        self.bare = ""
        self.open: list[int] = []

    def read(self) -> tuple[Word, tuple[str, int] | None]:
        problem = None
        while problem is None and self.place < len(self.line) and not self._at_end():
            problem = self._step()
        self._flush()
        if self.open and problem is None:
            problem = (f"unclosed {self.line[self.open[-1]]}", self.open[-1])
        return Word(tuple(self.chunks), self.start, self.place), problem

    def _at_end(self) -> bool:
        return not self.open and (self.line[self.place].isspace() or _ends(self.line, self.place))

    def _step(self) -> tuple[str, int] | None:
        char, here = self.line[self.place], self.place
        if char in "\"'" and self._may_open():
            close = self.line.find(char, here + 1)
            self._flush()
            self.chunks.append((self.line[here + 1 : close if close >= 0 else None], char))
            self.place = close + 1 if close >= 0 else len(self.line)
            return None if close >= 0 else ("unclosed quote", here)
        if char in OPENERS and self._may_open():
            self.open.append(here)
        elif char in CLOSERS and self.open:
            self.open.pop()
        self.bare += char
        self.place += 1
        return None

    def _may_open(self) -> bool:
        """At the start, after = , or a bracket, after another quote, and after a blank inside brackets."""
        if not self.bare:
            return True
        if self.bare[-1] == "." and self.bare.startswith("--"):  # --impute."my column"
            return True
        return self.bare[-1] in "=," or (bool(self.open) and (self.bare[-1] in OPENERS or self.bare[-1].isspace()))

    def _flush(self) -> None:
        if self.bare:
            self.chunks.append((self.bare, ""))
        self.bare = ""


def on_one_line(text: str) -> str:
    """The text with blanks for characters that would break or hide a line of an error."""
    return "".join(char if char.isprintable() else " " for char in text)


def caret(line: str, problem: tuple[str, int], prefix: str) -> SpecError:
    """The error for a problem of a line, with the line and a ^ under the place."""
    message, place = problem
    start = max(0, place - 60)
    shown = on_one_line(line[start : start + 100])
    return SpecError(f"{message}\n  {prefix}{shown}\n  {' ' * (len(prefix) + place - start)}^")


def not_a_variable(text: str, verb: str) -> SpecError:
    """The error for Python where a variable is needed."""
    shown = on_one_line(text if len(text) <= SHOWN else text[:SHOWN] + "...")
    return SpecError(f"{shown} is Python; a variable is needed:\n  sub = {shown}\n  %{verb} sub ...")


def value_of(word: Word, names: Mapping[str, Any] | None, braces: bool = True) -> Any:
    """The word's text, variables put in; a word that is nothing but one variable gives its value."""
    if names is None:
        return word.text
    pattern = REFERENCE if braces else DOLLAR
    if len(word.chunks) == 1 and word.chunks[0][1] != "'":
        whole = pattern.fullmatch(word.chunks[0][0])
        if whole:
            return _look_up(whole, names)
    return "".join(
        text if quote == "'" else pattern.sub(lambda match: _as_text(match, names), text) for text, quote in word.chunks
    )


def _look_up(match: re.Match[str], names: Mapping[str, Any]) -> Any:
    name = match[1] or match[2]
    if name not in names:
        near = did_you_mean(name, [known for known, value in names.items() if is_users(known, value)])
        raise SpecError(f"no variable {name!r} to put in for {match[0]}{near}; single quotes keep it as text")
    return names[name]


def is_users(name: str, value: Any) -> bool:
    """Whether a variable holds something of the user's: no function or module, and nothing that IPython puts there."""
    return not (name.startswith("_") or name in ("In", "Out") or callable(value) or isinstance(value, ModuleType))


def with_article(words: str) -> str:
    """a DataFrame, an int, an ndarray."""
    return f"{'an' if words[:1].lower() in 'aeio' or words.startswith('nd') else 'a'} {words}"


def _as_text(match: re.Match[str], names: Mapping[str, Any]) -> str:
    return show_value(plain(_look_up(match, names), match[0]))


def plain(value: Any, where: str) -> Any:
    """value if it is text, a number, a path or a list of such (numpy's too); SpecError for anything else."""
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 2) <= 1:  # numpy scalars and vectors
        value = value.tolist()
    items = value if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(item, PLAIN) for item in items):
        return value
    raise SpecError(f"{where} is {with_article(type(value).__name__)}; an option takes text, numbers and lists of them")


def items_of(word: Word) -> list[str] | None:
    """The items of a list, where quotes keep commas and blanks; None if no quotes need that care."""
    if not word.quoted:
        return None
    return list(_items(word))


def _items(word: Word) -> Iterator[str]:
    item, kept = "", False
    for text, quote in word.chunks:
        if quote:
            item, kept = item.strip() + text, True
            continue
        head, *tails = text.split(",")
        item += head.strip().strip("[]()")
        for tail in tails:
            if item or kept:
                yield item
            item, kept = tail.strip().strip("[]()").strip(), False
    if item or kept:
        yield item


def quote(text: str, also: str = "") -> str:
    """text as one word of a line, in quotes only where it needs them; also: more characters that need them."""
    unsafe = any(char.isspace() or char in "\"'[](){}$;#" + also for char in text)
    if text and not unsafe and not text.startswith("-"):
        return text
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text and not REFERENCE.search(text):
        return f'"{text}"'
    return '"\'"'.join(f"'{piece}'" if piece else "" for piece in text.split("'"))
