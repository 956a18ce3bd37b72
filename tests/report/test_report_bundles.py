import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from nnlab.core.baselines import Baseline
from nnlab.core.data.reports import ColumnReport
from nnlab.core.data.roles import Role
from nnlab.core.data.target import Target
from nnlab.core.difference import Difference
from nnlab.core.errors import RunError
from nnlab.core.events import Changed
from nnlab.core.models import MODELS
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.spec import CUSTOM, OWN_NETWORK, PrepareSpec, TrainSpec
from nnlab.core.store.marks import mark
from nnlab.core.tune.ranges import Space
from nnlab.core.tune.space import parse as parse_space
from nnlab.magics.text import parse
from nnlab.report.bundle import Bundle, prepared_bundles, run_bundles, runs_bundles, study_bundles
from nnlab.report.difference import difference_bundles
from nnlab.report.html import visible
from nnlab.report.runs import confusion_blocks, main_metric, repeat, runs_table, verdict
from nnlab.report.specs import differences, python_call
from tests.report.reader import check_bare, size_of
from tests.report.standins import HOSTILE, RunStandIn, history

TEXTS = {"text/html", "text/markdown", "text/plain"}


def test_a_run_leaves_a_picture_and_a_text_and_no_widget() -> None:
    chart, text = run_bundles(RunStandIn(), "%nn_train data --lr 0.01")
    assert set(chart.data) == {"image/png", "text/plain"} and set(text.data) == TEXTS
    picture = Image.open(io.BytesIO(base64.b64decode(chart.data["image/png"])))
    assert chart.metadata["image/png"]["width"] == picture.size[0] // 2
    read = check_bare(text.data["text/html"])
    assert "%nn_train data --lr 0.01" in read.text
    for kind in TEXTS:
        assert text.data[kind].startswith(("<p><b>accuracy 0.9", "**accuracy 0.9", "accuracy 0.9"))
    assert size_of([chart, text]) < 60_000


def test_the_verdict_gives_the_number_then_where_and_how_it_ended() -> None:
    run = RunStandIn()
    value = run.history["valid_accuracy"][23]
    expected = f"accuracy {value:.4g} on 91 validation rows, best epoch 23; stopped early after 43 epochs"
    assert verdict(run).text() == expected


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("completed", "completed 43 epochs"),
        ("stopped", "stopped by hand after 43 epochs"),
        ("interrupted", "interrupted after 43 epochs"),
        ("diverged", "diverged after 43 epochs"),
        ("pruned", "pruned after 43 epochs"),
        ("failed", "failed after 43 epochs"),
    ],
)
def test_every_end_of_a_run_has_words(reason: str, words: str) -> None:
    assert verdict(RunStandIn(reason=reason)).rest.endswith(words)


def test_a_run_without_an_epoch_or_without_validation_is_reported() -> None:
    nothing = RunStandIn(history=history(3).iloc[:0], best_epoch=None, reason="interrupted")
    (text,) = run_bundles(nothing)
    assert text.data["text/plain"].startswith("no result; interrupted after 0 epochs")
    unvalidated = RunStandIn(history=history(5)[["train_loss", "lr", "seconds"]], best_epoch=5, classes=())
    chart, text = run_bundles(unvalidated)
    assert "image/png" in chart.data
    assert text.data["text/plain"].startswith("training loss 0.")


def test_the_message_of_a_diverged_run_and_its_changes_are_told() -> None:
    run = RunStandIn(reason="diverged", message="the training loss became nan", warnings=["<b>odd</b>"])
    run.changes = [Changed(12, 3, "lr", 0.01, 0.001)]
    html = run_bundles(run)[1].data["text/html"]
    assert "the training loss became nan" in html and "&lt;b&gt;odd&lt;/b&gt;" in html
    assert "Changed while it ran" in html and ">0.001<" in html


def test_the_monitored_metric_is_the_main_one() -> None:
    metrics = {"loss": 0.1, "accuracy": 0.9, "roc_auc": 0.95}
    assert main_metric(metrics) == "accuracy"
    assert main_metric(metrics, "roc_auc") == "roc_auc"
    assert main_metric({"loss": 1.0, "mae": 2.0, "rmse": 3.0}) == "rmse"
    assert main_metric({"loss": 1.0}) == "loss"
    assert main_metric({}) is None


def test_only_what_differs_from_the_defaults_is_listed() -> None:
    assert differences(TrainSpec()) == []
    spec = resolve(TrainSpec, {"optimizer": "sgd", "lr": 0.05, "dropout": 0.5, "epochs": 7, "l1": 0.01})
    found = {name: (value, default) for name, value, default in differences(spec)}
    assert found["optimizer"] == ("sgd", "adamw")
    assert found["optimizer.lr"] == (0.05, "0.1")
    assert found["model.dropout"] == (0.5, MODELS["mlp"].params["dropout"].shown_default)
    assert found["epochs"] == (7, "60")
    assert found["l1"][0] == 0.01
    assert len(found) == 5


def test_the_python_call_gives_the_same_spec_again() -> None:
    options = {"optimizer": "sgd", "lr": 0.05, "hidden": (64, 32), "epochs": 7, "patience": None, "l1": 0.01}
    spec = resolve(TrainSpec, options)
    repeated: dict[str, Any] = {}
    source = python_call("fit", spec)
    exec(source, {"nnlab": SimpleNamespace(fit=lambda data, **o: repeated.update(o)), "data": None})
    assert resolve(TrainSpec, repeated) == spec


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "epochs": 7}, {"weight_decay": 0.2}], ids=str)
def test_the_python_call_names_a_network_that_the_data_would_not_choose(options: dict[str, Any]) -> None:
    """Where nothing said of the network is left, a call without its name would train the recipe."""
    call = python_call("fit", resolve(TrainSpec, options))
    assert call.startswith("nnlab.fit(data, model='mlp'")
    assert python_call("fit", resolve(TrainSpec, {"hidden": (8,)})).startswith("nnlab.fit(data, **{'model.hidden'")
    kept = python_call("fit", resolve(TrainSpec, options), keep={"lr": 0.01, "dropout": 0.3})
    assert ", lr=0.01" in kept and kept.count("dropout") == 1


def test_a_network_of_the_users_own_is_named_and_its_cell_repeated() -> None:
    code = "class Net(nn.Module):\n    ...\nNet"
    spec = TrainSpec(model=Part(CUSTOM, {"name": "Net", "code": code}))
    run = RunStandIn(spec=spec, line="%%nn_train data", code=code)
    text = run_bundles(run)[1].data["text/plain"]
    assert "    %%nn_train data\n    class Net(nn.Module):" in text
    assert "model=Net" in python_call("fit", spec)


def test_a_cell_that_is_in_the_line_already_is_not_printed_twice() -> None:
    code = "class Net(nn.Module):\n    ...\nNet\n"
    line = f"%%nn_train data\n{code.rstrip()}"
    assert repeat(RunStandIn(line=line, code=code), None) == line
    assert repeat(RunStandIn(line="%%nn_train data", code=code), None) == line


def test_the_best_spec_of_an_own_network_is_a_cell_to_run_or_a_call() -> None:
    study = StudyStandIn()
    own = replace(OWN_NETWORK, model=Part(CUSTOM, {"name": "Net", "code": "Net = nn.Linear\n"}))
    study.best = resolve(TrainSpec, {"optimizer": "sgd", "lr": 0.0123456789, "patience": None, "l1": 0.01}, own)
    plain = study_bundles(study, "%%nn_tune table --trials 3")[0].data["text/plain"]
    line, code = plain.partition("    %%nn_train ")[2].splitlines()[:2]
    assert line.startswith("table --") and code == "    Net = nn.Linear"
    assert resolve(TrainSpec, parse(line, "Net = nn.Linear", "nn_train").options, own) == study.best
    study.best = replace(study.best, model=Part(CUSTOM, {"name": "Net", "code": ""}))
    assert "nnlab.fit(data, model=Net, " in study_bundles(study)[0].data["text/plain"]


def test_a_run_without_a_metric_is_not_said_to_lack_rows_when_it_diverged() -> None:
    bare = history(1)[["train_loss", "lr", "seconds"]] * np.nan
    diverged = RunStandIn(history=bare, best_epoch=None, classes=(), reason="diverged")
    assert verdict(diverged).text() == "training loss nan; diverged after 1 epoch"
    unvalidated = RunStandIn(history=history(1)[["train_loss", "lr"]], best_epoch=None, classes=(), reason="completed")
    assert verdict(unvalidated).text().endswith(", no validation rows; completed 1 epoch")
    run = RunStandIn()
    (line,) = [line for line in run_bundles(run)[1].data["text/plain"].splitlines() if line.startswith("loss  ")]
    assert line.split()[1:] == [f"{run.history[name][23]:.4g}" for name in ("train_loss", "valid_loss")]


def test_a_target_named_target_is_said_once() -> None:
    chart, text = prepared_bundles(prepared(3, "target"))
    assert chart.data["text/plain"] == "distribution of target"
    assert "target target" not in text.data["text/plain"] and "; target, 2 classes" in text.data["text/plain"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_labels_and_names_are_shown_and_nothing_else(name: str) -> None:
    run = RunStandIn(name=name, classes=(name, "other"), warnings=[name], line=name, target=name)
    html = run_bundles(run)[1].data["text/html"]
    assert visible(name)[:60] in check_bare(html).text
    html = runs_bundles([run])[-1].data["text/html"]
    assert visible(name)[:60] in check_bare(html).text


def test_many_classes_give_the_pairs_that_are_mixed_up_most() -> None:
    run = RunStandIn(classes=tuple(f"class {at}" for at in range(150)))
    worst, pairs = confusion_blocks(run.evaluation)
    assert [list(row) for row in pairs.rows] == [["class 0", "class 1", 11]]  # all else is right
    assert len(worst.rows) == 12
    assert [list(row) for row in worst.rows[:2]] == [
        ["class 0", 51, "78.4%", "100.0%", "87.9%"],
        ["class 1", 40, "100.0%", "78.4%", "87.9%"],
    ]
    assert size_of(run_bundles(run)) < 60_000


def test_a_confusion_matrix_has_true_classes_in_rows() -> None:
    (table,) = confusion_blocks(RunStandIn().evaluation)
    assert [list(row) for row in table.rows] == [
        ["benign", 40, 11, "78.4%", "100.0%", "87.9%"],
        ["malignant", 0, 40, "100.0%", "78.4%", "87.9%"],
    ]


def test_a_thousand_epochs_stay_small() -> None:
    run = RunStandIn(history=history(1000), best_epoch=700, warnings=["slow"] * 500)
    assert size_of(run_bundles(run)) < 60_000


def test_a_list_of_runs_and_no_runs() -> None:
    runs = [RunStandIn(id=f"20260102T030405-0000000{at}", name="same") for at in range(3)]
    chart, text = runs_bundles(runs)
    assert "image/png" in chart.data
    assert "3 runs" in text.data["text/plain"] and "stopped early" in text.data["text/plain"]
    (text,) = runs_bundles([])
    assert text.data["text/plain"] == "no runs yet"


@pytest.mark.parametrize("note", ["", "<b>a long note & more</b> " * 80])
def test_a_list_of_many_runs_stays_small_and_says_how_many_it_leaves_out(tmp_path: Path, note: str) -> None:
    runs = []
    for at in range(400):
        folder = tmp_path / "runs" / f"20260102T030405-{at:08x}"
        folder.mkdir(parents=True)
        mark(folder, note=note[:2000])
        runs.append(RunStandIn(id=folder.name, path=folder, history=history(3)[:0], best_epoch=None, message="m" * 99))
    bundles = runs_bundles(runs, 1000)
    assert saved(bundles) <= 200_000
    plain = bundles[-1].data["text/plain"]
    rows = sum(f"  {run.id}" in plain for run in runs)
    assert plain.startswith("400 runs of 1,000, the newest\n\n" + f"{400 - rows} of them are left out here")
    assert rows > (20 if note else 150) and check_bare(bundles[-1].data["text/html"])
    assert "left out" not in runs_bundles(runs[:20])[-1].data["text/plain"]
    assert saved(runs_bundles([replace(run, history=history(3)) for run in runs], by="loss")) <= 200_000


def saved(bundles: list[Bundle]) -> int:
    """Bytes of a notebook's file with these outputs in a cell."""
    outputs = [new_output("display_data", data=bundle.data, metadata=bundle.metadata) for bundle in bundles]
    return len(nbformat.writes(new_notebook(cells=[new_code_cell("%nn_runs", outputs=outputs)])).encode())


def test_a_long_line_in_a_cell_does_not_make_the_difference_large() -> None:
    found = Difference("a", "b", (), ("-x = 1", *(f"+{'<' * 50_000}" for _ in range(200))), (), True)
    (bundle,) = difference_bundles(found)
    assert bundle.size < 120_000 and "... 141 more" in bundle.data["text/plain"]


def test_what_runs_share_is_the_head_of_a_column_and_what_matters_comes_first() -> None:
    runs = [RunStandIn(name="a"), RunStandIn(name="b", history=history(43, "rmse"))]
    assert runs_table(runs[:1]).columns[:3] == ["run", "accuracy", "best epoch"]
    assert runs_table(runs).columns[:4] == ["run", "validation", "value", "best epoch"]
    assert [row[1] for row in runs_table(runs).rows] == ["accuracy", "rmse"]
    assert [row[0] for row in runs_table(runs, ids=False).rows] == ["a", "b"]


def prepared(count: int, name: str = "age") -> Any:
    def column(at: int) -> ColumnReport:
        role: Role = "constant" if at % 7 == 0 else "numeric"
        return ColumnReport(f"{name} {at}", role, at % 5, "median, scaled", int(role == "numeric"), rows=569)

    sizes = (("train", 364), ("valid", 91), ("test", 114))
    rows = {part: SimpleNamespace(y=np.zeros(n, int), index=np.arange(n)) for part, n in sizes}
    return SimpleNamespace(
        **rows,
        name="patients.csv",
        task="binary",
        spec=PrepareSpec(target=name, test=0.3),
        target=Target(name, "binary", ("a", name)),
        columns=tuple(column(at) for at in range(count)),
        warnings=("column 0 is constant",),
        feature_names=tuple(f"f{at}" for at in range(count)),
        target_counts={"a": 200, name: 300},
        target_histogram=None,
        synthesis=None,
        audit=(),
        folds=(),
        steps=(),
        pipeline=SimpleNamespace(features=()),
    )


def test_a_prepared_table_says_sizes_warnings_and_columns() -> None:
    chart, text = prepared_bundles(prepared(6))
    assert "image/png" in chart.data
    plain = text.data["text/plain"]
    assert plain.startswith("364 training, 91 validation and 114 test rows of patients.csv")
    assert "warning: column 0 is constant" in plain and "median, scaled" in plain
    check_bare(text.data["text/html"])


def test_ten_thousand_columns_are_summed_up() -> None:
    text = prepared_bundles(prepared(10_000))[-1]
    assert len(text.data["text/html"]) < 20_000
    assert "10,000 columns by role" in text.data["text/plain"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_columns_are_shown_and_nothing_else(name: str) -> None:
    for count in (3, 80, 300):
        html = prepared_bundles(prepared(count, name))[-1].data["text/html"]
        assert visible(name)[:16] in check_bare(html).text


SPACE = ["lr=1e-4..1e-1 log", "optimizer={adam,sgd}"]


@dataclass
class StudyStandIn:
    name: str = "search <b>"
    metric: str = "accuracy"
    maximize: bool = True
    space: Space = field(
        default_factory=lambda: parse_space(["lr=1e-4..1e-1 log", "optimizer={adam,sgd}"], TrainSpec())
    )
    best_trial: int | None = 2
    best_score: float | None = 0.97
    best: TrainSpec = field(default_factory=lambda: resolve(TrainSpec, {"lr": 0.02}))
    best_prepare: None = None
    importance: dict[str, float] = field(default_factory=lambda: {"lr": 0.8, "optimizer": 0.2})
    messages: dict[int, str] = field(default_factory=lambda: {1: "out of <memory>"})
    trials: pd.DataFrame = field(default_factory=lambda: TRIALS)
    expected_score: float | None = None
    finalists: tuple[()] = ()
    learnt: tuple[()] = ()
    after: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(ensemble_of=None))
    header: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            several=False, members=None, prepare=None, base=TrainSpec(), source="table", data="0" * 64
        )
    )
    path: None = None
    began: None = None
    variance: dict[str, float] = field(default_factory=dict)
    steering: pd.DataFrame = field(default_factory=pd.DataFrame)
    courses: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def best_run(self) -> Run:
        raise RunError("the run of trial 2 is not kept here")

    def ranking(self) -> list[int]:
        done = self.trials[self.trials["state"] == "complete"]
        return done.sort_values("score", ascending=False)["number"].tolist()

    def rows_of(self, numbers: Sequence[int]) -> pd.DataFrame:
        return self.trials.set_index("number", drop=False).loc[list(numbers)]

    def cut_after(self, number: int) -> str:
        return ""

    def score_of(self, number: int) -> float:
        return float(self.trials["score"][number])

    def values_of(self, number: int) -> dict[str, Any]:
        return {name: self.trials[name][number] for name in self.space}


TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "state": ["complete", "failed", "complete", "pruned"],
        "score": [0.9, np.nan, 0.97, 0.5],
        "epochs": [10, 0, 12, 3],
        "seconds": [1.0, 0.1, 1.2, 0.3],
        "lr": [0.1, 0.01, 0.02, 0.5],
        "optimizer": ["adam", "sgd", "sgd", None],
    }
)


def test_a_study_says_its_best_score_and_how_to_train_it() -> None:
    head, chart, values, text = study_bundles(StudyStandIn(), "%nn_tune data", "%nn_train data --from search")
    assert "image/png" in chart.data and "image/png" in values.data
    first, plain = head.data["text/plain"], text.data["text/plain"]
    assert first.startswith("best accuracy 0.97 on the validation rows, trial 2 of study search <b>, 4 trials")
    assert "%nn_train data --from search" in first and "%nn_tune data" in plain
    assert "trial 1: out of <memory>" in plain
    check_bare(head.data["text/html"])
    check_bare(text.data["text/html"])
    top = plain.partition("Best trials")[2].splitlines()
    assert top[2].split()[0] == "2" and top[3].split()[0] == "0"


def test_a_study_without_a_complete_trial_is_reported() -> None:
    study = StudyStandIn()
    study.best_trial = study.best_score = None
    study.trials = TRIALS.assign(score=np.nan, state="failed")
    study.importance = {}
    head, _ = study_bundles(study)
    assert head.data["text/plain"].startswith("no complete trial in study")


def test_baselines_stand_beside_the_network_in_every_form() -> None:
    beside = (
        Baseline("linear", {"accuracy": 0.8125}, 200, 200),
        Baseline("HistGradientBoosting", {"accuracy": 0.875}, 5000, 40_000, "fitted on 5,000 of 40,000 rows"),
    )
    data = run_bundles(RunStandIn(beside=beside))[1].data
    for kind in ("text/html", "text/markdown", "text/plain"):
        for word in ("linear", "HistGradientBoosting", "0.8125", "0.875", "fitted on 5,000 of 40,000 rows"):
            assert word in data[kind], (kind, word)
    gone = tuple(replace(each, metrics={}, rows=0, note="left out: the run was too short for it") for each in beside)
    text = run_bundles(RunStandIn(beside=gone))[1].data["text/plain"]
    assert text.count("too short") == 1
    assert "HistGradientBoosting" not in text
