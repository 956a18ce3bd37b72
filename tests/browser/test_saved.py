"""What a saved notebook holds, and what its readers see, with and without trust, with no kernel."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

from tests.browser.harness import Notebook, Server, wait_for, write_notebook
from tests.widgets.live_kernel import ENDLESS, PREPARED

pytestmark = pytest.mark.browser

SHORT = "run = %nn_train data --epochs 120 --patience none"
Open = Callable[..., Notebook]


@pytest.fixture
def saved(notebook: Open) -> Notebook:
    """A notebook whose run is over, saved."""
    opened = notebook(SHORT)
    opened.run(1)
    opened.saved()
    return opened


def test_the_outputs_are_static(saved: Notebook) -> None:
    outputs = [o for o in saved.saved().cells[1].outputs if o.output_type == "display_data"]
    assert [set(o.data) for o in outputs] == [{"image/png", "text/plain"}, {"text/html", "text/markdown", "text/plain"}]
    assert "widget-view" not in saved.path.read_text()
    assert saved.path.stat().st_size < 200_000


@pytest.mark.parametrize("trusted", [True, False])
def test_a_reader_without_kernel_sees_chart_and_table(saved: Notebook, server: Server, trusted: bool) -> None:
    path = saved.path
    if not trusted:  # a notebook that came from elsewhere: its signature is not known here
        foreign = nbformat.read(path, as_version=4)
        foreign.cells[1].source += "  # from another machine"
        path = server.root / f"foreign-{path.name}"
        nbformat.write(foreign, path)
    saved.close()
    reader = Notebook(saved.page, path, kernel=False)
    try:
        picture = reader.output(1).locator("img")
        wait_for(lambda: picture.count() == 1 and picture.evaluate("e => e.naturalWidth") > 100, "the chart is shown")
        wait_for(reader.output(1).locator("table").count, "the table is shown")
        assert "model not found" not in reader.text(1)
        assert is_trusted(reader) is trusted
        assert not reader.has_kernel()
    finally:
        reader.close()


def is_trusted(notebook: Notebook) -> Any:
    """Whether JupyterLab runs what the outputs bring along."""
    return notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted")


LEFT_OPEN = {
    "%nn_panel data": ["run = %nn_train data"],
    "%nn_evaluate run --explore": ["An evaluation was being explored here"],
    "%nn_runs --explore": ["Runs were being looked through here", "kept"],
    ENDLESS: ["Training: epoch ", "validation loss"],
}
DEAD = ("Error displaying widget", "Loading widget", "model not found")


@pytest.fixture(scope="module")
def left_open(page: Any, server: Server) -> Iterator[Path]:
    """A notebook that was saved while a panel, both explorers and a run were open, and whose kernel is gone."""
    first = "run = %nn_train data --epochs 2 --hidden 8 --no-baseline --name kept;\n"
    quick = "from nnlab.widgets import live; live.STAND_IN_EVERY = 0.5"
    path = write_notebook(server.root / "left-open.ipynb", [PREPARED + first + quick, *LEFT_OPEN])
    opened = Notebook(page, path)
    opened.run(0, 1, 2, 3)
    opened.start(4)
    for cell in range(1, 5):
        drawn = opened.output(cell).locator(".nnl")
        wait_for(lambda drawn=drawn: drawn.count() == 1, f"the widget of cell {cell} is drawn")
    wait_for(lambda: opened.output(4).locator(".nnl-table").count(), "the run has a table")
    for cell, words in enumerate(LEFT_OPEN.values(), 1):
        wait_for(
            lambda cell=cell, words=words: all(word in str(opened.saved().cells[cell].outputs) for word in words),
            f"cell {cell} has its note",
        )
        assert opened.output(cell).locator(".nnl-note").count() == 1 and words[0] not in visible(opened, cell)
    pictures = opened.output(2).locator("img")
    assert pictures.count() == 2
    wait_for(lambda: opened.output(2).locator("img:visible").count() == 1, "the first is for readers")
    opened.saved()
    kept = path.read_bytes()
    opened.interrupt()
    opened.wait_end(4)
    opened.close()
    path.write_bytes(kept)
    yield path


def visible(notebook: Notebook, cell: int) -> str:
    """What a person can read of a cell's output, the contents of fields left out."""
    return " ".join(notebook.output(cell).inner_text().split())


@pytest.mark.parametrize("reader", ["trusted", "foreign", "new kernel"])
def test_a_notebook_saved_while_widgets_are_open_shows_what_they_said(
    page: Any, server: Server, left_open: Path, reader: str, shots: Path
) -> None:
    path = left_open
    if reader == "foreign":
        foreign = nbformat.read(path, as_version=4)
        foreign.cells[1].source += "  # from another machine"
        path = server.root / "foreign-left-open.ipynb"
        nbformat.write(foreign, path)
    opened = Notebook(page, path, kernel=reader == "new kernel")
    try:
        assert is_trusted(opened) is (reader != "foreign")
        for cell, words in enumerate(LEFT_OPEN.values(), 1):
            wait_for(lambda cell=cell, words=words: words[0] in visible(opened, cell), f"{words[0]} is shown")
            assert all(word in visible(opened, cell) for word in words)
        page.wait_for_timeout(1500)  # until the widget manager has given up
        assert not any(word in visible(opened, cell) for word in DEAD for cell in range(1, 5))
        pictures = opened.output(2).locator("img:visible")
        wait_for(lambda: pictures.count() == 2, "both charts are shown")
        assert pictures.first.evaluate("e => e.offsetWidth") > 100
        page.set_viewport_size({"width": 1280, "height": 3000})
        page.screenshot(path=shots / f"left_open_{reader.replace(' ', '_')}.png")
        page.set_viewport_size({"width": 1280, "height": 900})
    finally:
        opened.close()


def test_other_renderers_show_it_too(left_open: Path) -> None:
    html, _ = HTMLExporter().from_filename(left_open)
    text = " ".join(BeautifulSoup(html, "html.parser").get_text(" ").split())
    assert all(word in text for words in LEFT_OPEN.values() for word in words)
    assert "image/png;base64" in html and "widget-view" not in html
    for cell in nbformat.read(left_open, as_version=4).cells[1:]:
        assert sum(len(str(value)) for output in cell.outputs for value in output.data.values()) < 200_000


def test_a_run_that_ends_in_a_page_loaded_anew_leaves_its_result_there(notebook: Open, shots: Path) -> None:
    opened = notebook(ENDLESS, "print(run.finished.reason)")
    opened.start(1)
    wait_for(lambda: opened.output(1).locator(".bqplot path.line").count(), "a curve is drawn")
    opened.saved()
    opened.reload()
    wait_for(lambda: opened.output(1).locator(".nnl-facts").count() == 1, "the panel is drawn anew")
    opened.press(1, "Stop")
    wait_for(lambda: opened.output(1).locator("img").count() == 1, "the picture takes the place of the panel")
    wait_for(opened.output(1).locator("table").count, "and the table that of its note")
    assert "Training: epoch" not in visible(opened, 1)
    opened.page.screenshot(path=shots / "ended_after_reload.png")
    opened.run(2)
    assert "stopped" in opened.text(2)
