import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import nnlab
from nnlab import cli
from nnlab.core.errors import RunError


def write(folder: Path, *cells: str) -> Path:
    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Small"), *map(new_code_cell, cells)]), path)
    return path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nnlab {nnlab.__version__}\n"  # what pip installed and what the package says


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_a_demo_leaves_notebook_and_report_and_prints_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, "import sys, os", "print(sys.executable)", "", "os.getcwd()")
    out = tmp_path / "deep" / "out"
    assert cli.demo(source, out) == 0
    executed = nbformat.read(out / "small.ipynb", as_version=4)
    assert executed.cells[2].outputs[0].text.strip() == sys.executable
    assert executed.cells[4].outputs[0].data["text/plain"] == repr(str(out))
    assert "<!DOCTYPE html>" in (out / "small.html").read_text()
    shown = capsys.readouterr()
    assert str(out / "small.ipynb") in shown.out and str(out / "small.html") in shown.out
    assert "3/3" in shown.err and "print(sys.executable)" in shown.err


def test_a_failing_cell_ends_with_one_line_and_keeps_what_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path, "print('before')", "raise ValueError('no\\x1b[31m\\nmore')", "print('after')")
    monkeypatch.setattr(cli, "example", lambda name: source)
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "nnlab: cell 3 failed: ValueError: no\\x1b[31m"
    cells = nbformat.read(tmp_path / "out" / "small.ipynb", as_version=4).cells
    assert cells[1].outputs[0].text == "before\n" and not cells[3].outputs
    assert (tmp_path / "out" / "small.html").is_file()


def test_a_kernel_that_dies_is_told(tmp_path: Path) -> None:
    source = write(tmp_path, "import os; os._exit(3)")
    with pytest.raises(RunError, match="kernel died"):
        cli.demo(source, tmp_path / "out")


def test_an_interrupt_ends_the_demo_and_keeps_what_ran(tmp_path: Path) -> None:
    source = write(tmp_path, "print('before')", "open('begun', 'w').close(); import time; time.sleep(100)")
    code = (
        "import pathlib, sys; from nnlab import cli; "
        f"cli.example = lambda name: pathlib.Path({str(source)!r}); sys.exit(cli.main(['demo', '--out', 'out']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out" / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == "nnlab: interrupted"
    assert "before" in (tmp_path / "out" / "small.ipynb").read_text()


def test_a_kernel_named_python3_of_another_python_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/no/such/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = nbformat.read(write(tmp_path, "1 + 1"), as_version=4)
    assert cli.execute(notebook, tmp_path, io.StringIO()) == ""
    assert notebook.cells[1].outputs[0].data["text/plain"] == "2"


def test_the_bar_is_one_line_on_a_terminal_and_a_line_a_cell_elsewhere() -> None:
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        bar = cli.ProgressBar(2, stream)
        bar(0, "first")
        bar(2, "done")
        bar.close()
    assert terminal.getvalue().count("\n") == 1 and terminal.getvalue().count("\r") == 2
    assert [line.split()[1] for line in log.getvalue().splitlines()] == ["0/2", "2/2"]


@pytest.mark.parametrize("command", [["demo"], ["demo", "--open"], ["report", "x.ipynb"]])
def test_missing_packages_are_named_with_the_remedy(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 1
    assert 'pip install "nnlab[lab]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Lab:
    """Stands in for a JupyterLab that the interrupt key reaches once before it is closed."""

    started: list[tuple[list[str], Path]] = []  # noqa: RUF012

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.started.append((command, cwd))
        self.pressed = False

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *error: object) -> None:
        assert error == (None, None, None)

    def wait(self) -> int:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return 0


def test_open_copies_once_and_starts_this_pythons_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", Lab)
    monkeypatch.setattr(Lab, "started", [])
    source = write(tmp_path, "1")
    out = tmp_path / "out"
    assert cli.open_lab(source, out) == 0
    (out / "small.ipynb").write_text("changed by the user")
    assert cli.open_lab(source, out) == 0
    assert (out / "small.ipynb").read_text() == "changed by the user"
    assert Lab.started == 2 * [([sys.executable, "-m", "jupyterlab", "small.ipynb"], out)]


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    source = write(tmp_path, "1")
    for command in (["demo", "--out", str(tmp_path / "file")], ["report", str(source), "--out", str(tmp_path)]):
        assert cli.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("nnlab: ") and str(tmp_path) in line


def test_report_writes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, "1")
    assert cli.main(["report", str(source)]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "small.html"
    assert cli.main(["report", str(tmp_path / "missing.ipynb")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_quick_start_is_found_and_an_unknown_example_named() -> None:
    assert cli.example(cli.QUICK_START).is_file()
    with pytest.raises(RunError, match=r"no-such\.ipynb"):
        cli.example("no-such.ipynb")
