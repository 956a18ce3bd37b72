"""Runs that were deleted: they lie in the store's trash, from where the last ones come back."""

import contextlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from nnlab.core.errors import StoreError
from nnlab.core.store import files
from nnlab.core.store.reading import RunInfo, read_info

TRASH = "trash"
NAME = re.compile(r"(\d{20})-(\d{8}T\d{6}-[0-9a-f]{8})")  # nanoseconds since 1970 at the deletion, and the run's id


def delete(root: Path, runs: Sequence[RunInfo]) -> None:
    """Move the runs into the trash of their store. StoreError for one that is going on: then none is moved."""
    going = [run.id for run in (read_info(run.path) for run in runs) if run.state == "running"]
    if going:
        raise StoreError(f"run {going[0]} is still going on; stop it first, then delete it")
    strange = [run.id for run in runs if run.path.parent != root / "runs"]
    if strange:
        raise StoreError(f"run {strange[0]} is not in the store {root}; delete its folder yourself")
    when = f"{time.time_ns():020d}"
    try:
        files.make_folder(root / TRASH)
        for run in runs:
            os.rename(run.path, root / TRASH / f"{when}-{run.path.name}")
        _sync(root)
    except OSError as error:
        raise StoreError(f"the runs cannot be deleted: {error.strerror or error} ({error.filename})") from error


def undo(root: Path) -> list[RunInfo]:
    """Bring back what was deleted last, all that went at once. StoreError where the trash is empty."""
    there = sorted(_deleted(root), reverse=True)
    if not there:
        raise StoreError(f"nothing was deleted: {root / TRASH} holds no run")
    back = [id for when, id in there if when == there[0][0]]
    taken = [id for id in back if os.path.lexists(root / "runs" / id)]
    if taken:
        raise StoreError(f"run {taken[0]} is in the store again already; move {root / 'runs' / taken[0]} away first")
    try:
        files.make_folder(root / "runs")
        for id in back:
            os.rename(root / TRASH / f"{there[0][0]}-{id}", root / "runs" / id)
        _sync(root)
    except OSError as error:
        raise StoreError(f"the runs cannot be brought back: {error.strerror or error} ({error.filename})") from error
    return [read_info(root / "runs" / id) for id in back]


def deleted(root: Path) -> dict[str, Path]:
    """The folders of the runs that the trash holds, by their ids; {} where it cannot be read."""
    with contextlib.suppress(StoreError):
        return {run: root / TRASH / f"{when}-{run}" for when, run in sorted(_deleted(root))}
    return {}


def _deleted(root: Path) -> list[tuple[str, str]]:
    """When each run of the trash was deleted, and its id."""
    try:
        names = os.listdir(root / TRASH)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"the trash of {root} cannot be read: {error.strerror or error}") from error
    return [(match[1], match[2]) for name in names if (match := NAME.fullmatch(name))]


def _sync(root: Path) -> None:
    files.sync_folders((root / TRASH, root / "runs"))
