"""Lines that look ahead (--find-lr, --preview, --lr find), and functions of the user's own on the line."""

import base64
import struct

import pytest

from nnlab.core.errors import SpecError
from nnlab.core.lr_range import LrRange
from tests.magics.conftest import Session

pytestmark = pytest.mark.usefixtures("registries")

FUNCTIONS = """
import torch
def hinge(output, target):
    margin = output.gather(1, target[:, None])[:, 0] - output.gather(1, 1 - target[:, None])[:, 0]
    return (1 - margin).clamp(min=0)
def hits(y_true, y_pred):
    return float((y_true == y_pred).sum())
"""


def test_find_lr_shows_the_region_and_the_line_that_uses_it(prepared: Session) -> None:
    shown = prepared.run("found = %nn_train data --hidden 16 --find-lr")
    found = prepared.names["found"]
    assert isinstance(found, LrRange) and found.best is not None and found.rounded is not None
    picture, words = shown.outputs[-2:]
    width, height = struct.unpack(">II", base64.b64decode(picture.data["image/png"])[16:24])
    assert (width, height) == (1280, 504)
    assert f"%nn_train data --hidden 16 --lr {found.rounded:g}" in words.data["text/plain"].replace("0.0", "0.0")
    again = prepared.run("found")
    assert "of the region that learns" in again.outputs[-1].data["text/html"]
    assert not prepared.value("%nn_runs --limit 5")


def test_lr_find_trains_with_what_it_found_and_the_line_repeats_that(prepared: Session) -> None:
    shown = prepared.run("run = %nn_train data --hidden 16 --epochs 2 --lr find")
    run = prepared.names["run"]
    lr = run.spec.optimizer.values["lr"]
    assert f"--lr {lr:g}" in run.line and "find" not in run.line
    assert sum("image/png" in output.data for output in shown.outputs) == 2
    again = prepared.value(run.line)
    assert again.metrics == run.metrics
    prepared.run("run = %nn_train data --epochs 1 --lr find")
    run = prepared.names["run"]
    again = prepared.value(run.line)
    assert (again.spec, again.metrics) == (run.spec, run.metrics), "a step size in the line keeps the recipe's network"
    prepared.run("%%nn_train data --lr find --epochs 1\nfrom torch import nn\nlambda a, b: nn.Linear(a, b)")
    assert (
        prepared.names["_"].line.startswith("%%nn_train data --lr ") and "nn.Linear(a, b)" in prepared.names["_"].line
    )


def test_preview_draws_the_plan_and_trains_nothing(prepared: Session) -> None:
    line = "%nn_train data --preview --epochs 12 --schedule one_cycle --dropout-schedule polynomial"
    shown = prepared.run(line)
    text = shown.outputs[-1].data["text/plain"]
    assert "12 epochs of" in text and "dropout" in text
    assert "--schedule one_cycle --dropout-schedule polynomial --epochs 12" in text
    assert prepared.value(line) is None
    assert not prepared.value("%nn_runs")


def test_functions_of_the_users_are_named_on_the_line(prepared: Session) -> None:
    prepared.run(FUNCTIONS)
    run = prepared.value("%nn_train data --loss hinge --metrics accuracy,hits --monitor hits --epochs 3 --view none")
    assert run.spec.loss.name == "hinge" and run.started.maximize
    assert run.metrics["hits"] == round(run.metrics["accuracy"] * 19)  # validation rows
    assert "--loss hinge" in run.line and "--metrics accuracy,hits" in run.line
    prepared.run(FUNCTIONS.replace("return float", "return 2 * float"))
    again = prepared.value(run.line)
    assert again.metrics["hits"] == 2 * run.metrics["hits"]
    error, _ = prepared.error("%nn_train data --loss hing")
    assert isinstance(error, SpecError) and "did you mean 'hinge'" in str(error)


def test_what_is_no_function_is_refused(prepared: Session) -> None:
    error, _ = prepared.error("%nn_train data --loss data")
    assert isinstance(error, SpecError) and "loss=data: expected cross_entropy" in str(error)
    error, _ = prepared.error("%nn_train data --lr find --optimizer lbfgs")
    assert "searches the length of its steps itself" in str(error)
