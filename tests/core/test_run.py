"""Runs after training: what they predict, score and tell, and that all of it survives the disk and a new process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn

from nnlab.core import best
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, RunError, StoreError
from nnlab.core.evaluate import MOST_PAIRS, Evaluation, evaluate
from nnlab.core.fit import fit
from nnlab.core.predict import forward, forward_of_members
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.store.runs import Store

ROWS = 300


def classes_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=ROWS), "place": rng.choice(["north", "south", "east"], ROWS)})
    frame.loc[::17, "size"] = np.nan
    score = frame["size"].fillna(0) + (frame.place == "north") + rng.normal(0, 0.3, ROWS)
    frame["kind"] = pd.cut(score, [-np.inf, 0, 1, np.inf], labels=["low", "<mid>", "high"]).astype(str)
    return frame


def numbers_frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"size": rng.normal(size=ROWS), "place": rng.choice(["north", "south"], ROWS)})
    frame["price"] = 1e5 + 3e4 * frame["size"] + 2e4 * (frame.place == "north")
    return frame


OPTIONS = {"epochs": 4, "hidden": "16", "dropout": 0.1, "lr": 0.01, "batch_size": 32}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def classes(home: Path) -> Run:
    return fit(prepare(classes_frame(), target="kind"), store=home, name="classes", line="%nn_train data", **OPTIONS)


@pytest.fixture(scope="module")
def numbers(home: Path) -> Run:
    return fit(prepare(numbers_frame(), target="price"), store=home, name="numbers", **OPTIONS)


class Net(nn.Module):
    """A network of the user's own, with a buffer and a lazy layer."""

    def __init__(self, n_in: int, n_out: int, width: int = 8) -> None:
        super().__init__()
        self.first = nn.LazyLinear(width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


@pytest.fixture(scope="module")
def own(home: Path) -> Run:
    data = prepare(classes_frame(), target="kind")
    return fit(data, model=Net, code="class Net(nn.Module): ...", store=home, name="own", epochs=3)


def test_predictions_are_labels_and_probabilities_agree(classes: Run) -> None:
    frame = classes_frame()
    labels, shares = classes.predict(frame), classes.predict_proba(frame)
    order = np.array(classes.pipeline.target.classes)
    assert set(labels) <= {"low", "<mid>", "high"}
    assert shares.shape == (ROWS, 3)
    np.testing.assert_allclose(shares.sum(1), 1.0, rtol=1e-12)
    assert (order[shares.argmax(1)] == labels).all()
    with torch.no_grad():
        output = classes.model(torch.from_numpy(classes.pipeline.transform(frame)))
    np.testing.assert_allclose(shares, torch.softmax(output.double(), 1).numpy(), rtol=1e-5)


def test_predictions_of_a_regression_are_in_the_units_of_the_target(numbers: Run) -> None:
    predicted = numbers.predict(numbers_frame())
    assert predicted.shape == (ROWS,)
    assert 8e4 < predicted.mean() < 1.4e5
    with pytest.raises(RunError, match="use predict"):
        numbers.predict_proba(numbers_frame())


def test_the_score_of_classes_is_what_scikit_learn_computes(classes: Run) -> None:
    frame = classes_frame()
    score = classes.score(frame)
    assert score["accuracy"] == pytest.approx(accuracy_score(frame.kind, classes.predict(frame)))
    assert tuple(score) == classes.started.metrics
    shuffled = frame.sample(frac=1, random_state=1)[["kind", "place", "size"]]
    assert classes.score(shuffled)["accuracy"] == pytest.approx(score["accuracy"])


def test_the_score_of_a_regression_is_what_scikit_learn_computes(numbers: Run) -> None:
    frame = numbers_frame()
    predicted, score = numbers.predict(frame), numbers.score(frame)
    assert score["rmse"] == pytest.approx(root_mean_squared_error(frame.price, predicted), rel=1e-5)
    assert score["mae"] == pytest.approx(mean_absolute_error(frame.price, predicted), rel=1e-5)
    assert score["r2"] == pytest.approx(r2_score(frame.price, predicted), rel=1e-5)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_prepared_scores_its_test_rows_and_rows_score_themselves(kind: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(kind)
    frame, target = (classes_frame(), "kind") if kind == "classes" else (numbers_frame(), "price")
    data = prepare(frame, target=target)
    assert run.score(data) == pytest.approx(run.score(frame.iloc[data.test.index]), rel=1e-5)
    assert run.score(data.valid) == pytest.approx({k: v for k, v in run.metrics.items() if k != "loss"}, rel=1e-4)


def test_a_prepared_of_other_data_is_not_scored(classes: Run) -> None:
    with pytest.raises(DataError, match=r"run\.score\(frame\)"):
        classes.score(prepare(classes_frame().iloc[:200], target="kind"))
    with pytest.raises(DataError, match="features"):
        classes.score(replace(prepare(numbers_frame(), target="price").test, source=""))
    with pytest.raises(DataError, match="no target column"):
        classes.score(classes_frame().drop(columns="kind"))
    with pytest.raises(DataError, match="no rows"):
        rows = prepare(classes_frame(), target="kind").test
        classes.score(replace(rows, x=rows.x[:0], y=rows.y[:0]))


def test_a_run_tells_itself_in_one_line(classes: Run) -> None:
    text = repr(classes)
    assert "\n" not in text
    for part in (classes.id, "'classes'", "kind", "completed", f"best epoch {classes.best_epoch} of 4", "accuracy 0."):
        assert part in text


def test_the_evaluation_is_that_of_the_validation_rows(classes: Run, numbers: Run) -> None:
    valid = prepare(classes_frame(), target="kind").valid
    with torch.no_grad():
        codes = classes.model(torch.from_numpy(valid.x)).argmax(1).numpy()
    assert classes.evaluation is not None
    assert numbers.evaluation is not None
    np.testing.assert_array_equal(classes.evaluation.confusion, confusion_matrix(valid.y, codes, labels=[0, 1, 2]))
    assert classes.evaluation.classes == classes.pipeline.target.classes
    index = prepare(numbers_frame(), target="price").valid.index
    np.testing.assert_allclose(numbers.evaluation.true, numbers_frame().price.iloc[index], rtol=1e-6)
    np.testing.assert_allclose(numbers.evaluation.predicted, numbers.predict(numbers_frame().iloc[index]), rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.3},  # the best epoch is not the last
        {"lr": 0.3, "average": "ema"},
        {"model": "packed", "members": 3, "own_best": True, "lr": 0.1},
        {"model": "packed", "members": 3, "own_best": False},
        {"optimizer": "nadam"},  # not by the stack
    ],
    ids=str,
)
@pytest.mark.parametrize("most", [best.MOST_OUTPUTS, 0])
def test_the_evaluation_is_of_the_weights_that_are_kept(
    options: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "MOST_OUTPUTS", most)
    data = prepare(numbers_frame(), target="price")
    run = fit(data, store=False, baseline=False, **{**OPTIONS, "dropout": 0.0, "epochs": 6, **options})
    asked = forward_of_members(run.model, data.valid.x, "cpu")
    wanted = evaluate(run.model, asked, data.valid, data.target, Part("mse"), run.started.metrics)
    assert run.evaluation is not None and run.record.take_outputs(run.best_epoch or 0) is None
    np.testing.assert_allclose(run.evaluation.predicted, wanted.predicted, rtol=1e-5)
    assert run.evaluation.spread == pytest.approx(wanted.spread, rel=1e-3)


def test_a_long_evaluation_keeps_a_sample_of_true_pairs(numbers: Run) -> None:
    rows = prepare(numbers_frame(), target="price").train
    times = 10
    many = replace(rows, x=np.tile(rows.x, (times, 1)), y=np.tile(rows.y, times))
    outputs = forward_of_members(numbers.model, many.x, "cpu")
    found = evaluate(numbers.model, outputs, many, numbers.pipeline.target, Part("mse"))
    assert found.rows == len(rows) * times
    assert len(found.true) == len(found.predicted) == MOST_PAIRS
    truth = {round(value) for value in numbers_frame().price}
    assert {round(value) for value in found.true} <= truth
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("kind", ["classes", "numbers", "own"])
def test_a_loaded_run_is_the_run(kind: str, request: pytest.FixtureRequest, home: Path) -> None:
    run: Run = request.getfixturevalue(kind)
    assert run.warnings == []
    back = Store(home).load(kind, model=Net if kind == "own" else None)
    frame = numbers_frame() if kind == "numbers" else classes_frame()
    for rows in (frame, frame.iloc[:7], frame.iloc[:1]):
        np.testing.assert_array_equal(back.predict(rows), run.predict(rows))
    for attribute in ("id", "name", "line", "code", "spec", "task", "metrics", "changes", "warnings", "finished"):
        assert getattr(back, attribute) == getattr(run, attribute), attribute
    for attribute in ("fingerprint", "parameters", "evaluation", "best_epoch", "summary", "path", "state", "started"):
        assert getattr(back, attribute) == getattr(run, attribute), attribute
    pd.testing.assert_frame_equal(back.history, run.history, check_exact=True)
    assert repr(back) == repr(run)
    assert not back.model.training


FRESH = """
import sys
import numpy as np, pandas as pd
from nnlab.core.store.runs import Store
for blocked in ("IPython", "ipywidgets", "bqplot", "matplotlib"):
    assert blocked not in sys.modules
store = Store(sys.argv[1])
assert "torch" not in sys.modules, "the list needs no torch"
run = store.load("classes")
np.save(sys.argv[3], run.predict_proba(pd.read_json(sys.argv[2])))
"""


@pytest.mark.filterwarnings("ignore:of 300 rows .place. has 1 with a level:nnlab.core.errors.DataWarning")
@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_fresh_process_without_the_data_predicts_the_same_bits(
    classes: Run, home: Path, tmp_path: Path, threads: str
) -> None:
    frame = classes_frame().drop(columns="kind").iloc[:, ::-1].assign(more=1)
    frame.loc[3, "place"] = "never seen"
    frame.to_json(tmp_path / "frame.json", double_precision=15)
    frame = pd.read_json(tmp_path / "frame.json")
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore:of",
        "-c",
        FRESH,
        str(home),
        str(tmp_path / "frame.json"),
        str(tmp_path / "out.npy"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": threads})
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), classes.predict_proba(frame))


@pytest.mark.parametrize("kind", ["classes", "numbers", "own"])
def test_a_saved_copy_holds_everything(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run: Run = request.getfixturevalue(kind)
    folder = run.save(tmp_path / "models" / "copy")
    again = run.save(folder)  # a run that is there is replaced
    assert again == folder
    assert os.listdir(tmp_path / "models") == ["copy"]
    back = Run.load(folder, model=Net if kind == "own" else None)
    frame = numbers_frame() if kind == "numbers" else classes_frame()
    np.testing.assert_array_equal(back.predict(frame), run.predict(frame))
    pd.testing.assert_frame_equal(back.history.dropna(), run.history.dropna(), check_exact=True)
    assert back.record.epochs == run.record.epochs
    assert (back.id, back.metrics, back.evaluation, back.finished) == (
        run.id,
        run.metrics,
        run.evaluation,
        run.finished,
    )


def test_a_folder_of_something_else_is_not_overwritten(classes: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        with pytest.raises(StoreError, match="holds no run"):
            classes.save(tmp_path / name)
    with pytest.raises(StoreError, match="cannot be"):
        classes.save(tmp_path / "file" / "below")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert sorted(os.listdir(tmp_path)) == ["file", "thesis"]


def test_a_run_without_a_store_can_still_be_saved(tmp_path: Path) -> None:
    run = fit(prepare(classes_frame(), target="kind"), store=False, **OPTIONS)
    assert run.path is None
    back = Run.load(run.save(tmp_path / "kept"))
    np.testing.assert_array_equal(back.predict(classes_frame()), run.predict(classes_frame()))


def test_a_network_of_ones_own_must_be_given_and_must_fit(own: Run, home: Path) -> None:
    store = Store(home)
    with pytest.raises(StoreError, match="give it too"):
        store.load("own")
    features = len(own.pipeline.feature_names)
    with pytest.raises(StoreError, match=r"first.weight has shape \(8, 5\), the network needs \(9, 5\).* and 3 more"):
        store.load("own", model=lambda n_in, n_out: Net(n_in, n_out, width=9))
    with pytest.raises(StoreError, match=r"0.weight is missing.* is not in the network"):
        store.load("own", model=nn.Sequential(nn.Linear(features, 3)))
    for model in (nn.Linear, 7, lambda: "no module"):
        with pytest.raises(StoreError):
            store.load("own", model=model)
    assert own.code == "class Net(nn.Module): ..."


def test_loading_leaves_the_users_module_and_random_numbers_alone(own: Run, home: Path) -> None:
    mine = Net(0, 3)
    mine(torch.zeros(2, len(own.pipeline.feature_names)))
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    back = Store(home).load("own", model=mine)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in mine.state_dict().items())
    np.testing.assert_array_equal(back.predict(classes_frame()), own.predict(classes_frame()))


def test_forward_leaves_no_trace_and_chunks_do_not_matter() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Flatten(0))
    model[1].eval()
    x = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    flags = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole = forward(model, x, "cpu")
    assert whole.shape == (23, 1)
    torch.testing.assert_close(forward(model, torch.from_numpy(x), "cpu", chunk=5), whole)
    assert forward(model, x[:0], "cpu").shape == (0, 1)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(RuntimeError):
        forward(model, x[:, :3], "cpu")
    assert [module.training for module in model.modules()] == flags


TRAIN_FOREVER = """
import sys
sys.path.insert(0, sys.argv[2])
from nnlab.core import best
from nnlab.core.data.prepare import prepare
from nnlab.core.fit import fit
from test_run import classes_frame
def view(event):
    print(type(event).__name__, flush=True)
fit(prepare(classes_frame(), target="kind"), store=sys.argv[1], view=view, epochs=1_000_000, patience=None, name="long")
"""


def test_a_killed_training_is_crashed_and_its_best_weights_predict(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAIN_FOREVER, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            epochs = (line for line in child.stdout if line == "EpochDone\n")
            for _ in range(50):
                next(epochs)
            (live,) = Store(tmp_path).runs()
            assert live.state == "running"
            assert Store(tmp_path).load("last").predict(classes_frame()).shape == (ROWS,)
        finally:
            child.send_signal(signal.SIGKILL)
    (info,) = Store(tmp_path).runs()
    assert (info.state, info.name) == ("crashed", "long")
    assert info.best_epoch is not None
    run = Store(tmp_path).load("last")
    assert (run.state, run.best_epoch) == ("crashed", info.best_epoch)
    assert run.score(prepare(classes_frame(), target="kind").valid)["accuracy"] == pytest.approx(
        run.metrics["accuracy"], rel=1e-5
    )
