"""Events as lines of metrics.jsonl and back; other programs can read the lines as JSON."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from nnlab.core.events import Changed, EpochDone, Event, Probed, Resumed, Warned


def to_line(event: EpochDone | Changed | Probed | Resumed | Warned) -> str:
    """One line of JSON. Numbers that JSON lacks are texts: "nan", "inf", "-inf"."""
    if isinstance(event, Warned):
        return json.dumps({"warned": event.message} | ({"about": event.about} if event.about else {}))
    if isinstance(event, Resumed):
        return json.dumps({"resumed": {"epoch": event.epoch, "step": event.step}})
    if isinstance(event, Probed):
        values = {name: [plain(value) for value in line] for name, line in event.values.items()}
        told = {"epoch": event.epoch, "step": event.step, "layers": event.layers, "values": values}
        return json.dumps({"probed": {**told, "drift": plain(event.drift), "load": plain(event.load)}})
    if isinstance(event, Changed):
        change = {"epoch": event.epoch, "step": event.step, "name": event.name}
        return json.dumps({"changed": {**change, "old": plain(event.old), "new": plain(event.new)}})
    return json.dumps(
        {
            "epoch": event.epoch,
            "train": plain_all(event.train),
            "valid": plain_all(event.valid),
            "lr": plain(event.lr),
            "seconds": plain(event.seconds),
            "rows_per_second": plain(event.rows_per_second),
            "best": bool(event.best),
            **({"members": event.members} if event.members else {}),
            **({"spread": plain_all(event.spread)} if event.spread else {}),
        }
    )


def from_lines(lines: Iterable[str]) -> list[Event]:
    """The events of the lines; a line that is damaged is left out, of an epoch or look told twice the last counts."""
    events: dict[Any, Event] = {}
    for number, line in enumerate(lines):
        try:
            event = _event(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        events[_key(event, number)] = event
    return list(events.values())


def _key(event: Event, number: int) -> Any:
    """What events that tell of the same thing share."""
    if isinstance(event, Probed):
        return f"step {event.step}"
    return event.epoch if isinstance(event, EpochDone) else f"line {number}"


def _event(item: Mapping[str, Any]) -> Event:
    if "warned" in item:
        return Warned(str(item["warned"]), str(item.get("about", "")))
    if "resumed" in item:
        return Resumed(int(item["resumed"]["epoch"]), int(item["resumed"]["step"]))
    if "probed" in item:
        look = item["probed"]
        values = {str(name): tuple(map(float, line)) for name, line in look["values"].items()}
        layers = tuple(map(str, look["layers"]))
        return Probed(int(look["epoch"]), int(look["step"]), layers, values, float(look["drift"]), float(look["load"]))
    if "changed" in item:
        change = item["changed"]
        place = (int(change["epoch"]), int(change["step"]), str(change["name"]))
        return Changed(*place, float(change["old"]), float(change["new"]))
    numbers = (float(item["lr"]), float(item["seconds"]), float(item["rows_per_second"]))
    train, valid, best = floats(item["train"]), floats(item["valid"]), bool(item["best"])
    members, spread = tuple(map(int, item.get("members", ()))), floats(item.get("spread", {}))
    return EpochDone(int(item["epoch"]), train, valid, *numbers, best, members=members, spread=spread)


def plain(value: float) -> float | str:
    """A number, or its text where JSON has no such number."""
    number = float(value)
    return number if math.isfinite(number) else str(number)


def plain_all(values: Mapping[str, float]) -> dict[str, float | str]:
    """Every value as `plain` gives it."""
    return {name: plain(value) for name, value in values.items()}


def floats(values: Mapping[str, Any]) -> dict[str, float]:
    """What `plain_all` was given."""
    return {str(name): float(value) for name, value in values.items()}
