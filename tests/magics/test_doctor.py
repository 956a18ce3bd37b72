"""%nn_diagnose as it is typed."""

import nbformat
import pytest

from nnlab.core.diagnose.doctor import Diagnosis
from nnlab.report.tables import number
from tests.magics.conftest import Session

HIGH = "run = %nn_train data --lr 3 --epochs 4 --hidden 8 --warmup 0;"


def test_a_run_of_a_variable_and_of_the_store(prepared: Session) -> None:
    report = prepared.run(HIGH.removesuffix(";")).outputs[-1].data["text/plain"]
    line = f"%nn_diagnose {prepared.names['run'].id}"
    assert f"doctor: the learning rate is too high; why, and what mends it:  {line}" in report
    shown = prepared.run("%nn_diagnose run")
    kinds = [sorted(output.data) for output in shown.outputs]
    assert kinds == [
        ["image/png", "text/plain"],
        ["text/html", "text/markdown", "text/plain"],
        ["image/png", "text/plain"],
    ]
    text = shown.outputs[1].data["text/plain"]
    assert "the learning rate is too high" in text
    assert "\n    %nn_train data --hidden 8 --lr 0.01 --warmup 0 --epochs 4" in text
    assert "not looked at" not in text  # the data was found among the variables
    for word in ("last", prepared.names["run"].id):
        found = prepared.value(f"%nn_diagnose {word}")
        assert isinstance(found, Diagnosis) and found.names == ("lr_too_high",)
    prepared.run("del data")
    assert "the data is not at hand" in prepared.run("%nn_diagnose last").outputs[1].data["text/plain"]


def test_the_line_that_mends_runs_and_mends(prepared: Session) -> None:
    prepared.run(HIGH.replace("--epochs 4", "--epochs 40"))  # enough to learn what there is, at a step size that learns
    text = prepared.run("%nn_diagnose run").outputs[1].data["text/plain"]
    line = next(line for line in text.splitlines() if "%nn_train" in line).strip()
    assert "doctor" not in prepared.run(f"run = {line}").outputs[-1].data["text/plain"]
    assert prepared.value("%nn_diagnose run").names == ()


def test_a_network_of_the_users_own_comes_back_with_its_code(prepared: Session) -> None:
    body = "from torch import nn\nlambda n_in, n_out: nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out))"
    prepared.run(f"%%nn_train data --lr 5 --warmup 0 --epochs 4 --view none\n{body}")
    prepared.run("run = _")
    text = prepared.run("%nn_diagnose run").outputs[1].data["text/plain"]
    assert "    %%nn_train data --lr 0.001 --warmup 0 --epochs 4\n    from torch import nn\n" in text
    prepared.run("def net(n_in, n_out):\n    from torch import nn\n    return nn.Linear(n_in, n_out)")
    prepared.run("own = %nn_train data --model net --lr 9 --warmup 0 --epochs 4;")
    assert "--epochs 4 --model net" in prepared.run("%nn_diagnose own").outputs[1].data["text/plain"]
    assert "lr_too_high" in prepared.value("%nn_diagnose last --model net").names


def test_a_run_that_the_session_still_holds_needs_no_network_again(prepared: Session) -> None:
    """The line that a run with a cell's own network gives can be typed; in another session the network is asked for."""
    body = "from torch import nn\nlambda n_in, n_out: nn.Linear(n_in, n_out)"
    shown = prepared.run(f"%%nn_train data --lr 5 --warmup 0 --epochs 4 --view none\n{body}")
    run = prepared.names["_"]
    line = f"%nn_diagnose {run.id}"
    assert any(line in output.data.get("text/plain", "") for output in shown.outputs)
    assert "lr_too_high" in prepared.value(line).names
    prepared.run("%reset -f out")
    _, shown_error = prepared.error(line)
    assert "--model YourNetwork" in shown_error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%nn_diagnose", "%nn_diagnose needs a run"),
        ("%nn_diagnose data", "'data' is a Prepared; needed is a run"),
        ("%nn_diagnose nothing", "no run 'nothing'"),
        ("%nn_diagnose run --data df", "needed is prepared data"),
        ("%nn_diagnose run --data other", "not what the run was trained on"),
    ],
)
def test_wrong_words_are_told(prepared: Session, line: str, words: str) -> None:
    prepared.run("run = %nn_train data --epochs 1 --hidden 4;\nother = %nn_preprocess df --target age;")
    _, shown = prepared.error(line)
    assert words in shown
    assert len(shown.strip().splitlines()) <= 3


def test_a_calibrated_run_says_so(prepared: Session) -> None:
    run = prepared.value("run = %nn_train data --epochs 2 --hidden 8 --calibrate --no-probe;\nrun")
    assert run.temperature is not None and not run.record.probes
    assert run.line == "%nn_train data --hidden 8 --epochs 2 --probe off --calibrate on"
    text = prepared.run("run").outputs[1].data["text/plain"]
    assert f"predict_proba divides logits by {number(run.temperature, 3)}" in text


def test_looks_are_turned_off_for_a_session(prepared: Session) -> None:
    prepared.run("%nn_config --no-probe;")
    run = prepared.value("run = %nn_train data --epochs 1 --hidden 4;\nrun")
    assert not run.record.probes and run.line.endswith("--probe off")
    assert prepared.value("run = %nn_train data --epochs 1 --hidden 4 --probe;\nrun").record.probes


def test_more_rows_by_a_line(prepared: Session) -> None:
    prepared.run("big = %nn_preprocess sklearn:diabetes;\nrun = %nn_train big --epochs 3 --hidden 8;")
    shown = prepared.run("%nn_diagnose run --learning-curve")
    text = shown.outputs[1].data["text/plain"]
    assert "twice as many would give" in text


def test_its_outputs_are_a_notebooks(prepared: Session) -> None:
    prepared.run(HIGH)
    outputs = [
        nbformat.v4.new_output("display_data", o.data, metadata=o.metadata)
        for o in prepared.run("%nn_diagnose run").outputs
    ]
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%nn_diagnose run", outputs=outputs)])
    nbformat.validate(node)
    assert len(nbformat.writes(node)) < 80_000
