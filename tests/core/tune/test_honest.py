"""What a winner is worth: folds, fresh seeds, the luck of a choice among many, refit and ensemble."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import log_loss, mean_squared_error

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, RunError, SpecError, StoreError
from nnlab.core.events import EpochDone, Started, TrialDone
from nnlab.core.fit import fit
from nnlab.core.losses import make_loss
from nnlab.core.spec import from_json, to_json
from nnlab.core.tune import study as study_file
from nnlab.core.tune.ensemble import Ensemble, chosen
from nnlab.core.tune.finals import all_rows
from nnlab.core.tune.luck import better_beyond_chance, parts_of_score, worth_of_choice
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study

SPACE = ("lr=1e-3..1e-1", "dropout=0..0.5")
SMALL = {"epochs": 3, "hidden": (8,), "space": SPACE, "batch_size": 64}


@pytest.fixture(scope="module")
def folds():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard", folds=5)


@pytest.fixture(scope="module")
def cancer():
    return prepare(load_breast_cancer(return_X_y=True), scale="standard")


@pytest.fixture(scope="module")
def diabetes():
    return prepare(load_diabetes(return_X_y=True), scale="standard")


@pytest.mark.parametrize("population", [1, 3])
def test_a_score_over_folds_is_the_mean_of_a_run_on_each(folds, population):
    study = tune(folds, trials=3, folds=5, population=population, store=False, refit=False, **SMALL)
    for number in range(3):
        scores = [fit(fold, spec=study.spec_of(number), store=False).metrics["loss"] for fold in folds.folds]
        assert tuple(study.result_of(number)["scores"]) == tuple(scores)
        assert study.trials["score"][number] == pytest.approx(np.mean(scores))
    assert study.best_trial == int(study.trials["score"].argmin())


def test_folds_are_another_study_than_a_holdout_and_must_be_there(folds, cancer, tmp_path):
    with pytest.raises(DataError, match=r"--folds 5: the data has no folds; prepare it with --folds 5"):
        tune(cancer, folds=5, store=False, **SMALL)
    with pytest.raises(DataError, match=r"--folds 6: the data has 5 folds"):
        tune(folds, folds=6, store=False, **SMALL)
    one = tune(folds, trials=1, store=tmp_path, **SMALL)
    other = tune(folds, trials=1, folds=2, store=tmp_path, **SMALL)
    assert one.name != other.name
    with pytest.raises(SpecError, match=r"the folds \(2, now none\)"):
        tune(folds, trials=1, name=other.name, store=tmp_path, **SMALL)


def test_a_fold_that_fails_is_the_end_of_its_trial_and_says_which(folds):
    broken = replace(folds.folds[1], valid=replace(folds.folds[1].valid, y=folds.folds[1].valid.y + 7))
    data = replace(folds, folds=(folds.folds[0], broken, *folds.folds[2:]))
    space = {**SMALL, "space": ("lr=1e-3..1e-1",)}
    with pytest.raises(RunError, match="no trial of study"):
        tune(data, trials=3, folds=3, population=1, store=False, **space)
    events = []
    with pytest.raises(RunError):
        tune(data, trials=3, folds=3, population=1, store=False, view=events.append, **space)
    ends = [event for event in events if isinstance(event, TrialDone)]
    assert {event.state for event in ends} == {"failed"}
    assert all(event.message.startswith("fold 2: ") for event in ends)


@pytest.mark.parametrize("metric", ["loss", "accuracy", "roc_auc"])
def test_the_parts_of_a_score_are_its_jackknife(cancer, metric):
    options = {"epochs": 4, "hidden": (8,), "metrics": ("accuracy", "roc_auc"), "monitor": metric}
    run = fit(cancer, store=False, baseline=False, **options)
    parts = np.array(parts_of_score(run, cancer, metric))
    assert len(parts) == 64
    assert parts.mean() == pytest.approx(run.metrics[metric], abs=2e-3)
    if metric == "accuracy":  # of a mean, a part is the mean of its rows
        turn = np.random.default_rng(0).permutation(len(cancer.valid)) % 64
        right = run.outputs(cancer.valid.x).numpy().argmax(1) == cancer.valid.y
        means = np.array([right[turn == part].mean() for part in range(64)])
        sizes = np.bincount(turn)
        whole = right.mean()
        n = len(turn)
        expected = [64 * whole - 63 * (whole * n - m * s) / (n - s) for m, s in zip(means, sizes, strict=True)]
        assert parts == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize(("data", "loss"), [("cancer", "cross_entropy"), ("diabetes", "huber")])
def test_the_parts_of_a_loss_are_the_same_where_each_part_is_left_out_in_turn(data, loss, request, monkeypatch):
    data = request.getfixturevalue(data)
    run = fit(data, store=False, baseline=False, epochs=2, hidden=(8,), loss=loss)
    at_once = parts_of_score(run, data, "loss")

    def make_plain(*told):
        made = make_loss(*told)
        return lambda output, y: made(output, y)  # of which the loss of each row cannot be asked

    monkeypatch.setattr("nnlab.core.losses.make_loss", make_plain)
    in_turn = parts_of_score(run, data, "loss")
    assert len(at_once) == 64 and at_once == pytest.approx(in_turn, rel=1e-4, abs=2e-5)


def test_few_rows_have_no_parts():
    x, y = load_diabetes(return_X_y=True)
    data = prepare((x[:40], y[:40]), scale="standard", valid=0.1)
    run = fit(data, epochs=1, hidden=(4,), store=False, baseline=False)
    assert parts_of_score(run, data, "loss") == []


@pytest.mark.parametrize(("trials", "spread"), [(30, 0.0), (30, 0.1), (5, 0.1), (100, 0.3)])
def test_the_worth_of_a_choice_is_right_where_the_truth_is_known(trials, spread):
    rng = np.random.default_rng(trials)
    told, true = [], []
    for _ in range(60):
        quality = rng.normal(0.0, spread, trials)
        values = quality[:, None] + rng.normal(0.0, 1.0, (trials, 64)) + rng.normal(0.0, 1.0, 64)
        best = values.mean(1).argmax()
        told.append(values.mean(1)[best] - worth_of_choice(values, True))
        true.append((values - quality[:, None]).mean(1)[best])
        assert worth_of_choice(-values, False) == pytest.approx(-worth_of_choice(values, True))
    assert 0.75 * np.mean(true) < np.mean(told) < 1.5 * np.mean(true) + 0.02


def test_a_gain_within_the_standard_error_is_chance():
    rng = np.random.default_rng(0)
    old = rng.normal(0.5, 0.1, 64)
    noise = rng.normal(0.0, 0.1, 64)
    assert not better_beyond_chance(old - noise + noise.mean() - 0.001, old, False)
    assert better_beyond_chance(old - 0.05, old + rng.normal(0.0, 0.01, 64), False)
    assert not better_beyond_chance(old + 0.05, old, False)
    assert better_beyond_chance(old + 0.05 + rng.normal(0.0, 0.01, 64), old, True)


def test_the_expected_score_is_no_better_than_the_best_and_survives_loading(cancer, tmp_path):
    study = tune(cancer, trials=12, store=tmp_path, pruner="none", **SMALL)
    assert study.expected_score >= study.best_score
    assert Study.load(study.path).expected_score == study.expected_score
    assert tune(cancer, trials=1, store=False, **SMALL).expected_score is None


def test_finalists_are_trained_from_fresh_seeds_and_the_best_mean_wins(cancer, tmp_path, monkeypatch):
    study = tune(cancer, trials=6, finalists=3, seeds=2, store=tmp_path, pruner="none", **SMALL)
    table = study.finalists
    assert set(table["trial"]) == set(study.ranking()[:3])
    for _, row in table.iterrows():
        spec = study.spec_of(int(row["trial"]))
        again = [fit(cancer, spec=replace(spec, seed=seed), store=False).metrics["loss"] for seed in (1, 2)]
        assert row["mean"] == pytest.approx(np.mean(again), rel=1e-6)
        assert row["std"] == pytest.approx(np.std(again, ddof=1), rel=1e-5)
    assert study.best_trial == table["trial"][0] == table.loc[table["mean"].idxmin(), "trial"]
    assert study.best == study.spec_of(study.best_trial)
    assert study.best_run.metrics["loss"] == study.best_score
    loaded = Study.load(study.path)
    assert loaded.best_trial == study.best_trial
    assert loaded.best_run.metrics == study.best_run.metrics
    best = study.score_of(study.ranking()[0])
    for place, winner in enumerate(study.ranking()[:3]):  # whichever it is, its luck is that of the choice
        for seed in (1, 2):
            study.after.put_fresh(winner, seed, [-float(place)])
        assert study.best_trial == winner
        for gap, luck in ((0.25, 0.25), (-0.25, 0.0)):
            monkeypatch.setattr(study_file, "worth_of_choice", lambda values, maximize, worth=best + gap: worth)
            assert study.expected_score - study.best_score == pytest.approx(luck)


def test_finalists_of_a_full_study_that_was_stopped_among_them_are_gone_on_with(cancer, tmp_path):
    controls, seen = Controls(), []

    def stop_at_first(event):
        seen.extend([event] if isinstance(event, Started) else [])
        if isinstance(event, EpochDone) and len(seen) == 5:  # four trials, and this
            controls.stop()

    told = {"trials": 4, "store": tmp_path, **SMALL}
    first = tune(cancer, view=stop_at_first, controls=controls, finalists=2, seeds=2, **told)
    assert first.finalists.empty and len(seen) == 5
    assert tune(cancer, finalists=2, seeds=2, **told).finalists["seeds"].tolist() == [2, 2]
    before = first.after.fresh()
    again = tune(cancer, finalists=2, seeds=3, **told)  # only the third seed of each is new
    assert len(again.trials) == len(first.trials)
    assert again.finalists["seeds"].tolist() == [3, 3]
    assert all(scores.items() <= again.after.fresh()[number].items() for number, scores in before.items())


def test_the_winner_is_refit_on_training_and_validation_rows_for_as_many_epochs(cancer, tmp_path):
    study = tune(cancer, trials=3, refit=True, store=tmp_path, **SMALL | {"epochs": 6})
    best, run = study.best_run, study.refit
    assert run.started.rows == len(cancer.train) + len(cancer.valid)
    assert run.finished.epoch == best.best_epoch
    assert run.spec == study.best
    assert run.metrics == {}
    loaded = Study.load(study.path).refit
    assert loaded.score(cancer) == run.score(cancer)
    assert np.array_equal(run.predict(load_breast_cancer().data), loaded.predict(load_breast_cancer().data))
    with pytest.raises(RunError, match="this study has no refit; run it with --refit"):
        _ = tune(cancer, trials=1, store=False, **SMALL).refit


def test_all_rows_are_each_row_outside_of_the_test_part_once(folds):
    whole = all_rows(folds.folds)
    assert sorted([*whole.train.index, *whole.test.index]) == list(range(569))
    assert not len(whole.valid.y)
    assert whole.fingerprint == folds.fingerprint
    assert tune(folds, trials=1, folds=2, store=False, **SMALL).refit.started.rows == len(whole.train)


def test_the_test_part_is_never_touched(folds, tmp_path):
    """A study of data whose test rows are poison is the same to the last bit."""

    def poisoned(data):
        test = replace(data.test, x=np.full_like(data.test.x, np.nan), y=data.test.y[::-1].copy())
        return replace(data, test=test, folds=tuple(map(poisoned, data.folds)))

    options = {"trials": 5, "folds": 3, "finalists": 2, "seeds": 2, "refit": True, "ensemble": 3, **SMALL}
    clean, poison = (
        tune(data, store=tmp_path / str(at), **options) for at, data in enumerate((folds, poisoned(folds)))
    )
    columns = ["number", "state", "score", *clean.space]
    assert clean.trials[columns].equals(poison.trials[columns])
    assert clean.finalists.equals(poison.finalists)
    assert clean.expected_score == poison.expected_score
    assert clean.ensemble.weights == poison.ensemble.weights
    frame = load_breast_cancer().data
    assert np.array_equal(clean.refit.predict_proba(frame), poison.refit.predict_proba(frame))


@pytest.fixture(scope="module")
def four(cancer):
    widths = [(4,), (16,), (8, 8), (2,)]
    return {n: fit(cancer, epochs=8, hidden=w, seed=n, store=False, baseline=False) for n, w in enumerate(widths)}


def test_the_greedy_ensemble_is_what_a_plain_loop_chooses(cancer, four):
    """Caruana et al. 2004, section 2, written again with scikit-learn's log loss."""
    ensemble = chosen("s", four, dict.fromkeys(four, cancer), "loss", rounds=12)
    x, y = cancer.valid.x, cancer.valid.y
    shares = [run.outputs(x).double().softmax(1).numpy() for run in four.values()]
    bag, best = [0], (log_loss(y, shares[0]), [0])
    for _ in range(11):
        tried = [(log_loss(y, np.mean([shares[i] for i in [*bag, at]], axis=0)), at) for at in range(4)]
        value, at = min(tried)
        bag.append(at)
        best = min(best, (value, list(bag)), key=lambda one: one[0])
    assert ensemble.valid["ensemble"] == pytest.approx(best[0])
    assert dict(ensemble.weights) == {n: best[1].count(n) for n in sorted(set(best[1]))}
    assert ensemble.valid["ensemble"] <= ensemble.valid["best"] == pytest.approx(log_loss(y, shares[0]))


def test_an_ensemble_predicts_scores_saves_and_loads_like_a_run(cancer, tmp_path):
    study = tune(cancer, trials=6, ensemble=4, store=tmp_path, pruner="none", **SMALL)
    ensemble = study.ensemble
    x, y = load_breast_cancer(return_X_y=True)
    rows = cancer.test.index
    proba = ensemble.predict_proba(x[rows])
    total = sum(ensemble.weights.values())
    mean = sum(w * ensemble.members[n].predict_proba(x[rows]) for n, w in ensemble.weights.items()) / total
    assert proba == pytest.approx(mean, abs=1e-6)
    assert (ensemble.predict(x[rows]) == proba.argmax(1)).all()
    assert ensemble.score(cancer)["accuracy"] == pytest.approx((proba.argmax(1) == y[rows]).mean())
    loaded = Study.load(study.path).ensemble
    assert np.array_equal(loaded.predict_proba(x), ensemble.predict_proba(x))
    elsewhere = Ensemble.load(ensemble.save(tmp_path / "kept"))
    assert np.array_equal(elsewhere.predict_proba(x), ensemble.predict_proba(x))
    assert repr(elsewhere) == repr(ensemble)
    assert len(list(study.path.glob("best-*"))) == 4
    with pytest.raises(RunError, match="this study has no ensemble; run it with --ensemble 10"):
        _ = tune(cancer, trials=1, store=False, **SMALL).ensemble
    (tmp_path / "kept" / "ensemble.json").write_text("{}")
    with pytest.raises(StoreError):
        Ensemble.load(tmp_path / "kept")


def test_an_ensemble_of_a_regression_is_the_mean_in_the_targets_units(diabetes, tmp_path):
    ensemble = tune(diabetes, trials=4, ensemble=3, store=tmp_path, **SMALL).ensemble
    x, y = load_diabetes(return_X_y=True)
    total = sum(ensemble.weights.values())
    mean = sum(w * ensemble.members[n].predict(x) for n, w in ensemble.weights.items()) / total
    assert ensemble.predict(x) == pytest.approx(mean)
    rows = diabetes.test.index
    assert ensemble.score(diabetes)["rmse"] == pytest.approx(mean_squared_error(y[rows], mean[rows]) ** 0.5)
    with pytest.raises(RunError, match="use predict"):
        ensemble.predict_proba(x)


def test_the_options_of_an_honest_score_go_to_json_and_back(cancer):
    study = tune(cancer, trials=1, finalists=2, seeds=3, ensemble=4, refit=False, store=False, **SMALL)
    assert from_json(type(study.spec), to_json(study.spec)) == study.spec
