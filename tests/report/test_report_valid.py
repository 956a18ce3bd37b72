"""The pages are valid HTML: a strict parser takes them, and nothing is in them that HTML has given up."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import html5lib
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import nnlab
from nnlab.report.bundle import prepared_bundles, run_bundles, runs_bundles, study_bundles
from nnlab.report.document import document_of
from nnlab.report.page import page_of
from tests.test_hostile import PAYLOADS

TEMPLATES = Path(__file__).parents[2] / "jupyter-config" / "nbconvert" / "templates"
# https://html.spec.whatwg.org/multipage/obsolete.html#non-conforming-features
# fmt: off
OBSOLETE = {
    "applet", "acronym", "bgsound", "dir", "frame", "frameset", "noframes", "isindex", "keygen", "listing",
    "menuitem", "nextid", "noembed", "param", "plaintext", "rb", "rtc", "strike", "xmp", "basefont", "big", "blink",
    "center", "font", "marquee", "multicol", "nobr", "spacer", "tt",
}
GIVEN_UP = {
    "align", "bgcolor", "border", "cellpadding", "cellspacing", "valign", "nowrap", "hspace", "vspace", "char",
    "charoff", "axis", "abbr", "background", "clear", "compact", "frame", "rules", "noshade", "summary", "language",
    "link", "vlink", "alink", "text", "color", "face",
}
# fmt: on
SIZED = {"img", "svg", "video", "canvas", "iframe"}  # all that may say width and height
TEXT = """# A lab

## The data

<p align="center">in the middle</p>

|a|b|
|-:|:-|
|1|2|

## The data

> a *quotation* with `code`, $x^2$

```python
x = 1
```
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[nnlab.Prepared, nnlab.Run, nnlab.Study]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(120, 4)), columns=["a", *PAYLOADS[:3]])
    frame["kind"] = np.where(frame.a > 0, PAYLOADS[3], "no")
    data, store = nnlab.prepare(frame, "kind"), tmp_path_factory.mktemp("store")
    words = {"model": "mlp", "epochs": 2, "store": store}
    run = nnlab.fit(data, name="a name <of> a run", **words)
    study = nnlab.tune(data, trials=3, name="look", space=("lr=1e-3..1e-1 log", "dropout=0..0.5"), **words)
    return data, run, study


@pytest.fixture(scope="module")
def notebook(made: tuple[nnlab.Prepared, nnlab.Run, nnlab.Study]) -> nbformat.NotebookNode:
    data, run, study = made
    bundles = [*prepared_bundles(data), *run_bundles(run), *study_bundles(study), *runs_bundles([run, run])]
    outputs = [new_output("display_data", data=bundle.data, metadata=bundle.metadata) for bundle in bundles]
    outputs += [new_output("stream", name=name, text="a < b \x1b[31mred\x1b[0m") for name in ("stdout", "stderr")]
    outputs.append(new_output("error", ename="E", evalue="x", traceback=["a\x1b[31mb"]))
    return new_notebook(cells=[new_markdown_cell(TEXT), new_code_cell("%nn_train data\nx", outputs=outputs)])


def faults(page: str) -> list[str]:
    """What a validator would name: where the strict parser stops, obsolete elements and attributes, ids twice."""
    try:
        tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    except html5lib.html5parser.ParseError as error:
        return [f"not parsed: {error}"]
    found, ids = [], Counter[str]()
    for element in tree.iter():
        name = element.tag
        given_up = GIVEN_UP & set(element.attrib) - ({"abbr"} if name == "th" else set())
        given_up |= set() if name in SIZED else {"width", "height"} & set(element.attrib)
        found += [f"<{name}>"] * (name in OBSOLETE) + [f"<{name} {one}>" for one in sorted(given_up)]
        found += ["<img> without alt"] * (name == "img" and "alt" not in element.attrib)
        ids[element.get("id", "")] += 1
    return found + [
        f"id {name!r}" for name, count in ids.items() if name and (count > 1 or name != "".join(name.split()))
    ]


def test_the_check_finds_faults() -> None:
    page = "<!DOCTYPE html><html><head><title>x</title></head><body>{}</body></html>"
    assert not faults(page.format("<p>x</p>"))
    assert "not parsed" in faults(page.format("<p><table></p>"))[0]
    old = '<div id="a" align="left"><nobr id="a">x</nobr><table width="3"></table><img src="x"></div>'
    assert faults(page.format(old)) == ["<div align>", "<nobr>", "<table width>", "<img> without alt", "id 'a'"]


def test_a_report_file_is_valid(made: tuple[nnlab.Prepared, nnlab.Run, nnlab.Study]) -> None:
    _, run, study = made
    page = document_of([run, study, run]).html()
    assert faults(page) == []
    assert '<td class="to-right">' in page and '<span class="whole">' in page


def test_the_page_of_a_notebook_is_valid(notebook: nbformat.NotebookNode) -> None:
    page = page_of(notebook, "x")
    assert faults(page) == []
    assert '<p class="to-center">in the middle</p>' in page and '<td class="to-right">' in page


def test_a_page_by_the_template_alone_is_valid(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    notebook = nbformat.from_dict(
        {**notebook, "cells": notebook.cells[1:]}
    )  # nbconvert leaves people's own HTML as it is
    nbformat.write(notebook, tmp_path / "lab.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "nnlab", "lab.ipynb"]
    subprocess.run([*command, f"--TemplateExporter.extra_template_basedirs={TEMPLATES}"], cwd=tmp_path, check=True)
    page = (tmp_path / "lab.html").read_text("utf-8")
    assert faults(page) == []
    assert '<td class="to-right">' in page and '<span class="whole">' in page
