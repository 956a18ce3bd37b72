"""The store: a folder of runs and studies, beside the notebook or where NNLAB_HOME points."""

import hashlib
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import StoreError, did_you_mean
from nnlab.core.spec import TrainSpec
from nnlab.core.store import files
from nnlab.core.store.checkpoint import SECONDS, place_of
from nnlab.core.store.facts import Choices, Facts, new_facts, new_id
from nnlab.core.store.folder import GO_ON, RunFolder
from nnlab.core.store.numbers import numbers
from nnlab.core.store.reading import RUN_ID, RunInfo, read_info

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.run import Run

LAST = "last"
LABEL = "label.json"  # holds a study's name as the user wrote it
SHORTEST_PREFIX = 4
UNFINISHED = ("crashed", *GO_ON)  # states of runs that a checkpoint takes further


class Store:
    """root: default $NNLAB_HOME, else .nnlab in the working directory; it is made at the first write."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = files.store_root(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"the store {self.root} is a file; give a folder")

    def __repr__(self) -> str:
        return f"Store {self.root}"

    def create_run(  # noqa: PLR0913 (what a run is begun with)
        self,
        spec: TrainSpec,
        data: "Prepared",
        *,
        name: str | None = None,
        code: str | None = None,
        line: str | None = None,
        choices: Choices = Choices(),  # noqa: B008 (frozen)
        facts: Facts | None = None,
        seconds: float = SECONDS,
    ) -> RunFolder:
        """A folder for a run that is about to start. Where the disk fails it warns, and training goes on without it.

        facts: where they are there already, instead of the four before. seconds: between two checkpoints inside an
        epoch, 0 for none at all.
        """
        facts = facts or new_facts(data, name, line, code, choices)
        while True:
            folder = RunFolder(self.root / "runs" / facts.id, facts, seconds=seconds)
            try:
                folder.claim()
            except FileExistsError:
                facts = replace(facts, id=new_id(datetime.now(UTC)))
                continue
            except OSError as error:
                folder.degrade(error)
            return folder

    def runs(self) -> list[RunInfo]:
        """Every run, newest first. A folder that cannot be read is in the list too, with state broken and a message."""
        found = [read_info(path) for path in self._folders()]
        return sorted(found, key=lambda info: (info.started, info.id), reverse=True)

    def unfinished(self) -> list[RunInfo]:
        """The runs that can be taken up again where they were cut, newest first."""
        return [run for run in self.runs() if run.state in UNFINISHED and place_of(run.path) is not None]

    def find(self, word: str) -> RunInfo:
        """The run that is meant: last, an id, a name (the newest with it), a number as `%nn_runs` shows it, or the
        unique beginning of an id or of its hex digits. StoreError with what is near."""
        runs = self.runs()
        if not runs:
            raise StoreError(f"there are no runs in {self.root}")
        if word == LAST:
            return runs[0]
        named = [info for info in runs if word in (info.id, info.name)]
        if named:
            return named[0]
        ids = {str(number): run for run, number in numbers(self.root).items()} if word.isdecimal() else {}
        if word in ids:
            return self._numbered(ids[word], word, runs)
        begun = [info for info in runs if any(part.startswith(word) for part in (info.id, info.id[-8:]))]
        if len(begun) == 1 and len(word) >= SHORTEST_PREFIX:
            return begun[0]
        if ids and len(word) < SHORTEST_PREFIX:
            raise StoreError(f"no run {word} in {self.root}: the newest is number {len(ids)}; %nn_runs lists them")
        if begun:
            shown = ", ".join(info.id for info in begun[:3])
            raise StoreError(
                f"{word!r} begins {len(begun)} runs ({shown}{', ...' if len(begun) > 3 else ''}); write more of it"
            )
        known = {word for info in runs for word in (info.id, info.name) if word} | {LAST}
        raise StoreError(f"no run {str(word)[:80]!r} in {self.root}{did_you_mean(word, known)}")

    @staticmethod
    def _numbered(run: str, word: str, runs: list[RunInfo]) -> RunInfo:
        """The run of a number, unless it was deleted."""
        for info in runs:
            if info.id == run:
                return info
        raise StoreError(f"run {word} ({run}) was deleted; %nn_runs --undo brings back what was deleted last")

    def load(self, word: str, model: Any = None) -> "Run":
        """The run with its pipeline and best weights, ready to predict. model: as for `Run.load`."""
        from nnlab.core.run import Run

        info = self.find(word)
        if info.state == "broken":
            raise StoreError(info.message)
        return Run.load(info.path, model)

    def study_folder(self, name: str) -> Path:
        """The folder of the study of this name, made if it is new. The name is a label and may be any text."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        folder = self.root / "studies" / "-".join(filter(None, (slug, digest)))
        try:
            files.make_folder(folder)
            if not (folder / LABEL).exists():
                files.write_json(folder / LABEL, {"name": name})
        except OSError as error:
            raise StoreError(f"the study's folder {folder} cannot be made: {error.strerror or error}") from error
        return folder

    def studies(self) -> list[str]:
        """The names of the studies, newest first; a folder that cannot be read is left out."""
        labels = sorted(
            self.root.glob(f"studies/*/{LABEL}"), key=lambda path: path.parent.stat().st_mtime, reverse=True
        )
        names = []
        for path in labels:
            try:
                names.append(str(files.read_json(path)["name"]))
            except (StoreError, KeyError):
                continue
        return names

    def _folders(self) -> list[Path]:
        """Folders of runs. An empty one is no run yet, or one whose process died before it began."""
        try:
            names = os.listdir(self.root / "runs")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"the store {self.root} cannot be read: {error.strerror or error}") from error
        folders = [self.root / "runs" / name for name in names if RUN_ID.fullmatch(name)]
        return [folder for folder in folders if _holds_something(folder)]


def _holds_something(folder: Path) -> bool:
    try:
        return not folder.is_dir() or bool(os.listdir(folder))
    except OSError:
        return True
