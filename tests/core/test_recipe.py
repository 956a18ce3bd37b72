"""The network that a run gets where nobody says which: by task, rows and columns, and never against what is said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.fit import fit
from nnlab.core.lr_range import lr_range
from nnlab.core.models import MODELS
from nnlab.core.options import resolve
from nnlab.core.recipe import MANY, MANY_NUMBERS, SOME, WIDE, left_open, recipe, recipe_for
from nnlab.core.spec import TrainSpec, from_json, part_values, to_json


def table(rows: int, task: str = "regression") -> Prepared:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    frame["y"] = frame.a + rng.normal(size=rows)
    if task == "binary":
        frame["y"] = np.where(frame.y > 0, "yes", "no")
    return prepare(frame, target="y")


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("rows", [100, SOME - 1, SOME, WIDE - 1, WIDE, MANY, MANY + 1])
def test_every_recipe_is_a_spec_and_grows_with_the_rows(task: str, rows: int) -> None:
    spec = resolve(TrainSpec, recipe(task, rows, 8))
    assert from_json(TrainSpec, to_json(spec)) == spec
    wanted = "realmlp" if rows <= MANY else "mlp"
    assert spec.model.name == wanted
    if wanted != "mlp":
        values = part_values(MODELS, spec.model)
        assert values["members"] >= 4
        assert max(values["hidden"]) == (256 if rows >= WIDE else 128 if rows >= SOME else 64)
    assert (spec.embed.name != "none") == (wanted == "realmlp")


@pytest.mark.parametrize("rows", [SOME, WIDE])
def test_very_many_columns_of_numbers_are_not_embedded(rows: int) -> None:
    usual, spec = (resolve(TrainSpec, recipe("binary", rows, MANY_NUMBERS + more)) for more in (0, 1))
    assert usual.embed.name == "pbld" and spec == replace(usual, embed=spec.embed)
    assert spec.embed.name == "none"


def test_columns_that_are_too_many_to_embed_are_learned_better_than_by_the_mlp() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, MANY_NUMBERS + 50))).add_prefix("c")
    frame["y"] = 2 * frame["c0"] + rng.normal(size=len(frame))
    data = prepare(frame, target="y")
    own, plain = (fit(data, store=False, **options) for options in ({}, {"model": "mlp"}))
    assert own.learner == "stack"
    assert own.metrics["rmse"] < 0.9 * plain.metrics["rmse"]


@pytest.mark.parametrize(
    ("options", "free"),
    [
        ({}, True),
        ({"epochs": 3, "seed": 1, "monitor": "rmse", "batch_size": 32}, True),
        ({"dropout": 0.4, "weight_decay": 0.1, "loss": "mae"}, True),
        ({"hidden": (8,)}, False),
        ({"model.hidden": (8,)}, False),
        ({"optimizer": "sgd"}, False),
        ({"lr": 0.1}, False),
        ({"model": "mlp"}, False),
    ],
)
def test_what_is_said_of_the_design_leaves_the_rest_to_the_user(options: dict[str, Any], free: bool) -> None:
    assert left_open(options) == free
    assert (recipe_for(table(100), options) is not None) == free


def test_a_run_says_what_was_truly_done_and_what_is_said_overrides() -> None:
    data = table(120, "binary")
    run = fit(data, store=False, epochs=2, dropout=0.0)
    values = part_values(MODELS, run.spec.model)
    assert (run.spec.model.name, run.spec.epochs, values["dropout"], values["members"]) == ("realmlp", 2, 0.0, 16)
    again = fit(data, store=False, spec=run.spec)
    assert again.spec == run.spec
    assert again.metrics == run.metrics
    assert fit(data, store=False, spec=TrainSpec(epochs=1)).spec.model.name == "mlp"
    assert fit(data, store=False, hidden=(8,), epochs=1).spec.model.name == "mlp"


def test_large_tables_get_embeddings_and_few_epochs() -> None:
    data = table(200)
    large = replace(data, train=replace(data.train, x=np.zeros((WIDE, 3), np.float32), index=np.zeros(WIDE, int)))
    spec = recipe_for(large, {"epochs": 5})
    assert spec is not None
    assert (spec.model.name, spec.embed.values["sigma"], spec.epochs) == ("realmlp", 5.0, 32)


def test_a_step_size_that_is_to_be_found_is_that_of_the_recipe() -> None:
    """To ask for a test of step sizes is no design: the test and the run are of the network that fit would train."""
    data = table(150)
    assert left_open({"lr": "find"}) and not left_open({"lr": 0.01}) and not left_open({"lr": "find", "hidden": (8,)})
    tested, own = lr_range(data), lr_range(data, spec=recipe_for(data, {}))
    assert np.array_equal(tested.loss, own.loss, equal_nan=True)
    assert not np.array_equal(tested.loss, lr_range(data, model="mlp").loss, equal_nan=True)
    run = fit(data, lr="find", epochs=2, store=False, baseline=False)
    assert (run.spec.model.name, run.spec.optimizer.values["lr"]) == ("realmlp", tested.rounded)
