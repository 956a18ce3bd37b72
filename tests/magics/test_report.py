"""%nn_report, typed."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnlab.magics.reporting import _target
from nnlab.magics.text import parse
from tests.magics.conftest import Session


def test_runs_and_studies_are_written(prepared: Session) -> None:
    prepared.run("run = %nn_train data --model mlp --epochs 2 --name 'my run';")
    prepared.run("study = %nn_tune data --model mlp --epochs 1 --trials 2 --name look;")
    assert "report  nnlab-report-my-run.html  (1 section," in prepared.run("%nn_report run").stdout
    prepared.run("%nn_report 'my run' look --out both.md --title 'Both of them'")
    text = Path("both.md").read_text("utf-8")
    assert "report  nnlab-report-my-run-look.html  (2 sections," in prepared.run("%nn_report run study").stdout
    assert "<h1>Report of 1 run and 1 study</h1>" in Path("nnlab-report-my-run-look.html").read_text("utf-8")
    assert text.startswith("# Both of them\n") and "## Study look" in text and "## Run my run" in text
    prepared.run("%nn_report all --out all.html")
    html = Path("all.html").read_text("utf-8")
    assert "Run my run" in html and "Study look" in html


@pytest.mark.parametrize(
    ("names", "line", "file"),
    [
        (["a", "b"], "a b", "nnlab-report-a-b.html"),
        (["a"], "a", "nnlab-report-a.html"),
        (["a", "b"], "all", "nnlab-report-all.html"),
        (["a"], "all", "nnlab-report-all.html"),
        (["../x/é"], "a", "nnlab-report-x.html"),
        (["é"], "a", "nnlab-report-run.html"),
    ],
)
def test_the_file_is_named_for_what_is_in_it(names: list[str], line: str, file: str) -> None:
    assert _target(None, parse(line, None, "nn_report"), [SimpleNamespace(name=name) for name in names]) == Path(file)


def test_long_names_stay_apart() -> None:
    runs = [[SimpleNamespace(name=name) for name in ("x" * 80, last)] for last in "ab"]
    first, second = (_target(None, parse("1 2", None, "nn_report"), things) for things in runs)
    assert first != second and len(first.name) < 100


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%nn_report", "needs runs or studies: variables, last, numbers, ids, names, or all"),
        ("%nn_report all", "there is nothing to report in"),
        ("%nn_report data --out x.doc", "x.doc: a report is written as .html, .md or .pdf"),
    ],
)
def test_what_is_missing_is_said(prepared: Session, line: str, words: str) -> None:
    assert words in prepared.error(line)[1]
    assert not list(Path().glob("*.html"))


def test_what_the_data_chose_is_told_apart_from_what_was_typed(prepared: Session) -> None:
    prepared.run("run = %nn_train data --epochs 2;")
    prepared.run("%nn_report run --out r.md")
    text = Path("r.md").read_text("utf-8")
    assert re.search(
        r"\*\*chosen for the data:\*\* model realmlp.*; for \d+ training rows and \d+ columns of numbers", text
    )
    assert "| epochs | 2 | 32 |" in text and "| model | realmlp" not in text
    prepared.run("own = %nn_train data --model mlp --epochs 2;")
    prepared.run("%nn_report own --out own.md")
    assert "chosen for the data" not in Path("own.md").read_text("utf-8")
