"""Runs whose process died, found by small files alone: cheap enough for %load_ext, which must import nothing heavy."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.core.errors import StoreError
from nnlab.core.store import files
from nnlab.core.store.owner import is_alive

NEWEST = 200  # folders that are looked at
RECENT = 30 * 86400.0  # seconds after which a run that nobody took up again is not spoken of any more
SHOWN = 3


@dataclass(frozen=True)
class Unfinished:
    """A run that can be taken up again: epochs that are done, and how many there were to be."""

    id: str
    name: str | None
    done: int
    epochs: int


def unfinished(root: Path) -> list[Unfinished]:
    """The runs of a store whose process died and that left a checkpoint, newest first; never fails."""
    try:
        names = sorted(os.listdir(root / "runs"), reverse=True)[:NEWEST]
    except OSError:
        return []
    return list(_found(root / "runs" / name for name in names))


def _found(folders: Iterator[Path]) -> Iterator[Unfinished]:
    for folder in folders:
        pointer = folder / "LATEST"
        try:
            if (folder / "manifest.json").exists() or time.time() - pointer.stat().st_mtime > RECENT:
                continue
            status = files.read_json(folder / "status.json")
            if status["state"] == "running" and not is_alive(status["owner"], pointer.stat().st_mtime):
                about: Any = files.read_json(folder / "run.json")
                newest = files.read_json(pointer)["generations"][0]
                yield Unfinished(folder.name, about["name"], int(newest["epoch"]), int(about["spec"]["epochs"]))
        except (StoreError, OSError, LookupError, TypeError, ValueError):
            continue


def told(runs: list[Unfinished]) -> str:
    """One line for one run or several, with the line that goes on."""
    shown = [f"{run.name or run.id} (epoch {run.done} of {run.epochs})" for run in runs[:SHOWN]]
    more = f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    what = "a run was" if len(runs) == 1 else f"{len(runs)} runs were"
    return f"nnlab: {what} cut short: {', '.join(shown)}{more}; to go on:  run = %nn_train --resume {runs[0].id}"
