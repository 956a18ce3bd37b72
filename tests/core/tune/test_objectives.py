"""Several objectives: what each is, what dominates what, and a study that seeks the front."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nnlab.core.errors import SpecError
from nnlab.core.fit import fit
from nnlab.core.registry import Part
from nnlab.core.tune import objectives
from nnlab.core.tune.objectives import front, latency, measured_objectives
from nnlab.core.tune.search import tune
from nnlab.core.tune.strategies import SAMPLERS
from nnlab.core.tune.study import Study
from nnlab.report.bundle import study_bundles
from nnlab.report.studies import study_blocks
from nnlab.report.study_plots import fronts

RUN = {"model": "mlp", "epochs": 2, "batch_size": 64, "lr": 0.01}
SPACE = ("hidden=[4,16,64]x1..2", "dropout=0..0.4")
ABLE = [name for name, entry in SAMPLERS.items() if entry.facts.get("several")]


def dominated(one, others, maximize):
    """By the definition, pair by pair."""
    sign = [-1 if up else 1 for up in maximize]
    for other in others:
        pairs = [(s * a, s * b) for s, a, b in zip(sign, other, one, strict=True)]
        if all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
            return True
    return False


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30), st.tuples(*[st.booleans()] * 3))
def test_the_front_is_what_brute_force_finds(rows, maximize):
    found = front(np.array(rows, float), maximize)
    assert found.tolist() == [not dominated(row, rows, maximize) for row in rows]
    assert found.any()


@pytest.mark.parametrize("sampler", ABLE)
def test_every_sampler_that_can_gives_a_front(classes, sampler, tmp_path):
    words = {"objectives": "loss,parameters", "sampler": sampler, "trials": 12, "store": tmp_path, "space": SPACE}
    study = tune(classes, **words, **RUN)
    trials = study.trials
    assert (trials["state"] == "complete").all()
    for _, row in trials.iterrows():
        widths = [5, *map(int, row["hidden"].split("-")), 3]
        assert row["parameters"] == sum((a + 1) * b for a, b in pairwise(widths))
    values = trials[["score", "parameters"]].to_numpy(float)
    rows = dict(zip(trials["number"], values.tolist(), strict=True))
    expected = {number for number, row in rows.items() if not dominated(row, values.tolist(), (False, False))}
    assert set(study.front["number"]) == expected
    assert study.best_trial == study.front["number"][0] == trials["number"][trials["score"].idxmin()]
    assert study.best_run.metrics["loss"] == study.best_score == trials["score"].min()
    assert fit(classes, spec=study.spec_of(int(study.front["number"].iloc[-1])), store=False).parameters == min(
        trials["parameters"]
    )
    loaded = Study.load(study.path)
    assert loaded.front.equals(study.front)
    assert loaded.header.upwards == (False, False)


def test_of_equal_scores_the_next_objective_decides(classes, monkeypatch):
    from nnlab.core.tune import loop

    values = iter([(0.8, 3.0), (0.9, 9.0), (0.9, 2.0), (0.7, 1.0), (0.9, 2.0)])
    monkeypatch.setattr(loop, "measured_objectives", lambda *_: next(values))
    words = {"objectives": ("accuracy", "parameters"), "sampler": "random", "trials": 5, "store": False}
    study = tune(classes, space=SPACE, **words, **RUN)
    assert study.maximize
    assert study.ranking() == [2, 4, 1, 0, 3]
    assert study.best_trial == 2
    assert set(study.front["number"]) == {2, 4, 3}
    assert study.base.monitor == "accuracy"


def test_finalists_are_compared_by_their_means_and_the_winner_is_on_the_front(classes, tmp_path, monkeypatch):
    from nnlab.core.tune import finals, loop

    trials = iter([(0.8, 3.0), (0.9, 9.0), (0.89, 2.0), (0.7, 1.0), (0.88, 8.0)])
    fresh = iter([(0.84, 9.0)] * 2 + [(0.82, 2.0)] * 2 + [(0.85, 8.0), (0.87, 8.0)])
    monkeypatch.setattr(loop, "measured_objectives", lambda *_: next(trials))
    monkeypatch.setattr(finals, "measured_objectives", lambda *_: next(fresh))
    words = {"objectives": ("accuracy", "parameters"), "sampler": "random", "trials": 5, "store": tmp_path}
    study = tune(classes, space=("lr=1e-3..1e-1",), finalists=3, seeds=2, **words, **RUN | {"hidden": (8,)})
    assert study.finalists["trial"].tolist()[0] == 4  # which no front of the trials alone would hold
    for one in (study, Study.load(study.path)):
        assert one.best_trial == one.front["number"][0] == 4
        # trial 1 is dominated by the means of 4, trial 0 by trial 2: one of them was not trained again
        shown = one.front[["number", "score", "parameters"]].to_numpy().tolist()
        assert shown == [[4, 0.86, 8], [2, 0.82, 2], [3, study.trials["score"][3], 1]]
    (table,) = [one for one in study_blocks(study, None) if getattr(one, "title", "").startswith("The front of P")]
    assert "finalists by their means over fresh seeds" in table.title and table.rows[0][:2] == [4, 0.86]
    (plot,) = fronts(study)
    assert len(plot.dots) == 5 and len(plot.lines[0].points) == 3


def test_a_wider_network_has_a_larger_latency_and_a_slow_one_the_time_that_it_takes(classes, monkeypatch):
    small, large = (
        fit(classes, model="mlp", hidden=hidden, epochs=1, store=False) for hidden in ((4,), (1024, 1024, 1024))
    )
    assert latency(large, classes) > 3 * latency(small, classes)
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)

    class Slow(nn.Module):
        def __init__(self, n_in, n_out):
            super().__init__()
            self.layer, self.calls = nn.Linear(n_in, n_out), 0

        def forward(self, x):
            if not self.training and len(x) == 1000:
                self.calls += 1
                clock.now += 0.2 if self.calls % 5 == 0 else 0.01  # now and then something else has the processor
            return self.layer(x)

    slow = fit(classes, model=Slow, epochs=1, store=False)
    monkeypatch.setattr(objectives, "time", clock)
    assert latency(slow, classes) == pytest.approx(10)
    assert measured_objectives(("parameters",), [slow], [classes]) == (6 * 3,)


def test_latency_is_an_objective_and_the_bundle_shows_the_front(classes):
    words = {"objectives": "accuracy,latency,parameters", "sampler": Part("nsga2", {"population": 4}), "trials": 8}
    study = tune(classes, space=("hidden={4,16,512-512-512}",), store=False, **words, **RUN)
    assert (study.trials["latency"] > 0).all()
    assert study.header.upwards == (True, False, False)
    bundles = study_bundles(study, "%nn_tune data")
    assert sum("image/png" in bundle.data for bundle in bundles) == 3
    text = bundles[-1].data["text/plain"]
    assert "The front of Pareto" in text
    assert "latency (ms)" in text
    assert sum(bundle.size for bundle in bundles) < 200_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"objectives": "loss,latancy"}, r"objectives=latancy: there are loss, .*did you mean 'latency'\?"),
        ({"objectives": "latency,loss"}, r"the first is what the best epoch is chosen by, loss or a metric"),
        ({"objectives": "loss,loss"}, r"loss is there twice"),
        ({"objectives": "loss,latency", "sampler": "cmaes"}, r"sampler cmaes is for one objective; for several there"),
        ({"objectives": "loss,latency", "monitor": "accuracy"}, r"the first objective is what is monitored"),
        ({"objectives": "rmse,latency"}, r"objectives=rmse: there are loss"),
    ],
)
def test_objectives_that_cannot_be_are_refused(classes, words, message):
    with pytest.raises(SpecError, match=message):
        tune(classes, trials=1, space=SPACE, store=False, **words, **RUN)


def test_a_study_of_other_objectives_is_another_study(classes, tmp_path):
    words = {"trials": 1, "space": SPACE, "store": tmp_path, **RUN}
    tune(classes, name="s", **words)
    with pytest.raises(SpecError, match=r"the objectives \(loss, now loss, parameters\)"):
        tune(classes, name="s", objectives="loss,parameters", **words)


def test_a_trial_that_fails_is_none_of_the_front(numbers):
    words = {"objectives": "loss,parameters", "sampler": "random", "trials": 6, "store": False}
    study = tune(numbers, space=("lr={100,0.01}",), optimizer="sgd", lr=0.01, epochs=2, hidden=(8,), **words)
    assert set(study.trials["state"]) == {"complete", "failed"}
    assert (study.front["state"] == "complete").all()
    assert np.isnan(study.trials["parameters"][study.trials["state"] == "failed"]).all()
