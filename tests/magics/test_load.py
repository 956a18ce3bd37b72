"""Loading the extension is light, leaves nothing behind, and can be done twice."""

import subprocess
import sys
from pathlib import Path

from IPython.core.completer import provisionalcompleter

from nnlab.magics import SUMMARIES

SCRIPT = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nnlab")
heavy = ("numpy", "torch", "pandas", "ipywidgets", "optuna", "bqplot", "matplotlib")
print([name for name in heavy if name in sys.modules])
import nnlab
print(nnlab.__version__, sorted(set(nnlab.__all__) - set(dir(nnlab))))
"""


def test_load_is_light(tmp_path: Path) -> None:
    env = {"IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=env)
    heavy, names = done.stdout.splitlines()
    assert heavy == "[]"
    assert names == "0.1.0 []"


def state(shell) -> tuple[object, ...]:  # type: ignore[no-untyped-def]
    formatter = shell.display_formatter.ipython_display_formatter
    return (
        [name for kind in ("line", "cell") for name in shell.magics_manager.magics[kind] if name.startswith("nn_")],
        [matcher.__qualname__ for matcher in shell.Completer.custom_matchers],
        [type(item).__name__ for item in shell.configurables],
        sorted(formatter.deferred_printers),
        sorted(kind.__qualname__ for kind in formatter.type_printers),
        len(shell.events.callbacks["pre_run_cell"]),
    )


def test_unload_leaves_nothing_and_reload_adds_nothing(prepared) -> None:  # type: ignore[no-untyped-def]
    shell = prepared.shell
    prepared.run("data")  # the deferred formatter of Prepared becomes a real one
    shell.run_line_magic("unload_ext", "nnlab")
    bare = state(shell)
    assert bare[0] == []
    assert "NNLab" not in str(bare)
    shell.run_line_magic("load_ext", "nnlab")
    once = state(shell)
    shell.run_line_magic("reload_ext", "nnlab")
    shell.run_line_magic("reload_ext", "nnlab")
    assert state(shell) == once
    assert len(once[0]) == 2 * len(SUMMARIES)
    shell.run_line_magic("unload_ext", "nnlab")
    assert state(shell) == bare
    shell.run_line_magic("load_ext", "nnlab")


def test_ipython_completes_through_the_matcher(session) -> None:  # type: ignore[no-untyped-def]
    for text, word in (("%nn_", "%nn_train"), ("run = %nn_tr", "%nn_train"), ("%nn_train d --opt", "--optimizer")):
        with provisionalcompleter():
            found = list(session.shell.Completer.completions(text, len(text)))
        assert [text[: item.start] + item.text for item in found if item.text == word] != []


def test_nothing_of_ours_is_nothing_at_all(session) -> None:  # type: ignore[no-untyped-def]
    for text in (
        "%nn_train d --name ",
        "%nn_load last --model ",
        "%nn_train --help nothing_",
        "%nn_train d --threads ",
    ):
        with provisionalcompleter():
            found = list(session.shell.Completer.completions(text, len(text)))
        assert len(found) <= 1, text
    with provisionalcompleter():
        text = "%nn_train d --hidden "
        assert [item.text for item in session.shell.Completer.completions(text, len(text))] == ["256,256,256"]


def test_settings_appear_in_config(session) -> None:  # type: ignore[no-untyped-def]
    assert "NNLab" in session.run("%config").stdout
    assert "defaults" in session.run("%config NNLab").stdout
