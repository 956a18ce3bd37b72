"""`nnlab autoload`: magics in every kernel, and no kernel that does not start because of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnlab import autoload, cli

SEEN = """
import sys
print("nn_train" in get_ipython().magics_manager.magics["line"], "torch" in sys.modules, "neighbour" in globals(),
      [name for name in globals() if "nnlab" in name])
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment and a user of their own, the user with a startup file that comes after ours."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    neighbour = autoload.user_file().with_name("60-neighbour.py")
    neighbour.parent.mkdir(parents=True)
    neighbour.write_text("neighbour = 1")
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("options", [[], ["--user"]])
def test_on_and_off_leave_nothing_and_can_be_repeated(
    options: list[str], places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (places / "environment").mkdir()
    before = files(places)
    assert cli.main(["autoload", "status"]) == 0
    assert capsys.readouterr().out.startswith("off;")
    path = autoload.user_file() if options else autoload.environment_file()
    for _ in range(2):
        assert cli.main(["autoload", "on", *options]) == 0
        assert str(path) in capsys.readouterr().out
        assert [name for name in files(places) if name not in before and name.endswith(".py")] == [
            path.relative_to(places).as_posix()
        ]
    assert cli.main(["autoload", "status"]) == 0
    assert capsys.readouterr().out.startswith("on for every kernel of " + ("this user" if options else "the env"))
    assert cli.main(["autoload", "off"]) == 0
    assert files(places) == before
    assert cli.main(["autoload", "off"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "off: it was not on"


def test_a_file_of_somebody_else_is_left_alone(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    autoload.user_file().write_text("mine = 1")
    for command in (["on", "--user"], ["off"]):
        assert cli.main(["autoload", *command]) == 1
        assert "was not written by nnlab" in capsys.readouterr().err
    assert autoload.user_file().read_text() == "mine = 1"
    cli.main(["autoload", "status"])
    assert capsys.readouterr().out.startswith("off;")


def test_an_environment_that_cannot_be_written_is_told(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (places / "environment").write_text("a file where the folder should be")
    assert cli.main(["autoload", "on"]) == 1
    assert "--user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("nnlab", "seen", "told"),
    [
        (None, "True False True []", ""),
        ("raise RuntimeError('torn')", "False False True []", "nnlab could not be loaded (RuntimeError: torn)"),
        ("import no_such_package", "False False True []", "(ModuleNotFoundError: No module named 'no_such_package')"),
        ("raise SystemExit(3)", "False False True []", "(SystemExit: 3)"),
        ("", "False False True []", "could not be loaded (AttributeError"),
        ("absent", "False False True []", ""),
    ],
)
def test_ipython_starts_whatever_nnlab_is(nnlab: str | None, seen: str, told: str, places: Path) -> None:
    autoload.turn_on(for_user=True)
    environment = dict(os.environ)
    if nnlab == "absent":
        autoload.user_file().with_name("00-absent.py").write_text("import sys; sys.modules['nnlab'] = None")
    elif nnlab is not None:
        (places / "broken").mkdir()
        (places / "broken" / "nnlab.py").write_text(nnlab)
        environment["PYTHONPATH"] = str(places / "broken")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", SEEN]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=places, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == seen
    assert told in done.stderr if told else not done.stderr
