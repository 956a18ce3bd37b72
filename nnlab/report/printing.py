"""A page as PDF, printed by the browser that is there."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nnlab.core.errors import RunError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
QUIET = ("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
PATIENCE = 120.0  # seconds
_FOLDED = re.compile(r"<details(?![^>]*\sopen\b)(?=[\s>])")


def browser() -> str | None:
    """A browser that prints: $NNLAB_BROWSER, or Chromium, Chrome or Edge where they usually are."""
    return next(_browsers(), None)


def _browsers() -> Iterator[str]:
    if (named := os.environ.get("NNLAB_BROWSER")) and Path(named).exists():
        yield named
    yield from (path for path in map(shutil.which, NAMES) if path)
    yield from (path for path in PLACES if Path(path).exists())


def print_page(html: str, target: Path) -> None:
    """Print the page to target, with what is folded laid open.

    RunError that says what to do where no browser is found, or it fails.
    """
    program = browser()
    if program is None:
        raise RunError(
            "a PDF is printed by Chromium, Chrome or Edge, and none is found; install one, or name it by "
            f"NNLAB_BROWSER=/path, or write {target.stem}.html and print that"
        )
    # As root, in a container, Chromium has no sandbox to use; the page has neither script nor network.
    rootless = ["--no-sandbox"] if sys.platform == "linux" and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        page, printed = Path(folder) / "page.html", Path(folder) / "page.pdf"
        page.write_text(_FOLDED.sub("<details open", html), "utf-8", "backslashreplace")
        profile = f"--user-data-dir={folder}/profile"
        command = [program, *QUIET, *rootless, profile, "--no-pdf-header-footer", f"--print-to-pdf={printed}"]
        try:
            done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunError(f"{program} could not print the report: {str(error).partition(chr(10))[0]}") from error
        if not printed.is_file():
            why = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            raise RunError(f"{program} could not print the report: {why}")
        shutil.copyfile(printed, target)
