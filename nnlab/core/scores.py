"""Scores of rows that were put away, and how often they were looked at."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

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


def key_of(index: np.ndarray, y: np.ndarray, target: str) -> str:
    """What tells the same test rows in other preparations of a table: their places, their targets, its name."""
    digest = hashlib.sha256(target.encode("utf-8", "surrogatepass"))
    for values in (index, y):
        digest.update(np.ascontiguousarray(values).view(np.uint8).data)
    return digest.hexdigest()[:16]


def test_scores(folder: Path | None) -> list[dict[str, Any]]:
    """What was written down of a run: time, metrics, part and rows of each score, oldest first; [] where nothing is."""
    found = []
    try:
        lines = whole_lines((folder / FILE).read_bytes()) if folder else []
    except OSError:
        return []
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        found += [told] if isinstance(told, dict) else []
    return found


def note_test_score(folder: Path | None, run: str, rows: str, metrics: Mapping[str, float]) -> str:
    """Write down that the test part was scored; what to say of it. A folder that cannot be written is let be.

    rows: their key, by which scores of other runs in the same store are counted, too.
    """
    _TIMES[run] += 1
    times, others = _TIMES[run], []
    if folder is not None and folder.is_dir():
        times = max(len(test_scores(folder)) + 1, times)
        others = _by_others(folder, rows)
        told = {"time": datetime.now(UTC).isoformat(), "part": "test", "rows": rows, "metrics": dict(metrics)}
        try:
            path = folder / FILE
            file = LineFile(path)
            file.size = (path.read_bytes() if path.exists() else b"").rfind(b"\n") + 1
            file.append([json.dumps(told)])
        except OSError:
            pass
    more = f" and {sum(others)} times by {len(others)} other runs" if others else ""
    often = "once" if times == 1 else f"{times} times"
    advice = ": choosing by it makes it optimistic" if times > 1 or others else ""
    return f"test part, scored {often} by this run{more}{advice}"


def keep_test_scores(source: Path | None, target: Path) -> None:
    """What was written down goes with a copy of the run; OSError where it cannot be written."""
    if source is not None and (source / FILE).is_file() and source != target:
        shutil.copyfile(source / FILE, target / FILE)


def _by_others(folder: Path, rows: str) -> list[int]:
    """How often each other run beside this one scored the same rows."""
    try:
        beside = [path.parent for path in folder.parent.glob(f"*/{FILE}") if path.parent != folder]
    except OSError:
        return []
    counts = [sum(told.get("rows") == rows for told in test_scores(path)) for path in beside]
    return [count for count in counts if count]
