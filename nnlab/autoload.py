"""`nnlab autoload`: one startup file of IPython, which loads the magics in every kernel that reads it."""

import contextlib
import sys
from pathlib import Path

from nnlab.core.errors import RunError
from nnlab.core.store.files import write_file

FILE = "50-nnlab.py"
MARK = b"# nnlab autoload:"  # how a file of ours begins


def environment_file() -> Path:
    """What every kernel of this Python reads, whoever starts it."""
    return Path(sys.prefix) / "etc" / "ipython" / "startup" / FILE


def user_file() -> Path:
    """What every kernel of this user reads, of whatever Python; one without nnlab passes it over."""
    from IPython.paths import get_ipython_dir

    return Path(get_ipython_dir()) / "profile_default" / "startup" / FILE


def turn_on(for_user: bool) -> str:
    """Write the file, unless it is there; gives a line. for_user: see `user_file`; else this environment's."""
    path = user_file() if for_user else environment_file()
    _must_be_ours(path)
    new = _startup_code()
    if not path.is_file() or path.read_bytes() != new:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, new)
        except OSError as error:
            other = "" if for_user else "; `nnlab autoload on --user` needs no right to write there"
            raise RunError(f"{path} cannot be written: {error.strerror}{other}") from error
    return f"on: every kernel of {_whose(path)} started from now on has the magics ({path})"


def turn_off() -> str:
    """Delete the files that are ours; gives a line."""
    gone = []
    for path in (environment_file(), user_file()):
        if path.exists():
            _must_be_ours(path)
            path.unlink()
            gone.append(str(path))
            _delete_empty(path.parent)
    return f"off: deleted {' and '.join(gone)}" if gone else "off: it was not on"


def status() -> str:
    """A line for each file of ours; one that says how to turn it on if there is none."""
    found = [
        path for path in (environment_file(), user_file()) if path.is_file() and path.read_bytes().startswith(MARK)
    ]
    lines = [f"on for every kernel of {_whose(path)} ({path})" for path in found]
    return "\n".join(lines) or "off; `nnlab autoload on` loads the magics in every kernel"


def _whose(path: Path) -> str:
    return f"the environment {sys.prefix}" if path == environment_file() else "this user"


def _must_be_ours(path: Path) -> None:
    if path.exists() and not path.read_bytes().startswith(MARK):
        raise RunError(f"{path} was not written by nnlab, so it is left as it is; rename it or delete it")


def _delete_empty(folder: Path) -> None:
    """Folders of the environment that nothing is in any more; IPython makes its own again when it starts."""
    with contextlib.suppress(OSError):
        while folder.is_relative_to(sys.prefix) and folder != Path(sys.prefix):
            folder.rmdir()
            folder = folder.parent


def _startup_code() -> bytes:
    """The file that ships with nnlab: inside the wheel, or beside the package in its repository."""
    package = Path(__file__).parent
    for folder in (package, package.parent / "jupyter-config" / "ipython" / "startup"):
        if (folder / FILE).is_file():
            return (folder / FILE).read_bytes()
    raise RunError(f"{FILE} is not installed; reinstall nnlab")
