"""Scores of rows that were put away, and how often they were looked at."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from nnlab.core.store.files import LineFile, whole_lines

FILE = "scores.jsonl"  # beside the run's files, and in no manifest: a score can come long after the run
_TIMES: Counter[str] = Counter()  # of runs that are in no folder


class Scores(dict[str, float]):
    """Metrics by name. note: what there is to say of the rows, or ""."""

    def __init__(self, values: Mapping[str, float], note: str = "") -> None:
        super().__init__(values)
        self.note = note

    def __repr__(self) -> str:
        return f"{super().__repr__()}{f'  # {self.note}' if self.note else ''}"


def note_test_score(folder: Path | None, run: str, metrics: Mapping[str, float]) -> str:
    """Write down that the test part was scored; what to say of it. A folder that cannot be written is let be."""
    _TIMES[run] += 1
    times = _TIMES[run]
    if folder is not None and folder.is_dir():
        path = folder / FILE
        try:
            before = path.read_bytes() if path.exists() else b""
            file = LineFile(path)
            file.size = before.rfind(b"\n") + 1
            told = {"time": datetime.now(UTC).isoformat(), "part": "test", "metrics": dict(metrics)}
            file.append([json.dumps(told)], sync=False)
            times = len(whole_lines(before)) + 1
        except OSError:
            pass
    if times == 1:
        return "test part, scored once by this run"
    return f"test part, scored {times} times by this run: choosing by it makes it optimistic"
