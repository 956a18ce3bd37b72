"""Hostile texts in JupyterLab itself, which renders Markdown and mathematics, and shows a widget's HTML as it is."""

import json
from collections.abc import Callable

import pytest

from tests.browser.harness import Notebook, wait_for
from tests.test_hostile import PAYLOADS, Made, classes, columns, differences, marks, names, panel, squeezed, visible
from tests.test_hostile import made as made

pytestmark = pytest.mark.browser

SHOW = """
import ipywidgets, json
from IPython.display import HTML, Markdown, display
kinds = {"html": HTML, "markdown": Markdown, "panel": ipywidgets.HTML}
for kind, source in json.load(open("NAME")):
    display(kinds[kind](source))
print("all is shown")
"""


def test_nothing_executes_in_a_page(notebook: Callable[..., Notebook], made: Made) -> None:
    opened = notebook(run_setup=False)
    sources = [(one.kind, one.source) for make in (columns, classes, names, marks, differences) for one in make(made)]
    sources = [(kind, source) for kind, source in sources if kind != "text"]
    sources += [("panel", one.source) for one in panel(made)]
    name = f"{opened.path.stem}.json"
    opened.path.with_name(name).write_text(json.dumps(sources))
    opened.page.evaluate("() => { window.hits = []; window.hit = number => window.hits.push(number); }")
    opened.set_source(0, SHOW.replace("NAME", name))
    opened.run(0)
    wait_for(lambda: "all is shown" in opened.text(0), "all is displayed")
    wait_for(lambda: opened.output(0).locator(".widget-html").count() == len(PAYLOADS), "the widgets are drawn")
    for payload in PAYLOADS:
        seen = squeezed(visible(payload))
        wait_for(lambda s=seen: squeezed(opened.output(0).inner_text()).count(s) >= 6, f"it is shown: {payload}")
    opened.page.wait_for_timeout(1000)  # for mathematics and pictures
    assert opened.page.evaluate("() => window.hits") == []
    shown = opened.output(0).locator(
        ":is(.jp-RenderedHTMLCommon, .widget-html) :is(mjx-container, script, svg, img, math)"
    )
    assert shown.evaluate_all("all => all.map(one => one.outerHTML.slice(0, 300))") == []
