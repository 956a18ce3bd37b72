"""How much the rows of each class count: as rows that are there more often, whatever the loss and the learner."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight
from torch.nn.functional import cross_entropy

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import SpecError
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec, from_json, to_json
from nnlab.core.train import Job, set_up, train
from nnlab.magics.lines import to_line
from nnlab.magics.text import parse

WHOLE: dict[str, Any] = {"hidden": (8,), "epochs": 4, "batch_size": 100_000, "device": "cpu", "dropout": 0}
WHOLE |= {"activation": "tanh", "optimizer": "sgd", "lr": 0.1, "schedule": "constant", "warmup": 0, "patience": None}


@pytest.fixture(scope="module")
def data() -> Prepared:
    """Three classes, one of them rare."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    score = frame["a"] - frame["b"] + rng.normal(size=300)
    return prepare(frame.assign(y=np.where(score > 1.5, "a, b", np.where(score > 0, "yes", "no"))), target="y")


def trained(data: Prepared, **options: Any) -> tuple[Job, list[torch.Tensor], list[Any]]:
    job = set_up(resolve(TrainSpec, WHOLE | options), data)
    events = list(train(job, Controls()))
    return job, [value.clone() for value in job.learner.model.state_dict().values()], events


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def repeated(data: Prepared, label: str, times: int) -> Prepared:
    own, code = data.train, data.target.labels.index(label)
    rows = np.repeat(np.arange(len(own)), np.where(own.y == code, times, 1))
    return replace(data, train=replace(own, x=own.x[rows], y=own.y[rows], index=own.index[rows]))


@pytest.mark.parametrize(("loss", "learner"), [("cross_entropy", "stack"), ("focal", "module")])
def test_a_class_of_weight_3_is_its_rows_three_times(data: Prepared, loss: str, learner: str) -> None:
    job, weighted, _ = trained(data, loss=loss, class_weight={"yes": 3})
    assert job.learner.name == learner
    assert close(weighted, trained(repeated(data, "yes", 3), loss=loss)[1])
    assert not close(weighted, trained(data, loss=loss)[1])


def test_a_class_of_weight_0_is_absent_and_row_weights_count_too(data: Prepared) -> None:
    absent = trained(repeated(data, "a, b", 0))[1]
    assert close(trained(data, class_weight={"a, b": 0})[1], absent)
    rng = np.random.default_rng(0)
    own = rng.integers(1, 4, len(data.train)).astype(np.float32)
    by_class = np.where(data.train.y == data.target.labels.index("no"), 2.5, 1.0)
    both = replace(data, train=replace(data.train, weight=(own * by_class).astype(np.float32)))
    rows = replace(data, train=replace(data.train, weight=own))
    assert close(trained(rows, class_weight={"no": 2.5})[1], trained(both)[1])


def test_balanced_is_the_balanced_loss_and_scikit_learns_weights(data: Prepared) -> None:
    balanced = trained(data, class_weight="balanced")[1]
    assert close(balanced, trained(data, loss="balanced_cross_entropy")[1])
    each = compute_sample_weight("balanced", data.train.y).astype(np.float32)
    assert close(balanced, trained(replace(data, train=replace(data.train, weight=each)))[1])


def test_the_validation_loss_is_the_loss_that_is_trained(data: Prepared) -> None:
    job, _, events = trained(data, class_weight={"yes": 3, "no": 0.5}, epochs=1)
    scale = torch.tensor([{"yes": 3.0, "no": 0.5}.get(label, 1.0) for label in data.target.labels])
    output = job.learner.model.eval()(torch.from_numpy(data.valid.x))
    expected = cross_entropy(output, torch.from_numpy(data.valid.y), weight=scale).item()
    assert next(event for event in events if hasattr(event, "valid")).valid["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"yes": 3, "no": 1}, ("yes=3", "no=1")),
        ("yes=3,no=1", ("yes=3", "no=1")),
        ('"a, b=0.25",no=1', ("a, b=0.25", "no=1")),
        ({"a, b": 1e-7}, ("a, b=1e-07",)),
        ({0: 2, 1.5: 4}, ("0=2", "1.5=4")),
        ("balanced", ("balanced",)),
        ("none", ()),
        ((), ()),
    ],
)
def test_weights_go_to_text_and_back(given: Any, words: tuple[str, ...]) -> None:
    spec = resolve(TrainSpec, {"class_weight": given})
    assert spec.class_weight == words
    assert from_json(TrainSpec, to_json(spec)) == spec
    line = to_line("nn_train", "data", spec)
    call = parse(line.partition(" ")[2], None, "nn_train", {})
    assert resolve(TrainSpec, call.options) == spec, line


@pytest.mark.parametrize(
    "given", ["yes", "yes=-1", "yes=nan", "yes=inf", "=3", "yes=3,yes=4", "balanced,yes=3", {"yes": "much"}, "on"]
)
def test_what_is_no_weight_is_refused(given: Any) -> None:
    with pytest.raises(SpecError, match=r'class_weight=.*: expected balanced, none, or a weight .* "yes=3,no=1"'):
        resolve(TrainSpec, {"class_weight": given})


def test_classes_that_are_not_there_are_refused(data: Prepared, numbers: Prepared) -> None:
    with pytest.raises(SpecError, match=r"class_weight: no class 'yess'; there are .*did you mean 'yes'\?"):
        trained(data, class_weight={"yess": 3})
    with pytest.raises(SpecError, match="class_weight leaves no training row"):
        trained(data, class_weight=dict.fromkeys(data.target.labels, 0))
    with pytest.raises(SpecError, match="class_weight is for classes; the target 'target' is a number"):
        trained(numbers, class_weight="balanced")


def test_labels_that_are_numbers_are_found_however_they_are_written(classes: Prepared) -> None:
    first = trained(classes, class_weight={0: 2, 1: 1, 2: 5})[1]
    assert close(first, trained(classes, class_weight="0.0=2,2=5.0")[1])
