"""%nn_diff and %nn_runs as they are typed."""

from pathlib import Path

import pytest

from nnlab.core.difference import Difference
from nnlab.core.store import files
from nnlab.core.store.marks import mark, marks_of
from nnlab.core.store.owner import current_owner
from nnlab.magics.complete import complete
from tests.magics.conftest import Session
from tests.report.standins import HOSTILE

QUICK = "--epochs 2 --hidden 4 --no-baseline --no-probe"


def text_of(shown: object) -> str:
    return str(shown.outputs[-1].data["text/plain"])  # type: ignore[attr-defined]


@pytest.fixture
def two(prepared: Session) -> Session:
    prepared.run(f"a = %nn_train data {QUICK} --name plain;")
    prepared.run(f"b = %nn_train data {QUICK} --lr 0.1 --name fast;")
    return prepared


def test_variables_names_ids_and_last(two: Session) -> None:
    ends = two.names["a"].id[-8:]
    texts = [text_of(two.run(f"%nn_diff {words}")) for words in ("a b", "plain fast", f"{ends} last", "{a} $b")]
    assert len(set(texts)) == 1
    assert "optimizer.lr" in texts[0] and "no difference in data, environment, code" in texts[0]
    assert texts[0].startswith("accuracy")
    assert two.run("%nn_diff a b;").outputs == []
    assert isinstance(two.value("%nn_diff a b"), Difference)
    assert text_of(two.run("%nn_diff a b")).count("Metrics of the validation rows") == 1
    assert text_of(two.run("found = %nn_diff a b;\nfound")) == texts[0]


def test_numbers_are_taken_wherever_a_run_is_named(two: Session) -> None:
    listed = text_of(two.run("%nn_runs")).splitlines()
    rows = {line.split()[1]: line.split()[0] for line in listed[3:]}
    assert rows == {"plain": "1", "fast": "2"}
    assert text_of(two.run("%nn_diff 1 2")) == text_of(two.run("%nn_diff a b"))
    assert [run.name for run in two.value("%nn_runs 2 1")] == ["fast", "plain"]
    for line in ("%nn_load 1", "%nn_attach 1", "%nn_diagnose 1", "%nn_evaluate 1 --views losses"):
        found = two.value(f"{line};")
        assert getattr(found, "run", found).name == "plain", line
    two.run(f"%nn_report 1 2 --out both.html\nc = %nn_train data --from 2 {QUICK};\nd = %nn_train --replay 1;")
    assert (two.names["c"].spec.optimizer.values["lr"], two.names["d"].facts.origin.id) == (0.1, two.names["a"].id)
    assert two.value("%nn_train data --from 2@1 --epochs 2;").facts.origin.id == two.names["b"].id
    two.run("%nn_runs --tag good 1")
    assert marks_of(two.names["a"].path).tags == ("good",)
    assert "no run 987 in" in two.error("%nn_load 987")[1]  # ids seldom begin so
    assert "cannot go on" not in two.error("%nn_train --resume 987")[1]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%nn_diff", "%nn_diff needs two runs"),
        ("%nn_diff a", "%nn_diff needs two runs"),
        ("%nn_diff a b a", "'a' is one word too many; %nn_diff takes two runs"),
        ("%nn_diff a nothing", "no run 'nothing'"),
        ("%nn_diff a '<img src=x>'", "no run '<img src=x>'"),
        ("%nn_diff a data", "no run 'data'"),
    ],
)
def test_what_is_no_run_is_said(two: Session, cell: str, words: str) -> None:
    assert words in two.error(cell)[1]


def test_tab_gives_runs_for_both_places(two: Session) -> None:
    for text in ("%nn_diff ", "%nn_diff a "):
        found = complete(text, "", two.names, lambda kind: ["plain"])
        assert found is not None and {"last", "plain", "a", "b"} <= {one.text for one in found.candidates}


def ids(session: Session, cell: str) -> list[str]:
    return [run.name for run in session.value(cell)]


def test_tags_and_notes_are_kept_shown_and_filtered_by(two: Session) -> None:
    two.run("%nn_runs --tag good plain")
    two.run("%nn_runs --tag 'worth a look' --note 'more <b>rows</b> | next' a fast;")
    assert ids(two, "%nn_runs --tagged good") == ["plain"]
    assert set(ids(two, "%nn_runs --tagged 'worth a look'")) == {"plain", "fast"}
    text = text_of(two.run("%nn_runs"))
    assert "good, worth a look" in text and "more <b>rows</b> | next" in text
    assert "<b>rows" not in str(two.run("%nn_runs").outputs[-1].data["text/html"])
    assert "run fast has no tag 'good'" in two.run("%nn_runs --untag good plain fast").stdout
    two.run("%nn_runs --note none last")
    assert text_of(two.run("%nn_runs --tagged good")) == "none of 2 runs fits"
    assert two.value("%nn_load plain").metrics == two.names["a"].metrics  # the manifest does not know the marks
    assert [marks_of(two.names[name].path).note for name in "ab"] == ["more <b>rows</b> | next", ""]


def test_a_run_without_weights_can_be_marked(two: Session) -> None:
    (two.names["a"].path / "BEST").unlink()
    two.run("%nn_runs --tag useless plain")
    assert ids(two, "%nn_runs --tagged useless") == ["plain"]


def test_conditions_and_order(two: Session) -> None:
    values = {name: two.names[name].metrics["accuracy"] for name in "ab"}
    best = [{"a": "plain", "b": "fast"}[name] for name in sorted(values, key=lambda name: -values[name])]
    assert ids(two, "%nn_runs --sort accuracy") == best or values["a"] == values["b"]
    by_loss = sorted("ab", key=lambda name: two.names[name].metrics["loss"])
    assert ids(two, "%nn_runs --sort loss") == [two.names[name].name for name in by_loss]
    assert ids(two, "%nn_runs --sort -loss") == [two.names[name].name for name in reversed(by_loss)]
    assert text_of(two.run("%nn_runs --sort loss --limit 1")).startswith("1 run of 2, the first by loss;")
    assert ids(two, "%nn_runs --where lr=0.1") == ["fast"]
    assert ids(two, "%nn_runs --where 'lr < 0.1 and optimizer=AdamW'") == ["plain"]
    assert ids(two, "%nn_runs --where state!=completed,epochs>=2") == []
    assert ids(two, f"%nn_runs a b --where 'loss<={two.names['a'].metrics['loss']}' --sort name")[-1] == "plain"
    assert ids(two, "%nn_runs --sort started") == ["plain", "fast"]


def test_deleted_runs_come_back(two: Session) -> None:
    folder = two.names["a"].path
    shown = text_of(two.run("%nn_runs --delete plain"))
    assert shown.startswith("1 run deleted:") and "--undo" in shown
    assert not folder.exists() and ids(two, "%nn_runs") == ["fast"]
    two.run("%nn_runs --delete last;")
    assert text_of(two.run("%nn_runs")) == "no runs yet"
    assert ids(two, "%nn_runs --undo") == ["fast"]
    assert ids(two, "%nn_runs --undo") == ["plain"]
    assert two.value("%nn_load plain").metrics == two.names["a"].metrics
    assert "nothing was deleted" in two.error("%nn_runs --undo")[1]
    two.run("%nn_runs --delete a b;\n%nn_runs --undo;")  # all that went at once
    assert len(two.value("%nn_runs")) == 2


def test_a_run_that_is_going_on_is_not_deleted(two: Session) -> None:
    status = {"state": "running", "owner": current_owner()}
    files.write_json(two.names["a"].path / "status.json", status)
    assert "is still going on" in two.error("%nn_runs --delete fast plain")[1]
    assert len(two.value("%nn_runs")) == 2
    files.write_json(two.names["a"].path / "status.json", status | {"owner": {**current_owner(), "pid": 2**22 + 1}})
    two.run("%nn_runs --delete plain")  # its process is gone
    assert ids(two, "%nn_runs") == ["fast"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%nn_runs --tag good", "--tag needs runs"),
        ("%nn_runs --untag nowhere plain", "run plain has no tag 'nowhere'; theirs: none"),
        ("%nn_runs --untag nowhere plain fast", "none of these runs has the tag 'nowhere'"),
        ("%nn_runs --delete", "--delete needs runs"),
        ("%nn_runs --delete nothing", "no run 'nothing'"),
        ("%nn_runs --undo plain", "takes no runs"),
        ("%nn_runs --delete --tag x plain", "one of them at a time"),
        ("%nn_runs --tag a,b plain", "no comma"),
        ("%nn_runs --tag '' plain", "1 to 60 characters"),
        ("%nn_runs --tag none plain", "take another one"),
        (f"%nn_runs --note {'x' * 2001} plain", "2,001 characters"),
        ("%nn_runs --where accuracy", "such as  accuracy>0.9"),
        ("%nn_runs --where acuracy>1", "did you mean 'accuracy'"),
        ("%nn_runs --where state>completed", "is no number"),
        ("%nn_runs --sort nothing", "no run has a value 'nothing'"),
    ],
)
def test_what_cannot_be_done_to_runs_is_said(two: Session, cell: str, words: str) -> None:
    assert words in two.error(cell)[1]
    assert len(two.value("%nn_runs")) == 2


@pytest.mark.parametrize("text", [one for one in HOSTILE if 0 < len(one.strip()) <= 60 and "'" not in one][:8])
def test_hostile_tags_and_notes(two: Session, text: str) -> None:
    folder = two.names["a"].path
    mark(folder, note=text)
    if text.strip().isprintable() and "," not in text:
        mark(folder, tag=text)
        assert ids(two, f"%nn_runs --tagged '{text.strip()}'") == ["plain"]
    html = str(two.run("%nn_runs").outputs[-1].data["text/html"])
    assert "<script" not in html and "<img" not in html and "<svg" not in html


def test_damaged_marks_are_no_reason_to_fail(two: Session) -> None:
    for damage in ("{", '{"tags": 3}', ""):
        (two.names["a"].path / "marks.json").write_text(damage)
        assert len(two.value("%nn_runs")) == 2
    assert mark(two.names["a"].path, tag="new").tags == ("new",)


def test_a_saved_copy_keeps_tags_and_note(two: Session, tmp_path: Path) -> None:
    two.run("%nn_runs --tag good --note 'the first' plain")
    run = two.names["a"]
    copy = run.save(tmp_path / "copy")
    assert marks_of(copy) == marks_of(run.path) and marks_of(copy).tags == ("good",)
