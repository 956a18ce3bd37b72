"""A search that is given another course by hand: its later trials keep to it, and it is on record."""

import time

import pytest

from nnlab.core.controls import Controls
from nnlab.core.errors import SpecError
from nnlab.core.events import Steered, TrialDone, Warned
from nnlab.core.learners.stack.together import Together
from nnlab.core.store.runs import Store
from nnlab.core.tune.search import tune
from nnlab.core.tune.strategies import SAMPLERS
from nnlab.core.tune.study import Study

SPACE = ("lr=1e-3..1e-1", "dropout=0..0.5", "hidden=[4..16]x1..2", "activation={relu,silu,tanh}")
SMALL = {"epochs": 1, "hidden": (8,), "space": SPACE, "batch_size": 256, "population": 1}


class By:
    """A person who watches and steers after some trials."""

    def __init__(self, steps):
        self.controls, self.events, self._steps = Controls(), [], steps

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, TrialDone):
            for what, text in self._steps.get(event.number, ()):
                self.controls.steer(what, text)


def test_trials_keep_to_what_was_steered_and_so_does_the_study_that_goes_on(classes, tmp_path):
    steps = {1: [("pin", "lr=0.02"), ("narrow", "dropout=0.1..0.2")], 4: [("free", "lr"), ("pin", "hidden=12-6")]}
    by, began = By(steps), time.time()
    study = tune(classes, trials=7, name="s", store=tmp_path, view=by, controls=by.controls, **SMALL)
    trials = study.trials
    assert (trials["lr"][2:5] == 0.02).all() and trials["lr"][5:].nunique() == 2 and 0.02 not in set(trials["lr"][5:])
    assert trials["dropout"][2:].between(0.1, 0.2).all() and trials["dropout"][2:].nunique() == 5
    assert (trials["hidden"][5:] == "12-6").all() and (trials["hidden"][2:5] != "12-6").any()

    table = study.steering
    assert table["what"].tolist() == ["pin", "narrow", "free", "pin"]
    assert table["trial"].tolist() == [2, 2, 5, 5]
    assert table["values"].tolist() == ["lr=0.02", "dropout=0.1..0.2", "lr", "hidden=12-6"]
    assert all(began <= when.timestamp() <= time.time() for when in table["when"])
    told = [(e.trial, e.what, e.text) for e in by.events if isinstance(e, Steered)]
    assert told == list(table[["trial", "what", "values"]].itertuples(index=False, name=None))

    again = By({})
    more = tune(classes, trials=9, name="s", store=tmp_path, view=again, **SMALL).trials
    assert (more["hidden"][7:] == "12-6").all() and more["dropout"][7:].between(0.1, 0.2).all()
    assert [(e.trial, e.what, e.text) for e in again.events if isinstance(e, Steered)] == told


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("grid", "pbt")])
def test_every_sampler_keeps_to_it(classes, sampler):
    by = By({4: [("pin", "activation=tanh"), ("narrow", "lr=0.005..0.01"), ("narrow", "hidden=[6..9]x2")]})
    options = {"startup": 2} if "startup" in SAMPLERS[sampler].params else {}
    trials = tune(
        classes, trials=9, sampler=sampler, store=False, view=by, controls=by.controls, **SMALL, **options
    ).trials
    later = trials[5:]
    assert set(trials["state"]) <= {"complete", "pruned"}
    assert (later["activation"] == "tanh").all()
    assert later["lr"].between(0.005, 0.01).all() and later["lr"].nunique() >= 2
    assert all(
        len(one) == 2 and all(6 <= n <= 9 for n in one)
        for one in (tuple(map(int, w.split("-"))) for w in later["hidden"])
    )


def test_of_a_grid_the_points_that_are_left_are_tried(classes):
    space = ("lr={0.001,0.01,0.1}", "dropout={0.0,0.1,0.2}", "activation={relu,tanh}")
    by = By({1: [("pin", "activation=tanh"), ("narrow", "dropout={0.1,0.2}")]})
    told = {**SMALL, "space": space, "sampler": "grid", "trials": 30, "view": by, "controls": by.controls}
    later = tune(classes, store=False, **told).trials[2:]
    tried = set(later[["lr", "dropout", "activation"]].itertuples(index=False, name=None))
    assert len(tried) == len(later)
    assert {(d, a) for _, d, a in tried} <= {(0.1, "tanh"), (0.2, "tanh")}
    assert len(tried) >= 4  # of six, the first two trials may have been some


def test_a_trial_that_is_queued_is_the_next_one_with_what_was_said_and_what_the_sampler_adds(classes, tmp_path):
    by = By({1: [("pin", "lr=0.02"), ("queue", "lr=0.05, hidden=7")]})
    study = tune(classes, trials=4, name="s", store=tmp_path, view=by, controls=by.controls, **SMALL)
    assert study.trials["hidden"][2] == "7" and study.trials["lr"][2:].tolist() == [0.05, 0.02]
    study.queue(lr=0.004, hidden=[5, 6], dropout=0.0, activation="silu")  # by Python, between two calls
    more = tune(classes, trials=5, name="s", store=tmp_path, **SMALL).trials
    assert more.loc[4, ["lr", "dropout", "hidden", "activation"]].tolist() == [0.004, 0.0, "5-6", "silu"]
    for _ in range(3):
        study.queue(lr=0.006)
    more = tune(classes, trials=9, name="s", store=tmp_path, **SMALL).trials
    assert (more["lr"][5:8] == 0.006).all() and more["dropout"][5:].nunique() == 4  # drawn anew for each


def test_another_process_that_holds_the_study_steers_it_while_it_runs(classes, tmp_path):
    def watch(event):
        if isinstance(event, TrialDone) and event.number == 1:
            Study.load(Store(tmp_path).study_folder("s")).pin(lr=0.03)

    study = tune(classes, trials=4, name="s", store=tmp_path, view=watch, **SMALL)
    assert (study.trials["lr"][2:] == 0.03).all() and study.trials["lr"][1] != 0.03


def test_what_is_pinned_lets_trials_stand_together_that_could_not_before(classes, monkeypatch):
    sizes, make = [], Together.__init__

    def counted(self, specs, *others):
        sizes.append(len(specs))
        make(self, specs, *others)

    monkeypatch.setattr(Together, "__init__", counted)
    space = ("lr=1e-3..1e-1", "hidden=[4..64]x1..3")
    by = By({0: [("pin", "hidden=8")]})
    told = {"epochs": 1, "space": space, "batch_size": 256, "trials": 40, "controls": by.controls}

    def stop(event):
        by(event)
        if isinstance(event, TrialDone) and event.number == 2:
            by.controls.stop()

    study = tune(classes, store=False, view=stop, **told)
    assert (study.trials["hidden"][1:] == "8").all()
    assert sizes == [5]  # five at once, as one stack, after the first alone
    assert study.trials["state"].tolist() == ["complete"] * 6  # they end in the same epoch, before the stop counts


@pytest.mark.parametrize(
    ("what", "text", "part"),
    [
        ("pin", "lr=0.5", "outside of what the study searches: 0.001..0.1"),
        ("pin", "lr=much", "lr"),
        ("pin", "lrr=0.1", "did you mean 'lr'"),
        ("pin", "", "nothing is said"),
        ("narrow", "lr=0.01", "is one value; pin it, or narrow to a part of 0.001..0.1"),
        ("narrow", "lr=1e-4..1e-2", "not within what the study searches"),
        ("narrow", "activation={relu,gelu}", "not within"),
        ("narrow", "hidden=[4..8]x1..3", "not within"),
        ("narrow", "hidden={8,4-4}", "in the form"),
        ("free", "momentum", "not searched"),
        ("queue", "activation=gelu", "outside"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(classes, what, text, part):
    by = By({0: [(what, text)]})
    study = tune(classes, trials=2, store=False, view=by, controls=by.controls, **SMALL)
    assert any(part in e.message for e in by.events if isinstance(e, Warned)), by.events
    assert study.steering.empty and len(study.trials) == 2
    with pytest.raises(SpecError):
        getattr(study, what)(*([text] if text else []))


def test_conditions_hold_in_a_study_and_for_what_is_steered(classes, tmp_path):
    space = ("model={mlp,resnet}", "dropout=0..0.5 if model=mlp", "lr=1e-3..1e-1")
    by = By({2: [("narrow", "dropout=0.1..0.2"), ("pin", "model=mlp")]})
    told = {"epochs": 1, "space": space, "batch_size": 256, "population": 1, "name": "s", "store": tmp_path}
    study = tune(classes, trials=8, view=by, controls=by.controls, **told)
    trials = study.trials
    assert (trials["dropout"].notna() == (trials["model"] == "mlp")).all()
    with pytest.raises(SpecError, match="queue: dropout is searched only if model=mlp; leave one of the two out"):
        study.queue(dropout=0.1, model="resnet")
    assert (trials["model"][3:] == "mlp").all() and trials["dropout"][3:].between(0.1, 0.2).all()
    assert str(Study.load(study.path).space["dropout"]) == "0..0.5 if model=mlp"


def test_what_is_left_to_nnlab_is_typed_as_auto(classes):
    by = By({0: [("pin", "batch_size=auto")]})
    told = {"epochs": 1, "space": ("batch_size={auto,128}",), "population": 1, "lr": 0.01}
    study = tune(classes, trials=4, store=False, view=by, controls=by.controls, **told)
    study.pin(batch_size=None)
    assert study.steering["values"].tolist() == ["batch_size=auto"] * 2
    assert (study.trials["batch_size"][1:] == "auto").all()
