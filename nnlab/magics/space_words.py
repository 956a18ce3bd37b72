"""Completion of a search's space: names of what can be searched with their usual ranges, and the choices of one."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnlab.core.options import options_of
from nnlab.core.params import Param, Within, params_of, show_value
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, TrainSpec
from nnlab.core.tune.grammar import AUTO
from nnlab.core.tune.space import NOT_SEARCHED, STEPS

LAYERS = "x1..4"


def searchable(chosen: Mapping[str, Any]) -> dict[str, Param]:
    """What a search can vary, by its name, given the chosen parts: options of a run, then steps of the preparation."""
    known = options_of(TrainSpec, chosen)
    found = {name: one.param for name, one in known.items() if name not in (*NOT_SEARCHED, "seed")}
    return found | {name: param for name, param in params_of(PrepareSpec).items() if name in STEPS}


def _of_part(typed: str) -> dict[str, Param]:
    """resnet.depth and adamw.lr: what is only searched where the part is chosen; scale.noise of a step."""
    part, point, _ = typed.partition(".")
    if not point:
        return {}
    found: dict[str, Param] = {}
    for spec, steps in ((TrainSpec, False), (PrepareSpec, True)):
        for field, param in params_of(spec).items():
            if param.kind is not Part or param.many or (steps and field not in STEPS):
                continue
            entries = [param.domain[part]] if part in param.domain and not steps else []
            entries += list(param.domain.values()) if steps and field == part else []
            found |= {f"{part}.{one.name}": one for entry in entries for one in entry.params.values()}
    return found


def template(param: Param) -> str:
    """The offered range, or the choices, as a space is written; '' where there is none."""
    if isinstance(param.domain, Within):
        low, high = (show_value(end) for end in (param.domain.offered.low, param.domain.offered.high))
        if param.many:
            return f"[{low}..{high}]{LAYERS}"
        return f"{low}..{high}{' log' if param.domain.offered.log and param.domain.offered.low > 0 else ''}"
    return "{" + ",".join(param.choices) + "}" if len(param.choices) > 1 and not param.many else ""


def _condition_words(typed: str) -> tuple[str, list[str]]:
    """What can stand after `if`, and the text that it replaces: parts that may be chosen, and the choices of one."""
    parts = {name: one for name, one in params_of(TrainSpec).items() if one.kind is Part and not one.many}
    name, equals, value = typed.partition("=")
    if not equals:
        return typed, [f"{one}=" for one in parts if one.startswith(typed)]
    last = value.lstrip("{").rpartition(",")[2]
    return last, [word for word in (parts[name].choices if name in parts else ()) if word.startswith(last)]


def value_words(param: Param, typed: str) -> tuple[str, list[str]]:
    """What can stand for the value of a name, and the text that it replaces: a range, or one more of the choices."""
    if match := re.search(r"\sif\s+(\S*)$", typed):
        return _condition_words(match[1])
    if typed.startswith("{") and "}" not in typed and param.choices:
        *there, last = [item.strip() for item in typed[1:].split(",")]
        words = [*param.choices, *([param.unset] if param.optional else [])]
        return last, [word for word in words if word.startswith(last) and word not in there]
    whole = template(param)
    return typed, [whole] if whole.startswith(typed) and whole else []


def entry_words(typed: str, chosen: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What can stand for an entry such as lr=1e-4..1e-1, and the text that it replaces."""
    known = {name.replace("-", "_"): param for name, param in (searchable(chosen) | _of_part(typed)).items()}
    name, equals, value = typed.partition("=")
    if equals:
        param = known.get(name.replace("-", "_"))
        return value_words(replace(param, name=name), value) if param else (value, [])
    short = {one: param for one, param in known.items() if "." not in one or "." in typed}
    words = [f"{one}={whole}" for one, param in short.items() if (whole := template(param))]
    return typed, [word for word in (AUTO, *words) if word.startswith(typed)]
