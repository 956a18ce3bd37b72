"""What `%nn_report` writes, and where."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError, SpecError, StoreError
from nnlab.core.wording import counted
from nnlab.magics import subjects
from nnlab.magics.scan import Word, plain, value_of
from nnlab.magics.text import Call

if TYPE_CHECKING:
    from nnlab.core.store.runs import Store
    from nnlab.report.document import Document

ALL = "all"
UNTITLED = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 60


def write_report(said: Call, own: Mapping[str, Any], names: Mapping[str, Any], store: "Store") -> Path:
    """Write the report that the line asks for and say where it lies. own: the options of the magic."""
    from nnlab.report.document import document_of, kind_of, write_document

    if own["out"] is not None:
        kind_of(Path(own["out"]))  # before anything is read or drawn
    things, left_out = _meant(said, own["limit"], names, store)
    document = document_of(things, own["title"])
    path = write_document(document, _target(own["out"], said, things))
    print(f"{_told(path, document)}{''.join(chr(10) + line for line in left_out)}")
    return path


def _meant(said: Call, limit: int, names: Mapping[str, Any], store: "Store") -> tuple[list[Any], list[str]]:
    """The runs and studies that are named, and what is said of those that `all` leaves out."""
    if not said.words:
        raise SpecError(
            "%nn_report needs runs or studies: variables, last, numbers, ids, names, or all; %nn_runs lists them"
        )
    if not _all(said):
        found = {id(thing): thing for thing in (_thing(word, names, store) for word in said.words)}
        return list(found.values()), []
    things, left_out = [], []
    for info in store.runs()[:limit]:
        try:
            things.append(store.load(info.id))
        except NNLabError as error:
            left_out.append(f"left out {info.name or info.id}: {error}")
    for name in store.studies()[:limit]:
        with contextlib.suppress(NNLabError):  # it has no trials yet, or its database is elsewhere
            things.append(_study(name, store))
    if not things:
        raise StoreError(f"there is nothing to report in {store.root}{''.join(f'; {line}' for line in left_out[:1])}")
    return things, left_out


def _thing(word: Word, names: Mapping[str, Any], store: "Store") -> Any:
    value = value_of(word, names)
    held = names.get(value) if isinstance(value, str) else value
    if subjects.is_a(held, ("nnlab", "Run"), ("nnlab", "Study")):
        return held
    name = str(plain(value, word.text))
    return _study(name, store) if name in store.studies() else store.load(name)


def _study(name: str, store: "Store") -> Any:
    from nnlab.core.tune.study import Study

    return Study.load(store.study_folder(name))


def _all(said: Call) -> bool:
    return [word.text for word in said.words] == [ALL]


def _target(out: str | None, said: Call, things: list[Any]) -> Path:
    if out is not None:
        return Path(out).expanduser()
    names = [ALL] if _all(said) else [str(thing.name or getattr(thing, "id", "")) for thing in things]
    name = UNTITLED.sub("-", "-".join(names)).strip("-.")
    if len(name) > LONGEST_NAME:  # what is cut away may be all that tells it from another report
        name = f"{name[:LONGEST_NAME]}-{hashlib.blake2s(name.encode(), digest_size=4).hexdigest()}"
    return Path(f"nnlab-report-{name or 'run'}.html")


def _told(path: Path, document: "Document") -> str:
    size = path.stat().st_size
    shown = f"{size / 1000:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"
    return f"report  {path}  ({counted(len(document.sections), 'section')}, {shown})"
