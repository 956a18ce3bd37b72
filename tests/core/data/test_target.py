"""What a target is taken for, and that predictions come back as its labels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.columns import column_of
from nnlab.core.data.target import Target, read_target, target_from
from nnlab.core.errors import DataError
from nnlab.core.registry import Part

CASES: dict[str, tuple[Any, str, tuple[Any, ...]]] = {
    "text": (["b", "a", "c"] * 20, "multiclass", ("a", "b", "c")),
    "yes and no": (["yes", "no"] * 20, "binary", ("no", "yes")),
    "stripped": ([" >50K", "<=50K "] * 20, "binary", ("<=50K", ">50K")),
    "bool": ([True, False] * 20, "binary", (False, True)),
    "0 and 1": ([0, 1] * 20, "binary", (0, 1)),
    "0.0 and 1.0": ([0.0, 1.0] * 20, "binary", (0, 1)),
    "-1 and 1 as text": (["1", "-1"] * 20, "binary", (-1, 1)),
    "gaps": ([2, 7, 40] * 20, "multiclass", (2, 7, 40)),
    "few whole numbers": (list(range(10)) * 5, "multiclass", tuple(range(10))),
    "many whole numbers": (list(range(29)) * 5, "regression", ()),
    "few rows of whole numbers": (list(range(9)) * 2, "regression", ()),
    "floats": ([0.5, 1.5, 2.5] * 20, "regression", ()),
    "whole floats": ([1.0, 2.0, 3.0] * 20, "regression", ()),
    "two halves": ([0.5, 1.5] * 20, "regression", ()),
    "categories": (pd.Categorical(["lo", "hi"] * 20, ["lo", "hi", "unused"]), "binary", ("hi", "lo")),
}


@pytest.mark.parametrize("case", CASES)
def test_task_and_classes(case: str) -> None:
    values, task, classes = CASES[case]
    target, numbers, _ = read_target(column_of("y", pd.Series(values)), None)
    assert (target.task, target.classes) == (task, classes)
    assert [type(c) for c in target.classes] == [type(c) for c in classes]
    if classes:
        labels = target.decode(numbers)
        assert [str(v).strip() for v in pd.Series(values).tolist()][:3] == [
            str(float(v)) if isinstance(values[0], float) else str(v) for v in labels[:3]
        ]
        assert np.array_equal(target.encode(values), numbers)


@pytest.mark.parametrize("case", CASES)
def test_state_comes_back_equal(case: str) -> None:
    target, _, _ = read_target(column_of("y", pd.Series(CASES[case][0])), None)
    assert target_from(target.state()) == target


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([1, 2, 3] * 9, "regression", ()),
        (list(range(29)) * 5, "multiclass", tuple(range(29))),
        ([0.5, 1.5, 2.5] * 9, "multiclass", (0.5, 1.5, 2.5)),
        ([1, 2] * 9, "multiclass", (1, 2)),
        (["1.5", "2", "7"] * 9, "regression", ()),
    ],
)
def test_the_user_can_say_otherwise(values: list[Any], task: Any, classes: tuple[Any, ...]) -> None:
    target, _, note = read_target(column_of("y", pd.Series(values)), task)
    assert (target.task, target.classes, note) == (task, classes, None)


def test_a_choice_that_could_be_the_other_is_said() -> None:
    _, _, note = read_target(column_of("q", pd.Series([3, 5, 6, 9] * 9)), None)
    assert note == "target 'q' is read as 4 classes; task=regression reads it as a number"


def test_regression_is_scaled_and_undone() -> None:
    target = Target("y", "regression").fitted(np.array([10.0, 30.0]), Part("standard"))
    assert (target.mean, target.scale) == (20.0, 10.0)
    assert target.encode([40.0]).tolist() == [2.0]
    assert target.decode(np.array([2.0], np.float32)).tolist() == [40.0]


def test_unknown_label_is_named() -> None:
    target = Target("income", "binary", ("<=50K", ">50K"))
    with pytest.raises(
        DataError, match=r"2 rows whose class the training did not see: '<=50K\.' \(row 1, 2\)"
    ) as caught:
        target.encode([">50K", "<=50K.", "<=50K."])
    assert str(caught.value).endswith("did you mean '<=50K'?")


def test_labels_of_several_types_come_back_as_they_were() -> None:
    target, codes, _ = read_target(column_of("y", pd.Series([1, "a", 1, "a"] * 5, dtype=object)), None)
    assert target.decode(codes)[:2].tolist() == ["1", "a"]
