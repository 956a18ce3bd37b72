"""A run in the background in JupyterLab: the cell returns, the panel steers, and a page that is loaded again misses
nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import Notebook, set_theme, wait_for
from tests.browser.test_live import curve, state
from tests.widgets.live_kernel import ENDLESS

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]


def test_the_result_takes_the_place_of_the_panel_in_a_cell_that_has_returned(notebook: Open, shots: Path) -> None:
    opened = notebook(f"{ENDLESS} --mixup 0.2 --background", "print(run.alive)", "print(run.wait().state)")
    opened.run(1)
    first = wait_for(lambda: curve(opened, 1), "a curve is drawn in a cell that has returned")
    opened.run(2)
    assert "True" in opened.text(2)
    wait_for(lambda: curve(opened, 1) != first, "the curve moves while the kernel is idle")
    for theme in ("Dark", "Light"):
        set_theme(opened.page, f"JupyterLab {theme}")
        opened.output(1).screenshot(path=shots / f"background_{theme.lower()}.png")
    opened.press(1, "Stop")
    wait_for(lambda: opened.output(1).locator("img").count(), "the picture takes the panel's place")
    opened.run(3)
    assert "stopped" in opened.text(3)
    wait_for(lambda: not opened.output(1).locator(".jupyter-widgets").count(), "the panel is gone")
    opened.output(1).screenshot(path=shots / "background_ended.png")


def test_a_page_that_is_loaded_again_attaches_to_the_run(notebook: Open, shots: Path) -> None:
    opened = notebook(f"{ENDLESS} --background", "%nn_attach", "%nn_attach")
    opened.run(1)
    wait_for(lambda: curve(opened, 1), "a curve is drawn")
    opened.saved()
    opened.reload()
    opened.run(2)
    first = wait_for(lambda: curve(opened, 2), "the panel is shown in the new page")
    wait_for(lambda: curve(opened, 2) != first, "and it moves")
    assert state(opened, 2).startswith("training")
    opened.press(2, "Stop")
    wait_for(lambda: opened.output(2).locator("img").count(), "its result is shown")
    opened.run(3)
    wait_for(lambda: opened.output(3).locator("img").count() == 1, "and shown again")
