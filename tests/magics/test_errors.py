"""What a user sees of a mistake: a line or two, or a traceback that begins at their own code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import nnlab
from nnlab.core.errors import SpecError
from nnlab.magics import subjects
from nnlab.magics.text import parse

if TYPE_CHECKING:
    from tests.magics.conftest import Session


def test_names_of_others_are_not_suggested(session: Session) -> None:
    for line in (
        "%nn_preprocess Outt --target x",
        "%nn_preprocess opem --target x",
        "%nn_load $exot",
    ):
        error, _ = session.error(line)
        assert "no variable" in str(error) and "did you mean" not in str(error)


def test_error_in_the_body_points_at_its_line(prepared: Session) -> None:
    error, shown = prepared.error("%%nn_train data\nx = 1\n\ny = x / 0\nnet")
    assert isinstance(error, ZeroDivisionError)
    assert re.search(r"line 4|----> 4|> 4 y = x / 0", shown)
    assert "body.py" not in shown
    assert "interactiveshell.py" not in shown
    error, shown = prepared.error("%%nn_train data\nx = (1,\ny = 2]\nnet")
    assert "line 3" in shown and "y = 2]" in shown and "^" in shown
    assert "SyntaxError: closing parenthesis" in shown
    assert len(shown.splitlines()) <= 5
    for body, message in (("x = 3\n(x)", "ends with an int"), ("x = 3\nfor i in []: pass", "which network")):
        error, shown = prepared.error(f"%%nn_train data\n{body}")
        assert message in str(error)
        assert "Traceback" not in shown


@pytest.mark.parametrize(
    "maker",
    [
        "class net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        1 / 0",
        "def net(n_in):\n    return 1 / 0",
        "def net(n_in):\n    return torch.nn.Linear(n_in, 'two')",
    ],
)
def test_error_in_a_maker_points_at_its_line(prepared: Session, maker: str) -> None:
    for cell in (f"%%nn_train data\nimport torch\n{maker}", "%nn_train data --model net;"):
        error, shown = prepared.error(cell)
        assert isinstance(error, (ZeroDivisionError, TypeError))
        assert "custom.py" not in shown and "magics.py" not in shown and "fit.py" not in shown
        assert maker.splitlines()[-1].strip() in shown


def test_options_are_checked_before_the_body_runs(prepared: Session) -> None:
    for verb in ("nn_train", "nn_tune"):
        error, _ = prepared.error(f"%%{verb} data --epochs 0\nran = 1\nlambda n_in: None")
        assert isinstance(error, nnlab.NNLabError)
        assert "ran" not in prepared.names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%nn_train dff", "no variable 'dff'; did you mean"),
        (
            "%nn_train df",
            "'df' is a DataFrame 120 x 4; needed is prepared data\n  get prepared data with:  data = %nn_pre",
        ),
        ("%nn_train", "%nn_train needs prepared data:  data = %nn_preprocess df --target ..."),
        ("%nn_preprocess dff --target label", "no variable 'dff'; did you mean 'df' (DataFrame 120 x 4)?"),
        ("%nn_preprocess", "%nn_preprocess needs a table:  %nn_preprocess df --target ..."),
        (
            "%nn_preprocess df",
            "%nn_preprocess needs --target, the column to predict; the columns are age, height, my col",
        ),
        ("%nn_preprocess df --target lable", "did you mean 'label'"),
        ("%nn_preprocess df --target label --drop agee", "agee"),
        ("%nn_preprocess number --target label", "'number' is an int; needed is a table"),
        ("%nn_preprocess missing.csv --target label", "missing.csv"),
        ("%nn_preprocess df,number", "'number' is an int"),
        ("%nn_preprocess df --target label --test 2", "test=2: expected number, 0 to 0.9"),
        ("%nn_preprocess df --target label --scale standart", "did you mean 'standard'"),
        ("%nn_preprocess df[df.age > 0] --target label", "a variable is needed:\n  sub = df[df.age > 0]\n  %nn_pre"),
        ("%nn_preprocess df.iloc[:5] --target label", "sub = df.iloc[:5]"),
        ("%nn_preprocess df.query('age > 0') --target label", "sub = df.query('age > 0')"),
        ("%nn_preprocess (X,y)", "write it without brackets:  %nn_preprocess X,y"),
        ("%nn_preprocess df.csv --target label", "df.csv"),
        ("%nn_train df[:3]", "sub = df[:3]"),
        ("%nn_config --name x", "name is no default"),
        ("%nn_load last", "there are no runs"),
        ("%nn_load", "%nn_load needs a run"),
        ("%nn_load ./nowhere", "nowhere"),
        ("%nn_runs nothing", "no runs"),
        ("%nn_train --help nothing", "no help on 'nothing'"),
        ("%%nn_preprocess df\nx = 3", "takes options in its body"),
    ],
)
def test_error_is_ours_and_short(session: Session, line: str, message: str) -> None:
    session.names["number"] = 3
    error, shown = session.error(line)
    assert isinstance(error, nnlab.NNLabError)
    assert message in str(error)
    assert len(shown.strip().splitlines()) <= 3
    assert shown.startswith("nnlab: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%nn_train data --optimizer adamm", "did you mean 'adam"),
        ("%nn_train data --model nett", "neither a network of nnlab"),
        ("%nn_train data --model df", "--model df is a DataFrame 120 x 4"),
        ("%nn_train data --from df", "--from df is a DataFrame 120 x 4"),
        ("%nn_train data --from nothing", "no such variable"),
        ("%nn_train data --loss mse", "mse"),
        ("%nn_train dat --lr 3", "no variable 'dat'; did you mean 'data'"),
        ("%nn_tune data --trials 0", "trials=0"),
        ("%nn_tune data --space lr=3", "lr=3"),
        ("%nn_tune data --sampler tpee", "did you mean 'tpe'"),
    ],
)
def test_error_with_prepared_data(prepared: Session, line: str, message: str) -> None:
    error, shown = prepared.error(line)
    assert isinstance(error, nnlab.NNLabError)
    assert message in str(error)
    assert len(shown.strip().splitlines()) <= 3


def test_control_characters_of_a_line_do_not_break_its_error() -> None:
    for line in ("A(\r0", "(a,\x0bb)", "x[\x1b[31m]"):
        with pytest.raises(SpecError) as caught:
            subjects.frame(parse(line, None, "nn_preprocess", {"x": 1}).subject, {"x": 1})
        assert len(str(caught.value).splitlines()) <= 3
