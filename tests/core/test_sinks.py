"""Other programs that are told of a run: each with the real library where it is installed."""

from pathlib import Path
from typing import Any

import pytest

import nnlab
from nnlab.core import sinks
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import Changed
from nnlab.core.run import Run

FAST: dict[str, Any] = {"probe": False, "baseline": False, "epochs": 3, "model": "mlp", "hidden": [6]}
LACKING = "needs pip install 'nnlab[{}]'"
pytestmark = pytest.mark.filterwarnings("default")  # of the libraries'


def steered(data: Prepared, log_to: str, name: str) -> Run:
    controls = Controls()
    controls.plan([Changed(2, 1, "lr", 0.0, 0.002)])
    run = nnlab.fit(data, controls=controls, store=False, log_to=log_to, name=name, **FAST)
    assert not run.warnings and run.changes
    return run


def test_tensorboard(classes: Prepared, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason=LACKING.format("tensorboard"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = steered(classes, f"tensorboard:{tmp_path}", "first")
    read = EventAccumulator(str(tmp_path / "first")).Reload()
    for tag, column in (("train/loss", "train_loss"), ("valid/accuracy", "valid_accuracy"), ("lr", "lr")):
        told = [(one.step, one.value) for one in read.Scalars(tag)]
        assert [step for step, _ in told] == [1, 2, 3]
        assert [value for _, value in told] == pytest.approx(run.history[column].tolist(), rel=1e-5)
    texts = {tag: read.Tensors(tag) for tag in read.Tags()["tensors"]}
    assert b"lr: 0.01 to 0.002" in texts["changed/text_summary"][0].tensor_proto.string_val[0]
    assert b"optimizer: " in texts["settings/text_summary"][0].tensor_proto.string_val[0]
    best = [one.value for one in read.Scalars("best/accuracy")]
    assert best == pytest.approx([run.metrics["accuracy"]])


def test_mlflow(classes: Prepared, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason=LACKING.format("mlflow"))
    pytest.importorskip("sqlalchemy")
    from mlflow import MlflowClient

    place = f"sqlite:///{tmp_path}/told.db"
    run = steered(classes, f"mlflow:{place}", "first")
    client = MlflowClient(tracking_uri=place)
    found = client.search_runs([client.get_experiment_by_name("nnlab").experiment_id])[0]
    assert (found.info.run_name, found.info.status, found.data.tags["nnlab.id"]) == ("first", "FINISHED", run.id)
    losses = client.get_metric_history(found.info.run_id, "valid/loss")
    assert {one.step: one.value for one in losses} == run.history["valid_loss"].to_dict()
    assert found.data.params["epochs"] == "3" and found.data.params["model"] == "mlp"
    assert client.get_metric_history(found.info.run_id, "changed/lr")[0].value == 0.002


def test_wandb(classes: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason=LACKING.format("wandb"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run = steered(classes, "wandb:tables", "first")
    wandb.teardown()  # its process writes the file, a while after the run has ended
    written = list(tmp_path.glob(f"wandb/offline-run-*-{run.id}/run-{run.id}.wandb"))
    assert len(written) == 1
    told = written[0].read_bytes()
    assert all(word in told for word in (b"valid/accuracy", b"train/loss", b"changed/lr", b"tables", b"best_epoch"))


def test_what_is_not_there_is_said_before_anything_is_trained(
    classes: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "find_spec", lambda name: None)
    with pytest.raises(nnlab.RunError, match=r"pip install 'nnlab\[wandb\]'"):
        nnlab.fit(classes, log_to=["wandb:x"], store=False, **FAST)
    with pytest.raises(nnlab.SpecError, match="did you mean 'tensorboard'"):
        nnlab.fit(classes, log_to="tensorbord:x", store=False, **FAST)
