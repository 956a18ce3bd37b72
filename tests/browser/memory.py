"""What the live view costs its page over time: python -m tests.browser.memory [DRAWINGS]

The panel is drawn as fast as the page can follow, so that a few minutes hold as many drawings as half an hour of a real
run (3,600). Prints heap, nodes and listeners of the page along the way, and how the heap grows by a straight line.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.browser import harness
from tests.widgets.live_kernel import ENDLESS, PREPARED

HALF_AN_HOUR = 3600  # drawings, two a second
QUICK = """
import threading
from nnlab.widgets import live
def draw_quickly(): live.DRAW_EVERY, live.REST = 0.03, 1
threading.Timer(15, draw_quickly).start()  # until then the run hastens on, so that the charts are full
"""
COUNT = """head => { window.drawings = 0; new MutationObserver(() => window.drawings += 1).observe(
    head, {childList: true}); }"""
CELLS = [PREPARED, QUICK, f"{ENDLESS} --model mlp --hidden 8"]
SETTLED = 1500  # epochs: from then on the charts hold as many points as they ever will


@dataclass(frozen=True)
class Sample:
    """After so many drawings: megabytes of the page's JavaScript heap, nodes of its documents, listeners."""

    drawings: int
    heap: float
    nodes: int
    listeners: int


def samples(notebook: harness.Notebook, drawings: int, times: int) -> Iterator[Sample]:
    """Watch the endless run of cell 2, which is drawn quickly by cell 1; so many looks at equal distances."""
    notebook.run(1)
    notebook.start(2)
    facts = notebook.output(2).locator(".nnl-facts")
    harness.wait_for(lambda: facts.count() and _epochs(facts) > SETTLED, "the charts are full", 600)
    notebook.output(2).locator(".widget-html-content:has(.nnl-facts)").evaluate(
        COUNT
    )  # which stays, unlike its content
    devtools = notebook.page.context.new_cdp_session(notebook.page)
    devtools.send("Performance.enable")
    for number in range(times):
        wanted = number * drawings // (times - 1)
        harness.wait_for(lambda wanted=wanted: _drawings(notebook) >= wanted, f"{wanted} drawings", 3600)
        yield _sample(devtools, _drawings(notebook))
    devtools.detach()
    notebook.press(2, "Stop")
    notebook.wait_end(2, 600)  # after so long a run its baselines have more time than a test waits


def _epochs(facts: Any) -> int:
    return int(facts.locator(".nnl-fact b").first.inner_text().split("/")[0].replace(",", ""))


def _drawings(notebook: harness.Notebook) -> int:
    return int(notebook.page.evaluate("() => window.drawings"))


def _sample(devtools: Any, drawings: int) -> Sample:
    """The least of three looks: a message on its way is no leak."""
    looks = []
    for _ in range(3):
        devtools.send("HeapProfiler.collectGarbage")
        values = {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}
        looks.append(
            Sample(drawings, values["JSHeapUsedSize"] / 1e6, int(values["Nodes"]), int(values["JSEventListeners"]))
        )
        time.sleep(0.2)
    return min(looks, key=lambda look: look.heap)


def growth(seen: Sequence[Sample]) -> float:
    """Megabytes of heap that half an hour adds, by the straight line through the samples."""
    slope = np.polyfit([one.drawings for one in seen], [one.heap for one in seen], 1)[0]
    return float(slope) * HALF_AN_HOUR


def main() -> int:
    """Print one line a sample, then the growth."""
    from playwright.sync_api import sync_playwright

    drawings = int(sys.argv[1]) if len(sys.argv) > 1 else HALF_AN_HOUR
    seen = []
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=harness.chromium(), args=harness.CHROMIUM_FLAGS)
        with browser.new_page() as page, harness.jupyter_server(Path(root), Path(home)) as server:
            harness.open_lab(page, server)
            notebook = harness.Notebook(page, harness.write_notebook(server.root / "memory.ipynb", CELLS))
            notebook.run(0)
            for look in samples(notebook, drawings, 13):
                seen.append(look)
                size = f"{look.heap:6.1f} MB  {look.nodes:6} nodes  {look.listeners:5} listeners"
                print(f"{look.drawings:5} drawings  {size}", flush=True)
            notebook.close()
        browser.close()
    print(f"growth in half an hour: {growth(seen):+.1f} MB; without the first quarter: {growth(seen[3:]):+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
