"""%nn_report, typed."""

from pathlib import Path

import pytest

from tests.magics.conftest import Session


def test_runs_and_studies_are_written(prepared: Session) -> None:
    prepared.run("run = %nn_train data --model mlp --epochs 2 --name 'my run';")
    prepared.run("study = %nn_tune data --model mlp --epochs 1 --trials 2 --name look;")
    assert "report  nnlab-report-my-run.html  (1 section," in prepared.run("%nn_report run").stdout
    prepared.run("%nn_report 'my run' look --out both.md --title 'Both of them'")
    text = Path("both.md").read_text("utf-8")
    assert text.startswith("# Both of them\n") and "## Study look" in text and "## Run my run" in text
    prepared.run("%nn_report all --out all.html")
    html = Path("all.html").read_text("utf-8")
    assert "Run my run" in html and "Study look" in html


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
    assert "**chosen for the data:** model realmlp" in text
    assert "| epochs | 2 | 32 |" in text and "| model | realmlp" not in text
    prepared.run("own = %nn_train data --model mlp --epochs 2;")
    prepared.run("%nn_report own --out own.md")
    assert "chosen for the data" not in Path("own.md").read_text("utf-8")
