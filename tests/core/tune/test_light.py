"""Trials with fewer members than their runs: compared alike, the best trained again with all, and what that leaves."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import SpecError
from nnlab.core.events import StudyFinished, TrialDone, Warned
from nnlab.core.fit import fit
from nnlab.core.network import member_count
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec, TuneSpec, from_json, to_json
from nnlab.core.tune.header import Header
from nnlab.core.tune.light import light
from nnlab.core.tune.resuming import resume_study
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study
from nnlab.report.blocks import Sentence
from nnlab.report.studies import study_blocks, study_verdict
from nnlab.report.tables import Table

FEW = {"model": "realmlp", "members": 3, "hidden": (8,), "epochs": 2, "batch_size": 128, "threads": 1}
SPACE = ("lr=1e-2..1e-1 log", "dropout=0..0.4")
SEARCH = {"space": SPACE, "sampler": "random", "pruner": "none"}


def table(seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(400, 3))
    return (x, x[:, 0] * x[:, 1] + draw.normal(size=400) / 5 > 0)


@pytest.fixture(scope="module")
def data():
    return prepare(table(), folds=2)


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return tune(data, trials=5, ensemble=2, name="s", store=folder, **SEARCH, **FEW)


def loss(data, spec):
    return fit(data, spec=spec, store=False, baseline=False).metrics["loss"]


def test_trials_have_one_member_the_first_too_and_the_best_and_the_first_are_trained_with_all(data, study):
    assert study.header.members == 1
    for number in (0, 3):
        spec = study.spec_of(number)
        assert member_count(spec) == 3
        assert study.score_of(number) == loss(data, light(spec, 1))
    best = study.ranking()[:2]
    assert set(study.whole["trial"]) == {*best, 0}
    for trial, score, whole in study.whole.itertuples(index=False):
        assert score == study.score_of(trial)
        assert whole == loss(data, study.spec_of(trial))
    best, luck = study.whole["trial"][0], study._luck()
    assert study.best_trial == (best if study.whole_score(best) + luck < study.whole_score(0) else 0)
    assert study.best_score == study.whole_score(study.best_trial) <= study.whole_score(0)
    assert member_count(study.best) == 3
    assert study.best_run.spec == study.best
    assert study.best_run.metrics["loss"] == study.best_score


@pytest.mark.parametrize("maximize", [False, True])
def test_the_run_without_a_search_wins_unless_another_is_expected_to_beat_it(data, maximize, monkeypatch):
    monitor = {"monitor": "accuracy"} if maximize else {}
    study = tune(data, trials=3, ensemble=2, store=False, **SEARCH, **FEW, **monitor)
    sign, luck = 1 if maximize else -1, 0.03
    worth = study.score_of(study.ranking()[0]) - sign * luck
    monkeypatch.setattr("nnlab.core.tune.study.worth_of_choice", lambda values, maximize: worth)
    for gain, winner, expected in ((0.02, 0, 0.5), (0.04, 1, 0.51), (-0.5, 0, 0.5)):
        for number, score in ((0, 0.5), (1, 0.5 + sign * gain), (2, 0.5 - sign)):
            study.after.keep_whole(number, score, 1, None)
        assert study.best_trial == winner
        assert study.best_score == study.whole_score(winner)
        assert study.expected_score == pytest.approx(0.5 + sign * (expected - 0.5))
        told = [block.text() for block in study_blocks(study, None) if isinstance(block, Sentence)]
        stays = f"the run without a search stays the best: trial 1 is better by {gain:.4g}"
        assert any(one.startswith(stays) for one in told) == (gain == 0.02)
    monkeypatch.setattr(study, "_luck", lambda: None)  # of few rows nothing is told of it, and the better one wins
    study.after.keep_whole(1, 0.5 + sign * 1e-6, 1, None)
    assert study.best_trial == 1


def test_the_study_loads_with_its_runs_of_all_members_and_the_ensemble_takes_them(data, study):
    loaded = Study.load(study.path)
    assert loaded.whole.equals(study.whole)
    assert loaded.best_run.metrics == study.best_run.metrics
    assert {member_count(run.spec) for run in loaded.ensemble.members.values()} == {3}
    assert loaded.ensemble.valid["ensemble"] <= loaded.ensemble.valid["best"] == pytest.approx(study.best_score)
    assert Header.read(study.path) == study.header
    assert from_json(TuneSpec, to_json(replace(study.spec, trial_members=2))).trial_members == 2


def test_the_luck_of_the_choice_is_taken_from_the_score_with_all_members(study):
    luck = study.expected_score - study.best_score
    light_best = study.score_of(study.ranking()[0])
    assert luck >= 0
    assert study.expected_score != pytest.approx(light_best + luck)


def test_more_trials_are_trained_as_before_and_only_new_ones_of_the_best_again(data, study, tmp_path, monkeypatch):
    again = []
    keep = type(study.after).keep_whole
    monkeypatch.setattr(type(study.after), "keep_whole", lambda self, n, *more: (again.append(n), keep(self, n, *more)))
    before = study.whole
    shutil.copytree(study.path.parents[1], tmp_path / "copy")
    more = resume_study("s", data, store=tmp_path / "copy", trials=8)
    assert more.header.members == 1
    assert set(again) == set(more.whole["trial"]) - set(before["trial"]) == set(more.ranking()[:2]) - {*before["trial"]}


def test_what_is_told_of_a_study_says_how_many_members_a_score_is_of(data, study):
    assert f"trial {study.best_trial} with all 3 members" in study_verdict(study).text()
    tables = [block for block in study_blocks(study, None) if isinstance(block, Table)]
    (shown,) = [block for block in tables if block.title == "Trials have 1 member; the best with all"]
    assert [str(row[0]).partition(" ")[0] for row in shown.rows] == [str(number) for number in study.whole["trial"]]
    assert sum("without a search" in str(row[0]) for row in shown.rows) == 1


def test_a_stop_before_the_last_step_leaves_trials_and_the_same_line_goes_on(data, tmp_path):
    controls, events = Controls(), []

    def stop_at_last(event):
        events.append(event)
        if isinstance(event, TrialDone) and event.number == 1:
            controls.stop()

    told = {"trials": 2, "population": 1, "store": tmp_path, **SEARCH, **FEW}
    stopped = tune(data, view=stop_at_last, controls=controls, **told)
    assert stopped.whole.empty
    assert f"trial {stopped.best_trial} with 1 of its members" in study_verdict(stopped).text()
    assert any("cut off" in event.message for event in events if isinstance(event, Warned))
    assert set(tune(data, **told).whole["trial"]) == {0, 1}


def test_members_that_are_searched_or_said_for_trials_count(data):
    searched = tune(data, trials=2, store=False, **SEARCH | {"space": (*SPACE, "members={2,3}")}, **FEW)
    assert searched.header.members is None and searched.whole.empty
    assert {member_count(searched.spec_of(number)) for number in range(2)} <= {2, 3}
    all_of_them = tune(data, trials=1, trial_members=3, store=False, **SEARCH, **FEW)
    assert all_of_them.header.members is None
    assert all_of_them.best_score == loss(data, all_of_them.best)
    with pytest.raises(SpecError, match="trial_members=2: members are searched themselves"):
        tune(data, trials=1, trial_members=2, store=False, **SEARCH | {"space": ("members={2,3}",)}, **FEW)
    several = {"objectives": ("loss", "parameters")}
    with pytest.raises(SpecError, match="trial_members=1 and --objectives"):
        tune(data, trials=1, trial_members=1, store=False, **SEARCH, **FEW, **several)
    assert tune(data, trials=1, store=False, **SEARCH, **FEW, **several).header.members is None


def test_a_network_without_members_is_whole_already(data):
    words = {name: value for name, value in FEW.items() if name not in ("model", "members")}
    space = ("model={mlp,realmlp}", "dropout=0..0.4")
    study = tune(data, trials=4, store=False, **SEARCH | {"space": space}, **words)
    assert study.header.members is None  # both are one network
    start = resolve(TrainSpec, FEW)
    mixed = tune(data, base=start, trials=4, store=False, **SEARCH | {"space": space})
    assert mixed.header.members == 1
    for number in mixed.whole["trial"]:
        if mixed.spec_of(number).model.name == "mlp":
            assert mixed.whole_score(number) == mixed.score_of(number)


def test_folds_and_fresh_seeds_are_those_of_the_run_with_all_members(data):
    told = {"folds": 2, "finalists": 1, "seeds": 1, "store": False, "trials": 3}
    study = tune(data, **told, **SEARCH, **FEW)
    (finalist,) = study.finalists["trial"]
    spec = study.spec_of(finalist)
    scores = [[loss(fold, one) for fold in data.folds] for one in (replace(spec, seed=1), spec, light(spec, 1))]
    fresh, whole, trial = np.mean(scores, 1)
    assert study.finalists["mean"][0] == pytest.approx(fresh)
    assert study.whole_score(finalist) == pytest.approx(whole)
    assert study.score_of(finalist) == pytest.approx(trial)
    assert set(study.whole["trial"]) == {0, finalist}
    assert member_count(study.refit.spec) == 3


def test_of_the_minutes_some_are_kept_for_what_follows(data, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("nnlab.core.tune.loop.time.perf_counter", lambda: clock[0])

    def later(event):
        if isinstance(event, TrialDone):
            clock[0] += 10.0
        events.append(event)

    events = []
    monkeypatch.setattr("nnlab.core.tune.loop.Search._seconds_after", lambda *_: 25.0)
    study = tune(data, trials=50, minutes=1, population=1, store=False, view=later, **SEARCH, **FEW)
    assert len(study.trials) == 4  # after the fourth, 20 of 60 seconds are left
    assert len(study.whole) >= 2
    assert [event.reason for event in events if isinstance(event, StudyFinished)] == ["time"]
    assert not [event for event in events if isinstance(event, Warned) and "cut off" in event.message]


def test_another_number_of_members_is_another_study(data, study):
    store = study.path.parents[1]
    with pytest.raises(SpecError, match=r"the members of a trial \(1, now 2\)"):
        tune(data, trials=5, trial_members=2, name="s", store=store, **SEARCH, **FEW)


def test_an_earlier_run_with_all_members_is_tried_first_but_its_score_is_not_taken(data, tmp_path):
    run = fit(data, store=tmp_path, baseline=False, lr=0.03, dropout=0.1, **FEW)
    events = []
    study = tune(data, trials=2, store=tmp_path, view=events.append, **SEARCH, **FEW)
    told = [event.message for event in events if isinstance(event, Warned)]
    assert "0 earlier runs on this data are known to the study; of 1 with all members the best is tried first" in told
    assert study.values_of(1) == {"lr": 0.03, "dropout": 0.1}
    assert study.score_of(1) != run.metrics["loss"]
