"""One JupyterLab and one page for all browser tests; each test opens a notebook of its own in it."""

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
    opened: list[harness.Notebook] = []

    def make(*cells: str, run_setup: bool = True) -> harness.Notebook:
        path = harness.write_notebook(server.root / f"test-{uuid4().hex[:8]}.ipynb", [PREPARED, *cells])
        made = harness.Notebook(page, path)
        opened.append(made)
        if run_setup:
            made.run(0)
        return made

    yield make
    for made in opened:
        made.close()
