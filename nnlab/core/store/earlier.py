"""The run that went before on the same data, to be seen beside one that lives."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.core.errors import StoreError
from nnlab.core.record import Record
from nnlab.core.store import files
from nnlab.core.store.reading import MISUNDERSTOOD, RUN_ID, told_events

if TYPE_CHECKING:
    import pandas as pd

LOOKED_AT = 40  # of the newest runs; older ones are not what somebody compares with


def earlier_run(root: Path, fingerprint: str, other_than: str = "") -> "tuple[str, pd.DataFrame] | None":
    """The label and the history of the newest run of this data that has ended; None if there is none.

    other_than: the id of a run that is not meant.
    """
    try:
        folders = [
            path for path in (root / "runs").iterdir() if RUN_ID.fullmatch(path.name) and path.name != other_than
        ]
    except OSError:
        return None
    for path in sorted(folders, key=lambda path: path.name, reverse=True)[:LOOKED_AT]:
        with contextlib.suppress(StoreError, OSError, *MISUNDERSTOOD):
            about = files.read_json(path / "run.json")
            if about["fingerprint"] != fingerprint or files.read_json(path / "status.json")["state"] == "running":
                continue
            if (found := course_of(path)) is not None:
                return found
    return None


def course_of(path: Path) -> "tuple[str, pd.DataFrame] | None":
    """The label and the history of the run of a folder; None if it has no course, or cannot be read."""
    with contextlib.suppress(StoreError, OSError, *MISUNDERSTOOD):
        about, record = files.read_json(path / "run.json"), Record()
        for event in told_events(path):
            record(event)
        if len(record.epochs) > 1:
            return str(about["name"] or about["id"]), record.history
    return None
