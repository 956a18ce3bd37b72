"""Which runs of a list are meant, and in what order: by tag, by what is known of them, by a value."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from nnlab.core.difference import settings
from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.metrics import METRICS
from nnlab.core.store.marks import marks_of

CONDITION = re.compile(r"\s*([^\W\d][\w.]*)\s*(>=|<=|==|!=|>|<|=)\s*(.+?)\s*")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
OF_ANY = ("started", "name", "state", "task", "target", "data", "best_epoch")  # what is known of every run


def chosen(runs: Sequence[Any], tagged: str | None = None, where: str | None = None) -> list[Any]:
    """The runs with a tag for which all conditions hold, in the order given.

    where: accuracy>0.9, or several: "accuracy>0.9 and optimizer=sgd". Left stands a metric, an option of the spec or
    one of OF_ANY. A run that has no such value is left out. SpecError for what cannot be read, or no run knows.
    """
    found = [run for run in runs if tagged is None or tagged in marks_of(run.path).tags]
    parts = re.split(r"\s+and\s+|,", where) if where is not None else []
    for part in parts:
        match = CONDITION.fullmatch(part)
        if match is None:
            raise SpecError(f"condition {part!r}: needed is a name, a sign and a value, such as  accuracy>0.9")
        name, sign, value = match.groups()
        _check_known(name, runs)
        found = [run for run in found if _holds(facts_of(run).get(name), sign, value)]
    return found


def ordered(runs: Sequence[Any], by: str) -> list[Any]:
    """The runs by a metric, the best first, or by another value, the smallest first; -name reverses it.

    Runs without the value come last. SpecError for a name that no run knows.
    """
    name = by.removeprefix("-")
    _check_known(name, runs)
    high = name in METRICS and bool(METRICS[name].facts.get("maximize"))
    values = [facts_of(run).get(name) for run in runs]
    there = [(value, run) for value, run in zip(values, runs, strict=True) if _is_there(value)]
    numbers = all(_number(value) is not None for value, _ in there)
    key = _number if numbers else str
    there.sort(key=lambda pair: key(pair[0]), reverse=high != by.startswith("-"))  # type: ignore[arg-type, return-value]
    return [run for _, run in there] + [r for v, r in zip(values, runs, strict=True) if not _is_there(v)]


def facts_of(run: Any) -> dict[str, Any]:
    """What is known of a run by its name: metrics before options, options by their short names too."""
    options = settings(run.spec) if run.spec is not None else {}
    short = {name.rpartition(".")[2]: value for name, value in reversed(options.items())}
    known = {name: getattr(run, name, None) for name in OF_ANY}
    began = run.facts.began if hasattr(run, "facts") else run.started
    return {**short, **options, **known, "started": began.timestamp(), **run.metrics}


def _check_known(name: str, runs: Sequence[Any]) -> None:
    known = dict.fromkeys(word for run in runs for word in facts_of(run))
    if runs and name not in known:
        raise SpecError(f"no run has a value {name!r}{did_you_mean(name, known)}; there are metrics and options")


def _holds(have: Any, sign: str, value: str) -> bool:
    if not _is_there(have):
        return False
    numbers = (_number(have), _number(value))
    if numbers[0] is not None and numbers[1] is not None:
        return SIGNS[sign](*numbers)
    text = value.strip("'\"")
    if sign not in ("=", "==", "!="):
        raise SpecError(f"{sign}{value}: {str(have)[:40]!r} is no number; texts can be = or !=")
    return SIGNS[sign](str(have).lower(), text.lower())


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
