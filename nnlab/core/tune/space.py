"""What a search may try, by the name of a hyperparameter: options of a run, of its parts, and steps of the preparation.

A name is any option of a run (lr, optimizer.lr, hidden, optimizer itself), one that is only tried where a part is
chosen (sgd.lr, resnet.depth, and realmlp.lr: the step size where the model is realmlp), or a step of the preparation
(scale, scale.noise, impute.age). Names are looked up among the parts that a trial has chosen, so `momentum` is only
tried where the optimizer has it.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.foreign import hint_for_option
from nnlab.core.models import MODELS
from nnlab.core.options import Option, is_override, option_word, options_of, resolve, unknown_option
from nnlab.core.params import Param, params_of
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, TrainSpec, part_values
from nnlab.core.tune.grammar import (
    AUTO,
    entries,
    line_of,
    plain,
    read_choices,
    read_condition,
    read_values,
    split_condition,
)
from nnlab.core.tune.ranges import Range, Space, Value, holding

if TYPE_CHECKING:
    from optuna import Trial

NOT_SEARCHED = ("monitor", "metrics", "device", "threads")
# The steps of a preparation that leave the rows of each part and the target's units as they are.
STEPS = (
    *("outliers", "impute", "indicators", "scale", "expand", "encode", "text", "cross", "flag", "select", "reduce"),
    *("synthesis", "balance", "cycles", "drop_columns"),
)
Lookup = tuple[dict[str, Option], dict[str, Any]]


def is_step(name: str) -> bool:
    """Whether a searched name is a step of the preparation, or one of its values."""
    return name.partition(".")[0] in STEPS


def parse(lines: Iterable[str], base: TrainSpec) -> Space:
    """The space of lines such as "lr=1e-4..1e-1 log", "hidden: {128-64,256}"; SpecError names the token at fault."""
    pairs = [(option_word(name), text) for name, text in entries(lines) if name != AUTO]
    texts = dict(pairs)
    if len(texts) < len(pairs):
        names = [name for name, _ in pairs]
        raise SpecError(f"space: {', '.join(n for n in texts if names.count(n) > 1)} is there twice")
    for name in texts:
        if name in NOT_SEARCHED:
            raise SpecError(f"space: {name} cannot be searched; it is fixed for a study")
    cut = {name: split_condition(text) for name, text in texts.items()}
    texts = {name: text for name, (text, _) in cut.items()}
    steps = {name: text for name, text in texts.items() if is_step(name)}
    space = _read_all({name: text for name, text in texts.items() if name not in steps}, base)
    space |= _read_all(steps, PrepareSpec("")) if steps else {}
    return _with_conditions(
        {name: space[name] for name in texts}, {name: when for name, (_, when) in cut.items() if when is not None}
    )


def _with_conditions(space: Space, conditions: Mapping[str, str]) -> Space:
    """The space with these texts as conditions of names."""
    for name in conditions:
        if any(name in params and params[name].kind is Part for params in map(params_of, (TrainSpec, PrepareSpec))):
            raise SpecError(f"space {name}: a part has no condition; put it on what belongs to the part")
    found = {name: read_condition(name, text, space) for name, text in conditions.items()}
    for name, when in found.items():
        if when.name in found:
            raise SpecError(f"space {name}: if {when.name}: {when.name} has a condition itself; put that one here too")
    return {name: replace(one, when=found[name]) if name in found else one for name, one in space.items()}


def _read_all(texts: Mapping[str, str], base: TrainSpec | PrepareSpec) -> Space:
    """The ranges of the names of one spec."""
    parts = {name: param for name, param in params_of(type(base)).items() if param.kind is Part and not param.many}
    space: Space = {name: read_choices(name, text, parts[name]) for name, text in texts.items() if name in parts}
    looked_up = list(_combinations(space, base))
    for name, text in texts.items():
        if name in parts:
            continue
        found = [option.param for options in looked_up if (option := option_for(name, *options))]
        if not found:
            raise _unknown(name, base, looked_up)
        ranges = [read_values(name, text, param) for param in found]  # each part has its own check
        space[name] = ranges[0]
    _check_clashes(space, looked_up)
    return space


def asks_for_usual(lines: Iterable[str]) -> bool:
    """Whether the entry auto is among the lines: the usual ranges, those of the lines in place of some of them."""
    return any(name == AUTO for name, _ in entries(lines))


def names_model(lines: Iterable[str]) -> bool:
    """Whether the model itself is among the names of the lines."""
    return any(name == "model" for name, _ in entries(lines))


def lines_of(space: Space, base: TrainSpec) -> list[str]:
    """The entries that `parse` reads as this space again."""
    params: dict[str, Param] = {}
    for one in (base, PrepareSpec("")):
        inside = {name: s for name, s in space.items() if is_step(name) == isinstance(one, PrepareSpec)}
        fields = params_of(type(one))
        chosen = {name: s for name, s in inside.items() if name in fields and fields[name].kind is Part}
        for options in _combinations(chosen, one):
            params |= {name: option.param for name in inside if (option := option_for(name, *options))}
    return [line_of(name, searched, params[name]) for name, searched in space.items()]


def params_named(name: str, space: Space, base: TrainSpec) -> list[Param]:
    """The declarations that a searched name can mean, one for each combination of the parts that are searched."""
    one = PrepareSpec("") if is_step(name) else base
    fields = params_of(type(one))
    if name in fields and fields[name].kind is Part and not fields[name].many:
        return [fields[name]]
    inside = {n: s for n, s in space.items() if is_step(n) == is_step(name)}
    return [option.param for options in _combinations(inside, one) if (option := option_for(name, *options))]


def chosen_parts(base: TrainSpec | PrepareSpec, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The part of each field by name, as options_of wants them: the base's, but for those among the values, and those
    that a model among the values brings along."""
    model = (values or {}).get("model")
    if isinstance(base, TrainSpec) and isinstance(model, str) and model in MODELS and model != base.model.name:
        base = resolve(TrainSpec, {"model": model}, base)
    fields = [name for name, param in params_of(type(base)).items() if param.kind is Part]
    return {name: (values or {}).get(name, getattr(base, name)) for name in fields}


def _combinations(space: Space, base: TrainSpec | PrepareSpec) -> Iterator[Lookup]:
    """The options for every combination of the parts that can be chosen, and those parts."""
    fields = params_of(type(base))
    parts = {name: one for name, one in space.items() if name in fields and fields[name].kind is Part}
    for picked in itertools.product(*(part.choices for part in parts.values() if isinstance(part, Range))):
        chosen = chosen_parts(base, dict(zip(parts, picked, strict=True)))
        yield options_of(type(base), chosen), chosen


def option_for(name: str, options: Mapping[str, Option], chosen: Mapping[str, Any]) -> Option | None:
    """The option that a searched name means with these parts chosen; None if they have none of that name."""
    if name in options:
        return options[name]
    if is_step(name) and is_override(name):
        return _override(name)
    part, _, rest = name.partition(".")
    fields = [field for field, one in chosen.items() if rest and getattr(one, "name", one) == part]
    if not fields:
        return None
    return options.get(f"{fields[0]}.{rest}") or options.get(rest)


def _override(name: str) -> Option:
    """The option of a step for one column: impute.age."""
    field = name.partition(".")[0]
    return Option(name, params_of(PrepareSpec)[field], name)


def _unknown(name: str, base: TrainSpec | PrepareSpec, looked_up: list[Lookup]) -> SpecError:
    part, _, rest = name.rpartition(".")
    for options, chosen in looked_up:
        for field, one in chosen.items():
            if part and getattr(one, "name", one) == part:
                its = (option.param.name for option in options.values() if option.part and option.field == field)
                own = list(dict.fromkeys(its))
                there = f"; it has {', '.join(own)}" if own else ""
                return SpecError(f"space: {part} has no {rest}{did_you_mean(rest, own) or there}")
    error = unknown_option(type(base), name, chosen_parts(base))
    if not str(error).startswith("no option"):
        return SpecError(f"space: {error}")
    if isinstance(base, TrainSpec) and name in params_of(PrepareSpec):
        return SpecError(f"space: {name} decides which rows or targets are compared; it is fixed for a study")
    known = {word for options, _ in looked_up for word in options}
    if (said := re.search(r"--([\w-]+)", hint_for_option(name))) and (word := option_word(said[1])) in known:
        return SpecError(f"space: no option {name!r}; here it is {word}")  # as another library calls it
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


def base_values(space: Space, base: TrainSpec | PrepareSpec) -> dict[str, Value]:
    """The base's own values of the searched names, as far as they lie in their ranges."""
    held = holding(held_values(space, base), space)
    return {name: value for name, value in held.items() if value in space[name]}


def held_values(space: Space, base: TrainSpec | PrepareSpec) -> dict[str, Value]:
    """The base's own values of the searched names that are its options, in their ranges or not."""
    chosen = chosen_parts(base)
    options, found = options_of(type(base), chosen), {}
    for name in space:
        option = None if is_step(name) != isinstance(base, PrepareSpec) else option_for(name, options, chosen)
        if option:
            found[name] = plain(value_of(base, option))
    return found


def value_of(base: TrainSpec | PrepareSpec, option: Option) -> Any:
    """What a spec holds for an option."""
    field, _, column = option.field.partition(".")
    if column and isinstance(base, PrepareSpec):
        return base.part_of(field, column, "")
    held = getattr(base, field)
    if option.part is None:
        return held
    registry = params_of(type(base))[field].domain
    if isinstance(held, tuple):
        held = next((part for part in held if part.name == option.part), None)
        return part_values(registry, held)[next(iter(registry[option.part].params))] if held else 0.0
    return part_values(registry, held or Part(option.part))[option.param.name]


def suggest(trial: "Trial", space: Space, base: TrainSpec, prepare: PrepareSpec | None = None) -> dict[str, Value]:
    """The trial's values: parts first, then the names that those parts have, then those under a condition."""
    values: dict[str, Value] = {}
    both: tuple[TrainSpec | PrepareSpec, ...] = (base, prepare or PrepareSpec(""))
    for conditional, one in ((later, spec) for later in (False, True) for spec in both):
        own = params_of(type(one))
        inside = {name: s for name, s in space.items() if is_step(name) == isinstance(one, PrepareSpec)}
        first = [name for name in inside if name in own and own[name].kind is Part and not conditional]
        values |= {name: inside[name].suggest(trial, name) for name in first}
        chosen = chosen_parts(one, values)
        options = options_of(type(one), chosen)
        for name, searched in inside.items():
            asked = searched.when is None or (conditional and searched.when.holds(values))
            if name not in values and asked and option_for(name, options, chosen):
                values[name] = searched.suggest(trial, name)
    return {name: values[name] for name in space if name in values}


def spec_with(values: Mapping[str, Value], base: TrainSpec) -> TrainSpec:
    """The base with a trial's values in their places; steps of the preparation are no part of it."""
    return _with(values, base, steps=False)


def prepare_with(values: Mapping[str, Value], base: PrepareSpec) -> PrepareSpec:
    """The preparation with a trial's values of its steps."""
    return _with(values, base, steps=True)


def _with(values: Mapping[str, Value], base: Any, steps: bool) -> Any:
    values = {name: value for name, value in values.items() if is_step(name) == steps}
    chosen = chosen_parts(base, values)
    options = options_of(type(base), chosen)
    words = {}
    for name, value in values.items():
        option = option_for(name, options, chosen)
        if option is None:
            raise SpecError(f"no option {name!r} in this study's parts")
        words[f"{option.field}.{option.name}" if option.part else option.field] = value
    return resolve(type(base), words, base)


def number_of_shapes(space: Space, own: Iterable[str]) -> float:
    """How many different runs there are, not counting what the names of own set; inf for ranges of numbers."""
    product = 1.0
    for name, searched in space.items():
        product *= 1.0 if name.rpartition(".")[2] in own else searched.size
    return product


def param_of(name: str, base: TrainSpec) -> Param | None:
    """The declaration of a searched name where the base has it."""
    one = PrepareSpec("") if is_step(name) else base
    chosen = chosen_parts(one)
    option = option_for(name, options_of(type(one), chosen), chosen)
    return option.param if option else None
