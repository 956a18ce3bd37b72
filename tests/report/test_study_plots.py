"""Parallel coordinates, slices and courses of a study: every trial at its place, small, and nothing unescaped."""

import numpy as np
import optuna
import pandas as pd
import pytest

from nnlab.core.data.prepare import prepare
from nnlab.core.tune.search import tune
from nnlab.report import bundle as bundle_file
from nnlab.report import study_pictures
from nnlab.report.bundle import study_bundles
from nnlab.report.drawing import BEST, FAINT
from nnlab.report.study_pictures import overview
from nnlab.report.study_plots import courses, fronts, parallel, scored, slices
from nnlab.widgets import trial_charts

SPACE = ("lr=1e-3..1e-1 log", "dropout=0..0.5", "hidden=[4..16]x1..2", "activation={relu,silu,tanh}")


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 4))
    return prepare(pd.DataFrame(x).assign(y=x @ draw.normal(size=4)), target="y")


@pytest.fixture(scope="module")
def study(data):
    told = {"model": "mlp", "epochs": 6, "space": SPACE, "sampler": "random", "pruner": "median", "min_epochs": 1}
    return tune(data, trials=24, store=False, batch_size=128, **told)


def test_each_trial_stands_where_its_values_and_its_score_are(study):
    trials, importance = scored(study), study.importance
    table = study.trials.set_index("number")
    assert [trial.number for trial in trials] == study.ranking()
    found = parallel(study, trials, importance)
    heads = [tick.text for tick in found.x_ticks]
    assert sorted(heads[:-1]) == sorted(study.space) and heads[-1] == study.metric
    best = found.lines[-1]
    assert best.color == BEST and best.points[-1] == (1.0, 1.0)
    at = dict(zip(heads, best.points, strict=True))
    lr, activation = table.loc[study.best_trial, ["lr", "activation"]]
    assert at["lr"][1] == pytest.approx(np.log(lr / 1e-3) / np.log(100))
    assert at["activation"][1] == {"relu": 0.0, "silu": 0.5, "tanh": 1.0}[activation]
    for line in found.lines:
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in line.points)

    by_lr = next(plot for plot in slices(study, trials, importance) if plot.title == "lr")
    order = sorted(by_lr.dots, key=lambda dot: dot.x)
    assert len(order) == len(trials) == (table["state"] == "complete").sum()
    assert np.allclose(
        sorted(dot.x for dot in order), np.sort(np.log(table.lr[table.state == "complete"] / 1e-3) / np.log(100))
    )


def test_shares_of_variance_are_those_of_a_known_function(study, monkeypatch):
    journal = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    ranges = {"lr": (1e-3, 1e-1), "dropout": (0.0, 0.5)}

    def score(trial):
        lr = trial.suggest_float("lr", *ranges["lr"], log=True)
        dropout = trial.suggest_float("dropout", *ranges["dropout"])
        trial.set_user_attr("result", {"state": "complete"})
        return 2 * np.log(lr / 1e-3) / np.log(100) + 1 * dropout / 0.5  # variances 4 to 1

    journal.optimize(score, 120)
    monkeypatch.setattr(study, "_journal", journal)
    shares = study.variance
    assert shares["lr"] == pytest.approx(0.8, abs=0.12) and shares["dropout"] == pytest.approx(0.2, abs=0.12)
    assert set(shares) == set(study.space) and next(iter(shares)) == "lr"


def test_courses_are_those_of_all_trials_and_end_where_they_were_ended(study):
    table, found = study.courses, courses(study, scored(study))
    done = study.trials.set_index("number")
    assert table.index.tolist() == list(range(1, 7)) and set(table) == set(done.index)
    assert (table.notna().sum() == done["epochs"]).all()
    assert table[study.best_trial].min() == study.best_score
    assert len(found.lines) == len(done)
    assert sum(line.color == FAINT for line in found.lines) == (done["state"] == "pruned").sum() > 0


def test_objectives_have_a_plot_each_and_courses_none(data, monkeypatch):
    told = {"model": "mlp", "epochs": 1, "space": SPACE, "sampler": "random", "batch_size": 128}
    several = tune(data, trials=8, store=False, objectives=("loss", "parameters", "latency"), **told)
    first, second = fronts(several)
    assert [plot.title for plot in (first, second)] == ["loss over parameters", "loss over latency (ms)"]
    assert sum(dot.large for dot in first.dots) == len(several.front)
    assert several.courses.empty and courses(several, scored(several)) is None
    assert sum(bundle.size for bundle in study_bundles(several)) < 200_000
    assert trial_charts.shown("Front", several).count("<svg") == 2
    painted, paint = [], study_pictures._paint
    monkeypatch.setattr(study_pictures, "_paint", lambda axes, plot: (painted.append(plot.title), paint(axes, plot)))
    assert overview(several)
    assert second.title in painted and first.title not in painted  # which has a picture of its own


def test_a_picture_that_would_grow_too_large_has_fewer_trials(study, monkeypatch):
    whole = study_bundles(study)
    room = sum(bundle.size for bundle in whole) - 1
    monkeypatch.setattr(bundle_file, "LARGEST_CELL", room)
    monkeypatch.setattr(bundle_file, "MOST_TRIALS", (60, 5))
    fewer = study_bundles(study)
    assert sum(bundle.size for bundle in fewer) <= room and len(fewer) == len(whole)
    assert len(courses(study, scored(study), 5).lines) == 10 and len(parallel(study, scored(study), {}, 5).lines) == 5


def test_the_static_outputs_of_a_study_are_small_and_the_live_ones_escape_what_is_the_users(study):
    bundles = study_bundles(study)
    assert sum(bundle.size for bundle in bundles) < 200_000
    assert [bundle for bundle in bundles if "values, scores and courses" in str(bundle.data)]
    text = "\n".join(bundle.data["text/plain"] for bundle in bundles)
    assert text.count("on the validation rows") == 1  # where there are no pictures it is not said again for each
    for view in ("Importance", "Parallel", "Slices", "Curves"):
        shown = trial_charts.shown(view, study)
        assert "nan" not in shown and ("<svg" in shown) == (view != "Importance")
    assert "<b>" not in trial_charts.bars([("<b>x", 0.5)], "") and "&lt;b&gt;x" in trial_charts.bars(
        [("<b>x", 0.5)], ""
    )
