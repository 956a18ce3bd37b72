"""Everything that defines a preparation, a run and a search, as frozen values; and how typed options become them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, TypeVar

from nnlab.core.data.steps import ENCODERS, IMPUTERS, SCALERS
from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.losses import LOSSES
from nnlab.core.metrics import METRICS
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.params import Column, Param, Within, params_of
from nnlab.core.registry import Part, Registry
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.schedules import SCHEDULES
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS

# The model part of a run whose network the user wrote; its code is kept as text, never executed again.
CUSTOM = "custom"

Share = Within(0.0, 0.9)
Seed = Within(0, 2**31 - 1)


@dataclass(frozen=True)
class PrepareSpec:
    """How a table is prepared."""

    target: Annotated[str, Column(), "column to predict"]
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None, "kind of prediction; auto reads the target"
    ] = None
    test: Annotated[float, Share, "share of rows put away for the final score"] = 0.2
    valid: Annotated[float, Share, "share of rows that choose the best epoch"] = 0.16
    split: Annotated[Literal["random", "stratified"] | None, "how rows are parted; auto stratifies classes"] = None
    impute: Annotated[Part, IMPUTERS, "what stands in for missing numbers"] = Part("median")
    indicators: Annotated[bool, "add a 0/1 column for each column with missing numbers"] = True
    scale: Annotated[Part, SCALERS, "how numbers are scaled"] = Part("quantile")
    encode: Annotated[Part, ENCODERS, "how categories become numbers"] = Part("one_hot")
    scale_target: Annotated[bool, "standardize the target of a regression; undone at prediction"] = True
    numeric: Annotated[tuple[str, ...], Column(), "columns to read as numbers"] = ()
    categorical: Annotated[tuple[str, ...], Column(), "columns to read as categories"] = ()
    date: Annotated[tuple[str, ...], Column(), "columns to read as dates"] = ()
    drop: Annotated[tuple[str, ...], Column(), "columns to leave out"] = ()
    seed: Annotated[int, Seed, "seed of the split and of the noise of the fit"] = 0


@dataclass(frozen=True)
class TrainSpec:
    """Everything that defines a run but the data."""

    model: Annotated[Part, MODELS, "network"] = Part("mlp")
    optimizer: Annotated[Part, OPTIMIZERS, "rule that turns gradients into steps"] = Part(
        "adamw", {"lr": 0.01, "weight_decay": 0.1}
    )
    schedule: Annotated[Part, SCHEDULES, "course of the step size over the run"] = Part("cosine")
    warmup: Annotated[float, Within(0.0, 0.9, search=(0.0, 0.2)), "share of the run with a rising step size"] = 0.05
    loss: Annotated[Part | None, LOSSES, "what training makes small; auto: by task"] = None
    regularizers: Annotated[tuple[Part, ...], REGULARIZERS, "penalties on the weights"] = ()
    clip_norm: Annotated[
        float | None, Within(1e-6, 1e6, log=True, search=(0.1, 10.0)), "largest norm of the gradient"
    ] = None
    epochs: Annotated[int, Within(1, 1_000_000, log=True, search=(10, 200)), "passes over the training rows"] = 60
    batch_size: Annotated[
        int | None, Within(1, 1_048_576, log=True, search=(32, 512)), "rows per step; auto: by number of rows"
    ] = None
    patience: Annotated[
        int | None, Within(1, 1_000_000, search=(5, 50)), "epochs without improvement before the run stops"
    ] = 20
    monitor: Annotated[str, "loss or a metric of the validation rows that chooses the best epoch"] = "loss"
    metrics: Annotated[tuple[str, ...], METRICS, "what is measured each epoch; none: the usual ones of the task"] = ()
    seed: Annotated[int, Seed, "seed of weights, row order and dropout"] = 0
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], "where the tensors live"] = "auto"
    threads: Annotated[int | None, Within(1, 1024), "CPU threads; auto: one for small networks"] = None


# Networks of the user's own start from the optimizer's usual values; the default run's were measured with the mlp.
OWN_NETWORK = TrainSpec(model=Part(CUSTOM), optimizer=Part("adamw"))


def defaults_for(spec: Any) -> dict[str, Any]:
    """What the fields of such a spec are where nobody says anything; an own network has starting values of its own."""
    if isinstance(spec, TrainSpec) and spec.model.name == CUSTOM:
        return {f.name: getattr(OWN_NETWORK, f.name) for f in fields(OWN_NETWORK)}
    return {name: param.default for name, param in params_of(type(spec)).items()}


@dataclass(frozen=True)
class TuneSpec:
    """How a search is run; what it searches and what it keeps fixed is a space and a TrainSpec."""

    trials: Annotated[int, Within(1, 1_000_000, log=True), "runs that the study shall hold in the end"] = 30
    sampler: Annotated[Part, SAMPLERS, "how the next trial is chosen"] = Part("tpe")
    pruner: Annotated[Part, PRUNERS, "how hopeless trials are ended early"] = Part("median")
    minutes: Annotated[float | None, Within(0.001, 1e6), "stop after this time"] = None
    space: Annotated[tuple[str, ...], 'ranges such as "lr=1e-4..1e-1 log"; none: those of the declarations'] = ()
    name: Annotated[str | None, "name of the study; the same name continues it"] = None
    fresh: Annotated[bool, "start anew though a study of that name is there"] = False


S = TypeVar("S", PrepareSpec, TrainSpec, TuneSpec)


@dataclass(frozen=True)
class Option:
    """One word that can be typed: a field of the spec, or a parameter of a part chosen in `field`."""

    name: str
    param: Param
    field: str
    part: str | None = None

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
    own = params_of(spec)
    found = {name: Option(name, param, name) for name, param in own.items() if not _is_list_of_parts(param)}
    short: dict[str, Option | None] = {}
    for field, param in own.items():
        for option in _part_options(field, param, (chosen or {}).get(field, str(param.default or "") or None)):
            found[f"{field}.{option.name}"] = option
            short[option.name] = None if option.name in short else option
    return found | {name: option for name, option in short.items() if option and name not in own}


def _is_list_of_parts(param: Param) -> bool:
    return param.many and param.kind is Part


def _part_options(field: str, param: Param, chosen: Any) -> list[Option]:
    if param.kind is not Part:
        return []
    if _is_list_of_parts(param):
        return [
            Option(name, replace(next(iter(entry.params.values())), name=name), field, name)
            for name, entry in param.domain.items()
        ]
    name = getattr(chosen, "name", chosen)
    names = list(param.domain) if name is None else [name] if name in param.domain else []
    brought = param.default.values if isinstance(chosen, str) and chosen == str(param.default) else {}
    return [
        Option(p.name, replace(p, default=brought.get(p.name, p.default)), field, part)
        for part in names
        for p in param.domain[part].params.values()
    ]


def resolve(spec: type[S], options: Mapping[str, Any], base: S | None = None) -> S:
    """A spec from typed or Python options, over base or the defaults; SpecError names the word that cannot be used.

    Values may be text. `optimizer="sgd", momentum=0.9`, `{"optimizer.momentum": "0.9"}` and Part values all work.
    """
    own = params_of(spec)
    base = from_json(spec, to_json(base)) if base else None  # one that was made by hand is checked like any text
    given = {_word(name): value for name, value in options.items()}
    start = {f.name: getattr(base, f.name) for f in fields(spec)} if base else {n: p.default for n, p in own.items()}
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
    return spec(**values)


def _word(name: str) -> str:
    return name.replace("-", "_")


def _keep_values(new: Any, old: Any) -> Any:
    """Naming the part that the base already has keeps the base's values of it."""
    if isinstance(new, Part) and isinstance(old, Part) and new.name == old.name and not new.values:
        return old
    return new


def _with_value(old: Any, option: Option, value: Any) -> Any:
    if isinstance(old, tuple):  # regularizers: one part a name
        first = next(iter(_registry(option)[option.part].params))  # type: ignore[index]
        others = tuple(part for part in old if part.name != option.part)
        return (*others, Part(str(option.part), {first: value})) if value else others
    return Part(option.part, {**getattr(old, "values", {}), option.param.name: value})  # type: ignore[arg-type]


def _registry(option: Option) -> Registry:
    for spec in (TrainSpec, PrepareSpec, TuneSpec):
        if option.field in params_of(spec):
            return params_of(spec)[option.field].domain
    raise KeyError(option.field)


def unknown_option(spec: type[Any], name: str, chosen: Mapping[str, Any]) -> SpecError:
    """What to say of an option that is not there, or belongs to a part that was not chosen."""
    known = options_of(spec, chosen)
    if shared := [full for full in known if full.endswith(f".{name}")]:
        return SpecError(f"option {name!r} belongs to several parts; write {' or '.join(shared)}")
    for field, param in params_of(spec).items():
        if param.kind is Part:
            owners = [entry.name for entry in param.domain.values() if name.rpartition(".")[2] in entry.params]
            if owners:
                now = getattr(chosen.get(field), "name", None) or "auto"
                return SpecError(f"option {name!r} belongs to {field} {', '.join(owners)}; this one is {now}")
    return SpecError(f"no option {name!r}{did_you_mean(name, known)}")


def to_json(spec: Any) -> dict[str, Any]:
    """A spec as plain JSON values; `from_json` takes it back."""
    return {f.name: _plain(getattr(spec, f.name)) for f in fields(spec)}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return {"name": value.name, "values": {k: _plain(v) for k, v in value.values.items()}}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_json(spec: type[S], plain: Mapping[str, Any]) -> S:
    """The spec that `to_json` wrote, every value checked again."""
    own = params_of(spec)
    values = {}
    for name, value in plain.items():
        if name not in own:
            raise SpecError(f"{spec.__name__} has no field {name!r}")
        values[name] = _from_plain(own[name], value)
    return spec(**values)


def _from_plain(param: Param, value: Any) -> Any:
    if value is None or param.kind is not Part:
        return param.read(value)
    if param.many:
        return tuple(_part_from(param.domain, item) for item in value)
    return _part_from(param.domain, value)


def _part_from(registry: Registry, plain: Mapping[str, Any]) -> Part:
    name, values = plain["name"], plain["values"]
    return Part(name, dict(values) if name == CUSTOM else registry[name].read(values))


def part_values(registry: Registry, part: Part) -> dict[str, Any]:
    """All values of a part, the defaults filled in."""
    entry = registry[part.name]
    return {name: param.default for name, param in entry.params.items()} | entry.read(part.values)


def make(registry: Registry, part: Part, *args: Any) -> Any:
    """What the part's function makes of args and the part's values, checked."""
    entry = registry[part.name]
    return entry.make(*args, **entry.read(part.values))
