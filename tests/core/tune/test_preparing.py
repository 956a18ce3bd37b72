"""Steps of the preparation in a space: made again from the table, on the training rows, the same rows compared."""

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data import prepare as prepare_module
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, SpecError
from nnlab.core.fit import fit
from nnlab.core.tune import preparing
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.search import tune
from nnlab.core.tune.space import parse, spec_with
from nnlab.core.tune.study import Study

RUN = {"model": "mlp", "hidden": (8,), "epochs": 3, "batch_size": 64, "pruner": "none", "sampler": "random"}


def table(rows=500):
    draw = np.random.default_rng(1)
    skewed, shop = np.exp(2 * draw.normal(size=rows)), draw.choice(["a", "b", "c"], rows)
    age = np.where(draw.random(rows) < 0.2, np.nan, draw.normal(40, 9, rows))
    y = np.log(skewed) + (shop == "a") + draw.normal(size=rows) / 4 > 0.3
    return pd.DataFrame({"skewed": skewed, "age": age, "shop": shop, "y": np.where(y, "yes", "no")})


@pytest.fixture
def count(monkeypatch):
    """The specs of the preparations that are made."""
    specs, make = [], preparing.prepare

    def counted(frame, target=None, *, spec=None, **options):
        specs.append(spec)
        return make(frame, target, spec=spec, **options)

    monkeypatch.setattr(preparing, "prepare", counted)
    return specs


def test_each_choice_is_prepared_once_and_trials_score_as_runs_on_it(count):
    frame = table()
    data = prepare(frame, "y", scale="standard")
    space = ("scale={standard,quantile}", "impute.age={median,mean}", "lr=1e-3..1e-1")
    study = tune(data, frame=frame, trials=14, space=space, store=False, **RUN)
    assert len(count) == 1 + 4  # once to see that it is the table
    assert set(study.trials["scale"]) == {"standard", "quantile"}
    for _, row in study.trials.iterrows():
        own = prepare(frame, "y", scale=row["scale"], **{"impute.age": row["impute.age"]})
        run = fit(own, spec=spec_with({"lr": row["lr"]}, study.base), store=False, baseline=False)
        assert run.metrics["loss"] == row["score"]
    best = prepare(frame, spec=study.best_prepare)
    assert fit(best, spec=study.best, store=False).metrics["loss"] == study.best_score
    assert study.best_prepare.scale.name == study.trials["scale"][study.best_trial]
    assert study.best_run.predict(frame).shape == (500,)  # it has the pipeline of its trial


def test_trials_of_one_preparation_train_side_by_side(monkeypatch):
    frame = table()
    data = prepare(frame, "y", scale="standard")
    words = {"space": ("scale={standard,minmax}", "lr=1e-3..1e-1"), "trials": 8, "store": False}
    alone = tune(data, frame=frame, population=1, **words, **RUN)
    together = tune(data, frame=frame, population=8, **words, **RUN)
    columns = ["number", "score", "scale", "lr"]
    assert together.trials[columns].equals(alone.trials[columns])


def test_the_test_part_changes_nothing():
    frame = table()
    data = prepare(frame, "y", scale="standard")
    spoilt = frame.copy()
    spoilt.loc[data.test.index, "skewed"] = 1e6
    spoilt.loc[data.test.index, "age"] = -1.0
    other = prepare(spoilt, "y", scale="standard")
    assert np.array_equal(other.test.index, data.test.index)
    space = ("scale={standard,quantile,minmax}", "reduce={none,pca}", "outliers={none,clip}")
    words = {"space": space, "trials": 6, "store": False}
    scores = [tune(d, frame=f, **words, **RUN).trials["score"] for d, f in ((data, frame), (other, spoilt))]
    assert scores[0].notna().all()
    assert scores[0].equals(scores[1])


def test_a_file_is_read_again_and_the_study_goes_on(tmp_path):
    path = tmp_path / "shop.csv"
    table().to_csv(path, index=False)
    data = prepare(path, "y")
    words = {"space": ("scale={auto,standard}", "lr=1e-3..1e-1"), "store": tmp_path / "store", **RUN}
    first = tune(data, trials=2, **words)
    assert first.trials["scale"][0] == "auto"
    study = tune(data, trials=4, **words)
    assert study.path == first.path
    assert len(study.trials) == 4
    assert Study.load(study.path).best_prepare == study.best_prepare


def test_what_is_not_the_table_or_not_there_is_refused():
    frame = table()
    data = prepare(frame, "y")
    with pytest.raises(SpecError, match=r"scale is a step of the preparation; that needs the table itself: tune\(data"):
        tune(data, space=("scale={auto,standard}",), store=False)
    with pytest.raises(DataError, match="frame is not the table that DataFrame was prepared from"):
        tune(data, frame=frame.iloc[1:], space=("scale={auto,standard}",), store=False)
    with pytest.raises(DataError, match=r"impute\.agee: no such column or role; did you mean 'age'"):
        tune(data, frame=frame, space=("impute.agee={median,knn}",), store=False)


def test_a_step_that_cannot_be_taken_ends_its_trials_and_not_the_study():
    frame = table()
    data = prepare(frame, "skewed")
    study = tune(data, frame=frame, trials=6, space=("balance={none,oversample}",), store=False, **RUN)
    assert set(zip(study.trials["balance"], study.trials["state"], strict=True)) == {
        ("none", "complete"),
        ("oversample", "failed"),
    }
    assert all("balance=oversample is for classes" in message for message in study.messages.values())


def test_few_preparations_are_held(count, monkeypatch):
    frame = table(120)
    data = prepare(frame, "y", scale="standard")
    size = sum(rows.x.nbytes for rows in (data.train, data.valid, data.test))
    monkeypatch.setattr(preparing, "KEPT", 2.5 * size)
    space = parse(["scale={standard,minmax,robust,quantile}"], spec_with({}, tune_base()))
    made = Preparations(data, space, frame)
    for name in ("minmax", "robust", "robust", "quantile", "minmax"):
        assert made.of({"scale": name}).spec.scale.name == name
    assert [spec.scale.name for spec in count[1:]] == ["minmax", "robust", "quantile", "minmax"]
    assert made.of({"lr": 0.1}) is data


def tune_base():
    from nnlab.core.spec import TrainSpec

    return TrainSpec()


def test_rows_that_change_are_refused(monkeypatch):
    frame = table(120)
    data = prepare(frame, "y", scale="standard")
    made = Preparations(data, parse(["scale={standard,minmax}"], tune_base()), frame)
    other = prepare(frame, "y", scale="minmax", seed=1)
    monkeypatch.setattr(preparing, "prepare", lambda *_, **__: other)
    with pytest.raises(SpecError, match="these steps change the valid rows"):
        made.of({"scale": "minmax"})
    assert prepare_module.prepare is prepare
