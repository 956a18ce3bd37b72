"""What a saved notebook holds, and what its readers see, with and without trust, with no kernel."""

from collections.abc import Callable
from typing import Any

import nbformat
import pytest

from tests.browser.harness import Notebook, Server, wait_for

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
        assert reader.output(1).locator("table").count() >= 1
        assert "model not found" not in reader.text(1)
        assert is_trusted(reader) is trusted
        assert not reader.has_kernel()
    finally:
        reader.close()


def is_trusted(notebook: Notebook) -> Any:
    """Whether JupyterLab runs what the outputs bring along."""
    return notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted")
