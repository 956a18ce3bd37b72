"""What a search may try: ranges and choices by the name of a hyperparameter.

A name is any option of a run (lr, optimizer.lr, hidden, optimizer itself), or one of a part by its name (sgd.lr).
It is looked up among the parts that a trial has chosen, so `momentum` is only tried where the optimizer has it.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.models import MODELS
from nnlab.core.options import Option, options_of, resolve, unknown_option
from nnlab.core.params import Param, Within, params_of, show_value
from nnlab.core.registry import Part, Registry
from nnlab.core.spec import TrainSpec, part_values

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

NOT_SEARCHED = ("monitor", "metrics", "device", "threads")
# Left out of the default space.
SELDOM_MATTERS = {"beta1", "beta2", "alpha", "eps", "parametric", "dropout_kind", "residual_dropout", "zero_init"}
SELDOM_MATTERS |= {"input_scale", "heads", "inner", "sharing", "layout", "rank", "members"}
Value = bool | int | float | str | None


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included, log: spread by ratio; or choices, values as a person types them."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Value, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return f"{{{','.join(show_value(choice) for choice in self.choices)}}}"
        return f"{show_value(self.low)}..{show_value(self.high)}{' log' if self.log else ''}"

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and not (self.whole and value != int(value))

    def suggest(self, trial: "BaseTrial", name: str) -> Value:
        """The trial's value, drawn by the study's sampler."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def points(self, count: int) -> list[Value]:
        """The choices, or count numbers evenly over the range, ends included."""
        if self.choices:
            return list(self.choices)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        spread = [low + (high - low) * i / (count - 1) for i in range(count)]
        inner = [math.exp(value) if self.log else value for value in spread[1:-1]]
        values = [self.low, *inner, self.high]
        return list(dict.fromkeys(round(value) for value in values)) if self.whole else list(dict.fromkeys(values))

    def to_json(self) -> dict[str, Any]:
        """Plain values; Range(**values) with choices as a tuple takes them back."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Range":
        """What to_json gave."""
        if "choices" in plain:
            return cls(choices=tuple(plain["choices"]))
        return cls(plain["low"], plain["high"], plain["log"], plain["whole"])


Space = dict[str, Range]


def parse(lines: Iterable[str], base: TrainSpec) -> Space:
    """The space of lines such as "lr=1e-4..1e-1 log", "hidden: {128-64,256}"; SpecError names the line at fault."""
    pairs = [_split(line) for line in _whole_lines(lines)]
    texts = dict(pairs)
    if len(texts) < len(pairs):
        raise SpecError(f"space: a name is there twice: {', '.join(name for name, _ in pairs)}")
    parts = {name: param for name, param in params_of(TrainSpec).items() if param.kind is Part and not param.many}
    space = {name: _choices(name, text, parts[name]) for name, text in texts.items() if name in parts}
    looked_up = list(_combinations(space, base))
    for name, text in texts.items():
        if name in parts:
            continue
        if name in NOT_SEARCHED:
            raise SpecError(f"space: {name} cannot be searched; it is fixed for a study")
        found = [option for options in looked_up if (option := option_for(name, *options))]
        if not found:
            raise _unknown(name, base, looked_up)
        ranges = [_range(name, text, option.param) for option in found]  # each part has its own check
        space[name] = ranges[0]
    _check_clashes(space, looked_up)
    return {name: space[name] for name in texts}


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines, put together again where a list was cut within braces: "hidden={64", "128}"."""
    held = ""
    for line in lines:
        held = f"{held},{line}" if held else line
        if held.count("{") <= held.count("}") and held.strip():
            yield held
            held = ""
    if held:
        raise SpecError(f"space {held!r}: a closing }} is missing")


def _split(line: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([\w.-]+)\s*[=:]\s*(.+?)\s*", line, re.DOTALL)
    if not match:
        raise SpecError(f'space {line!r}: expected name=low..high or name={{a,b}}, as in "lr=1e-4..1e-1 log"')
    return match[1].replace("-", "_"), match[2]


def chosen_parts(base: TrainSpec, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The part of each field by name, as options_of wants them: the base's, but for those among the values."""
    fields = [name for name, param in params_of(TrainSpec).items() if param.kind is Part]
    return {name: (values or {}).get(name, getattr(base, name)) for name in fields}


Lookup = tuple[dict[str, Option], dict[str, Any]]


def _combinations(space: Space, base: TrainSpec) -> Iterator[Lookup]:
    """The options for every combination of the parts that can be chosen, and those parts."""
    for picked in itertools.product(*(part.choices for part in space.values())):
        chosen = chosen_parts(base, dict(zip(space, picked, strict=True)))
        yield options_of(TrainSpec, chosen), chosen


def option_for(name: str, options: Mapping[str, Option], chosen: Mapping[str, Any]) -> Option | None:
    """The option that a searched name means with these parts chosen; None if they have none of that name."""
    if name in options:
        return options[name]
    part, _, rest = name.rpartition(".")
    fields = [field for field, one in chosen.items() if part and getattr(one, "name", one) == part]
    return options.get(f"{fields[0]}.{rest}") if fields else None


def _unknown(name: str, base: TrainSpec, looked_up: list[Lookup]) -> SpecError:
    error = unknown_option(TrainSpec, name, chosen_parts(base))
    if not str(error).startswith("no option"):
        return SpecError(f"space: {error}")
    known = {word for options, _ in looked_up for word in options}
    return SpecError(f"space: no option {name!r}{did_you_mean(name, known)}")


def _check_clashes(space: Space, looked_up: list[Lookup]) -> None:
    for options, chosen in looked_up:
        owners: dict[tuple[str, str | None, str], str] = {}
        for name in space:
            if option := option_for(name, options, chosen):
                place = (option.field, option.part, option.param.name)
                if place in owners:
                    raise SpecError(f"space: {owners[place]} and {name} mean the same; keep one of them")
                owners[place] = name


def _range(name: str, text: str, param: Param) -> Range:
    if text.startswith("{"):
        return _choices(name, text, param)
    match = re.fullmatch(r"(\S+?)\s*\.\.\s*(\S+?)(?:\s+(log|linear))?", text)
    if not match:
        hint = f"{{{text}}}" if "," in text else f"low..high, {{a,b}}, or --{name} {text} to keep it fixed"
        raise SpecError(f"space {name}={text}: expected a range or choices; write {hint}")
    if not isinstance(param.domain, Within) or param.many:
        raise SpecError(
            f"space {name}={text}: {name} is not a single number; give choices, as in {name}={_example(param)}"
        )
    low, high = (_read(name, text, param, end) for end in match.group(1, 2))
    if low is None or high is None:
        raise SpecError(f"space {name}={text}: a range has numbers at both ends; auto can be one of several choices")
    log = match[3] == "log" or (match[3] is None and param.domain.log and low > 0)
    if low >= high:
        raise SpecError(f"space {name}={text}: the low end must be below the high end")
    if log and low <= 0:
        raise SpecError(f"space {name}={text}: a log range starts above 0")
    return Range(low, high, log, param.kind is int)


def _read(name: str, text: str, param: Param, raw: str) -> Any:
    try:
        return param.read(raw)
    except SpecError as error:
        raise SpecError(f"space {name}={text}: {error}") from None


def _choices(name: str, text: str, param: Param) -> Range:
    match = re.fullmatch(r"\{(.*)\}", text, re.DOTALL)
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
        return "{128-64,256-256}"
    return f"{{{','.join(param.choices[:2]) or 'a,b'}}}"


def plain(value: Any) -> Value:
    """A hyperparameter's value as the study stores it: parts by name, lists as 128-64."""
    if isinstance(value, Part):
        return value.name
    if isinstance(value, tuple):
        return "-".join(show_value(item) for item in value) or "none"
    return value


def base_values(space: Space, base: TrainSpec) -> dict[str, Value]:
    """The base's own values of the searched names, as far as they lie in their ranges."""
    chosen = chosen_parts(base)
    options, found = options_of(TrainSpec, chosen), {}
    for name, allowed in space.items():
        option = option_for(name, options, chosen)
        if option and (value := plain(_value_of(base, option))) in allowed:
            found[name] = value
    return found


def _value_of(base: TrainSpec, option: Option) -> Any:
    held = getattr(base, option.field)
    if option.part is None:
        return held
    registry = params_of(TrainSpec)[option.field].domain
    if isinstance(held, tuple):
        held = next((part for part in held if part.name == option.part), None)
        return part_values(registry, held)[next(iter(registry[option.part].params))] if held else 0.0
    return part_values(registry, held or Part(option.part))[option.param.name]


def suggest(trial: "BaseTrial", space: Space, base: TrainSpec) -> dict[str, Value]:
    """The trial's values: parts first, then the names that those parts have."""
    own = params_of(TrainSpec)
    values = {name: one.suggest(trial, name) for name, one in space.items() if name in own and own[name].kind is Part}
    chosen = chosen_parts(base, values)
    options = options_of(TrainSpec, chosen)
    for name, one in space.items():
        if name not in values and option_for(name, options, chosen):
            values[name] = one.suggest(trial, name)
    return {name: values[name] for name in space if name in values}


def spec_with(values: Mapping[str, Value], base: TrainSpec) -> TrainSpec:
    """The base with a trial's values in their places."""
    chosen = chosen_parts(base, values)
    options = options_of(TrainSpec, chosen)
    words = {}
    for name, value in values.items():
        option = option_for(name, options, chosen)
        if option is None:
            raise SpecError(f"no option {name!r} in this study's parts")
        words[f"{option.field}.{option.name}" if option.part else name] = value
    return resolve(TrainSpec, words, base)


def default_space(base: TrainSpec, fixed: Iterable[str] = (), rows: int | None = None) -> Space:
    """What is worth trying: the offered values of model, embedding, optimizer and batch size, but for fixed names.

    rows: training rows; batches then leave at least eight steps an epoch.
    """
    chosen = chosen_parts(base)
    options = options_of(TrainSpec, chosen)
    kept = {(o.field, o.part, o.param.name) for word in fixed if (o := option_for(word, options, chosen))}
    space = {}
    asked = MODELS[base.model.name].facts.get("searched", {}) if base.model.name in MODELS else {}
    for name, option in options.items():
        wanted = (
            name == "batch_size" or name in asked or (option.field in ("model", "embed", "optimizer") and "." in name)
        )
        if not wanted or option.param.name in SELDOM_MATTERS or (option.field, option.part, option.param.name) in kept:
            continue
        word = option.param.name if options.get(option.param.name) == option else name
        if offered := _offered(option.param, plain(_value_of(base, option)), rows):
            space[word] = offered
    return space


def _offered(param: Param, now: Value, rows: int | None) -> Range | None:
    """The declared range of one hyperparameter as a search takes it, the present value among its choices."""
    if not isinstance(param.domain, Within):
        listed = param.domain.searched if isinstance(param.domain, Registry) else param.domain or ()
        one = isinstance(listed, tuple) and not param.many
        return Range(choices=tuple(dict.fromkeys((now, *listed)))) if one and listed else None
    low, high, log = param.domain.offered.low, param.domain.offered.high, param.domain.log
    if param.many:
        return Range(choices=tuple(dict.fromkeys((now, *_shapes(int(low), int(high))))))
    if param.optional and param.kind is int:
        top = min(high, max(low, rows / 8)) if rows else high
        powers = [2**k for k in range(math.ceil(math.log2(low)), int(math.log2(top)) + 1)]
        return Range(choices=tuple(dict.fromkeys((now, *powers))))
    return Range(low, high, log, param.kind is int)


def _shapes(low: int, high: int) -> list[str]:
    """One to three layers of a small, a middle and a large width."""
    widths = (low, round(math.sqrt(low * high)), high)
    return ["-".join([str(width)] * depth) for depth in (1, 2, 3) for width in widths]
