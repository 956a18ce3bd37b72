"""Short numbers of runs: 1 is the store's oldest. Deleted runs keep theirs as long as the trash holds them."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from nnlab.core.errors import StoreError
from nnlab.core.store import files
from nnlab.core.store.reading import RUN_ID
from nnlab.core.store.trash import deleted

SECOND = 15  # characters of an id, which say when the run began


def numbers(root: Path) -> dict[str, int]:
    """The number of each run of a store by its id, in the order in which they began."""
    try:
        there = {name: root / "runs" / name for name in os.listdir(root / "runs") if RUN_ID.fullmatch(name)}
    except OSError:
        return {}
    folders = deleted(root) | there
    at_once = Counter(run[:SECOND] for run in folders)
    ordered = sorted(folders, key=lambda run: (run[:SECOND], *_began(folders[run], at_once[run[:SECOND]] > 1), run))
    return {run: at for at, run in enumerate(ordered, 1)}


def _began(folder: Path, looked_up: bool) -> tuple[str, ...]:
    """When a run began to the microsecond, which its file says; it is read where the second does not tell."""
    with contextlib.suppress(StoreError, LookupError, TypeError):
        return (str(files.read_json(folder / "run.json")["began"]),) if looked_up else ()
    return ("",)


def numbers_of(paths: Iterable[Path | None]) -> dict[Path, int]:
    """The numbers of runs by their folders; folders that lie in no store have none."""
    found = {}
    known: dict[Path, dict[str, int]] = {}
    for path in paths:
        if path is None or path.parent.name != "runs":
            continue
        root = path.parent.parent
        if root not in known:
            known[root] = numbers(root)
        if path.name in known[root]:
            found[path] = known[root][path.name]
    return found
