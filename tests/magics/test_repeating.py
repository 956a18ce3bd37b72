"""%nn_train --replay and --from RUN@epoch, and the tree of branches."""

import torch

from tests.magics.conftest import Session

TRUNK = "run = %nn_train data --model mlp --hidden 6 --epochs 4 --no-probe --no-baseline --name trunk"


def shown(session: Session, cell: str) -> str:
    """All text that a cell shows."""
    captured = session.run(cell)
    return "\n".join(str(output.data.get("text/plain", "")) for output in captured.outputs) + captured.stdout


def test_a_replay_says_that_the_bits_are_the_same(prepared: Session) -> None:
    prepared.run(TRUNK)
    text = shown(prepared, "again = %nn_train --replay run --name second")
    assert "same losses, metrics and weights as run trunk" in text and "again with" not in text
    run, again = prepared.names["run"], prepared.names["again"]
    assert again.line == f"%nn_train --replay {run.id} --name second" and again.id != run.id
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in run.model.state_dict().items())
    error, _ = prepared.error("%nn_train data --replay --lr 0.1")
    assert "--lr cannot be given to a replay" in str(error)


def test_branches_are_drawn_as_a_tree(prepared: Session) -> None:
    prepared.run(TRUNK)
    text = shown(prepared, "twig = %nn_train data --from trunk@2 --lr 1e-4 --name twig")
    twig = prepared.names["twig"]
    assert f"again with its changes: %nn_train --replay {twig.id}" in text
    assert "branches off run trunk after epoch 2" in text and twig.facts.origin.epoch == 2
    assert twig.line == "%nn_train data --from trunk@2 --lr 1e-4 --name twig"
    assert [(change.epoch, change.step, change.name, change.new) for change in twig.changes] == [(3, 1, "lr", 1e-4)]
    prepared.run("leaf = %nn_train --from twig@3 --dropout 0.4 --epochs 5 --name leaf")
    prepared.run("%nn_train --from run@1 --lr 0.5 --name side\nother = %nn_train data --epochs 1 --name other")
    lines = shown(prepared, "%nn_runs").splitlines()
    firsts = [line.partition(" (")[0] for line in lines if "(2" in line]
    assert [first.lstrip(" 0123456789") for first in firsts] == ["other", "trunk", "├─ side", "└─ twig", "· └─ leaf"]
    assert any("└─ twig" in line and "from epoch 2" in line for line in lines)
    by_loss = shown(prepared, "%nn_runs --sort loss")
    assert "└─" not in by_loss
    error, _ = prepared.error("%nn_train data --from trunk@2 --hidden 9")
    assert "model cannot differ" in str(error)
    error, _ = prepared.error("%nn_train data --from trunk@9")
    assert "epochs 1 to 4, none 9" in str(error)


def test_an_unknown_program_to_tell_is_refused(prepared: Session) -> None:
    error, _ = prepared.error("%nn_train data --epochs 1 --log-to tensorbord:runs")
    assert "expected one of tensorboard, mlflow, wandb; did you mean 'tensorboard'?" in str(error)
