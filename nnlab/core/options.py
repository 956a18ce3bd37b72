"""How typed options become specs: which words there are, whose they are, and what they set."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.foreign import hint_for_option
from nnlab.core.models import MODELS
from nnlab.core.own import with_own
from nnlab.core.params import Param, params_of
from nnlab.core.registry import Entry, Part, Registry, until_registered
from nnlab.core.spec import (
    PER_COLUMN,
    PrepareSpec,
    S,
    TrainSpec,
    TuneSpec,
    from_json,
    to_json,
    usual,
    usual_params,
)


@dataclass(frozen=True)
class Option:
    """One word that can be typed: a field of the spec, or a parameter of a part chosen in `field`.

    value: the parameter of the part, where the word is not its name (l1 sets strength).
    """

    name: str
    param: Param
    field: str
    part: str | None = None
    value: str = ""

    @property
    def owner(self) -> str:
        """'' for a field of the spec, else field.part, as the help groups them."""
        return f"{self.field}.{self.part}" if self.part else ""


def options_of(spec: type[Any], chosen: Mapping[str, Any] | None = None) -> dict[str, Option]:
    """All options of a spec class by the word to type, given the parts chosen (default: the spec's own).

    A parameter of a chosen part has its own name and the name qualified by its field (optimizer.lr); a name that two
    parts share, or that is a field's, is only there qualified. Regularizers are options by their own name (l1). Where
    the part is left to nnlab (loss: auto), a parameter's name chooses the part that has it. Parts that are not chosen,
    or chosen by name, show the values that the spec's own default brings along.
    """
    given = chosen or {}
    fields = [f for f, param in params_of(spec).items() if param.kind is Part and not param.many and f in given]
    names = tuple((field, _name(given[field]), isinstance(given[field], str)) for field in fields)
    return dict(_options_of(spec, str(given.get("model", "")), names))


def _name(part: Any) -> str | None:
    return None if part is None else str(getattr(part, "name", part))


@until_registered
def _options_of(spec: type[Any], model: str, names: tuple[tuple[str, Any, bool], ...]) -> dict[str, Option]:
    """The options for these parts. names: field, name of the part, and whether it was chosen by its name."""
    chosen = {field: name if by_name else Part(name) if name is not None else None for field, name, by_name in names}
    own = usual_params(spec, model)
    found = {name: Option(name, param, name) for name, param in own.items() if not _is_list_of_parts(param)}
    short: dict[str, Option | None] = {}
    for field, param in own.items():
        for option in _part_options(field, param, chosen.get(field, str(param.default or "") or None), model):
            found[f"{field}.{option.name}"] = option
            short[option.name] = None if option.name in short else option
    return found | {name: option for name, option in short.items() if option and name not in own}


def _is_list_of_parts(param: Param) -> bool:
    return param.many and param.kind is Part


def _part_options(field: str, param: Param, chosen: Any, model: str = "") -> list[Option]:
    if param.kind is not Part:
        return []
    if _is_list_of_parts(param):
        return [option for entry in param.domain.values() for option in _listed_options(field, entry)]
    name = getattr(chosen, "name", chosen)
    names = list(param.domain) if name is None else [name] if name in param.domain else []
    brought = param.default.values if isinstance(chosen, str) and chosen == str(param.default) else {}
    return [
        Option(p.name, replace(p, default=brought.get(p.name, p.default), domain=_range(p, field, model)), field, part)
        for part in names
        for p in param.domain[part].params.values()
    ]


def _range(param: Param, field: str, model: str) -> Any:
    """The domain of a parameter, with the range that the chosen model asks a search to try."""
    ranges = MODELS[model].facts.get("searched", {}) if model in MODELS else {}
    place = f"{field}.{param.name}"
    return replace(param.domain, search=ranges[place]) if place in ranges else param.domain


def _listed_options(field: str, entry: Entry) -> list[Option]:
    """The words of a part in a list: its name for its first parameter (lookahead), lookahead.share for the others."""
    words = [entry.name, *(f"{entry.name}.{name}" for name in list(entry.params)[1:])]
    params = entry.params.values()
    return [Option(w, replace(p, name=w), field, entry.name, p.name) for w, p in zip(words, params, strict=True)]


def resolve(spec: type[S], options: Mapping[str, Any], base: S | None = None) -> S:
    """A spec from typed or Python options, over base or the defaults; SpecError names the word that cannot be used.

    Values may be text. `optimizer="sgd", momentum=0.9`, `{"optimizer.momentum": "0.9"}` and Part values all work.
    """
    own = params_of(spec)
    base = from_json(spec, to_json(base)) if base else None  # one that was made by hand is checked like any text
    given = {option_word(name): value for name, value in options.items()}
    given = with_own(given) if spec is TrainSpec else given
    special = {name: given.pop(name) for name in list(given) if spec is PrepareSpec and is_override(name, given[name])}
    start = {f.name: getattr(base, f.name) for f in fields(spec)} if base else {n: p.default for n, p in own.items()}
    if "model" in given and "model" in own:
        start = _with_usual(spec, start, own["model"].read(given["model"]).name)
    values = dict(start)
    for name, param in own.items():
        if name in given:
            values[name] = _keep_values(param.read(given[name]), start[name])
    known = options_of(spec, values)
    for name, raw in given.items():
        if name not in own:
            option = known.get(name)
            if option is None:
                raise unknown_option(spec, name, values)
            values[option.field] = _with_value(values[option.field], option, option.param.read(raw))
    if spec is PrepareSpec:
        values["overrides"] = _overrides(special, values, getattr(base, "overrides", {}))
    return spec(**values)


def _with_usual(spec: type[Any], start: dict[str, Any], model: str) -> dict[str, Any]:
    """The start of a spec whose model changes: what is as the old model has it becomes as the new one has it."""
    old, new = usual(spec, start["model"].name), usual(spec, model)
    return {name: new[name] if value == old[name] and name != "model" else value for name, value in start.items()}


def is_override(name: str, value: Any = None) -> bool:
    """Whether an option speaks of one column or role: impute.age, but not scale.noise, a parameter of a scaler.

    value: what it is given; impute.value is a parameter of constant, but with knn it is the column 'value'.
    """
    step, point, rest = name.partition(".")
    if not point or step not in PER_COLUMN:
        return False
    return _is_entry(step, value) or not any(
        rest in entry.params for entry in params_of(PrepareSpec)[step].domain.values()
    )


def _is_entry(step: str, value: Any) -> bool:
    return isinstance(value, Part) or (isinstance(value, str) and value in params_of(PrepareSpec)[step].domain)


def override_values(spec: PrepareSpec) -> dict[str, Any]:
    """The options that give the overrides of a spec: impute.age -> knn, impute.age.neighbors -> 3."""
    found: dict[str, Any] = {}
    for step, parts in spec.overrides.items():
        for column, part in parts.items():
            found[f"{step}.{column}"] = part.name
            found |= {f"{step}.{column}.{name}": value for name, value in part.values.items()}
    return found


def _overrides(
    given: Mapping[str, Any], values: Mapping[str, Any], base: Mapping[str, Mapping[str, Part]]
) -> dict[str, dict[str, Part]]:
    """Parts by field and column: first the names of parts, then the values of their parameters."""
    found = {step: dict(parts) for step, parts in base.items()}
    later = {}
    for name, raw in given.items():
        step, _, column = name.partition(".")
        param = params_of(PrepareSpec)[step]
        column, _, value = column.rpartition(".") if not _is_entry(step, raw) else (column, "", "")
        if column and any(value in entry.params for entry in param.domain.values()):
            later[step, column, value] = raw
        else:
            found.setdefault(step, {})[name.partition(".")[2]] = replace(param, name=name).read(raw)
    for (step, column, value), raw in later.items():
        domain = params_of(PrepareSpec)[step].domain
        owner = next(name for name, entry in domain.items() if value in entry.params)
        part = found.get(step, {}).get(column) or values[step] or Part(owner)
        entry = params_of(PrepareSpec)[step].domain[part.name]
        found.setdefault(step, {})[column] = Part(part.name, {**part.values, **entry.read({value: raw})})
    return found


def option_word(name: str) -> str:
    """Dashes are underscores in the names of options, but not in those of columns."""
    step, point, column = name.partition(".")
    plain = column.replace("-", "_")
    if step not in PER_COLUMN or any(plain in entry.params for entry in params_of(PrepareSpec)[step].domain.values()):
        return name.replace("-", "_")
    return f"{step}{point}{column}"


def _keep_values(new: Any, old: Any) -> Any:
    """Naming the part that the base already has keeps the base's values of it."""
    if isinstance(new, Part) and isinstance(old, Part) and new.name == old.name and not new.values:
        return old
    return new


def _with_value(old: Any, option: Option, value: Any) -> Any:
    if isinstance(old, tuple):  # regularizers: one part a name
        before = next((part for part in old if part.name == option.part), Part(str(option.part)))
        others = tuple(part for part in old if part.name != option.part)
        first = option.value == next(iter(_registry(option)[before.name].params))
        return others if first and not value else (*others, Part(before.name, {**before.values, option.value: value}))
    return Part(option.part, {**getattr(old, "values", {}), option.param.name: value})  # type: ignore[arg-type]


def _registry(option: Option) -> Registry:
    for spec in (TrainSpec, PrepareSpec, TuneSpec):
        if option.field in params_of(spec):
            return params_of(spec)[option.field].domain
    raise KeyError(option.field)


def unknown_option(spec: type[Any], name: str, chosen: Mapping[str, Any]) -> SpecError:
    """What to say of an option that is not there, or belongs to a part that was not chosen."""
    known, last = options_of(spec, chosen), name.rpartition(".")[2]
    hint = hint_for_option(name, table=spec is PrepareSpec)
    if shared := [full for full in known if full.endswith(f".{name}")]:
        why = "belongs to several parts" if len(shared) > 1 else "is of a part that is left open"
        return SpecError(f"option {name!r} {why}; write {' or '.join(shared)}")
    for field, param in params_of(spec).items():
        if param.kind is Part:
            owners = [entry.name for entry in param.domain.values() if last in entry.params]
            if owners:
                now = str(chosen.get(field) or param.default or "auto")
                more = f"; of one column it is --{field}.COLUMN.{last}" if field in PER_COLUMN else ""
                more += f"; {hint}" if hint else ""
                return SpecError(f"option {name!r} belongs to {field} {', '.join(owners)}; this one is {now}{more}")
    if hint:
        return SpecError(f"no option {name!r}: {hint}")
    if choice := _choice_of(spec, name):
        return SpecError(f"{name!r} is no option but a choice of one:  --{choice} {name}")
    return SpecError(f"no option {name!r}{did_you_mean(name, known)}")


def _choice_of(spec: type, name: str) -> str | None:
    """The option that takes this entry: average for ema, norm for batch."""
    for field, param in params_of(spec).items():
        if param.kind is Part and not param.many:
            registries = {field: param.domain} | {inner: one.domain for inner, one in param.domain.nested.items()}
            if found := next((option for option, registry in registries.items() if name in registry), None):
                return found
    return None
