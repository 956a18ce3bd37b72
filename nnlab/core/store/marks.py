"""Tags and a note that the user puts to a run: beside its files, and in no manifest, since they come after the run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nnlab.core.errors import SpecError, StoreError
from nnlab.core.store import files
from nnlab.core.store.locks import file_lock

FILE = "marks.json"
LOCK = "marks.lock"  # in the store's folder, so that two processes lose none of each other's tags
LONGEST_TAG = 60
LONGEST_NOTE = 2000


@dataclass(frozen=True)
class Marks:
    """The tags of a run, in the order in which they were given, and its note."""

    tags: tuple[str, ...] = ()
    note: str = ""


def marks_of(folder: Path | None) -> Marks:
    """What is written beside a run; nothing where there is none, or it cannot be read."""
    if folder is None or not (folder / FILE).exists():
        return Marks()
    try:
        plain = files.read_json(folder / FILE)
        return Marks(tuple(str(tag) for tag in plain["tags"]), str(plain["note"]))
    except (StoreError, LookupError, TypeError):
        return Marks()


def mark(folder: Path, tag: str | None = None, untag: str | None = None, note: str | None = None) -> Marks:
    """Add a tag, take one away, set the note ("" for none), and give what is then there.

    SpecError for a text that is no tag or too long, StoreError for a folder that cannot be written.
    """
    added = [checked_tag(tag)] if tag is not None else []
    if note is not None and len(note) > LONGEST_NOTE:
        raise SpecError(f"the note has {len(note):,} characters; at most {LONGEST_NOTE:,} are kept")
    try:
        with file_lock(folder.parent.parent / LOCK if folder.parent.name == "runs" else folder / LOCK):
            before = marks_of(folder)
            tags = tuple(dict.fromkeys(word for word in (*before.tags, *added) if word != untag))
            after = Marks(tags, before.note if note is None else note.strip())
            files.write_files({folder / FILE: files.seal({"tags": list(after.tags), "note": after.note})})
    except OSError as error:
        raise StoreError(f"run {folder.name} cannot be marked: {error.strerror or error}") from error
    return after


def keep_marks(folder: Path | None, target: Path) -> None:
    """Write the tags and the note of a run beside a copy of it."""
    marks = marks_of(folder)
    if marks != Marks():
        files.write_json(target / FILE, {"tags": list(marks.tags), "note": marks.note})


def checked_tag(text: str) -> str:
    """The tag; SpecError for a text that could not be told from a list or a line."""
    tag = text.strip()
    if not tag or len(tag) > LONGEST_TAG or not tag.isprintable() or "," in tag:
        raise SpecError(f"tag {text[:LONGEST_TAG]!r}: needed are 1 to {LONGEST_TAG} characters on one line, no comma")
    return tag


def known_tags(folders: Iterable[Path]) -> list[str]:
    """The tags of runs, each once."""
    return list(dict.fromkeys(tag for folder in folders for tag in marks_of(folder).tags))
