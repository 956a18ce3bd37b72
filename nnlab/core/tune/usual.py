"""The space of a search that was given none, or auto: what is worth trying for each model, by their declarations.

A model may say more by its fact `space`: entries for all tasks under "", and under classes and regression. With several
models, each has ranges of its own: resnet.depth, realmlp.lr.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.models import MODELS
from nnlab.core.options import Option, options_of, resolve
from nnlab.core.params import Param, Within, params_of, split_list
from nnlab.core.recipe import MANY_NUMBERS
from nnlab.core.registry import Registry
from nnlab.core.spec import PrepareSpec, TrainSpec
from nnlab.core.tune.grammar import plain
from nnlab.core.tune.ranges import Lists, Range, Searched, Space, Value
from nnlab.core.tune.space import chosen_parts, option_for, parse, value_of

SELDOM_MATTERS = {"beta1", "beta2", "alpha", "eps", "parametric", "dropout_kind", "residual_dropout", "zero_init"}
SELDOM_MATTERS |= {"input_scale", "heads", "inner", "sharing", "layout", "rank", "members"}
SCALES = ("quantile", "robust", "standard")
EMBEDS = ("none", "pbld", "piecewise_linear")
SMOOTHING = (0.0, 0.1)  # pays where labels count, not where probabilities do
MOST_LAYERS = 4
# How far the search around a recipe goes below and above its values, by ratio; (0, n): from 0 to n.
NEAR = {"lr": (3.0, 2.5), "weight_decay": (10.0, 10.0), "dropout": (0.0, 0.4), "pbld.sigma": (4.0, 3.0)}
NEAR |= {"lr_embedding": (3.0, 5.0)}


@dataclass(frozen=True)
class About:
    """What a search is about, as far as it decides what is worth trying. rows: of the training part; numbers: columns
    of numbers; prepare: how the data was prepared, where its steps can be searched."""

    rows: int | None = None
    numbers: int = 0
    task: str = ""
    prepare: PrepareSpec | None = None


def default_space(base: TrainSpec, fixed: Iterable[str] = (), about: About | None = None) -> Space:
    """What is worth trying around a base, but for fixed names. Batches leave at least eight steps an epoch."""
    about, chosen = about or About(), chosen_parts(base)
    options = options_of(TrainSpec, chosen)
    kept = {_place(o) for word in fixed if (o := option_for(word, options, chosen))}
    embeds = _embeds(base, about) and ("embed", None, "embed") not in kept
    space: Space = {}
    for name, option in options.items():
        if not _wanted(name, option, base) or _place(option) in kept or (embeds and option.field == "embed"):
            continue
        word = option.param.name if options.get(option.param.name) == option else name
        if offered := _offered(option.param, plain(value_of(base, option)), about.rows):
            space[word] = offered
    space |= {name: one for name, one in _said(base, about).items() if name in space}
    space |= _embeddings(base) if embeds else {}
    return space | _others(base, about, options, kept)


def space_around(recipe: TrainSpec, fixed: Iterable[str], about: About) -> Space:
    """What is worth trying around the recipe of the data, but for fixed names: few names, near to its values.

    They were good on many tables, so a study of some dozens of trials gains by fine steps from there; what it would
    have to learn of a wide space are mostly the values that are known to be worse."""
    chosen = chosen_parts(recipe)
    options = options_of(TrainSpec, chosen)
    kept = {_place(o) for word in fixed if (o := option_for(word, options, chosen))}
    space: Space = {}
    for name, (below, above) in NEAR.items():
        option = option_for(name, options, chosen)
        if option is None or _place(option) in kept:
            continue
        now, domain = float(value_of(recipe, option)), option.param.domain
        low, high = (max(now / below, domain.low), min(now * above, domain.high)) if below else (0.0, max(now, above))
        space[name] = Range(_short(low), _short(high), log=bool(below))
    hidden = options.get("hidden")
    if hidden is not None and _place(hidden) not in kept:
        widths = split_list(plain(value_of(recipe, hidden)))
        depths = (widths, widths[:-1], [*widths, widths[-1]])
        space["hidden"] = Range(choices=tuple("-".join(map(str, one)) for one in depths if one))
    return space | _others(recipe, replace(about, prepare=None), options, kept)


def _short(number: float) -> float:
    """Two digits are enough for the end of a range."""
    return float(f"{number:.2g}")


def usual_space(given: Space, base: TrainSpec, fixed: Sequence[str], about: About) -> Space:
    """The usual ranges of every model that the given space chooses from, and those of the space itself."""
    models = given.get("model")
    space: Space = {}
    for model in models.choices if isinstance(models, Range) else ():
        one = resolve(TrainSpec, {"model": model}, base)
        own = default_space(one, fixed, about)
        shared = [name for name in own if _is_shared(name)]
        space |= {name if name in shared else f"{model}.{name}": searched for name, searched in own.items()}
    space = space if models else default_space(base, fixed, about)
    said = {name.rpartition(".")[2] for name in given}
    return {name: one for name, one in space.items() if name.rpartition(".")[2] not in said} | given


def _is_shared(name: str) -> bool:
    """Whether a name means the same for every model."""
    return name in ("batch_size", "scale", "label_smoothing", "embed") or name.partition(".")[0] in EMBEDDINGS


Place = tuple[str, str | None, str]


def _place(option: Option) -> Place:
    return option.field, option.part, option.param.name


def _wanted(name: str, option: Option, base: TrainSpec) -> bool:
    asked = MODELS[base.model.name].facts.get("searched", {}) if base.model.name in MODELS else {}
    of_part = option.field in ("model", "embed", "optimizer") and "." in name
    return (name == "batch_size" or name in asked or of_part) and option.param.name not in SELDOM_MATTERS


def _said(base: TrainSpec, about: About) -> Space:
    """What the model's own entries say, made wide enough for the base."""
    said = MODELS[base.model.name].facts.get("space", {}) if base.model.name in MODELS else {}
    task = "regression" if about.task == "regression" else "classes" if about.task else "any"
    space = parse([*said.get("", ()), *said.get(task, ())], base)
    chosen = chosen_parts(base)
    options = options_of(TrainSpec, chosen)
    found: Space = {}
    for name, one in space.items():
        option = option_for(name, options, chosen)
        if option and isinstance(one, Range):
            found[name] = _holding(one, plain(value_of(base, option)))
    return found


def _holding(one: Range, now: Value) -> Range:
    """The range, with the base's own value in it."""
    if now in one or one.choices or isinstance(now, (str, bool)) or now is None:
        return one
    low, high = min(one.low, now), max(one.high, now)
    return replace(one, low=low, high=high, log=one.log and low > 0)


def _offered(param: Param, now: Value, rows: int | None) -> Searched | None:
    """The declared range of one hyperparameter as a search takes it, the present value among its choices."""
    if not isinstance(param.domain, Within):
        listed = param.domain.searched if isinstance(param.domain, Registry) else param.domain or ()
        one = isinstance(listed, tuple) and not param.many
        return Range(choices=tuple(dict.fromkeys((now, *listed)))) if one and listed else None
    low, high, log = param.domain.offered.low, param.domain.offered.high, param.domain.log
    if param.many:
        return _layers(low, high, now)
    if param.optional and param.kind is int:
        top = min(high, max(low, rows / 8)) if rows else high
        return Range(choices=tuple(dict.fromkeys((now, *_powers(low, top)))))
    return _holding(Range(low, high, log, param.kind is int), now)


def _powers(low: float, high: float) -> list[int]:
    return [2**k for k in range(math.ceil(math.log2(low)), int(math.log2(high)) + 1)]


def _layers(low: float, high: float, now: Value) -> Lists:
    """One to four layers, of one width where the base's are; widths are powers of two, and the base's own."""
    widths = [int(width) for width in split_list(now)]
    items = Range(choices=tuple(sorted({*_powers(max(low, 64), high), *widths})))
    return Lists(items, min(1, len(widths)), max(MOST_LAYERS, len(widths)), same=len(set(widths)) < 2)


def _embeds(base: TrainSpec, about: About) -> bool:
    """Whether embeddings of numbers are worth trying."""
    return 0 < about.numbers <= MANY_NUMBERS and base.model.name in MODELS


def _embeddings(base: TrainSpec) -> Space:
    """Which embedding, and the values of each; the base's own among them."""
    names = tuple(dict.fromkeys((base.embed.name, *EMBEDS)))
    space: Space = {"embed": Range(choices=names)}
    for name in names:
        held = base.embed.values if name == base.embed.name else {}
        for param in EMBEDDINGS[name].params.values():
            if offered := _offered(param, held.get(param.name, param.default), None):
                space[f"{name}.{param.name}"] = offered
    return space


def _others(base: TrainSpec, about: About, options: Mapping[str, Option], kept: set[Place]) -> Space:
    """Smoothing of labels where they are what counts, and the scale of numbers where the table is at hand."""
    found: Space = {}
    smoothing = options.get("label_smoothing")
    if smoothing and about.task in ("binary", "multiclass") and base.monitor == "accuracy":
        now: Any = value_of(base, smoothing)
        if _place(smoothing) not in kept:
            found["label_smoothing"] = Range(choices=tuple(sorted({*SMOOTHING, now})))
    if about.prepare is not None and about.numbers:
        domain = params_of(PrepareSpec)["scale"].domain
        held = about.prepare.settled(about.rows or 0).scale
        names = (plain(about.prepare.scale), *(name for name in SCALES if held is None or name != held.name))
        found["scale"] = Range(choices=tuple(name for name in names if name is None or name in domain))
    return found
