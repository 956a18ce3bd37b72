"""What is known of a run before it starts."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nnlab.core.spec import to_json

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared


@dataclass(frozen=True)
class Choices:
    """What was asked for besides the spec; see `nnlab.fit`. A run that goes on does likewise.

    start: the spec that was chosen for the data, as JSON, where the user left the network open; else None.
    """

    probe: bool = True
    baseline: bool = True
    calibrate: bool = False
    start: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Choices":
        """The choices of run.json; those of runs that were written before there were any are the defaults."""
        said = {one.name: bool(plain[one.name]) for one in fields(cls) if one.name in plain and one.name != "start"}
        start = plain.get("start")
        return cls(**said, start=start if isinstance(start, Mapping) else None)


@dataclass(frozen=True)
class Origin:
    """Where a run comes from. kind: replay, which repeats another run with its changes, or branch, which went on from
    one after so many epochs with other settings. id: of that run. epoch: how many were taken over, by the branch or by
    the one that is repeated."""

    kind: Literal["replay", "branch"]
    id: str
    epoch: int = 0

    @classmethod
    def from_json(cls, plain: Mapping[str, Any] | None) -> "Origin | None":
        """The origin in run.json; None for a run that has none."""
        if not isinstance(plain, Mapping) or plain.get("kind") not in ("replay", "branch"):
            return None
        return cls(plain["kind"], str(plain["id"]), int(plain.get("epoch", 0)))


@dataclass(frozen=True)
class Facts:
    """What the store writes down when a run begins.

    id: UTC time and 8 hex digits. name, line, code: the user's words. summary: the preparation in plain values;
    pipeline: its JSON and arrays. choices: what was asked for besides the spec.
    """

    id: str
    began: datetime
    name: str | None
    line: str | None
    code: str | None
    fingerprint: str
    summary: Mapping[str, Any]
    pipeline: tuple[Mapping[str, Any], Mapping[str, np.ndarray]]
    choices: Choices = Choices()
    origin: Origin | None = None


def new_facts(
    data: "Prepared",
    name: str | None = None,
    line: str | None = None,
    code: str | None = None,
    choices: Choices = Choices(),
) -> Facts:
    """The facts of a run that starts now."""
    now = datetime.now(UTC)
    return Facts(new_id(now), now, name, line, code, data.fingerprint, summarize(data), data.pipeline.state(), choices)


def new_id(now: datetime) -> str:
    """An id that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def summarize(data: "Prepared") -> dict[str, Any]:
    """The preparation in plain values, for the list and for reports of a run whose data is gone."""
    return {
        "name": str(data.name),
        "source": data.source,
        "sums": {str(name): digest[:16] for name, digest in data.sums.items()},
        "task": data.task,
        "target": str(data.target.name),
        "classes": list(data.target.labels),
        "rows": {part: len(getattr(data, part).y) for part in ("train", "valid", "test")},
        "features": len(data.feature_names),
        "columns": [plain(column) for column in data.columns],
        "audit": [plain(finding) for finding in data.audit],
        "warnings": [str(warning) for warning in data.warnings],
        "spec": to_json(data.spec),
    }


PLAIN = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """A value as JSON can hold it; what it cannot becomes text."""
    if type(value) in PLAIN:  # nearly all of them
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
