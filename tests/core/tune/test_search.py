"""Whole studies of small networks: what they find, how they end, and how they go on."""

import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn import datasets
from torch import nn

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, RunError, SpecError, StoreError
from nnlab.core.events import EpochDone, Progress, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.fit import fit
from nnlab.core.registry import Part
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.core.store.runs import Store
from nnlab.core.tune import loop
from nnlab.core.tune.search import tune
from nnlab.core.tune.study import Study
from nnlab.report.bundle import study_bundles
from nnlab.report.studies import study_verdict

SPACE = ("lr=1e-3..1e-1", "dropout=0..0.5", "hidden={8,16-8}")
SMALL = {"epochs": 3, "hidden": (8,), "space": SPACE, "batch_size": 64}


def values_of(study):
    return study.trials.drop(columns="seconds")


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_study_tells_what_it_does_and_its_best_spec_gives_its_best_score_again(classes, tmp_path):
    events = []
    study = tune(classes, trials=6, view=events.append, store=tmp_path, **SMALL)
    started, *_, finished = events
    assert started == StudyStarted(
        study.name, study.spec, 0, dict(zip(("lr", "dropout", "hidden"), _shown(), strict=True)), "loss", False
    )
    assert isinstance(finished, StudyFinished)
    assert (finished.reason, finished.trials) == ("completed", 6)
    told = of_kind(events, TrialDone)
    assert [trial.number for trial in told] == list(range(6))
    assert told[0].values == {"lr": 0.01, "dropout": 0.15, "hidden": "8"}  # the base itself
    trials = study.trials
    assert list(trials) == ["number", "state", "score", "epochs", "seconds", "lr", "dropout", "hidden"]
    assert trials["score"].tolist() == [trial.score for trial in told]
    assert study.best_score == min(trials["score"][trials["state"] == "complete"])
    assert [trial.number for trial in told if trial.best][-1] == study.best_trial
    assert fit(classes, spec=study.best, store=False).metrics["loss"] == study.best_score
    assert study.best_run.metrics["loss"] == study.best_score
    assert sum(event.epoch == 1 for event in of_kind(events, EpochDone)) == 6
    assert "6 trials" in repr(study)
    assert "\n" not in repr(study)


def test_epochs_that_are_searched_stand_beside_those_that_a_trial_reached(classes):
    told = {"epochs": 4, "patience": 1, "pruner": "none", "lr": 0.05, "batch_size": 64}
    study = tune(classes, trials=6, store=False, hidden=(8,), space=("epochs=2..30 step 4",), **told)
    trials = study.trials
    assert list(trials) == ["number", "state", "score", "epochs reached", "seconds", "epochs"]
    assert trials["epochs"][0] == 4 and set(trials["epochs"][1:]) <= set(range(2, 31, 4))
    assert (trials["epochs reached"] <= trials["epochs"]).all()
    text = "".join(str(bundle.data.get("text/plain", "")) for bundle in study_bundles(study))
    assert "epochs reached  epochs\n" in text and "dtype" not in text


def test_a_space_in_python_has_ranges_as_texts_and_choices_as_lists(classes):
    space = {"lr": "1e-3..1e-1 log", "hidden": [(8,), [8, 4]], "batch_size": [None, 64], "norm": ["none", "layer"]}
    study = tune(classes, trials=1, store=False, model="mlp", epochs=1, space=space)
    shown = ["0.001..0.1 log", "{8,8-4}", "{auto,64}", "{none,layer}"]
    assert [str(one) for one in study.space.values()] == shown
    with pytest.raises(SpecError, match="no option 'n_trials': write  --trials 30"):
        tune(classes, n_trials=3, store=False)


def _shown():
    return "0.001..0.1 log", "0..0.5", "{8,16-8}"


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_same_seed_same_trials_also_when_the_study_was_continued(numbers, tmp_path, sampler):
    options = SMALL | {"sampler": Part(sampler, {"startup": 3} if sampler == "tpe" else {})}
    at_once = tune(numbers, trials=6, store=tmp_path / "a", **options)
    for trials in (2, 5, 6):
        by_and_by = tune(numbers, trials=trials, store=tmp_path / "b", **options)
    assert by_and_by.name == at_once.name
    pd.testing.assert_frame_equal(values_of(by_and_by), values_of(at_once))
    other = tune(numbers, trials=6, store=tmp_path / "a", seed=1, **options)
    assert other.name != at_once.name
    assert other.trials["lr"][1:].tolist() != at_once.trials["lr"][1:].tolist()


def test_a_complete_study_is_given_back_and_fresh_keeps_the_old_one_aside(classes, tmp_path):
    first = tune(classes, trials=2, store=tmp_path, **SMALL)
    events = []
    again = tune(classes, trials=2, view=events.append, store=tmp_path, **SMALL)
    assert not of_kind(events, TrialDone)
    assert "already holds 2 trials" in of_kind(events, Warned)[0].message
    pd.testing.assert_frame_equal(again.trials, first.trials)
    assert again.best_run.metrics == first.best_run.metrics
    fresh = tune(classes, trials=1, fresh=True, store=tmp_path, **SMALL)
    assert len(fresh.trials) == 1
    (aside,) = (tmp_path / "trash").iterdir()
    pd.testing.assert_frame_equal(Study.load(aside).trials, first.trials)


def test_loaded_from_its_folder_a_study_is_the_same(classes, tmp_path):
    study = tune(classes, trials=3, name="née <b> ../x", store=tmp_path, monitor="accuracy", **SMALL)
    loaded = Study.load(study.path)
    assert loaded.path.parent == tmp_path / "studies"
    assert (loaded.name, loaded.spec, loaded.base, loaded.space) == (study.name, study.spec, study.base, study.space)
    assert (loaded.metric, loaded.maximize, loaded.best) == ("accuracy", True, study.best)
    assert loaded.best_score == max(loaded.trials["score"])
    assert loaded.best_run.metrics == study.best_run.metrics
    assert np.array_equal(loaded.best_run.score(classes)["accuracy"], study.best_run.score(classes)["accuracy"])
    assert len(list(study.path.glob("best-*"))) == 1
    assert Store(tmp_path).runs() == []  # trials do not flood the list of runs


def test_another_subject_under_the_same_name_is_refused_with_the_difference(classes, numbers, tmp_path):
    tune(classes, trials=1, name="s", store=tmp_path, **SMALL)
    with pytest.raises(SpecError, match=r"study 's' is about something else: the data"):
        tune(numbers, trials=1, name="s", store=tmp_path, **SMALL)
    with pytest.raises(SpecError, match=r"the space, lr \(0\.001\.\.0\.1 log, now 0\.01\.\.0\.1 log\)"):
        tune(classes, trials=1, name="s", store=tmp_path, **SMALL | {"space": ("lr=1e-2..1e-1", *SPACE[1:])})
    with pytest.raises(SpecError, match=r"epochs \(3, now 4\)"):
        tune(classes, trials=1, name="s", store=tmp_path, **SMALL | {"epochs": 4})
    assert len(tune(classes, trials=1, name="s", store=tmp_path, threads=1, **SMALL).trials) == 1  # does not matter


def test_a_grid_tries_every_point_once(classes):
    space = ("optimizer={adam,momentum}", "momentum={0.5,0.9}", "dropout={0,0.2}")
    study = tune(classes, sampler="grid", space=space, epochs=1, hidden=(8,), store=False)
    assert study.trials["optimizer"][0] == "adamw"  # first the base itself, which is no point of this grid
    points = {
        tuple(row) for row in study.trials[["optimizer", "momentum", "dropout"]][1:].fillna(-1).to_numpy().tolist()
    }
    momentum = {("momentum", m, d) for m in (0.5, 0.9) for d in (0.0, 0.2)}
    assert points == momentum | {("adam", -1, 0.0), ("adam", -1, 0.2)}
    assert len(study.trials) == 7


def test_options_of_the_run_are_kept_fixed(classes):
    study = tune(classes, trials=2, epochs=1, lr=0.02, hidden=(8,), optimizer="adam", store=False)
    assert "lr" not in study.space
    assert "hidden" not in study.space
    assert study.space["batch_size"].choices == (None, 32)
    assert study.trials["batch_size"][0] == "auto"
    assert study.best.optimizer.name == "adam"
    assert study.best.optimizer.values["lr"] == 0.02


def test_hopeless_trials_are_pruned_and_only_if_wanted(classes):
    options = {"trials": 12, "epochs": 8, "sampler": "random", "space": ("lr={1e-7,1e-2}",), "hidden": (16,)}
    pruned = tune(classes, pruner=Part("median", {"min_trials": 2, "min_epochs": 2}), store=False, **options).trials
    assert set(pruned["lr"][pruned["state"] == "pruned"]) == {1e-7}
    assert (pruned["epochs"][pruned["state"] == "pruned"] < 8).all()
    assert set(pruned["lr"][pruned["state"] == "complete"]) >= {1e-2}
    assert set(tune(classes, pruner="none", store=False, **options).trials["state"]) == {"complete"}


def test_hyperband_ends_trials_at_its_rungs(classes):
    options = {"trials": 14, "epochs": 9, "sampler": "random", "space": ("lr=1e-6..1e-2",), "hidden": (16,)}
    trials = tune(classes, pruner=Part("hyperband", {"min_epochs": 1}), store=False, **options).trials
    assert set(trials["epochs"][trials["state"] == "pruned"]) <= {1, 3}
    assert (trials["state"] == "pruned").any()


class Stopper:
    """A view that acts at an epoch of a trial: stop, an interrupt, pause and so on."""

    def __init__(self, act, trial=1, epoch=2):
        self.events, self._act, self._at = [], act, (trial, epoch)

    def __call__(self, event):
        self.events.append(event)
        trial = len(of_kind(self.events, TrialDone))
        if isinstance(event, EpochDone) and (trial, event.epoch) == self._at:
            self._act()


def test_stop_ends_the_running_trial_and_keeps_all_then_the_study_goes_on(classes, tmp_path):
    controls = Controls()
    view = Stopper(controls.stop)
    study = tune(classes, trials=4, view=view, controls=controls, store=tmp_path, **SMALL)
    assert view.events[-1].reason == "stopped"
    assert [(t.state, t.message) for t in of_kind(view.events, TrialDone)] == [("complete", ""), ("stopped", "stopped")]
    complete, cut = study.trials["score"]
    assert cut < complete and study.ranking() == [1, 0]  # its best epoch so far is a result
    assert study.best_run.metrics["loss"] == study.best_score == cut
    again = tune(classes, trials=4, store=tmp_path, **SMALL)
    assert sorted(again.ranking()) == [0, 2, 3, 4]  # the cut one has been tried again
    assert again.trials["state"].tolist() == ["complete", "stopped", *["complete"] * 3]  # four that count
    cut, retried = again.trials.iloc[1], again.trials.iloc[2]
    assert cut[["lr", "dropout", "hidden"]].tolist() == retried[["lr", "dropout", "hidden"]].tolist()
    assert again.messages == {1: "stopped"}


def test_interrupt_gives_the_study_and_the_old_handler_back(classes, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    view = Stopper(lambda: signal.raise_signal(signal.SIGINT))
    study = tune(classes, trials=4, view=view, store=tmp_path, **SMALL)
    assert view.events[-1].reason == "interrupted"
    assert study.trials["state"].tolist() == ["complete", "stopped"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_raises_and_leaves_a_sound_study(classes, tmp_path):
    controls = Controls()

    class Slow(nn.Module):
        """Presses twice within a step, where only the second can be heard."""

        def __init__(self, n_in, n_out):
            super().__init__()
            self.line = nn.Linear(n_in, n_out)

        def forward(self, x):
            if pressing:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return self.line(x)

    pressing = []
    options = {"model": Slow, "space": ("lr=1e-3..1e-1",), "epochs": 3, "store": tmp_path, "controls": controls}
    with pytest.raises(KeyboardInterrupt):
        tune(classes, trials=4, view=Stopper(lambda: pressing.append(1)), **options)
    pressing.clear()
    del options["controls"]
    study = tune(classes, trials=2, **options)
    assert study.trials["state"].tolist() == ["complete", "stopped", "complete"]
    assert study.messages == {1: "interrupted"}


def test_pause_holds_the_running_trial_until_it_is_lifted(classes):
    controls, paused = Controls(), []

    def view(event):
        if isinstance(event, EpochDone) and not paused:
            controls.pause()
        if isinstance(event, Progress) and event.paused:
            paused.append(event)
            controls.pause(False)

    study = tune(classes, trials=2, view=view, controls=controls, store=False, **SMALL)
    assert len(paused) >= 1
    assert study.trials["state"].tolist() == ["complete", "complete"]


def test_minutes_end_the_study(classes, monkeypatch):
    events, clock = [], SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(loop, "time", clock)

    def view(event):
        events.append(event)
        clock.now += 0.5 * isinstance(event, TrialDone)

    study = tune(classes, trials=1000, population=1, minutes=0.02, view=view, store=False, **SMALL)
    assert events[-1].reason == "time"
    assert len(study.trials) == 3  # after which 1.5 of 1.2 seconds are over


@pytest.mark.parametrize(  # folds side by side are cut at once, those one after the other at the first
    ("population", "folds", "pruner", "seen"),
    [(1, None, "median", 0), (2, None, "median", 0), (2, 2, "median", 2), (1, 2, "wilcoxon", 1)],
)
def test_a_first_trial_that_is_cut_is_a_result_by_its_best_epoch(
    classes, tmp_path, monkeypatch, population, folds, pruner, seen
):
    words = {"space": ("lr=1e-3..1e-1 log",), "epochs": 9, "hidden": (8,), "population": population, "refit": True}
    events, data = [], prepare(datasets.make_classification(400, random_state=0), folds=2) if folds else classes
    words |= {"folds": folds, "pruner": pruner, "ensemble": 2, "store": tmp_path, "trials": population, "minutes": 10}

    def late_in_epoch_3(event):
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == 3:
            moment.setattr("nnlab.core.tune.loop.Search.late", property(lambda search: True))

    with monkeypatch.context() as moment:
        study = tune(data, view=late_in_epoch_3, **words)
    assert study.trials["state"].tolist() == ["stopped"] * population
    assert study.messages[0] == "the time was over"
    number, run, told = study.best_trial, study.best_run, [event.message for event in of_kind(events, Warned)]
    assert study.best_score == study.trials["score"][number] == study.trials["score"].min()
    assert run.metrics["loss"] == (study.result_of(number)["scores"] or [study.best_score])[0]
    assert len(study.result_of(number)["scores"]) == seen
    assert (study.best.epochs, run.finished.epoch) == (9, 3)
    assert any("cut after 3 of 9 epochs. The same line tries it again from its start" in one for one in told)
    assert "what follows the trials was cut off; the same line goes on with it" in told
    assert all(f"trial {number}, cut after 3 of" in text for text in (repr(study), study_verdict(study).text()))
    with pytest.raises(RunError, match="no refit; run it with --refit, to its end"):
        _ = study.refit
    loaded = Study.load(study.path)
    assert (loaded.best_trial, loaded.best_run.metrics) == (number, run.metrics)
    whole = tune(data, **words)
    assert sorted(whole.ranking()) == list(range(population, 2 * population))
    assert whole.best_score <= study.best_score and whole.refit.spec == whole.best
    assert whole.cut_after(whole.best_trial) == "" and set(whole.ensemble.members) <= set(whole.ranking())


def test_a_trial_that_is_cut_time_and_again_is_tried_until_it_ends(classes, tmp_path):
    for _ in range(3):
        controls = Controls()
        study = tune(classes, trials=1, view=Stopper(controls.stop, 0, 2), controls=controls, store=tmp_path, **SMALL)
    assert study.best_trial == 0 and study.ranking() == [0, 1, 2]  # of equals the oldest
    study = tune(classes, trials=1, store=tmp_path, **SMALL)
    assert study.ranking() == [3] and study.trials["state"].tolist() == ["stopped"] * 3 + ["complete"]
    assert study.trials["lr"].nunique() == 1


def test_a_diverged_trial_fails_with_its_message_and_the_study_goes_on(numbers):
    words = {"optimizer": "sgd", "lr": 0.01, "sampler": "random", "epochs": 4, "hidden": (8,)}
    study = tune(numbers, trials=6, space=("lr={100,0.01}",), store=False, **words)
    states = study.trials.groupby("lr")["state"].unique()
    assert list(states[100.0]) == ["failed"]
    assert list(states[0.01]) == ["complete"]
    assert all("became" in message for message in study.messages.values())
    assert study.best.optimizer.values["lr"] == 0.01


def test_errors_at_the_start_end_the_study_and_later_ones_do_not(classes, tmp_path):
    made = []

    def broken(n_in, n_out):
        made.append(n_in)
        raise ZeroDivisionError("no such width")

    options = {"space": ("lr=1e-3..1e-1",), "epochs": 1}
    with pytest.raises(RunError, match=r"no trial of study .* could be trained: .*no such width"):
        tune(classes, trials=9, model=broken, store=tmp_path, **options)
    assert len(made) == 3

    def sometimes(n_in, n_out):
        made.append(n_in)
        if len(made) % 2:
            raise ZeroDivisionError("no such width")
        return nn.Linear(n_in, n_out)

    made.clear()
    study = tune(classes, trials=5, model=sometimes, store=False, **options)
    assert sorted(study.trials["state"]) == ["complete"] * 2 + ["failed"] * 3
    assert study.best_run.model.in_features == 5


def test_a_study_of_an_own_network_needs_it_to_load_the_best_run(classes, tmp_path):
    def linear(n_in, n_out):
        return nn.Linear(n_in, n_out)

    study = tune(classes, trials=2, model=linear, space=("lr=1e-3..1e-1",), epochs=2, store=tmp_path)
    assert Study.load(study.path, model=linear).best_run.metrics == study.best_run.metrics
    with pytest.raises(StoreError, match="network of your own"):
        _ = Study.load(study.path).best_run


def test_without_a_store_nothing_is_written(classes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = tune(classes, trials=2, store=False, **SMALL)
    assert study.path is None
    assert study.best_run.metrics["loss"] == study.best_score
    assert list(tmp_path.iterdir()) == []


def test_a_best_run_that_cannot_be_saved_is_told_and_kept_in_memory(classes, tmp_path, monkeypatch):
    def full(run, folder):
        raise StoreError("no space left")

    monkeypatch.setattr(Run, "save", full)
    events = []
    study = tune(classes, trials=2, view=events.append, store=tmp_path, **SMALL)
    assert "no space left" in of_kind(events, Warned)[0].message
    assert study.best_run.metrics["loss"] == study.best_score


def test_a_failing_view_is_left_out(classes):
    def view(event):
        raise OSError("gone")

    with pytest.warns(RuntimeWarning, match="view failed and was left out: OSError: gone"):
        study = tune(classes, trials=2, view=view, store=False, **SMALL)
    assert len(study.trials) == 2


def test_importance_names_what_matters(classes):
    few = tune(classes, trials=2, store=False, **SMALL)
    assert few.importance == {}
    space = ("lr=1e-6..1e-1", "label_smoothing=0..0.001")
    options = {"loss": "cross_entropy", "monitor": "accuracy", "sampler": "random", "pruner": "none", "hidden": (8,)}
    study = tune(classes, trials=40, space=space, epochs=2, store=False, **options)
    assert sum(study.importance.values()) == pytest.approx(1.0)
    assert next(iter(study.importance)) == "lr"


def test_searching_the_loss_that_is_watched_is_warned_of(classes):
    events = []
    tune(classes, trials=1, view=events.append, store=False, **SMALL | {"space": ("label_smoothing=0..0.2",)})
    assert "the loss itself is searched" in of_kind(events, Warned)[0].message


def test_optuna_is_silent_and_its_level_is_the_users_again(classes, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    tune(classes, trials=2, store=False, **SMALL)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trails": 3}, r"no option 'trails'; did you mean 'trials'\?"),
        ({"learning_rate": 3}, r"no option 'learning_rate'"),
        ({"trials": 0}, r"trials=0: expected whole number, 1 to"),
        ({"sampler": "tpee"}, r"did you mean 'tpe'\?"),
        ({"monitor": "accurracy"}, r"did you mean 'accuracy'\?"),
        ({"sampler": "grid", "hidden": (8,), "grid.points": 3}, r"no option 'grid\.points'"),
        ({"sampler": "grid", "space": "auto"}, r"a grid of [\d,]+ trials is too large"),
        (
            {"base": TrainSpec(model=Part("custom")), "lr": 1.0, "weight_decay": 0.1, "batch_size": 8},
            r"nothing is left to search",
        ),
    ],
)
def test_bad_options_are_named(classes, options, message):
    with pytest.raises(SpecError, match=message):
        tune(classes, store=False, **options)


def test_data_that_cannot_be_searched_on_is_named(classes):
    with pytest.raises(DataError, match="data is a DataFrame; prepare it first"):
        tune(pd.DataFrame({"a": [1]}))
    none = replace(classes.valid, x=classes.valid.x[:0], y=classes.valid.y[:0], index=classes.valid.index[:0])
    with pytest.raises(DataError, match="there are none; prepare the data with --valid"):
        tune(replace(classes, valid=none), store=False)


def test_a_study_without_a_complete_trial_says_so(classes):
    controls = Controls()
    controls.stop()
    study = tune(classes, trials=3, controls=controls, store=False, **SMALL)
    assert (study.best_score, study.best_trial) == (None, None)
    with pytest.raises(RunError, match="no complete trial yet"):
        _ = study.best
    with pytest.raises(RunError, match="no complete trial yet"):
        _ = study.best_run


def test_spec_and_base_objects_do_what_options_do(classes, tmp_path):
    base = TrainSpec(model=Part("mlp", {"hidden": (8,)}), epochs=3, batch_size=64)
    by_objects = tune(classes, spec=TuneSpec(trials=3, space=SPACE), base=base, store=tmp_path)
    by_options = tune(classes, trials=3, store=tmp_path / "other", **SMALL)
    by_mapping = tune(classes, trials=3, store=False, **SMALL | {"space": dict(line.split("=") for line in SPACE)})
    by_text = tune(classes, trials=3, store=False, **SMALL | {"space": "\n".join(SPACE)})
    for study in (by_options, by_mapping, by_text):
        assert (study.name, study.space, study.base) == (by_objects.name, by_objects.space, by_objects.base)
        pd.testing.assert_frame_equal(values_of(study), values_of(by_objects))


def test_a_damaged_folder_is_named_and_fresh_starts_anew(classes, tmp_path):
    study = tune(classes, trials=1, store=tmp_path, **SMALL)
    header = study.path / "study.json"
    header.write_bytes(header.read_bytes().replace(b'"epochs": 3', b'"epochs": 9'))
    with pytest.raises(StoreError, match=r"study\.json fails its checksum"):
        Study.load(study.path)
    with pytest.raises(StoreError, match=r"study\.json fails its checksum"):
        tune(classes, trials=2, store=tmp_path, **SMALL)
    assert len(tune(classes, trials=1, fresh=True, store=tmp_path, **SMALL).trials) == 1
    (study.path / "journal.log").unlink()
    with pytest.raises(StoreError, match=r"journal\.log is missing"):
        Study.load(study.path)
