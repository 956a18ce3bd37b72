"""Widget, line of text or nothing: by what the front end can do, and said where it is not the widget."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nnlab.magics.front_end import front_end, touchable
from nnlab.magics.views import make_view


def shell(allow_stdin: bool = True, **names: Any) -> Any:
    return SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=allow_stdin), user_ns=names)


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """The modules that Colab's kernel has loaded; url: of the widget manager, once it is allowed."""

    def make(url: str | None) -> None:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        manager = ModuleType("google.colab.output._widgets")
        manager._installed_url = url  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "google.colab.output._widgets", manager)

    return make


def picked(word: str, ip: Any) -> str:
    live = object()
    view = make_view(word, False, ip, lambda fields: live)  # type: ignore[arg-type, return-value]
    return "live" if view is live else type(view).__name__


@pytest.mark.parametrize(
    ("ip", "name", "auto", "asked", "told"),
    [
        (SimpleNamespace(), "a terminal", "TextView", "TextView", "nnlab: no live view: a terminal shows no widgets"),
        (shell(False), "no front end", "SilentView", "SilentView", "nbclient, papermill or nbconvert runs"),
        (shell(False, __vsc_ipynb_file__="a.ipynb"), "no front end", "SilentView", "SilentView", "nobody is there"),
        (shell(__vsc_ipynb_file__="a.ipynb"), "VS Code", "live", "live", ""),
        (shell(), "Jupyter", "live", "live", ""),
    ],
)
def test_each_front_end_has_its_view(
    ip: Any, name: str, auto: str, asked: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert front_end(ip).name == name
    assert picked("auto", ip) == auto
    assert capsys.readouterr().out == ""
    assert picked("live", ip) == asked
    said = capsys.readouterr().out
    assert told in said and len(said.splitlines()) == bool(told)


def test_colab_is_live_once_its_user_allows_widgets(
    colab: Callable[[str | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    colab(None)
    assert picked("auto", shell()) == "TextView"
    assert "enable_custom_widget_manager()" in capsys.readouterr().out
    assert picked("live", shell()) == "live"  # who asks for it gets a try
    assert touchable(SimpleNamespace(ip=shell()), object())
    (told,) = capsys.readouterr().out.splitlines()
    assert "charts only once third-party widgets are allowed:  from google.colab import output; output." in told
    colab("https://example.org/manager.js")
    assert picked("auto", shell()) == "live"
    assert capsys.readouterr().out == ""
    assert picked("auto", shell(False)) == "SilentView"


def test_the_settings_say_which_view_it_is(session) -> None:  # type: ignore[no-untyped-def]
    def row() -> str:
        text = session.run("%nn_config").outputs[0].data["text/plain"]
        return next(line for line in text.splitlines() if line.startswith("view "))

    assert "auto: text in a terminal, as a terminal shows no widgets" in row()
    session.run("%nn_config --view none")
    assert row().split() == ["view", "none", "%config", "NNLab"]
