"""One JupyterLab and one page for all browser tests; each test opens a notebook of its own in it."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.browser import harness
from tests.widgets.live_kernel import PREPARED


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where the screenshots go, to be looked at; git ignores it."""
    folder = Path(__file__).parent / "shots"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Server]:
    """A JupyterLab that runs; without a browser the test is skipped, or fails if NNLAB_REQUIRE_BROWSER=1."""
    if lacking := harness.missing():
        if os.environ.get("NNLAB_REQUIRE_BROWSER") == "1":
            pytest.fail(f"browser tests are required, but these are not installed: {lacking}")
        pytest.skip(f"browser tests need {lacking}")
    with harness.jupyter_server(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="session")
def page(server: harness.Server) -> Iterator[Any]:
    """JupyterLab's page, loaded once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=harness.chromium(), args=harness.CHROMIUM_FLAGS)
        opened = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        harness.open_lab(opened, server)
        yield opened
        browser.close()


@pytest.fixture
def notebook(page: Any, server: harness.Server) -> Iterator[Callable[..., harness.Notebook]]:
    """Opens a new notebook: the set-up cell, which has run, then the given cells from number 1 on."""
    yield from _opener(server, lambda path: harness.Notebook(page, path))


@pytest.fixture(params=["JupyterLab", "Notebook 7"])
def anywhere(
    request: pytest.FixtureRequest, page: Any, server: harness.Server
) -> Iterator[Callable[..., harness.Notebook]]:
    """As `notebook`, in JupyterLab and in Notebook 7."""
    if request.param == "JupyterLab":
        yield from _opener(server, lambda path: harness.Notebook(page, path))
        return
    if importlib.util.find_spec("notebook") is None:
        pytest.skip("Notebook 7 is not installed")
    yield from _opener(server, lambda path: harness.Notebook7(page.context.new_page(), path, server.url))


def _opener(
    server: harness.Server, open_in: Callable[[Path], harness.Notebook]
) -> Iterator[Callable[..., harness.Notebook]]:
    opened: list[harness.Notebook] = []

    def make(*cells: str, run_setup: bool = True) -> harness.Notebook:
        path = harness.write_notebook(server.root / f"test-{uuid4().hex[:8]}.ipynb", [PREPARED, *cells])
        made = open_in(path)
        opened.append(made)
        if run_setup:
            made.run(0)
        return made

    yield make
    for made in opened:
        made.close()
