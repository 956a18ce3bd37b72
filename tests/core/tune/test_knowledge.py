"""What a study takes over: earlier runs on the same data, good values from similar data."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.events import EpochDone, TrialDone, Warned
from nnlab.core.fit import fit
from nnlab.core.store.facts import summarize
from nnlab.core.store.runs import Store
from nnlab.core.tune.knowledge import distance, meta_features
from nnlab.core.tune.search import tune
from nnlab.core.tune.standing import state_of
from nnlab.core.tune.study import Study
from nnlab.report.blocks import Sentence
from nnlab.report.studies import study_blocks

SPACE = ("lr=1e-3..1e-1", "dropout=0..0.5")
SMALL = {"epochs": 3, "hidden": (8,), "space": SPACE, "batch_size": 64}
RUN = {"model": "mlp", "epochs": 3, "hidden": (8,), "batch_size": 64, "baseline": False, "embed": "none"}


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


def base_run(data, **options):
    """A run as a trial of the study would be."""
    from dataclasses import replace

    from nnlab.core.options import resolve
    from nnlab.core.spec import TrainSpec

    changes = options.pop("changes", None)
    spec = resolve(TrainSpec, {"epochs": 3, "hidden": (8,), "batch_size": 64, **options.pop("values", {})})
    spec = replace(spec, seed=options.pop("seed", 0))
    controls = Controls()

    def view(event):
        for name, value in (changes or {}).items():
            if isinstance(event, EpochDone) and event.epoch == 1:
                controls.set(name, value)

    return fit(data, spec=spec, baseline=False, view=view, controls=controls, **options)


def known_of(study):
    return {
        trial.user_attrs["result"]["message"]: trial
        for trial in study._journal.get_trials(deepcopy=False)
        if state_of(trial) == "known"
    }


def told(events):
    return [event.message for event in events if isinstance(event, Warned)]


def test_earlier_runs_on_the_same_data_enter_and_others_are_left_out_with_a_reason(cancer, tmp_path):
    good = base_run(cancer, store=tmp_path, values={"lr": 0.02, "dropout": 0.1})
    turned = base_run(cancer, store=tmp_path, values={"lr": 0.005, "dropout": 0.2}, changes={"lr": 0.05})
    base_run(cancer, store=tmp_path, values={"lr": 0.5})
    base_run(cancer, store=tmp_path, values={"lr": 0.02, "epochs": 2})
    base_run(prepare(load_wine(return_X_y=True), scale="standard"), store=tmp_path)
    events = []
    study = tune(cancer, trials=3, store=tmp_path, view=events.append, **SMALL)
    known = known_of(study)
    assert set(known) == {f"run {good.id}", f"run {turned.id}"}
    assert known[f"run {good.id}"].params == {"lr": 0.02, "dropout": 0.1}
    assert known[f"run {good.id}"].value == good.metrics["loss"]
    assert turned.changes[0].new == 0.05
    assert known[f"run {turned.id}"].params["lr"] == 0.05  # the value that held in its best epoch
    (note,) = told(events)
    beginning = (
        "2 earlier runs on this data are known to the study; 1 steered by hand, with what held in the best epoch"
    )
    assert note.startswith(f"{beginning}; left out: ")
    for one in (study, Study.load(study.path)):
        assert one.learnt == [note]
        assert [b.text() for b in study_blocks(one, None) if isinstance(b, Sentence)] == [f"warm start: {note}"]
    assert "1 with lr outside of 0.001..0.1 log" in note
    assert "1 with other epochs" in note


def test_known_runs_do_not_count_cannot_win_and_the_best_of_them_is_tried_next(cancer, tmp_path):
    runs = [base_run(cancer, store=tmp_path, values={"lr": lr, "dropout": 0.1}) for lr in (0.003, 0.05)]
    best = min(runs, key=lambda run: run.metrics["loss"])
    study = tune(cancer, trials=2, store=tmp_path, **SMALL)
    assert len(study.trials) == 2
    assert study.trials["lr"].tolist() == [0.01, best.spec.optimizer.values["lr"]]
    assert study.trials["score"].tolist()[1] == best.metrics["loss"]
    assert set(study.trials["state"]) <= {"complete", "pruned"}
    again = tune(cancer, trials=4, store=tmp_path, **SMALL)
    assert len(known_of(again)) == 2  # once, not at each call
    assert len(again.trials) == 4
    cold = tune(cancer, trials=2, store=tmp_path, warm=False, name="cold", **SMALL)
    assert not known_of(cold)


def test_the_sampler_learns_from_known_runs(cancer, tmp_path):
    """Twelve runs say that only a high lr is good: the study draws no more at random, but near to it."""
    for at, lr in enumerate(np.geomspace(1.1e-6, 0.09, 12)):
        base_run(cancer, store=tmp_path, values={"lr": float(lr), "dropout": 0.1}, seed=at)
    options = SMALL | {"space": ("lr=1e-6..1e-1", "dropout=0..0.5"), "pruner": "none"}
    warm = tune(cancer, trials=8, store=tmp_path, **options).trials["lr"][2:]
    cold = tune(cancer, trials=8, store=tmp_path, warm=False, name="cold", **options).trials["lr"][2:]
    assert np.log10(warm).median() > np.log10(cold).median()
    assert (warm > 1e-3).mean() > 0.6


def test_similar_data_give_values_to_try_first(cancer, tmp_path):
    wine = prepare(load_wine(return_X_y=True), scale="standard")
    diabetes = prepare(load_diabetes(return_X_y=True), scale="standard")
    base_run(diabetes, store=tmp_path, values={"lr": 0.09, "dropout": 0.4})  # of another kind
    base_run(wine, store=tmp_path, values={"lr": 0.03, "dropout": 0.25})
    study = tune(wine, trials=4, store=tmp_path, name="of wine", warm=False, **SMALL)
    events = []
    new = tune(cancer, trials=5, like=True, store=tmp_path, view=events.append, **SMALL)
    tried = [tuple(row) for row in new.trials[["lr", "dropout"]].to_numpy().tolist()]
    best = study.trials.loc[study.best_trial]
    assert tried[0] == (0.01, 0.15)
    expected = [(best["lr"], best["dropout"])] if best["lr"] != 0.01 else []
    assert set(expected) <= set(tried[1:4])
    assert "values are tried first that were good on" in told(events)[0]
    assert (0.09, 0.4) not in tried
    assert "like" not in [event.values for event in events if isinstance(event, TrialDone)]


def test_nothing_similar_is_said(cancer, tmp_path):
    events = []
    tune(cancer, trials=1, like=True, store=tmp_path, view=events.append, **SMALL)
    assert told(events) == ["no values of similar data lie in the space"]


def test_data_are_nearer_to_what_resembles_them(cancer):
    x, y = load_breast_cancer(return_X_y=True)
    half = prepare((x[:300], y[:300]), scale="standard")
    wine = prepare(load_wine(return_X_y=True), scale="standard")
    here, near, far = (meta_features(summarize(data)) for data in (cancer, half, wine))
    assert here["rows"] == pytest.approx(np.log10(len(cancer.train)))
    assert here["columns"] == pytest.approx(np.log10(30))
    assert (here["numbers"], here["missing"], here["kind"]) == (1.0, 0.0, "classes")
    assert distance(here, here) == 0.0
    assert distance(here, near) < distance(here, far)


def test_a_broken_run_or_study_in_the_store_is_no_hindrance(cancer, tmp_path):
    run = base_run(cancer, store=tmp_path, values={"lr": 0.02})
    (run.path / "run.json").write_text("{")
    study = tune(cancer, trials=1, store=tmp_path, name="old", **SMALL)
    (study.path / "data.json").write_text("no json")
    assert len(tune(cancer, trials=1, store=tmp_path, like=True, name="new", **SMALL).trials) == 1
    assert isinstance(Study.load(study.path), Study)
    assert Store(tmp_path).runs()[0].state == "broken"
