"""An evaluation explored in JupyterLab: a press gives rows, the slider moves the point, Close leaves a picture."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import Notebook, set_theme, tabbed, wait_for

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]
CELLS = (
    "run = %nn_train data --epochs 4 --hidden 8 --no-baseline --view none;",
    "found = %nn_evaluate run --explore",
    "print(int(found.confusion.loc['no', 'yes']), found.confused('no', 'yes').index[0])\n"
    "import ipywidgets, time\nleft, end = ipywidgets.widgets.widget._instances, time.monotonic() + 60\n"
    "while left and time.monotonic() < end:  # a press may be answered in another thread, which is not done yet\n"
    "    time.sleep(0.05)\nprint(len(left))",
)


def rows(opened: Notebook) -> list[str]:
    """The first column of the table of rows."""
    table = opened.output(2).locator("table.nnl-table").last
    return list(table.locator("td:first-child").all_inner_texts())


def test_a_press_gives_rows_and_the_slider_moves_the_point(notebook: Open, shots: Path) -> None:
    opened = notebook(*CELLS)
    opened.run(1, 2)
    panel = opened.output(2)
    cell = panel.locator("button[title*='rows of no predicted as yes']")
    wait_for(lambda: cell.count() == 1, "the matrix is there")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(opened.page, theme)
        opened.page.wait_for_timeout(400)
        opened.page.screenshot(path=shots / f"explorer-{theme.split()[-1].lower()}.png")
    names = tabbed(opened.page, panel.get_by_role("button", name="Close"))
    assert {"class", "threshold"} <= set(names) and names.index("class") < names.index("threshold")
    count = int(cell.inner_text())
    cell.click()
    wait_for(lambda: "no predicted as yes" in panel.inner_text() and len(rows(opened)) == min(count, 20), "its rows")
    numbers = panel.locator("table.nnl-table").first
    before = numbers.inner_text()
    dot = panel.locator(".bqplot .object_grp, .bqplot .dot_grp").first
    place = dot.get_attribute("transform")
    panel.locator(".widget-slider .noUi-handle").first.focus()
    for _ in range(25):
        opened.page.keyboard.press("ArrowRight")
    wait_for(lambda: numbers.inner_text() != before, "the table follows the slider")
    wait_for(lambda: dot.get_attribute("transform") != place, "the point moves")
    first = rows(opened)[0]
    opened.press(2, "Close")
    wait_for(lambda: panel.locator("img").count() == 2 and not panel.locator(".nnl").count(), "pictures are left")
    opened.run(3)
    assert opened.text(3).split() == [str(count), first, "0"]
    saved = opened.saved().cells[2].outputs
    assert not any("widget" in kind for output in saved for kind in output.data)
