"""%nn_train --resume: what it takes, what it refuses in one line, and what %load_ext tells."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from nnlab.core.store import checkpoint, files
from tests.core.resuming import every_step as every_step
from tests.core.test_resume import killed, same
from tests.magics.conftest import Session

pytestmark = pytest.mark.usefixtures("every_step")
SMALL = "--hidden 8,8 --epochs 4 --batch-size 30 --seed 5 --view none"


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)
    monkeypatch.setattr(checkpoint, "FIRST", 0.0)


def cut(session: Session, name: str = "data") -> Path:
    """A run of the session's data whose process died."""
    from nnlab.core.store.runs import Store

    return killed(Store(), session.names[name], 7, hidden="8,8", batch_size=30)


def test_a_cut_run_goes_on_with_and_without_its_data_in_the_line(prepared: Session) -> None:
    for line in ("%nn_train data --resume last", "%nn_train --resume last", "%nn_train --resume {path}"):
        path = cut(prepared)
        run = prepared.value(line.format(path=path.name) + " --view none")
        assert (run.state, run.path, run.finished.epoch) == ("completed", path, 4)
        prepared.names["run"] = run
    shown = prepared.run("run").outputs
    assert any("resumed after epoch 1" in str(output.data) for output in shown)
    again, text = prepared.error("%nn_train --resume run")
    assert "is complete after 4 epochs: there is nothing to resume" in text
    assert str(again).count("\n") == 0


def test_an_interrupted_run_of_the_session_goes_on_by_its_variable(prepared: Session) -> None:
    prepared.run(f"whole = %nn_train data {SMALL};")
    from nnlab.core.controls import Controls
    from nnlab.core.events import EpochDone
    from nnlab.core.fit import fit

    whole = prepared.names["whole"]
    controls = Controls()

    def stop(event: object) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            controls.stop("interrupted")

    fit(prepared.names["data"], spec=whole.spec, name="mine", view=stop, controls=controls)
    prepared.run("run = %nn_train --resume mine;")
    assert same(prepared.names["run"], whole)


@pytest.mark.parametrize("option", ["--lr 0.1", "--name x", "--find-lr", "--from run", "--seed 3", "--hidden 4"])
def test_other_options_are_refused_by_name(prepared: Session, option: str) -> None:
    cut(prepared)
    _, text = prepared.error(f"%nn_train data --resume last {option}")
    assert f"{option.split()[0]} cannot be given to a run that goes on" in text


def test_what_the_line_asked_for_is_done_again(prepared: Session) -> None:
    cut(prepared)
    run = prepared.value("%nn_train --resume last --calibrate --no-probe --view none")
    assert run.temperature is not None and not run.facts.choices.probe


def test_defaults_of_the_session_do_not_change_it(prepared: Session) -> None:
    cut(prepared)
    prepared.run("%nn_config --epochs 9 --lr 0.5 --checkpoint-seconds 5")
    run = prepared.value("%nn_train --resume last --view none")
    assert (run.state, run.finished.epoch, run.spec.epochs) == ("completed", 4, 4)


def test_without_its_data_the_line_that_prepares_it_is_shown(prepared: Session) -> None:
    prepared.run("other = %nn_preprocess df --target label --scale minmax;")
    cut(prepared, "other")
    del prepared.names["other"]
    _, text = prepared.error("%nn_train --resume last")
    line = re.search(r"data = (%nn_preprocess .*)", text)
    assert line is not None
    prepared.run(f"again = {line[1]};")
    assert prepared.value("%nn_train --resume last --view none").state == "completed"
    _, text = prepared.error("%nn_train data --resume last --epochs 9")
    assert "has no course beyond them" in text


def test_data_of_a_file_is_prepared_again(prepared: Session, table: pd.DataFrame) -> None:
    table.to_csv("my table.csv", index=False)
    prepared.run("other = %nn_preprocess 'my table.csv' --target label;")
    cut(prepared, "other")
    del prepared.names["other"], prepared.names["data"]
    assert prepared.value("%nn_train --resume last --view none").state == "completed"


def test_a_network_in_the_body_is_given_again(prepared: Session) -> None:
    body = "from torch import nn\nnn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.Linear(6, 2))"
    prepared.run(f"%%nn_train data --epochs 2 --schedule constant --view none\n{body}")
    _, text = prepared.error("%nn_train data --resume last --epochs 4")
    assert "trains a network of your own; give it again" in text
    run = prepared.value(f"%%nn_train data --resume last --epochs 4 --view none\n{body}")
    assert run.finished.epoch == 4


def test_loading_tells_of_cut_runs_in_one_line(prepared: Session) -> None:
    def loaded() -> str:
        return prepared.run("%reload_ext nnlab").stdout

    assert loaded() == ""
    path = cut(prepared)
    expected = f"a run was cut short: {path.name} (epoch 1 of 4); to go on:  run = %nn_train --resume {path.name}"
    assert loaded().strip() == f"nnlab: {expected}"
    second = cut(prepared)
    assert loaded().startswith("nnlab: 2 runs were cut short: ")
    (second / "LATEST").write_bytes(b"torn")
    assert path.name in loaded()
    prepared.run("%nn_train --resume last --view none")
    assert loaded() == ""


def test_a_kernel_that_starts_tells_of_cut_runs_with_the_first_magic(prepared: Session) -> None:
    path = cut(prepared)
    parent: dict[str, Any] = {}
    prepared.shell.kernel = SimpleNamespace(get_parent=lambda channel: parent)  # type: ignore[attr-defined]
    try:
        assert prepared.run("%reload_ext nnlab").stdout == ""  # as `nnlab autoload` loads it: no cell is there
        parent["header"] = {}
        assert path.name in prepared.run("%nn_config").stdout
        assert path.name not in prepared.run("%nn_config").stdout
    finally:
        del prepared.shell.kernel  # type: ignore[attr-defined]


def test_a_run_that_lives_elsewhere_is_left_alone(prepared: Session) -> None:
    path = cut(prepared)
    from nnlab.core.store.owner import current_owner

    status = files.read_json(path / "status.json")
    files.write_json(path / "status.json", status | {"owner": current_owner()})
    assert prepared.run("%reload_ext nnlab").stdout == ""
    _, text = prepared.error(f"%nn_train data --resume {path.name}")
    assert "is alive in process" in text


def test_completion_knows_the_runs(prepared: Session) -> None:
    path = cut(prepared)
    from nnlab.magics.complete import complete, stored_names

    found = complete("run = %nn_train data --resume ", "", prepared.names, stored_names)
    assert found is not None
    texts = {text for text, _ in found.candidates}
    assert {"last", path.name} <= texts
