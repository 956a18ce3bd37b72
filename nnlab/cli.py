"""The command `nnlab`: the quick start in one go, the report of any executed notebook, magics in every kernel."""

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nnlab import autoload
from nnlab.core.errors import NNLabError, RunError
from nnlab.report.html import visible

if TYPE_CHECKING:
    from nbformat import NotebookNode

QUICK_START = "01-quickstart.ipynb"
BAR = 24  # characters
LONGEST_LINE = 44
# nbclient answers Ctrl-C by ending the kernel, then fails over its absence in one of several ways; only this tells.
AFTER_SIGNAL = "_async_cleanup_kernel_future"
RUNS, CONVERTS, OPENS = ("nbclient", "ipykernel"), ("nbconvert", "nbformat"), ("jupyterlab",)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 if all went well, 1 with one line on stderr if not."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except (NNLabError, OSError) as error:  # an OSError names its path: a folder that cannot be written, a full disk
        print(f"nnlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nnlab: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nnlab", description="Neural networks in notebooks.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nnlab {version('nnlab')}")
    parser.set_defaults(run=lambda options: _help(parser))
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo_parser = verbs.add_parser("demo", help="run the quick-start notebook and write its report", allow_abbrev=False)
    demo_parser.add_argument("--open", action="store_true", help="open it in JupyterLab instead of running it")
    demo_parser.add_argument("--out", type=Path, default=Path("nnlab-demo"), metavar="DIR", help="default: nnlab-demo")
    demo_parser.set_defaults(run=_demo)
    report_parser = verbs.add_parser("report", help="turn an executed notebook into one file", allow_abbrev=False)
    report_parser.add_argument("notebook", type=Path)
    report_parser.add_argument("--out", type=Path, metavar="FILE", help=".html, .md or .pdf; default: .html beside it")
    report_parser.set_defaults(run=_report)
    autoload_parser = verbs.add_parser(
        "autoload", help="load the magics in every kernel, or no more", allow_abbrev=False
    )
    autoload_parser.add_argument("state", choices=["on", "off", "status"])
    autoload_parser.add_argument(
        "--user", action="store_true", help="on: for every environment of this user, not for this one alone"
    )
    autoload_parser.set_defaults(run=_autoload)
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _report(options: argparse.Namespace) -> int:
    require(*CONVERTS)
    from nnlab.report.page import write_page

    print(write_page(options.notebook, options.out))
    return 0


def _demo(options: argparse.Namespace) -> int:
    require(*(OPENS if options.open else RUNS + CONVERTS))
    notebook = example(QUICK_START)
    return open_lab(notebook, options.out) if options.open else demo(notebook, options.out)


def _autoload(options: argparse.Namespace) -> int:
    if options.state == "on":
        print(autoload.turn_on(options.user))
    else:
        print(autoload.turn_off() if options.state == "off" else autoload.status())
    return 0


def require(*packages: str) -> None:
    """RunError that says how to get the packages, if one of them is missing."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise RunError(f'this needs {" and ".join(missing)}; run: pip install "nnlab[lab]"')


def example(name: str) -> Path:
    """A notebook that ships with nnlab: inside the wheel, or beside the package in its repository."""
    package = Path(__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise RunError(f"the example {name} is not installed; reinstall nnlab")


def open_lab(notebook: Path, out: Path) -> int:
    """Copy the notebook to out, unless it is there already, and open JupyterLab on it until it is closed."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / notebook.name
    if not path.exists():
        shutil.copyfile(notebook, path)
    print(f"opening {path}")
    # The kernel of this Python comes first, whatever kernel of the same name the user has elsewhere.
    environment = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"}
    with subprocess.Popen([sys.executable, "-m", "jupyterlab", path.name], cwd=out, env=environment) as lab:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # it reached JupyterLab too, which asks whether to shut down
                return lab.wait()


def demo(notebook: Path, out: Path) -> int:
    """Execute the notebook in out, keep what ran even if a cell fails, and write the report; prints both paths."""
    import nbformat

    from nnlab.report.page import write_page

    out.mkdir(parents=True, exist_ok=True)
    cells = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    executed = out / notebook.name
    failure = ""
    try:
        failure = execute(cells, out, sys.stderr)
    finally:
        nbformat.write(cells, executed)  # type: ignore[no-untyped-call]
    report = write_page(executed)
    print(f"notebook  {executed.resolve()}\nreport    {report.resolve()}")
    if failure:
        raise RunError(failure)
    return 0


def execute(notebook: "NotebookNode", folder: Path, stream: TextIO) -> str:
    """Run all cells in place, in a kernel of this Python, with folder as its working directory.

    Gives '' or one line that says which cell failed; the outputs up to there are in the notebook.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    places = {cell.id: at for at, cell in enumerate(code)}
    show = ProgressBar(len(code), stream)

    def begin(cell: "NotebookNode", cell_index: int) -> None:
        if cell.id in places:
            show(places[cell.id], cell.source.strip().partition("\n")[0])

    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=None, resources=resources, kernel_manager_class=_this_python(), on_cell_start=begin
    )
    try:
        client.execute()
        show(len(code), "done")
    except CellExecutionError as error:
        return f"cell {_failed(notebook)} failed: {error.ename}: {visible(error.evalue).partition(chr(10))[0]}"
    except Exception as error:
        if hasattr(client, AFTER_SIGNAL):
            raise KeyboardInterrupt from error
        if isinstance(error, DeadKernelError):
            return "the kernel died; was there enough memory?"
        raise
    finally:
        show.close()
    return ""


def _failed(notebook: "NotebookNode") -> int:
    """Number of the first code cell with an error, counted from 1 among all cells."""
    for number, cell in enumerate(notebook.cells, 1):
        if any(output.output_type == "error" for output in cell.get("outputs", ())):
            return number
    return len(notebook.cells)


def _this_python() -> Any:
    """The class of a kernel that is this very Python; a kernel named python3 may belong to another one."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            # Only errors are logged: ipykernel's remarks on its own start would land in the middle of the bar.
            command = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="nnlab", language="python")

    return ThisPython


class ProgressBar:
    """One line that is written anew for each cell; where the stream is a file or a log, one line a cell."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._stream, self._live = total, stream, stream.isatty()
        self._began = time.perf_counter()

    def __call__(self, done: int, text: str) -> None:
        filled = BAR * done // max(self._total, 1)
        bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{self._total}"
        line = f"{bar}  {time.perf_counter() - self._began:3.0f} s  {text[:LONGEST_LINE]}"
        self._stream.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the line that was written last."""
        if self._live:
            self._stream.write("\n")


if __name__ == "__main__":
    sys.exit(main())
