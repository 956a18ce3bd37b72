"""The first trial is what a run would be without a search, and the usual space is around it."""

from dataclasses import replace

import numpy as np
import pytest

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import RunError
from nnlab.core.fit import fit
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.recipe import recipe, recipe_for
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, TrainSpec, part_values
from nnlab.core.tune.light import light
from nnlab.core.tune.search import tune
from nnlab.core.tune.space import base_values, parse, spec_with
from nnlab.core.tune.study import Study
from nnlab.core.tune.usual import About, default_space, space_around, usual_space

QUICK = {"epochs": 2, "store": False, "sampler": "random", "pruner": "none"}


def table(rows=900, columns=4):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, columns))
    return prepare((x, x[:, 0] * x[:, 1] + draw.normal(size=rows) / 5 > 0))


def same(one, other):
    """Whether two specs train the same: what one says may be another's default."""
    said, heard = (replace(spec, model=filled(MODELS, spec.model), optimizer=filled(OPTIMIZERS, spec.optimizer))
                   for spec in (one, other))  # fmt: skip
    return said == heard


def filled(registry, part):
    return Part(part.name, part_values(registry, part))


def test_without_words_the_search_goes_around_the_recipe():
    data = table()
    study = tune(data, trials=3, **QUICK)
    start = resolve(TrainSpec, {"epochs": 2}, recipe_for(data, {"epochs": 2}))
    assert study.base == start
    assert base_values(study.space, study.spec_of(0)) == base_values(study.space, start)
    assert study.base.model == Part("realmlp", {"members": 16, "dropout": 0.25, "hidden": (64, 64)})
    assert study.trials["score"][0] == fit(data, spec=light(start, 1), store=False).metrics["loss"]
    assert study.whole_score(0) == fit(data, epochs=2, store=False).metrics["loss"]
    assert set(study.trials["state"]) == {"complete"}
    assert all(study.spec_of(number).model.name == "realmlp" for number in range(3))
    assert {name: str(one) for name, one in study.space.items()} == {
        "lr": "0.013..0.1 log",
        "weight_decay": "0.002..0.2 log",
        "dropout": "0..0.4",
        "pbld.sigma": "0.25..3 log",
        "lr_embedding": "0.033..0.5 log",
        "hidden": "{64-64,64,64-64-64}",
    }
    fixed = tune(data, trials=1, hidden=(64, 64), **QUICK)
    assert {"embed", "lr", "dropout", "activation"} <= set(fixed.space)  # who says a width has a network of their own


@pytest.mark.parametrize("rows", [500, 3_000, 20_000, 100_000])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_recipe_of_any_table_lies_in_the_space_around_it(task, rows):
    base = resolve(TrainSpec, recipe(task, rows, 5))
    space = space_around(base, (), About(rows, 5, task))
    inside = base_values(space, base)
    assert set(inside) == set(space)
    assert base_values(space, spec_with(inside, base)) == inside
    assert not {"lr", "dropout"} & set(space_around(base, ("lr", "dropout"), About(rows, 5, task)))


def test_who_asks_for_it_gets_the_wide_space_around_the_recipe():
    study = tune(table(), trials=1, space=("auto",), **QUICK)
    assert {"embed", "lr", "hidden", "dropout", "pbld.sigma", "lr_embedding"} <= set(study.space)
    assert "scale" not in study.space


def test_with_the_table_at_hand_the_scale_of_numbers_is_searched_too():
    frame = np.random.default_rng(1).normal(size=(900, 3))
    data = prepare((frame, frame[:, 0] > 0))
    study = tune(data, frame=(frame, frame[:, 0] > 0), space=("auto",), trials=1, **QUICK)
    assert str(study.space["scale"]) == "{auto,quantile,standard}"  # 900 rows: auto is robust
    assert study.trials["scale"][0] == "auto"


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "grid"])
def test_a_first_trial_outside_of_the_space_is_kept_from_the_sampler(sampler, classes, tmp_path):
    words = {"space": ("lr=0.02..0.05", "dropout={0.2,0.3}"), "epochs": 2, "hidden": (8,), "pruner": "none"}
    study = tune(classes, trials=6, sampler=sampler, name="s", store=tmp_path, **words)
    trials = study.trials
    assert (trials["lr"][0], trials["dropout"][0]) == (0.01, 0.15)  # those of a run
    assert trials["state"].tolist() == ["complete"] * 6
    assert same(study.spec_of(0), study.base)
    assert study.spec_of(0).optimizer.values["lr"] == 0.01
    assert trials["score"][0] == fit(classes, epochs=2, hidden=(8,), store=False).metrics["loss"]
    assert trials["lr"][1:].between(0.02, 0.05).all()
    assert trials["lr"][1:].nunique() > 1
    assert study.ranking() == trials.sort_values("score")["number"].tolist()
    loaded = Study.load(study.path)
    assert loaded.spec_of(0) == study.spec_of(0)
    for number in (99, -1):
        with pytest.raises(RunError, match=rf"has no trial {number}; its trials are 0 to \d+"):
            study.values_of(number)
    assert loaded.best_score == trials["score"].min()


def test_where_the_model_is_searched_the_recipe_is_first_and_each_model_has_its_own_values():
    data = table()
    space = ("model={mlp,resnet}", "dropout=0..0.4")
    study = tune(data, trials=5, space=space, **QUICK)
    assert same(study.spec_of(0), resolve(TrainSpec, {"epochs": 2}, recipe_for(data, {})))
    assert study.trials["model"][0] == "realmlp"
    for number in range(1, 5):
        spec = study.spec_of(number)
        own = resolve(TrainSpec, {"model": spec.model.name, "epochs": 2})
        assert (spec.optimizer, spec.schedule, spec.embed) == (own.optimizer, own.schedule, own.embed)
    again = tune(data, trials=1, store=False, space=space, epochs=2, model="mlp")
    assert again.spec_of(0).model.name == "mlp"  # a model that is said is the first one


def test_auto_gives_each_model_the_usual_ranges_and_the_given_ones_stay():
    base = TrainSpec()
    given = parse(["model={mlp,resnet,realmlp}", "dropout=0..0.3 step 0.1", "auto"], base)
    space = usual_space(given, base, ["batch_size"], About(5000, 0, "binary"))
    assert parse([f"{name}={one}" for name, one in space.items()], base)  # no two that mean the same
    assert {"mlp.hidden", "resnet.depth", "realmlp.lr", "mlp.lr"} <= set(space)
    assert str(space["realmlp.lr"]) == "0.01..0.1 log"
    assert str(space["mlp.lr"]) == "0.0003..0.03 log"
    assert [str(one) for name, one in space.items() if name.endswith("dropout")] == ["0..0.3 step 0.1"]
    assert "batch_size" not in space
    alone = usual_space(parse(["lr=1e-3..1e-2"], base), base, [], About())
    assert str(alone["lr"]) == "0.001..0.01 log"
    assert set(alone) == set(default_space(base))


def test_the_entry_auto_is_a_word_of_the_space(classes):
    study = tune(classes, trials=1, epochs=1, hidden=(8,), store=False, space=("auto", "lr=1e-3..1e-2"))
    assert str(study.space["lr"]) == "0.001..0.01 log"
    assert {"activation", "dropout", "weight_decay"} <= set(study.space)
    assert "hidden" not in study.space


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("model", MODELS)
def test_the_base_of_each_model_lies_in_its_usual_space(model, task):
    base = resolve(TrainSpec, {"model": model, "lr": 0.5})
    about = About(5000, 6, task, PrepareSpec("y"))
    space = default_space(base, (), about)
    inside = base_values(space, base)
    assert base_values(space, spec_with(inside, base)) == inside
    left = {name for name in space if name not in inside} - {"scale"}
    assert all(name.partition(".")[0] in ("pbld", "piecewise_linear") for name in left)  # of an embedding it has not
    assert space["embed"].choices[0] == base.embed.name
    assert str(space["scale"]) == "{auto,robust,standard}"
    assert "embed" not in default_space(base, (), About(5000, 0, task))


def test_label_smoothing_is_searched_where_labels_count():
    base = resolve(TrainSpec, {"monitor": "accuracy"})
    assert str(default_space(base, (), About(5000, 0, "binary"))["label_smoothing"]) == "{0,0.1}"
    assert "label_smoothing" not in default_space(TrainSpec(), (), About(5000, 0, "binary"))
