"""Reports as files: HTML under a strict policy, Markdown with its pictures, PDF by a real browser."""

import re
import shutil
import subprocess
import urllib.parse
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import nnlab
from nnlab.core.errors import RunError, SpecError
from nnlab.core.store.commit import commit_of
from nnlab.report import printing
from nnlab.report.bundle import run_bundles, study_bundles
from nnlab.report.card import CARD, KEY, card_blocks, provenance, study_provenance
from nnlab.report.document import document_of, write_document
from nnlab.report.markdown import md
from nnlab.report.page import page_of, write_page
from tests.browser.harness import chromium
from tests.report.reader import Reader
from tests.report.standins import HOSTILE


@pytest.fixture(scope="module")
def data() -> nnlab.Prepared:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "kind": np.where(x[:, 0] > 0, "yes", "no")})
    return nnlab.prepare(frame, target="kind", seed=3)


@pytest.fixture(scope="module")
def run(data: nnlab.Prepared, tmp_path_factory: pytest.TempPathFactory) -> nnlab.Run:
    run = nnlab.fit(data, epochs=2, seed=7, name="first", model="mlp", store=tmp_path_factory.mktemp("store"))
    run.score(data.test)
    return run


def test_a_page_is_whole_and_loads_nothing(run: nnlab.Run, tmp_path: Path) -> None:
    path = write_document(document_of([run]), tmp_path / "deep" / "r.html")
    html = path.read_text("utf-8")
    assert "default-src 'none'" in html and "<script" not in html and "<link" not in html
    assert not re.findall(r'(?:src|href)\s*=\s*["\']?\s*(?:https?:)?//', html)
    assert html.count("data:image/png;base64,") == 1
    text = Reader(html).text
    assert f"accuracy {run.metrics['accuracy']:.4g}" in text
    for fact in provenance(run).values():
        assert fact in text
    assert "looked at once" in text and "split 3, run 7" in text


@pytest.fixture(scope="module")
def study(data: nnlab.Prepared, tmp_path_factory: pytest.TempPathFactory) -> nnlab.Study:
    words = {"name": "look", "model": "mlp", "epochs": 2, "seed": 7, "space": ("lr=1e-3..1e-1 log",)}
    return nnlab.tune(data, trials=3, store=tmp_path_factory.mktemp("store"), **words)


def test_a_study_has_the_card_of_its_winner_and_says_where_it_comes_from(
    study: nnlab.Study, run: nnlab.Run, tmp_path: Path
) -> None:
    loaded = nnlab.Study.load(study.path)
    page, text = document_of([loaded]), Reader(document_of([loaded]).html()).text
    assert f"Model card of the winner, trial {study.best_trial}" in text
    (card,) = card_blocks(loaded.best_run)
    assert all(value in text and md(value) in page.markdown("x")[0] for _, value in card.rows)  # type: ignore[attr-defined]
    told, of_run = study_provenance(loaded), provenance(run)
    assert all(value in text for value in told.values())
    assert told["winner"] == f"trial {study.best_trial}" and told["seeds"] == "split 3, search and runs 7"
    assert told["took"].endswith(" s of work, 3 trials") and told["began"].endswith(" UTC")
    for name in ("fingerprint of the data", "rows", "versions", "git commit", "computed on"):
        assert told.get(name) == of_run.get(name), name
    assert study_provenance(study) == told  # the winner in memory lies in no folder of its own
    assert html_order(page.html()) == ["best loss", "<img", "Best trials", "Model card", "Provenance"]


def test_a_winner_that_cannot_be_loaded_is_no_hindrance(study: nnlab.Study, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "look")
    for weights in (tmp_path / "look").glob("*/*.safetensors"):
        weights.unlink()
    loaded = nnlab.Study.load(tmp_path / "look")
    text = Reader(document_of([loaded]).html()).text
    assert "no model card:" in text and "Model card of" not in text
    told = study_provenance(loaded)
    assert {name: told[name] for name in ("versions", "git commit")} == {
        name: study_provenance(study)[name] for name in ("versions", "git commit")
    }


def html_order(html: str) -> list[str]:
    """What matters on the page of a study, in the order that it stands there."""
    words = ["Provenance", "Model card", "Best trials", "<img", "best loss"]
    return sorted(words, key=html.split("<h2>")[-1].index)


def test_the_verdict_of_a_run_stands_above_its_curves(run: nnlab.Run) -> None:
    html = document_of([run]).html()
    number = f"<b>accuracy {run.metrics['accuracy']:.4g}</b>"
    assert html.index(number) < html.index("<img") < html.index("<h4>Metrics") and html.count(number) == 1


def test_twenty_runs_stay_small_and_are_found_from_the_contents(run: nnlab.Run) -> None:
    runs = [replace(run, facts=replace(run.facts, name=f"run {at}")) for at in range(20)]
    html = document_of(runs, "Twenty").html()
    assert len(html.encode()) < 1_500_000
    links = re.findall(r'<a href="#([^"]+)"', html)
    assert len(links) == 21 and all(f'id="{name}"' in html for name in links)


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_names_are_shown_and_make_no_element(run: nnlab.Run, payload: str, tmp_path: Path) -> None:
    named = replace(run, facts=replace(run.facts, name=payload, line=f"%nn_train {payload}"))
    document = document_of([named], payload)
    write_document(document, tmp_path / "r.md")
    read = Reader(write_document(document, tmp_path / "r.html").read_text("utf-8"))
    assert {"script", "svg", "iframe", "form", "object"}.isdisjoint(read.tags)
    assert not {name for name in read.attributes if name.startswith("on")}


def test_markdown_has_its_pictures_beside_it_and_leaves_others_alone(run: nnlab.Run, tmp_path: Path) -> None:
    theirs = tmp_path / "r_files"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    for _ in range(2):
        write_document(document_of([run]), tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text("utf-8")
    (name,) = re.findall(r"\]\((r_files-2/[^)]+)\)", text)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
    assert "| metric | training | validation |" in text


def test_a_folder_of_any_name_is_found_from_markdown(run: nnlab.Run, tmp_path: Path) -> None:
    text = write_document(document_of([run]), tmp_path / "my report (1).md").read_text("utf-8")
    (address,) = re.findall(r"\]\((\S+/1-1\.png)\)\n", text)
    assert (tmp_path / urllib.parse.unquote(address)).is_file() and "(" not in address


def test_another_ending_is_refused(run: nnlab.Run, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"r\.docx: a report is written as \.html, \.md or \.pdf"):
        write_document(document_of([run]), tmp_path / "r.docx")


def test_a_browser_prints_it(run: nnlab.Run, tmp_path: Path) -> None:
    if chromium() is None or printing.browser() is None:
        pytest.skip("no browser is installed")
    path = write_document(document_of([run]), tmp_path / "r.pdf")
    data = path.read_bytes()
    assert data.startswith(b"%PDF") and len(data) > 10_000


def test_on_paper_nothing_is_folded(run: nnlab.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "browser"  # "prints" what it is given
    copies.write_text(
        "#!/bin/sh\n"
        "for word; do case $word in --print-to-pdf=*) out=${word#*=};; file://*) page=${word#file://};; esac; done\n"
        'cp "$page" "$out"\n'
    )
    copies.chmod(0o755)
    monkeypatch.setenv("NNLAB_BROWSER", str(copies))
    nbformat.write(executed(run), tmp_path / "lab.ipynb")
    html = write_page(tmp_path / "lab.ipynb", tmp_path / "lab.pdf").read_text("utf-8")
    folded = re.findall("<details[^>]*>", page_of(executed(run), "lab"))
    assert '<details class="code">' in folded
    printed = re.findall("<details[^>]*>", html)
    assert len(printed) == len(folded) and all(len(re.findall(r"\bopen\b", tag)) == 1 for tag in printed)


def test_without_a_browser_it_says_what_to_do(run: nnlab.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(printing, "PLACES", ())
    monkeypatch.delenv("NNLAB_BROWSER", raising=False)
    with pytest.raises(RunError, match=r"none is found; install one, or name it by NNLAB_BROWSER=/path"):
        write_document(document_of([run]), tmp_path / "r.pdf")
    monkeypatch.setenv("NNLAB_BROWSER", "/bin/false")
    with pytest.raises(RunError, match="could not print the report: it wrote nothing"):
        write_document(document_of([run]), tmp_path / "r.pdf")


def executed(run: nnlab.Run) -> nbformat.NotebookNode:
    outputs = [new_output("display_data", data=bundle.data, metadata=bundle.metadata) for bundle in run_bundles(run)]
    text = "# A lab\n\n## The data\n```\n## no heading\n```\n## The *run*\n\n### What `it` says"
    return new_notebook(cells=[new_markdown_cell(text), new_code_cell("%nn_train data", outputs=outputs)])


def test_the_template_lists_contents_and_where_runs_come_from(run: nnlab.Run) -> None:
    html = page_of(executed(run), "x")
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', html)
    assert [words for _, words in links] == ["The data", "The run", "What it says"]
    assert all(f'id="{name}"' in html for name, _ in links)
    assert run.fingerprint in Reader(html).text and 'id="provenance"' in html


def test_the_template_says_it_of_a_study_too(study: nnlab.Study) -> None:
    outputs = [
        new_output("display_data", data=bundle.data, metadata=bundle.metadata) for bundle in study_bundles(study)
    ]
    html = page_of(new_notebook(cells=[new_code_cell("%nn_tune data", outputs=outputs)]), "x")
    text = Reader(html).text
    assert "study look" in text and text.count("Model card") == 1 and "do not use for" in text
    assert all(value in text for value in study_provenance(study).values())
    assert html.index("<b>best loss") < html.index("<img")


def test_the_template_says_what_a_run_is_good_for(run: nnlab.Run) -> None:
    text = Reader(page_of(executed(run), "x")).text
    (card,) = card_blocks(run)
    for name, value in card.rows:  # type: ignore[attr-defined]
        assert name in text and value in text
    assert text.count("Model card") == 1 and "looked at once" in text


def test_of_a_run_that_is_shown_twice_the_newest_card_counts(run: nnlab.Run) -> None:
    notebook = executed(run)
    before = deepcopy(notebook.cells[1])
    before.id = "earlier"
    before.outputs[-1].metadata[KEY][CARD]["predicts"] = "out of date"
    notebook.cells.insert(1, before)
    html = page_of(notebook, "x")
    assert "out of date" not in html and html.count("do not use for") == 1 and html.count(run.fingerprint) == 1


def test_what_a_later_cell_may_do_is_not_denied(run: nnlab.Run) -> None:
    unscored = replace(run, path=None)
    assert "never scored" in str(document_of([unscored]).html())
    assert "on test rows" not in run_bundles(unscored)[-1].metadata[KEY][CARD]


def test_hostile_provenance_makes_no_element(run: nnlab.Run) -> None:
    notebook = executed(run)
    for payload in HOSTILE:
        if payload != "\ud800":
            notebook.cells[1].outputs.append(
                new_output(
                    "display_data",
                    data={"text/plain": "x"},
                    metadata={KEY: {payload: payload, "run": payload, CARD: {payload: payload}}},
                )
            )
    read = Reader(page_of(notebook, "x"))
    assert {"script", "svg", "iframe", "form", "object"}.isdisjoint(read.tags)
    assert not {name for name in read.attributes if name.startswith("on")}


def test_a_notebook_becomes_markdown_too(run: nnlab.Run, tmp_path: Path) -> None:
    source = tmp_path / "lab.ipynb"
    nbformat.write(executed(run), source)
    text = write_page(source, tmp_path / "lab.md").read_text("utf-8")
    assert "| metric | training | validation |" in text
    (name,) = re.findall(r"\]\((lab_files/[^)]+)\)", text)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_commit_is_gits(tmp_path: Path) -> None:
    def git(*words: str, folder: Path = tmp_path) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert commit_of(tmp_path) is None
    git("init", "-q")
    assert commit_of(tmp_path) is None  # no commit yet
    (tmp_path / "sub").mkdir()
    git("commit", "-q", "--allow-empty", "-m", "one")
    head = git("rev-parse", "HEAD")
    assert commit_of(tmp_path / "sub") == head
    git("pack-refs", "--all")
    assert commit_of(tmp_path) == head
    git("worktree", "add", "-q", str(tmp_path / "beside"), "-b", "other")
    git("commit", "-q", "--allow-empty", "-m", "two", folder=tmp_path / "beside")
    assert commit_of(tmp_path / "beside") == git("rev-parse", "other") != head
    git("checkout", "-q", "--detach")
    assert commit_of(tmp_path) == head
