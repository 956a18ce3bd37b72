"""The playground in JupyterLab: a surface that is drawn anew while the net learns, layers on demand, a picture left."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import Notebook, set_theme, wait_for
from tests.widgets.live_kernel import ENDLESS

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]


def test_the_surface_moves_and_layers_are_shown(notebook: Open, shots: Path) -> None:
    opened = notebook(ENDLESS + " --playground b,c", "print(run.finished.reason)")
    opened.start(1)
    panel = opened.output(1)
    picture = panel.locator(".bqplot image").last
    wait_for(lambda: picture.count() and picture.get_attribute("href"), "the surface is drawn")
    first = picture.get_attribute("href")
    wait_for(lambda: picture.get_attribute("href") != first, "it is drawn anew")
    opened.press(1, "Layers")
    wait_for(lambda: "activations" in panel.inner_text(), "the layers are shown")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(opened.page, theme)
        panel.locator(".bqplot").last.scroll_into_view_if_needed()
        opened.page.wait_for_timeout(2500)
        opened.page.screenshot(path=shots / f"playground-{theme.split()[-1].lower()}.png")
    opened.press(1, "Stop")
    opened.wait_end(1)
    wait_for(lambda: panel.locator("img").count() == 2, "two pictures are left")
    panel.locator("img").last.scroll_into_view_if_needed()
    opened.page.screenshot(path=shots / "playground-static.png")
    saved = opened.saved().cells[1].outputs
    assert "y over b and c" in saved[-1].data["text/plain"]
    assert not any("widget" in kind for output in saved for kind in output.data)
    assert sum(len(str(value)) for output in saved for value in output.data.values()) < 200_000
