"""The magics end to end in an IPython shell."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnlab
from nnlab.core.controls import Controls
from nnlab.core.data.columns import option
from nnlab.core.events import EpochDone, Event, Finished
from nnlab.magics.lines import to_line
from nnlab.magics.plain import SilentView
from nnlab.magics.views import make_view
from nnlab.report.bundle import Bundle, study_bundles

if TYPE_CHECKING:
    from tests.magics.conftest import Session

QUICK = "--epochs 2 --hidden 8"


def plain(shown) -> list[str]:  # type: ignore[no-untyped-def]
    return [output.data.get("text/plain", "") for output in shown.outputs]


def test_preprocess_shows_and_returns(session: Session) -> None:
    shown = session.run("data = %nn_preprocess df --target label --drop age,'my col' --seed 3")
    data = session.names["data"]
    assert isinstance(data, nnlab.Prepared)
    assert data.feature_names == ("height",)
    assert (data.spec.seed, data.name) == (3, "df")
    assert any("text/html" in output.data for output in shown.outputs)
    again = session.run("data")
    assert [output.data for output in again.outputs] == [output.data for output in shown.outputs]


def test_subjects_of_preprocess(session: Session, table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "my table.csv", index=False)
    session.names.update(X=table[["age", "height"]].to_numpy(), y=table["label"].to_numpy(), where=tmp_path)
    assert session.value("%nn_preprocess 'my table.csv' --target label").task == "binary"
    assert session.value("%nn_preprocess X,y").task == "binary"
    assert session.value("%nn_preprocess X, y --test 0.5").spec.test == 0.5
    session.names["path"] = tmp_path / "my table.csv"
    assert session.value("%nn_preprocess path --target height").task == "regression"
    assert session.value("%nn_preprocess $path --target height").task == "regression"
    inner = (
        "def f(frame):\n    return get_ipython().run_line_magic('nn_preprocess', 'frame --target label;')\nf(df).task"
    )
    assert session.value(inner) == "binary"


@pytest.mark.parametrize(
    "drop", ["'age,height'", '"age, height"', "age, height", "=age, height", "age,'height'", "'age', height"]
)
def test_lists_of_columns_as_people_write_them(session: Session, drop: str) -> None:
    data = session.value(f"%nn_preprocess df --target label --drop{'' if drop[0] == '=' else ' '}{drop}")
    assert data.feature_names == ("my col",)
    session.names["df"] = session.names["df"].rename(columns={"my col": "age,height"})
    assert "age" in session.value("%nn_preprocess df --target label --drop 'age,height'").feature_names


def test_train_returns_the_run_and_shows_it_once(prepared: Session) -> None:
    shown = prepared.run(f"run = %nn_train data {QUICK} --lr 3e-3 --name 'first one'\nrun")
    run = prepared.names["run"]
    assert isinstance(run, nnlab.Run)
    assert (run.spec.epochs, run.spec.optimizer.values, run.name) == (2, {"lr": 3e-3, "weight_decay": 0.1}, "first one")
    kinds = [set(output.data) for output in shown.outputs]
    assert kinds == [{"image/png", "text/plain"}, {"text/html", "text/markdown", "text/plain"}, {"text/plain"}]
    assert plain(shown)[2] == repr(run)
    later = prepared.run("run")
    assert [output.data for output in later.outputs] == [output.data for output in shown.outputs[:2]]
    assert not any("widget" in kind for output in later.outputs for kind in output.data)


def test_value_is_underscore_and_semicolon_mutes(prepared: Session) -> None:
    shown = prepared.run(f"%nn_train data {QUICK} ; # quiet")
    assert shown.outputs == []
    assert "epoch" not in shown.stdout
    assert isinstance(prepared.names["_"], nnlab.Run)
    assert prepared.value(f"run = %nn_train data {QUICK};\nrun.spec.epochs") == 2


def test_what_is_shown_once_is_not_shown_again_below(prepared: Session) -> None:
    trained = f"%nn_train data {QUICK}"
    searched = f"%nn_tune data --trials 1 {QUICK} --space dropout=0..0.5"
    for line, outputs in ((trained, 2), ("%nn_preprocess df --target label", 2), (searched, 3)):
        full = [set(output.data) for output in prepared.run(f"value = {line}").outputs]
        assert len(full) == outputs
        assert [set(output.data) for output in prepared.run(line).outputs] == full
        assert prepared.names["_"] is not prepared.names["value"]
        for tail in ("value", "display(value)", "display(value)\n3"):
            shown = prepared.run(f"value = {line};\n{tail}").outputs
            assert [set(output.data) for output in shown][:outputs] == full
        assert prepared.run(f"%%time\n{line};").outputs == []
    muted = prepared.run(f"value = {trained};\nvalue").outputs
    later = prepared.run("value").outputs
    assert [output.data for output in later] == [output.data for output in muted]


def test_the_line_of_a_run_repeats_it(prepared: Session) -> None:
    run = prepared.value(f"%nn_train data {QUICK} --dropout 0.3 --optimizer momentum --momentum 0.5 --seed 4")
    again = prepared.value(run.line)
    assert again.spec == run.spec
    assert again.metrics == run.metrics
    assert len(run.line) < 120


def test_loops_and_variables(prepared: Session) -> None:
    runs = prepared.value(
        "runs = []\nfor lr in (1e-3, 1e-2):\n"
        f"    run = %nn_train data {QUICK} --lr {{lr}} --name run-$lr\n    runs.append(run)\nruns"
    )
    assert [run.spec.optimizer.values["lr"] for run in runs] == [1e-3, 1e-2]
    assert [run.name for run in runs] == ["run-0.001", "run-0.01"]


def test_from_a_spec_a_run_and_the_store(prepared: Session) -> None:
    first = prepared.value(f"first = %nn_train data {QUICK} --lr 3e-3 --name base\nfirst")
    prepared.names["spec"] = first.spec
    prepared.run("%nn_config --epochs 7")  # a named start is exact: no default changes it
    for start in ("first", "spec", "base", "last", first.id):
        run = prepared.value(f"%nn_train data --from {start} --dropout 0.5")
        assert run.spec.optimizer.values["lr"] == 3e-3
        assert run.spec.epochs == 2
        prepared.value("%nn_train data --from base --dropout 0")
    prepared.names["base"] = 3
    assert prepared.value("%nn_train data --from base").spec.epochs == 2


def test_network_in_the_body(prepared: Session) -> None:
    body = "import torch.nn as nn\nwidth = 5\ndef net(n_in, n_out):\n    return nn.Linear(n_in, n_out)\nnet"
    run = prepared.value(f"%%nn_train data --epochs 2\n{body}")
    assert type(run.model).__name__ == "Linear"
    assert prepared.names["width"] == 5
    assert run.line == f"%%nn_train data --epochs 2\n{body}"
    assert run.code.strip() == body
    makers = (
        "nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))",
        "lambda n_in: nn.Linear(n_in, 2)",
        "class Net(nn.Linear):\n    def __init__(self, n_in, n_out):\n        super().__init__(n_in, n_out)",
    )
    for tail in makers:
        assert prepared.value(f"%%nn_train data --epochs 1\n{tail}").best_epoch == 1
    named = prepared.value("%nn_train data --model net --epochs 1")
    assert type(named.model).__name__ == "Linear"
    assert named.line == "%nn_train data --epochs 1 --model net"
    loaded = prepared.value("%nn_load last --model net")
    assert np.array_equal(loaded.predict(prepared.names["df"]), named.predict(prepared.names["df"]))


def test_a_second_interrupt_ends_the_cell(prepared: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    presses: list[str] = []

    class View(SilentView):
        def __call__(self, event: Event) -> None:
            if isinstance(event, EpochDone) and "first" in presses:
                presses.remove("first")
                signal.raise_signal(signal.SIGINT)

        def close(self, bundles: Sequence[Bundle]) -> None:
            if "second" in presses:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("nnlab.magics.work.make_view", lambda *_: View(None))
    loop = f"runs = []\nfor i in range(2):\n    run = %nn_train data {QUICK}\n    runs.append(run)"
    presses[:] = ["first"]
    prepared.run(loop)
    assert [run.finished.reason for run in prepared.names["runs"]] == ["interrupted", "completed"]
    presses[:] = ["first", "second"]
    error, _ = prepared.error(loop)
    assert isinstance(error, KeyboardInterrupt)
    assert prepared.names["runs"] == []


def test_options_of_a_registered_model_do_not_fit_an_own_one(prepared: Session) -> None:
    error, _ = prepared.error("%%nn_train data --hidden 3\nimport torch\ntorch.nn.LazyLinear(2)")
    assert "belongs to model" in str(error)
    error, _ = prepared.error("%%nn_train data --model mlp\nimport torch\ntorch.nn.LazyLinear(2)")
    assert "take --model mlp away" in str(error)


def test_hostile_column_names(session: Session) -> None:
    rng = np.random.default_rng(1)
    names = [
        "it's",
        'a"b',
        "{x} $y",
        "<script>",
        "50%",
        "a,b",
        "tab\tend",
        "-h",
        "--lr",
        "# no",
        "\u202egnp",
        "x" * 3000,
    ]
    frame = pd.DataFrame(rng.normal(size=(80, len(names))), columns=names)
    session.names["odd"] = frame
    for name in names:
        line = to_line("nn_preprocess", "odd", nnlab.PrepareSpec(name, drop=tuple(names[:2])))
        if name in names[:2]:
            continue
        data = session.shell.run_line_magic("nn_preprocess", line.removeprefix("%nn_preprocess ") + ";")
        assert data.target.name == name
        assert len(data.feature_names) == len(names) - 3


def test_the_options_of_the_audit_can_be_typed(session: Session) -> None:
    rng = np.random.default_rng(0)
    names = ["plain", "with blanks", "of $row", "of {x}", 'say "hi"', "a,b"]
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300), "y": rng.integers(0, 2, 300)})
    session.names["df"] = frame.assign(**{name: 2.0 * frame["y"] + at for at, name in enumerate(names)})
    session.names["row"] = "other"
    found = session.value("%nn_preprocess df --target y").audit
    assert [finding.columns for finding in found] == [(name,) for name in names]
    for finding in found:
        left = session.value(f"%nn_preprocess df --target y {finding.option}").feature_names
        assert left == ("a", "b", *(name for name in names if name not in finding.columns))
    whole = option("drop", *names)
    assert session.value(f"%nn_preprocess df --target y {whole}").feature_names == ("a", "b")


def test_tune(prepared: Session) -> None:
    line = f"%nn_tune data --trials 2 {QUICK} --space 'lr=1e-3..1e-1 log' dropout=0..0.5 --name small"
    shown = prepared.run(f"study = {line}")
    study = prepared.names["study"]
    assert isinstance(study, nnlab.Study)
    assert set(study.space) == {"lr", "dropout"}
    assert study.best.epochs == 2
    assert any("text/html" in output.data for output in shown.outputs)
    repeated = next(
        text for output in shown.outputs for text in output.data["text/plain"].splitlines() if "%nn_tune" in text
    )
    assert "--space" in repeated
    assert "--epochs 2" in repeated
    run = prepared.value("%nn_train data --from study")
    assert run.spec == study.best
    assert prepared.value("%nn_train data --from small").spec == study.best
    prepared.run("%nn_config --patience 5")  # the line of the best spec must hold here, where 20 is not the default
    shown = prepared.run(f"%nn_tune data --trials 1 {QUICK} --patience 20 --space dropout=0..0.5")
    text = plain(shown)[0]
    assert "--patience 20" in text.partition("%nn_train data")[2].splitlines()[0]
    body = prepared.value(f"%%nn_tune data {QUICK} --trials 1\nlr: 1e-3..1e-2 log\noptimizer: {{adam, sgd}}")
    assert set(body.space) == {"lr", "optimizer"}
    assert [output.data for output in prepared.run("study").outputs if "image/png" in output.data]


def test_runs_and_load(prepared: Session) -> None:
    assert len(prepared.value("%nn_runs")) == 0
    run = prepared.value(f"%nn_train data {QUICK} --name one")
    prepared.run("%%nn_train data --epochs 1\nimport torch\ntorch.nn.LazyLinear(2)")
    listed = prepared.run("found = %nn_runs")
    assert len(prepared.names["found"]) == 2
    assert run.id in plain(listed)[-1]
    assert plain(prepared.run("found")) == plain(listed)
    newest = plain(prepared.run("%nn_runs --limit 1"))[0]
    assert newest.startswith("1 run of 2, the newest; --limit 2 lists all")
    overlaid = prepared.run("%nn_runs one last")
    assert "image/png" in overlaid.outputs[0].data
    assert len(overlaid.outputs) == 2  # nothing below what the magic itself has shown
    assert plain(prepared.run("both = %nn_runs one last\nboth"))[-1] == "2 runs"
    for word in ("one", run.id, str(run.path), f"'{run.path}'"):
        loaded = prepared.value(f"%nn_load {word}")
        assert np.array_equal(loaded.predict(prepared.names["df"]), run.predict(prepared.names["df"]))
    for cell in ("%nn_load one", "got = %nn_load one\ngot", "got = %nn_load one;\ndisplay(got)"):
        assert "image/png" in prepared.run(cell).outputs[0].data
    assert prepared.run("%nn_load one;").outputs == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no <font>\x1b[31m")])
def test_a_result_that_cannot_be_drawn_is_not_lost(
    prepared: Session, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    for name in ("run_bundles", "prepared_bundles"):
        with monkeypatch.context() as patched:
            patched.setattr(f"nnlab.report.bundle.{name}", broken)
            line = f"%nn_train data {QUICK}" if name == "run_bundles" else "%nn_preprocess df --target label"
            shown = prepared.run(f"got = {line}")
        (said,) = plain(shown)
        assert said.startswith(repr(prepared.names["got"])) and "\x1b" not in said
        assert ("interrupted" if isinstance(error, KeyboardInterrupt) else "ValueError: no <font>") in said
        assert "image/png" in prepared.run("got").outputs[0].data


def test_an_interrupt_while_the_view_closes_does_not_lose_the_run(
    prepared: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nnlab.magics.plain.TextView.close", interrupted)
    prepared.run(f"run = %nn_train data {QUICK}")
    assert prepared.names["run"].best_epoch is not None


def test_view_is_closed_however_the_work_ends(prepared: Session) -> None:
    closed: list[int] = []
    seen: list[Event] = []

    class View:
        def __init__(self, controls: Controls, kind: str, fields: bool) -> None:
            assert kind == "train"

        def __call__(self, event: Event) -> None:
            seen.append(event)

        def close(self, bundles) -> None:  # type: ignore[no-untyped-def]
            closed.append(len(bundles))

    from nnlab.magics import register

    register(prepared.shell, live_view=View)
    prepared.shell.kernel = type("Kernel", (), {"_allow_stdin": True})()
    try:
        prepared.run(f"%nn_train data {QUICK}")
        assert closed == [2]
        assert isinstance(seen[-1], Finished)
        body = "import torch\ndef net(n_in):\n    raise OSError('no')\nnet"
        error, _ = prepared.error(f"%%nn_train data {QUICK.split('--hidden')[0]}\n{body}")
        assert isinstance(error, (OSError, nnlab.NNLabError))
        assert closed == [2, 0]
    finally:
        del prepared.shell.kernel


def test_view_follows_the_front_end(session: Session) -> None:
    kernel = type("Kernel", (), {"_allow_stdin": True})()
    shell = type("Shell", (), {"kernel": kernel})()
    made = object()

    def pick(word: str, muted: bool = False) -> str:
        view = make_view(word, muted, shell, lambda fields: made)  # type: ignore[arg-type, return-value]
        return "live" if view is made else type(view).__name__

    assert [pick("auto"), pick("text"), pick("none"), pick("auto", True)] == [
        "live",
        "TextView",
        "SilentView",
        "SilentView",
    ]
    kernel._allow_stdin = False
    assert [pick("auto"), pick("live"), pick("text")] == ["SilentView", "SilentView", "TextView"]
    terminal = make_view("auto", False, object(), lambda fields: made)  # type: ignore[arg-type, return-value]
    assert type(terminal).__name__ == "TextView"


WORDS = st.sampled_from(
    ["data", "df", "--lr", "nan", "--epochs", "0", "--optimizer", "sgdd", "[", "'", "{df}", "$df", "$data", "--from",
     "--name", "X,", "--target", "--help", "--view", "#", "a/b", "--space", "lr=3", "--hidden", "--device", "\x00",
     "--minutes", "-1"]
)  # fmt: skip


@pytest.mark.parametrize("verb", ["nn_train", "nn_tune", "nn_preprocess", "nn_load", "nn_runs", "nn_config"])
@given(words=st.lists(WORDS | st.text(max_size=6), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_line_raises_a_foreign_error_anywhere(session: Session, verb: str, words: list[str]) -> None:
    session.names["data"] = 3  # whatever is typed, no training starts
    try:
        session.shell.run_line_magic(verb, " ".join(words) + " ;")
    except nnlab.NNLabError as error:
        assert len(str(error).splitlines()) <= 4


def test_baselines_stand_in_the_report_unless_they_are_turned_off(
    prepared: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnlab.core.baselines.SHARE", 1e9)
    with_them = "\n".join(plain(prepared.run(f"run = %nn_train data {QUICK}")))
    assert "linear" in with_them and "HistGradientBoosting" in with_them
    without = "\n".join(plain(prepared.run(f"run = %nn_train data {QUICK} --no-baseline")))
    assert "HistGradientBoosting" not in without
    again = next(line.strip() for line in without.splitlines() if "--baseline" in line or "--no-baseline" in line)
    prepared.run(again.removeprefix("run = ") if "%" in again else again)
    assert prepared.names["run"].baselines.empty


def test_the_recipe_for_the_data_is_in_the_line_that_repeats_the_run(prepared: Session) -> None:
    prepared.run("run = %nn_train data --epochs 2")
    run = prepared.names["run"]
    assert run.spec.model.name == "realmlp"
    assert "--model realmlp" in run.line and "--epochs 2" in run.line
    prepared.run(f"again = {run.line}")
    assert prepared.names["again"].spec == run.spec
    text = "\n".join(plain(prepared.run("%nn_config")))
    assert "16 small ones below" in text
    assert "16 small ones below" not in "\n".join(plain(prepared.run("%nn_config --model mlp")))


def test_tune_searches_steps_of_the_preparation(prepared: Session) -> None:
    body = "scale: {standard, quantile}  # both are made again from df\nhidden: [4,8]x1..2\nlr = 1e-3..1e-1 log"
    study = prepared.value(f"%%nn_tune data {QUICK} --trials 3 --sampler random --model mlp\n{body}")
    assert [str(one) for one in study.space.values()] == ["{standard,quantile}", "[4,8]x1..2", "0.001..0.1 log"]
    assert (study.trials["state"] == "complete").all()
    assert study.best_prepare.scale.name in ("standard", "quantile")
    again = plain(prepared.run(f"study = %nn_tune --resume {study.name} --trials 4 --view none"))
    study = prepared.names["study"]
    found = [line.strip() for text in again for line in text.splitlines() if " %nn_" in line]
    assert [line.partition(" --")[0] for line in found] == ["data = %nn_preprocess df", "%nn_train data"]
    text = "\n".join(str(bundle.data["text/plain"]) for bundle in study_bundles(study))
    lines = [line.strip().replace("nnlab.fit", "by_call = nnlab.fit") for line in text.splitlines() if "nnlab." in line]
    prepared.run("\n".join(["import nnlab", "kept = data", *found[:1], f"by_line = {found[1]}", *lines, "data = kept"]))
    for name in ("by_line", "by_call"):
        assert prepared.names[name].metrics["loss"] == pytest.approx(study.best_score)
    prepared.run("other = df; del df")
    line = f"%nn_tune data {QUICK} --trials 1 --space scale={{standard,quantile}}"
    with pytest.raises(nnlab.SpecError, match="that needs the table itself"):
        prepared.run(line)
    shown = prepared.run(f"again = {line} --frame other")
    again = prepared.names["again"]
    assert len(again.trials) == 1
    assert any("--frame other" in text for text in plain(shown))


def test_folds_are_called_what_their_table_is_called(session: Session) -> None:
    data = session.value("data = %nn_preprocess df --target label --folds 3;\ndata")
    assert {data.name, *(fold.name for fold in data.folds)} == {"df"}
