"""Defaults rise: signature, config.toml, %config NNLab, cell body, line."""

from pathlib import Path

import pytest

from nnlab.core.spec import TrainSpec


def row(session, option: str) -> list[str]:  # type: ignore[no-untyped-def]
    text = session.run("%nn_config").outputs[0].data["text/plain"]
    return next(line.split(maxsplit=2) for line in text.splitlines() if line.startswith(f"{option} "))


def write(store: Path, text: str) -> None:
    store.mkdir(exist_ok=True)
    (store / "config.toml").write_text(text)


def test_each_default_has_its_source(session, own_store: Path) -> None:  # type: ignore[no-untyped-def]
    assert row(session, "epochs") == ["epochs", "60", "nnlab"]
    write(own_store, '[defaults]\nepochs = 7\noptimizer = "momentum"\nweight-decay = 0.5\n')
    assert row(session, "epochs") == ["epochs", "7", str(own_store / "config.toml")]
    assert row(session, "weight-decay")[1] == "0.5"
    session.run("%config NNLab.defaults = {'epochs': 8}")
    assert row(session, "epochs") == ["epochs", "8", "%config NNLab"]
    session.run("%nn_config --epochs 9 --optimizer adam")
    assert row(session, "epochs")[1] == "9"
    assert row(session, "weight-decay") == ["weight-decay", "0", "nnlab"]  # the file's was that of momentum
    session.run("%nn_config --reset")
    assert row(session, "epochs")[1] == "7"


def test_train_follows_them(prepared, own_store: Path) -> None:  # type: ignore[no-untyped-def]
    write(own_store, '[defaults]\nepochs = 2\nhidden = [8]\noptimizer = "sgd"\nlr = 0.01\n')
    spec = prepared.value("%nn_train data").spec
    assert (spec.epochs, spec.model.values, spec.optimizer.name, spec.optimizer.values) == (
        2, {"hidden": (8,)}, "sgd", {"lr": 0.01},
    )  # fmt: skip
    session_spec = prepared.value("%nn_config --epochs 3\n%nn_train data").spec
    assert session_spec.epochs == 3
    assert prepared.value("%%nn_train data\nepochs: 4").spec.epochs == 4
    run = prepared.value("%%nn_train data --epochs 1\nepochs: 4")
    assert run.spec.epochs == 1
    run = prepared.value("%nn_train data --epochs 60 --patience 1 --optimizer adamw")
    assert run.spec.optimizer == TrainSpec().optimizer
    assert "--epochs 60" in run.line  # the default of nnlab, but not the one that holds here


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults]\nepoch = 3", "config.toml: no option 'epoch'; did you mean 'epochs'?"),
        ("[defaults]\nepochs = 0", "config.toml: epochs=0: expected whole number"),
        ("[defaults\n", "config.toml is not TOML"),
        ("defaults = 3", "config.toml is not TOML with a table"),
    ],
)
def test_error_names_the_source(session, own_store: Path, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    write(own_store, text)
    error, shown = session.error("%nn_config")
    assert message in str(error)
    assert "Traceback" not in shown


def test_bad_session_default_is_refused(session) -> None:  # type: ignore[no-untyped-def]
    error, _ = session.error("%nn_config --lr 1e9")
    assert "%nn_config: lr=1e9" in str(error)
    assert row(session, "epochs")[2] == "nnlab"
