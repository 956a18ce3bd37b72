"""The commit of the user's own work, read from git's files: no process is started for it."""

import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out where the folder lies; None where git knows none, or its files cannot be read."""
    try:
        top = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
        return _head(top / ".git") if top is not None else None
    except (OSError, UnicodeDecodeError):
        return None


def _head(git: Path) -> str | None:
    if git.is_file():  # a worktree or a submodule: the file says where its folder lies
        git = (git.parent / git.read_text().partition("gitdir:")[2].strip()).resolve()
    common = git / "commondir"
    shared = (git / common.read_text().strip()).resolve() if common.is_file() else git
    said = (git / "HEAD").read_text().strip()
    if not said.startswith("ref:"):
        return said if _HASH.fullmatch(said) else None
    name = said.partition("ref:")[2].strip()
    for place in (git, shared):
        if (place / name).is_file():
            found = (place / name).read_text().strip()
            return found if _HASH.fullmatch(found) else None
    packed = shared / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}") and _HASH.match(line)), None)
