"""%nn_diff and %nn_runs as they are typed."""

import pytest

from nnlab.core.difference import Difference
from nnlab.magics.complete import complete
from tests.magics.conftest import Session

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
