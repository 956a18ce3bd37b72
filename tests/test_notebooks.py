"""Executed notebooks: examples, a long run, papermill; what is saved must stand without kernel, script and style."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))
PNG = b"\x89PNG"


def notebook(*cells: str) -> Any:
    node = nbformat.v4.new_notebook()
    node.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    node.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return node


def executed(node: Any, folder: Path) -> Any:
    return NotebookClient(node, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()


def outputs(node: Any) -> list[Any]:
    return [output for cell in node.cells if cell.cell_type == "code" for output in cell.outputs]


def mimetypes(node: Any) -> set[str]:
    return {kind for output in outputs(node) for kind in output.get("data", {})}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_and_hold_no_widget(path: Path, tmp_path: Path) -> None:
    node = executed(nbformat.read(path, as_version=4), tmp_path)
    kinds = mimetypes(node)
    assert {"image/png", "text/html", "text/markdown", "text/plain"} <= kinds
    assert not any("widget" in kind for kind in kinds)
    assert not [output for output in outputs(node) if output.get("name") == "stderr"]


class Bare(HTMLParser):
    """Refuses what a sanitizer would strip and what could run."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style", "iframe", "object", "link"), tag
        for name, value in attrs:
            assert name not in ("class", "style", "id") and not name.startswith("on"), (tag, name)
            assert "javascript:" not in (value or "")


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, int]:
    """The notebook of a run of 1000 epochs, and its size in bytes as it is saved."""
    data = "frame = pd.DataFrame(np.random.default_rng(0).normal(size=(150, 4)), columns=list('abcy'))"
    train = "run = %nn_train data --epochs 1000 --patience none --hidden 8"
    node = notebook(
        f"%load_ext nnlab\nimport numpy as np, pandas as pd\n{data}", "data = %nn_preprocess frame --target y", train
    )
    folder = tmp_path_factory.mktemp("long")
    node = executed(node, folder)
    path = folder / "long.ipynb"
    nbformat.write(node, path)
    return node, path.stat().st_size


def test_a_long_run_is_saved_small_and_without_widgets(long_run: tuple[Any, int]) -> None:
    node, size = long_run
    assert size <= 200_000
    assert not any("widget" in kind for kind in mimetypes(node))
    shown = node.cells[2].outputs
    assert [sorted(output.data) for output in shown] == [
        ["image/png", "text/plain"],
        ["text/html", "text/markdown", "text/plain"],
    ]
    assert base64.b64decode(shown[0].data["image/png"]).startswith(PNG)
    assert "1,000 epochs" in shown[1].data["text/plain"]
    assert "widgets" not in json.dumps(node.metadata)


def test_its_tables_survive_a_sanitizer_that_strips_script_style_and_class(long_run: tuple[Any, int]) -> None:
    node, _ = long_run
    html = node.cells[2].outputs[1].data["text/html"]
    Bare().feed(html)
    stripped = re.sub(r"<(script|style)\b.*?</\1>|\s(class|style)=\"[^\"]*\"", "", html, flags=re.S)
    assert stripped == html
    assert "<table" in html and "rmse" in html


def test_its_chart_is_in_the_exported_html(long_run: tuple[Any, int]) -> None:
    from nbconvert import HTMLExporter

    node, _ = long_run
    page, _ = HTMLExporter().from_notebook_node(node)
    picture = node.cells[2].outputs[0].data["image/png"].replace("\n", "")
    assert picture[:200] in page.replace("\n", "")
    assert "<table" in page


@pytest.mark.filterwarnings("ignore::DeprecationWarning:papermill", "ignore::DeprecationWarning:ansicolors")
@pytest.mark.filterwarnings("ignore:.*datetime.datetime.utcnow.*:DeprecationWarning")
def test_papermill_runs_a_notebook_with_a_parameter(tmp_path: Path) -> None:
    import papermill

    node = notebook(
        "epochs = 1", "%load_ext nnlab\nfrom sklearn.datasets import load_iris\n(x, y) = load_iris(return_X_y=True)"
    )
    node.cells[0].metadata["tags"] = ["parameters"]
    node.cells += notebook(
        "data = %nn_preprocess x,y",
        "run = %nn_train data --epochs {epochs} --hidden 16 --background",  # which a program would not wait for
        "%nn_stop",
        "len(run.wait().history) if run.stop() is run else 0",
    ).cells
    nbformat.write(node, tmp_path / "in.ipynb")
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), {"epochs": 3}, cwd=str(tmp_path), progress_bar=False
    )
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert outputs(done)[-1].data["text/plain"] == "3"
    assert not any("widget" in kind for kind in mimetypes(done))
