"""A real JupyterLab, which serves Notebook 7 too, on 127.0.0.1, driven by Playwright and an installed Chromium."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

TOKEN = "nnlab-test"
PATIENCE = 90.0  # seconds for anything that must happen; a slow machine is no failure
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/completer-extension:manager": {"providerTimeout": 1000 * PATIENCE},  # else a slow kernel is not heard
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


def chromium() -> str | None:
    """The browser: $NNLAB_CHROMIUM, Debian's, or one on the PATH."""
    for path in (os.environ.get("NNLAB_CHROMIUM"), "/usr/bin/chromium"):
        if path and Path(path).exists():
            return path
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def missing() -> str:
    """What is not installed of what a browser test needs; '' if all is there."""
    lacking = [name for name in ("playwright", "jupyterlab") if importlib.util.find_spec(name) is None]
    if chromium() is None:
        lacking.append("chromium (set NNLAB_CHROMIUM to its path)")
    return ", ".join(lacking)


@dataclass(frozen=True)
class Server:
    """A running JupyterLab."""

    url: str
    root: Path


@contextmanager
def jupyter_server(root: Path, home: Path) -> Iterator[Server]:
    """JupyterLab in the folder `root` with settings, trust and history of its own in `home`."""
    for name, values in SETTINGS.items():
        package, _, plugin = name.partition(":")
        file = home / "settings" / package / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port = _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
    command += [f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    command += ["--JupyterNotebookApp.expose_app_in_browser=True"]
    log = home / "server.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=_own_environment(home), cwd=root, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url, process, log), "JupyterLab starts")
        yield Server(url, root)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _own_environment(home: Path) -> dict[str, str]:
    """Nothing of the user's: a fresh home also means that no notebook is trusted yet."""
    folders = {
        "HOME": home,
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "MPLCONFIGDIR": home / "matplotlib",
    }
    environment = {k: v for k, v in os.environ.items() if k != "NNLAB_HOME"}
    environment |= {name: str(folder) for name, folder in folders.items()}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "JUPYTER_PLATFORM_DIRS": "0"}
    return environment


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
    try:
        with urllib.request.urlopen(f"{url}/api/status?token={TOKEN}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true value of condition(); AssertionError says what did not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds:.0f} s: {what}")


def write_notebook(path: Path, cells: list[str]) -> Path:
    """A new notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


class Notebook:
    """The notebook that is open in the page. Cells are counted from 0."""

    def __init__(self, page: Any, path: Path, *, kernel: bool = True) -> None:
        self.page, self.path = page, path
        self._closed = False
        how = {"path": path.name} | ({} if kernel else {"kernelPreference": {"shouldStart": False}})
        self._run("how => app.commands.execute('docmanager:open', how).then(() => 0)", how)
        self._wait_open()
        if kernel:
            self.wait_idle()

    def _wait_open(self) -> None:
        wait_for(
            lambda: self._run(
                "path => w && w.context && w.context.path === path && w.context.isReady && w.sessionContext.isReady",
                self.path.name,
            ),
            "the notebook opens",
        )

    def reload(self) -> None:
        """Load the page anew, as F5 does; what is not saved is lost."""
        self.page.goto(self.address())
        self.page.wait_for_function("() => window.jupyterapp")
        self._wait_open()

    def address(self) -> str:
        """Where the page is that shows this notebook."""
        return f"{_origin(self.page)}/lab/tree/{self.path.name}?token={TOKEN}"

    def _run(self, function: str, argument: Any = None) -> Any:
        """Evaluate a JavaScript function with `app` and the current widget `w` in reach."""
        names = "const app = window.jupyterapp, w = app.shell.currentWidget;"
        return self.page.evaluate(f"argument => {{ {names} return ({function})(argument); }}", argument)

    def wait_idle(self) -> None:
        """Until the kernel answers; the page's own dot says idle too early, and what is run then is dropped."""
        status = "() => { const s = w.sessionContext; return s.isReady && s.session && s.session.kernel.status; }"
        wait_for(lambda: self._run(status) == "idle", "the kernel becomes idle")

    def cell(self, number: int) -> Any:
        """Playwright's locator of a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number: int) -> Any:
        """Playwright's locator of all that a cell has put out."""
        return self.cell(number).locator(".jp-Cell-outputWrapper")

    def text(self, number: int) -> str:
        """The text of a cell's output."""
        output = self.output(number)
        return str(output.inner_text()) if output.count() else ""

    def set_source(self, number: int, source: str) -> None:
        """Replace what stands in a cell."""
        change = "([i, text]) => { w.content.widgets[i].model.sharedModel.setSource(text); }"
        self._run(change, [number, source])

    def start(self, number: int) -> None:
        """Run a cell and do not wait."""
        self._run(
            "i => { w.content.activeCellIndex = i; app.commands.execute('notebook:run-cell'); }",
            number,
        )

    def start_all(self) -> None:
        """Run All, and do not wait."""
        self._run("() => { app.commands.execute('notebook:run-all-cells'); }")

    def run(self, *numbers: int) -> None:
        """Run cells one after the other, each to its end."""
        for number in numbers:
            self.start(number)
            self.wait_end(number)

    def wait_end(self, number: int, seconds: float = PATIENCE) -> None:
        """Until the cell has its number and the page has drawn what came; text is put there by the frame."""
        prompt = self.cell(number).locator(".jp-InputPrompt")
        wait_for(lambda: prompt.inner_text().strip("[]: ").isdigit(), f"cell {number} ends", seconds)
        frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(f"() => {frame}.then(() => 0)")

    def press(self, number: int, name: str) -> None:
        """Press a button in a cell's output."""
        self.output(number).get_by_role("button", name=name).click()

    def has_kernel(self) -> bool:
        """Whether a kernel belongs to the notebook."""
        return bool(self._run("() => w.sessionContext.session && w.sessionContext.session.kernel"))

    def interrupt(self) -> None:
        """The square button."""
        self._run("() => { app.commands.execute('notebook:interrupt-kernel'); }")

    def saved(self) -> Any:
        """The notebook as it lies on the disk after saving."""
        self._run("() => w.context.save()")
        return nbformat.read(self.path, as_version=4)

    def close(self) -> None:
        """Close the tab, the kernel too; a second time nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._run("async () => { await w.sessionContext.shutdown(); await w.context.save(); w.close(); }")
        wait_for(lambda: self.page.locator(".jp-NotebookPanel").count() == 0, "the notebook closes")


class Notebook7(Notebook):
    """A notebook in a Notebook 7 page of its own, which is closed with it."""

    def __init__(self, page: Any, path: Path, origin: str) -> None:
        self.page, self.path, self._closed, self._url = page, path, False, origin
        self.reload()
        self.wait_idle()

    def address(self) -> str:
        """Where the page is that shows this notebook."""
        return f"{self._url}/notebooks/{self.path.name}?token={TOKEN}"

    def close(self) -> None:
        """Close the page, the kernel too; a second time nothing happens."""
        if self._closed:
            return
        self._closed = True
        self._run("async () => { await w.sessionContext.shutdown(); await w.context.save(); }")
        self.page.close()


# Where one control is from the one before is told at one moment, as what is above them may grow and shrink meanwhile.
FOCUSED = """() => {
  const at = document.activeElement, root = at.closest('.nnl'), style = getComputedStyle(at);
  if (root === null) return null;
  const place = at.getBoundingClientRect(), before = root.tabbed && root.tabbed.getBoundingClientRect();
  root.tabbed = at;
  const label = at.labels && at.labels.length ? at.labels[0].textContent : '';
  return {
    onward: !before || place.top >= before.bottom - 4 || place.left > before.left,  // a column may be beside another
    seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
    name: (at.getAttribute('aria-label') || label || at.innerText || '').trim(),
  };
}"""


def tabbed(page: Any, first: Any) -> list[str]:
    """The names of what the Tab key comes to in a panel from its first control on.

    AssertionError where one has no name, the focus is not seen, or the way goes backwards.
    """
    first.focus()
    names: list[str] = []
    while (stop := page.evaluate(FOCUSED)) is not None:
        assert stop["name"], f"what comes after {names[-1:]} has no name"
        assert stop["seen"], f"the focus is not seen on {stop['name']}"
        assert stop["onward"], f"{stop['name']} comes after {names[-1:]}"
        names.append(stop["name"])
        page.keyboard.press("Tab")
    return names


def _origin(page: Any) -> str:
    return str(page.evaluate("() => location.origin"))


def open_lab(page: Any, server: Server) -> None:
    """Load JupyterLab's page, once."""
    page.context.set_default_timeout(PATIENCE * 1000)  # of presses and looks too, also in other pages; else 30 s
    page.goto(f"{server.url}/lab?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-Launcher')")


def set_theme(page: Any, name: str) -> None:
    """'JupyterLab Light' or 'JupyterLab Dark'."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => 0)", name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
