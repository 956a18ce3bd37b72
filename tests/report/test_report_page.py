import base64
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nnlab.core.errors import RunError
from nnlab.report.bundle import run_bundles
from nnlab.report.page import page_of, write_page
from tests.report.reader import Reader
from tests.report.standins import HOSTILE, RunStandIn

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
TEMPLATES = Path(__file__).parents[2] / "jupyter-config" / "nbconvert" / "templates" / "nnlab"


def display(data: dict, metadata: dict | None = None) -> nbformat.NotebookNode:
    return new_output("display_data", data=data, metadata=metadata or {})


def notebook(
    *outputs: nbformat.NotebookNode, source: str = "%nn_train data", text: str = "# Report"
) -> nbformat.NotebookNode:
    return new_notebook(
        cells=[new_markdown_cell(text), new_code_cell(source, execution_count=1, outputs=list(outputs))]
    )


@pytest.fixture(scope="module")
def html() -> str:
    bundles = run_bundles(RunStandIn(), "%nn_train data --lr 0.01")
    return page_of(notebook(*(display(bundle.data, bundle.metadata) for bundle in bundles)), "quick start")


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    assert f'content="{POLICY}"' in html
    assert "<script" not in html and "<link" not in html and "<iframe" not in html
    assert not re.findall(r'(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', html)
    assert not re.findall(r"url\(|@import", html)
    assert "<title>quick start</title>" in html


def test_picture_verdict_and_tables_are_in_the_page(html: str) -> None:
    (source,) = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', html)
    assert base64.b64decode(source).startswith(b"\x89PNG")
    assert 'width="640"' in html
    for piece in (
        "<b>accuracy 0.9",
        "<table>",
        "<th",
        "<td",
        "<h4>",
        "<pre><code>%nn_train data --lr 0.01</code></pre>",
    ):
        assert piece in html, piece
    assert len(html) < 120_000


def test_code_is_folded_under_its_first_line() -> None:
    html = page_of(notebook(source="\nfirst = '<b>'\nsecond = 2"), "x")
    assert "<summary><code>first = '&lt;b&gt;'</code></summary>" in html
    assert "second" in Reader(html).text


@pytest.mark.parametrize("payload", [text for text in HOSTILE if text != "\ud800"])
def test_hostile_outputs_make_no_element(payload: str) -> None:
    outputs = [
        display(
            {"text/html": f"<p>{payload}</p><table><tr><td onclick='x()' style='color:red'>kept</td></tr></table>"}
        ),
        display({"text/markdown": payload, "text/plain": payload}),
        display({"image/png": f'"><script>{payload}</script>', "text/plain": payload}, {"image/png": {"alt": payload}}),
        display({"application/javascript": "alert(1)", "text/plain": payload}),
        display({"application/vnd.jupyter.widget-view+json": {"model_id": payload}, "text/plain": payload}),
        new_output("stream", name="stdout", text=payload),
        new_output("stream", name="stderr", text=payload),
        new_output("error", ename=payload, evalue=payload, traceback=[payload]),
    ]
    html = page_of(notebook(*outputs, source=payload, text=payload), payload)
    read = Reader(html)
    assert {"script", "svg", "iframe", "form", "object"}.isdisjoint(read.tags)
    assert not {name for name in read.attributes if name.startswith("on") or name == "style"}
    assert "javascript:" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', html))
    assert "kept" in read.text


def test_remote_pictures_are_not_fetched() -> None:
    html = page_of(notebook(text='![x](https://example.org/a.png) <img src="//example.org/b.png">'), "x")
    assert not re.findall(r'src="[^"]*example', html)


def test_the_source_of_a_dropped_style_or_script_is_not_shown() -> None:
    out = display({"text/html": "<style scoped>.x { color: red }</style><script>let a</script><p>table</p>"})
    text = Reader(page_of(notebook(out), "x")).text
    assert "color: red" not in text and "let a" not in text and "table" in text


def test_a_page_is_written_beside_its_notebook(tmp_path: Path) -> None:
    source = tmp_path / "a b.ipynb"
    nbformat.write(notebook(), source)
    assert write_page(source) == tmp_path / "a b.html"
    assert (tmp_path / "a b.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert write_page(source, tmp_path / "deep" / "r.html").is_file()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"cells": 3}', "\x00"])
def test_what_is_no_notebook_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(RunError, match=r"x\.ipynb"):
        write_page(path)
    with pytest.raises(RunError, match=r"missing\.ipynb"):
        write_page(tmp_path / "missing.ipynb")


def test_the_template_lies_where_the_wheel_takes_it_from() -> None:
    import tomllib

    project = tomllib.loads((TEMPLATES.parents[3] / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["jupyter-config/nbconvert/templates/nnlab"] == "share/jupyter/nbconvert/templates/nnlab"
    assert {path.name for path in TEMPLATES.iterdir()} == {"conf.json", "index.html.j2", "page.css"}
