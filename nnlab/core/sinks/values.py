"""What every program is told of a run, in plain names and numbers."""

import math
from collections.abc import Mapping
from typing import Any

from nnlab.core.events import EpochDone
from nnlab.core.spec import TrainSpec, to_json
from nnlab.core.store.facts import Facts


def numbers_of(done: EpochDone) -> dict[str, float]:
    """The numbers of an epoch: train/loss, valid/<metric>, lr, seconds; those that are no numbers are left out."""
    found = {f"train/{name}": value for name, value in done.train.items()}
    found |= {f"valid/{name}": value for name, value in done.valid.items()}
    found |= {"lr": done.lr, "seconds": done.seconds}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def settings_of(spec: TrainSpec) -> dict[str, Any]:
    """The options of a spec by dotted names, optimizer.lr among them; those that are open are left out."""
    return dict(_flat("", to_json(spec)))


def title_of(facts: Facts) -> str:
    """The run's name, else its id."""
    return facts.name or facts.id


def _flat(prefix: str, plain: Mapping[str, Any]) -> "list[tuple[str, Any]]":
    found: list[tuple[str, Any]] = []
    for name, value in plain.items():
        if isinstance(value, Mapping) and set(value) <= {"name", "values"} and "name" in value:
            found.append((f"{prefix}{name}", value["name"]))
            found += _flat(f"{prefix}{name}.", value.get("values") or {})
        elif isinstance(value, Mapping):
            found += _flat(f"{prefix}{name}.", value)
        elif value is not None and value != []:
            found.append((f"{prefix}{name}", value if isinstance(value, (bool, int, float, str)) else str(value)))
    return found
