"""The pictures of the README: python -m tests.browser.screenshots [PART ...]

Made in a real JupyterLab on the breast-cancer set of scikit-learn, and written to examples/pictures. PART is a word of
a picture's name, such as panel or dark: others are made as well, but not written.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from nnlab.report.html import esc
from tests.browser import harness

FOLDER = Path(__file__).parents[2] / "examples" / "pictures"
COLOURS = 96  # of a picture; text stays sharp, and a picture stays small
TALLEST = 900  # pixels: what a reader sees first
WHOLE = 2600  # of the window, so that an output is on it from its first line on
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
NARROW, WIDE = 430, 1180
CELLS = [
    """%load_ext nnlab
from sklearn.datasets import load_breast_cancer
frame = load_breast_cancer(as_frame=True).frame
frame["diagnosis"] = frame.pop("target").map({0: "malignant", 1: "benign"})
data = %nn_preprocess frame --target diagnosis;""",
    "%nn_panel data",
    "run = %nn_train data --model mlp --epochs 240 --lr 2e-3 --dropout 0.2 --patience none --name tumours",
    "study = %nn_tune data --trials 16 --epochs 12 --model mlp",
    "%nn_report run --out report.html",
    "other = %nn_train data --model mlp --epochs 240 --lr 5e-4 --dropout 0.2 --patience none --name careful;",
    "%nn_runs --explore",
]
# What is left of an output on GitHub: bare tags, the site's own look.
GITHUB = """<meta charset="utf-8"><style>body{{font:16px/1.5 -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;
color:#1f2328;max-width:900px;margin:24px auto;padding:0 24px}}table{{border-collapse:collapse;margin:0 0 16px;
display:block;overflow:auto;font-size:13px}}th,td{{border:1px solid #d1d9e0;padding:6px 13px}}tr:nth-child(2n){{
background:#f6f8fa}}pre{{background:#f6f8fa;padding:16px;border-radius:6px;font-size:13px;overflow:auto}}
img{{max-width:100%}}h4{{margin:24px 0 16px}}</style>{0}"""


@dataclass(frozen=True)
class Camera:
    """Writes pictures whose names hold one of the words; all if there are none."""

    words: tuple[str, ...]

    def take(self, element: Any, name: str) -> None:
        """A picture of a page or an element, with few colours and not too tall."""
        if self.words and not any(word in name for word in self.words):
            return
        shot = Image.open(io.BytesIO(element.screenshot())).convert("RGB")
        shot = shot.crop((0, 0, shot.width, min(shot.height, TALLEST)))
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{name}.png"
        shot.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name:28} {shot.width} x {shot.height}  {path.stat().st_size / 1000:6.1f} kB", flush=True)


def take_all(page: Any, server: harness.Server, camera: Camera) -> None:
    """Walk through one notebook and its report."""
    harness.open_lab(page, server)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    notebook = harness.Notebook(page, harness.write_notebook(server.root / "pictures.ipynb", CELLS))
    notebook.run(0, 1)
    harness.wait_for(lambda: notebook.output(1).get_by_role("button").count() > 3, "the panel is drawn")
    in_all_looks(notebook, 1, camera, "panel")
    notebook.start(2)
    lines = notebook.output(2).locator(".bqplot path.line")
    harness.wait_for(lambda: lines.count() > 3, "the curves are drawn")
    harness.wait_for(lambda: epoch(notebook) > 60, "some epochs are done")
    notebook.press(2, "Pause")
    in_all_looks(notebook, 2, camera, "live")
    notebook.press(2, "Resume")
    notebook.wait_end(2, 300)
    in_all_looks(notebook, 2, camera, "run")
    notebook.run(3, 4)
    in_all_looks(notebook, 3, camera, "study")
    notebook.saved()
    notebook.start(5)
    notebook.wait_end(5, 300)
    notebook.run(6)
    notebook.output(6).locator("select[multiple]").select_option(index=[0, 1])
    harness.wait_for(lambda: notebook.output(6).locator("img:visible").count() == 1, "the curves are there")
    in_all_looks(notebook, 6, camera, "runs")
    notebook.close()
    page.set_viewport_size({"width": 900, "height": TALLEST})
    page.set_content(github_like(nbformat.read(server.root / "pictures.ipynb", as_version=4).cells[2]))
    camera.take(page, "github-run")
    for scheme in THEMES:
        page.emulate_media(color_scheme=scheme)
        for width in (900, NARROW):
            page.set_viewport_size({"width": width, "height": TALLEST})
            page.goto((server.root / "report.html").as_uri())
            camera.take(page, f"report-{scheme}" if width > NARROW else f"report-{scheme}-narrow")


def epoch(notebook: harness.Notebook) -> int:
    """The epoch that the live view shows."""
    return int(notebook.output(2).locator(".nnl-fact b").first.inner_text().split("/")[0].replace(",", ""))


def in_all_looks(notebook: harness.Notebook, cell: int, camera: Camera, name: str) -> None:
    """Light, dark and narrow."""
    for look, width in (("dark", WIDE), ("light", WIDE), ("light", NARROW)):
        notebook.page.set_viewport_size({"width": width, "height": WHOLE})
        harness.set_theme(notebook.page, THEMES[look])
        output = notebook.output(cell).locator(".jp-Cell-outputArea")
        output.scroll_into_view_if_needed()
        notebook.page.wait_for_timeout(1200)
        camera.take(output, f"{name}-narrow" if width == NARROW else f"{name}-{look}")
    notebook.page.set_viewport_size({"width": WIDE, "height": TALLEST})


def github_like(cell: Any) -> str:
    """A cell's code and outputs as a page that strips styles, classes and scripts shows them."""
    parts = [f"<pre>{esc(cell.source)}</pre>"]
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            parts.append(f'<p><img src="data:image/png;base64,{data["image/png"].strip()}"></p>')
        elif "text/html" in data:
            parts.append(str(data["text/html"]))  # tests hold that it has nothing which would be stripped
    return GITHUB.format("\n".join(parts))


@contextmanager
def opened() -> Iterator[tuple[Any, harness.Server]]:
    """A page and a JupyterLab of its own."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=harness.chromium(), args=harness.CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": WIDE, "height": TALLEST})
        with harness.jupyter_server(Path(root), Path(home)) as server:
            yield page, server
        browser.close()


def main() -> int:
    """Make the pictures; prints one line each."""
    with opened() as (page, server):
        take_all(page, server, Camera(tuple(sys.argv[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
