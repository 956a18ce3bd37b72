"""The space of a search that was given none: what is worth trying for the model of the base."""

import math
from collections.abc import Iterable

from nnlab.core.models import MODELS
from nnlab.core.options import options_of
from nnlab.core.params import Param, Within
from nnlab.core.registry import Registry
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.grammar import plain
from nnlab.core.tune.ranges import Range, Space, Value
from nnlab.core.tune.space import chosen_parts, option_for, value_of

SELDOM_MATTERS = {"beta1", "beta2", "alpha", "eps", "parametric", "dropout_kind", "residual_dropout", "zero_init"}
SELDOM_MATTERS |= {"input_scale", "heads", "inner", "sharing", "layout", "rank", "members"}


def default_space(base: TrainSpec, fixed: Iterable[str] = (), rows: int | None = None) -> Space:
    """What is worth trying: the offered values of model, embedding, optimizer and batch size, but for fixed names.

    rows: training rows; batches then leave at least eight steps an epoch.
    """
    chosen = chosen_parts(base)
    options = options_of(TrainSpec, chosen)
    kept = {(o.field, o.part, o.param.name) for word in fixed if (o := option_for(word, options, chosen))}
    space: Space = {}
    asked = MODELS[base.model.name].facts.get("searched", {}) if base.model.name in MODELS else {}
    for name, option in options.items():
        wanted = (
            name == "batch_size" or name in asked or (option.field in ("model", "embed", "optimizer") and "." in name)
        )
        if not wanted or option.param.name in SELDOM_MATTERS or (option.field, option.part, option.param.name) in kept:
            continue
        word = option.param.name if options.get(option.param.name) == option else name
        if offered := _offered(option.param, plain(value_of(base, option)), rows):
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
