"""How ranges are written: "lr=1e-4..1e-1 log", "model={mlp,resnet}", "hidden=[64..512]x1..4", one entry a line.

entry    name = values     or     name: values     or     auto (the usual ranges of the model, too)
values   low..high [log|linear] [step number]      numbers, both ends included
         {a,b,c}                                   choices
         [low..high]x1..4 [log|step ...] [same]    lists of one to four numbers; same: all of a list are equal
         [64,128]x3 [same]                         lists of three choices
         ... if name=value     ... if name={a,b}   any of them, only where another name has such a value
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.params import Param, Within, show_value
from nnlab.core.registry import Part
from nnlab.core.tune.ranges import Lists, Range, Searched, Value, When, joined

AUTO = "auto"  # the entry that stands for the usual ranges
NAME = re.compile(r"\s*([^\W\d][\w.-]*)\s*[=:]\s*(.*?)\s*", re.DOTALL)
NUMBERS = re.compile(r"(\S+?)\s*\.\.\s*(\S+)((?:\s+\S+)*)")
LISTS = re.compile(r"\[(.*)\]\s*x\s*(\d+)(?:\s*\.\.\s*(\d+))?((?:\s+\S+)*)", re.DOTALL)
IF = "if"  # before the condition of an entry
CONDITION = re.compile(rf"(.*?)\s+{IF}(?:\s+(.*))?", re.DOTALL)
SEVERAL = re.compile(r"(?<!\sif)(?<![,;\s])[,;\s]+(?=[^\W\d][\w.-]*\s*=)")  # between entries of one line
WORDS = ("log", "linear", "step")
MOST_ITEMS = 64
LONGEST = 80  # letters of what is no entry that are shown
NUMBER_FORM = "low..high [log|linear] [step number]"
LIST_FORM = "[low..high]x1..4 [log|linear] [step number] [same]"
ENTRY = 'name=low..high or name={a,b}, as in "lr=1e-4..1e-1 log", "hidden=[64..512]x1..4"'


def entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each entry, also of several on a line, or of one cut at blanks or commas; AUTO with no text.

    Blank lines and what follows a # are left out. SpecError for what is no entry.
    """
    held = ""
    cut = (piece.strip().rstrip(",;") for line in lines for piece in SEVERAL.split(_without_comment(line)))
    for piece in filter(None, cut):
        if _open(held):
            held = f"{held},{piece}"  # a list that was cut within its brackets
        elif held.endswith(f" {IF}"):
            held = f"{held} {piece}"  # a condition that was cut
        elif held and not NAME.fullmatch(piece) and piece != AUTO:
            held = f"{held} {piece}"  # log, after a blank
        else:
            if held:
                yield _entry(held)
            held = piece
    if held:
        yield _entry(held)


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line).strip()


def _open(text: str) -> bool:
    return text.count("{") > text.count("}") or text.count("[") > text.count("]")


def _entry(text: str) -> tuple[str, str]:
    if text == AUTO:
        return AUTO, ""
    if _open(text):
        raise SpecError(f"space {text!r}: a closing {'}' if text.count('{') > text.count('}') else ']'} is missing")
    match = NAME.fullmatch(text)
    if not match or not match[2]:
        raise SpecError(f"space {text[:LONGEST]!r}: expected {ENTRY}")
    return match[1], match[2]


def split_condition(text: str) -> tuple[str, str | None]:
    """What an entry says of its values, and its condition; None where it has none."""
    match = CONDITION.fullmatch(text)
    return (match[1], match[2] or "") if match else (text, None)


def read_condition(name: str, text: str, space: Mapping[str, Searched]) -> When:
    """The condition of an entry; SpecError for one on what is not searched, or has no such value."""
    match = NAME.fullmatch(text)
    if not match or not match[2]:
        raise SpecError(
            f"space {name}: {text!r} after if: expected a condition, as in if model=mlp or if model={{a,b}}"
        )
    other, said = match[1].replace("-", "_"), match[2]
    if other not in space or other == name:
        known = [one for one in space if one != name]
        raise SpecError(f"space {name}: if {other}: {other} is not searched{did_you_mean(other, known)}")
    searched = space[other]
    if searched.when is not None:
        raise SpecError(f"space {name}: if {other}: {other} has a condition itself; put that one here too")
    if not isinstance(searched, Range) or not searched.choices:
        raise SpecError(
            f"space {name}: if {other}: {other}={searched} has no choices; a condition is on one of {{a,b}}"
        )
    shown = {show_value(choice): choice for choice in searched.choices}
    if None in searched.choices:
        shown["auto"] = None
    items = [item.strip() for item in re.split(r",(?![^\[(]*[\])])", said.strip("{}")) if item.strip()]
    for item in items:
        if item not in shown:
            there = ", ".join(shown)
            raise SpecError(f"space {name}: if {other}={item}: it can be {there}{did_you_mean(item, shown)}")
    return When(other, tuple(dict.fromkeys(shown[item] for item in items)))


def read_values(name: str, text: str, param: Param) -> Searched:
    """What the text of an entry says of a hyperparameter; SpecError names the token at fault and what is allowed."""
    if text.startswith("{"):
        return read_choices(name, text, param)
    if match := LISTS.fullmatch(text):
        return _lists(name, text, param, match)
    if param.many and re.fullmatch(r"\[.*\]", text, re.DOTALL):
        raise SpecError(f"space {name}={text}: a list needs its length; write {name}={text}x1..4")
    match = NUMBERS.fullmatch(text)
    if match and "..." in text:  # read as 1e-4 and .1e-1 it would be another range than was meant
        raise SpecError(f"space {name}={text}: two dots stand between the ends, as in {name}={_example(param)}")
    if not match:
        hint = (
            f"{{{text.strip('[]()')}}}" if "," in text else f"low..high, {{a,b}}, or --{name} {text} to keep it fixed"
        )
        raise SpecError(f"space {name}={text}: expected a range or choices; write {hint}")
    if not isinstance(param.domain, Within) or param.many:
        raise SpecError(f"space {name}={text}: {name} is not a single number; write {name}={_example(param)}")
    return _numbers(name, text, param, (match[1], match[2]), match[3].split())


def _numbers(name: str, text: str, param: Param, ends: tuple[str, str], words: list[str]) -> Range:
    """A range of numbers with the words that follow it."""
    low, high = (_read(name, text, param, end) for end in ends)
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        raise SpecError(f"space {name}={text}: a range has numbers at both ends; auto can be one of several choices")
    spread, step = _modifiers(name, text, words)
    if low >= high:
        raise SpecError(f"space {name}={text}: the low end must be below the high end")
    log = spread == "log" or (spread is None and step is None and param.domain.log and low > 0)
    if log and low <= 0:
        raise SpecError(f"space {name}={text}: a log range starts above 0")
    if log and step is not None:
        raise SpecError(f"space {name}={text}: log and step do not go together; keep one, or list the values {{a,b}}")
    whole = param.kind is int
    if step is not None and (step <= 0 or step > high - low or (whole and step != int(step))):
        kind = "whole number" if whole else "number"
        raise SpecError(f"space {name}={text}: step {step:g}: expected a {kind} above 0, {high - low:g} at most")
    return Range(low, high, log, whole, step=step)


def _modifiers(name: str, text: str, words: list[str]) -> tuple[str | None, float | None]:
    """log or linear, and the step, out of the words after a range."""
    spread, step, rest = None, None, list(words)
    while rest:
        word = rest.pop(0)
        if word in ("log", "linear") and spread is None:
            spread = word
        elif word == "step" and step is None and rest:
            step = _step(name, text, rest.pop(0))
        else:
            raise SpecError(f"space {name}={text}: {_stray(word, words)}; a range is {NUMBER_FORM}")
    return spread, step


def _stray(word: str, words: list[str]) -> str:
    if word == "step" and word == words[-1]:
        return "'step' needs a number after it"
    twice = words.count(word) > 1 and word in WORDS
    return f"{word!r} is {'there twice' if twice else f'no word of a range{did_you_mean(word, WORDS)}'}"


def _step(name: str, text: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SpecError(f"space {name}={text}: step {word!r}: expected a number; a range is {NUMBER_FORM}") from None


def _lists(name: str, text: str, param: Param, match: re.Match[str]) -> Lists:
    """[64..512]x1..4 and what follows it."""
    inner, least, most = match[1].strip(), int(match[2]), int(match[3] or match[2])
    if not param.many or not isinstance(param.domain, Within):
        raise SpecError(f"space {name}={text}: {name} is no list of numbers; write {name}={_example(param)}")
    if not 1 <= least <= most <= MOST_ITEMS:
        raise SpecError(f"space {name}={text}: x{least}..{most}: expected lengths from 1 to {MOST_ITEMS}, low..high")
    words = match[4].split()
    same = "same" in words
    words = [word for word in words if word != "same"]
    one = replace(param, many=False, optional=False)
    if numbers := NUMBERS.fullmatch(inner):
        if numbers[3].strip():
            raise SpecError(f"space {name}={text}: write{numbers[3]} after the length: {LIST_FORM}")
        return Lists(_numbers(name, text, one, (numbers[1], numbers[2]), words), least, most, same)
    if words:
        raise SpecError(f"space {name}={text}: {words[0]!r} belongs to a range; a list of choices is [a,b]x1..4 [same]")
    items = tuple(dict.fromkeys(_read(name, text, one, item.strip()) for item in inner.split(",") if item.strip()))
    if not items or (len(items) < 2 and least == most):
        raise SpecError(f"space {name}={text}: nothing to choose between; write {LIST_FORM}")
    return Lists(Range(choices=items), least, most, same)


def _read(name: str, text: str, param: Param, raw: str) -> Value:
    try:
        value: Value = param.read(raw)
    except SpecError as error:
        raise SpecError(f"space {name}={text}: {error}") from None
    return value


def read_choices(name: str, text: str, param: Param) -> Range:
    """{a,b,c}: two values at the least."""
    match = re.fullmatch(r"\{(.*)\}", text, re.DOTALL)
    if not match and (tail := re.search(r"\}\s*(.+)$", text, re.DOTALL)):
        raise SpecError(f"space {name}={text}: {tail[1]!r} after the choices; they are {{a,b,c}} and nothing else")
    items = [item.strip() for item in re.split(r",(?![^\[(]*[\])])", match[1])] if match else []
    items = [item for item in items if item]
    if not items:
        raise SpecError(f"space {name}={text}: expected choices, as in {name}={_example(param)}")
    values = tuple(dict.fromkeys(plain(_read(name, text, param, item)) for item in items))
    if len(values) < 2:
        raise SpecError(f"space {name}={text}: a single choice; write --{name} {items[0]} to keep it fixed")
    return Range(choices=values)


def _example(param: Param) -> str:
    if param.many and isinstance(param.domain, Within):
        return f"[{show_value(param.domain.offered.low)}..{show_value(param.domain.offered.high)}]x1..4"
    if isinstance(param.domain, Within):
        return f"{show_value(param.domain.offered.low)}..{show_value(param.domain.offered.high)}"
    return f"{{{','.join(param.choices[:2]) or 'a,b'}}}"


def plain(value: object) -> Value:
    """A hyperparameter's value as the study stores it: parts by name, lists as 128-64."""
    if isinstance(value, Part):
        return value.name
    if isinstance(value, tuple):
        return joined(value) or "none"
    return value  # type: ignore[return-value]  # what else a spec holds is a number, a word or None


def line_of(name: str, searched: Searched, param: Param) -> str:
    """The entry that `read_values` reads as this again."""
    numbers = searched.item if isinstance(searched, Lists) else searched
    declared = isinstance(param.domain, Within) and param.domain.log
    linear = declared and not (numbers.choices or numbers.log or numbers.step) and numbers.low > 0
    text, when = searched.allowed, searched.when or ""
    if not linear:
        return f"{name}={text}{when}"
    return f"{name}={text.removesuffix(' same')} linear{' same' if text.endswith(' same') else ''}{when}"
