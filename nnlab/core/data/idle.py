"""Options given for one column or role that play no part, so that they are not silently without effect."""

from collections.abc import Sequence

from nnlab.core.data.ordering import SCOPE
from nnlab.core.data.roles import Typed
from nnlab.core.data.steps import IMPUTERS
from nnlab.core.registry import Part
from nnlab.core.spec import PER_COLUMN, PrepareSpec

TEXT_STEPS = ("text",)
CATEGORY_STEPS = ("impute", "encode")
NUMBER_STEPS = tuple(step for step in PER_COLUMN if step not in ("encode", *TEXT_STEPS))
LEVEL_IMPUTERS = ("most_frequent", "constant")  # of a column; those along an order fill levels, too


def idle_overrides(typed: Sequence[Typed], spec: PrepareSpec) -> list[str]:
    """What to say of each override that changes no column: its column has no such step, or no column has its role."""
    notes = []
    for step, parts in spec.overrides.items():
        for name, part in parts.items():
            meant = [column for column in typed if column.name == name] or [c for c in typed if c.role == name]
            if not any(_takes(column, step, part) for column in meant):
                notes.append(f"{step}.{name}={part.name} plays no part: {_why(meant, name, step, part)}")
    return notes


def _takes(column: Typed, step: str, part: Part) -> bool:
    if column.column is None:
        return step == "text" and column.role == "text"  # set aside as it was told
    if column.as_category and step == "impute":
        return part.name in LEVEL_IMPUTERS or IMPUTERS[part.name].facts.get("scope") == SCOPE
    return step in _steps(column)


def _steps(column: Typed) -> tuple[str, ...]:
    if column.as_category:
        return CATEGORY_STEPS
    return TEXT_STEPS if column.role == "text" else NUMBER_STEPS


def _why(meant: Sequence[Typed], name: str, step: str, part: Part) -> str:
    if not meant:
        return f"no feature is {name!r}"
    column = meant[0]
    who = "it" if column.name == name else repr(column.name)
    if column.column is None:
        return f"{who} is {column.role}" + (f" ({column.why})" if column.why not in ("", column.role) else "")
    if step in _steps(column):
        return f"{who} is {column.role}, whose gaps go by {' or '.join(LEVEL_IMPUTERS)}, else to the encoder"
    return f"{who} is {column.role}, which takes {', '.join(_steps(column))}"
