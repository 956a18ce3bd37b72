"""%nn_evaluate as it is typed."""

import pytest

from nnlab.core.evaluated.evaluated import Evaluated
from tests.magics.conftest import Session

TRAIN = "run = %nn_train data --epochs 4 --hidden 8 --no-baseline;"


@pytest.fixture
def trained(prepared: Session) -> Session:
    prepared.run(TRAIN)
    return prepared


def test_all_of_a_run_is_shown_and_fits_into_a_cell(trained: Session) -> None:
    report = trained.run("run").outputs[-1].data["text/plain"]
    line = f"%nn_evaluate {trained.names['run'].id}"
    assert f"look closer: {line}" in report
    shown = trained.run(line)
    kinds = [sorted(output.data) for output in shown.outputs]
    assert kinds == [
        ["image/png", "text/plain"],
        ["text/html", "text/markdown", "text/plain"],
        ["image/png", "text/plain"],
    ]
    assert sum(len(value) for output in shown.outputs for value in output.data.values()) < 200_000
    text = shown.outputs[1].data["text/plain"]
    for words in (
        "Confusion matrix of the validation rows",
        "Taken as yes from this probability on",
        "Most wrong of",
        "Importance: fall of accuracy when the column is shuffled",
    ):
        assert words in text, words
    found = trained.names["_"]
    assert isinstance(found, Evaluated) and f"\n{found.top_losses(1).index[0]:>3}  " in text
    assert "importance, age" in shown.outputs[2].data["text/plain"]


def test_rows_views_class_and_columns_are_chosen(trained: Session) -> None:
    trained.run("new = df.head(40).assign(age=1.0)")
    text = trained.run("%nn_evaluate run --on new --views slices --slices 'my col',age").outputs[0].data["text/plain"]
    assert "on 40 rows of new" in text and "Slices by my col" in text and "Slices by age\nage  rows" in text
    assert "Most wrong" not in text and "Confusion" not in text
    shown = trained.run(
        "%nn_evaluate run --on test --label no --views thresholds,dependence --dependence age:height,age"
    )
    assert "Taken as no" in shown.outputs[0].data["text/plain"]
    assert "test part, scored once" in shown.outputs[0].data["text/plain"]
    assert shown.outputs[1].data["text/plain"] == "what the columns do: age and height, age"
    assert len(trained.run("found = %nn_evaluate run;").outputs) == 0


def test_numbers_have_residuals(session: Session) -> None:
    session.run("data = %nn_preprocess df --target age;\nrun = %nn_train data --epochs 3 --hidden 8 --no-baseline;")
    shown = session.run("%nn_evaluate run --views residuals,losses")
    assert len(shown.outputs) == 2 and "Residuals (true less predicted)" in shown.outputs[1].data["text/plain"]
    assert "outcome: rmse" in shown.outputs[0].data["text/plain"]


def test_a_table_that_has_changed_is_said_and_left_out(trained: Session) -> None:
    trained.run("df['age'] += 1")
    text = trained.run("%nn_evaluate run --views slices,losses").outputs[0].data["text/plain"]
    assert "not shown: slices and partial dependence; df: the table is not what data was prepared from" in text
    assert "Most wrong" in text and "height" not in text


def test_errors_say_what_to_do(trained: Session) -> None:
    for line, words in (
        ("%nn_evaluate", "%nn_evaluate needs a run"),
        ("%nn_evaluate run --on nothing", "no variable 'nothing'"),
        ("%nn_evaluate run --label maybe", "no class 'maybe'"),
        ("%nn_evaluate run --slices agee", "did you mean 'age'"),
        ("%nn_evaluate run --dependence age:hight", "two of them, as in  age:height"),
        ("%nn_evaluate run --views rock", "expected a list, each"),
        ("%nn_evaluate run --on df --frame df", "--frame is for the rows of a preparation"),
        ("del data\n%nn_evaluate run", "no variable holds the data"),
    ):
        assert words in trained.error(line)[1], line
