"""Samplers and pruners do what Optuna's do."""

import math

import optuna
import pytest

from nnlab.core.errors import SpecError
from nnlab.core.registry import Part
from nnlab.core.spec import make
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS


def points(count):
    return {"x": [i / (count - 1) for i in range(count)], "c": ["a", "b"]}


@pytest.mark.parametrize("name", ["tpe", "random", "grid"])
def test_the_same_seed_draws_the_same_values(name):
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def values(seed):
        study = optuna.create_study(sampler=make(SAMPLERS, Part(name), seed, points))
        drawn = []
        for _ in range(8):
            trial = study.ask()
            x = trial.suggest_categorical("x", points(4)["x"])
            drawn.append((x, trial.suggest_categorical("c", ["a", "b"])))
            study.tell(trial, x)
        return drawn

    assert values(3) == values(3)
    if name == "grid":
        assert set(values(3)) == {(x, c) for x in points(4)["x"] for c in "ab"}
    else:
        assert values(3) != values(4)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_every_sampler_made_anew_for_each_trial_finds_a_valley(name):
    """As a study uses them: the sampler of trial n knows no more than its seed and what the journal holds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def study(seed):
        made = optuna.create_study()
        for number in range(24):
            made.sampler = make(SAMPLERS, Part(name), 1000 * seed + number, points)
            trial = made.ask()
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 1e-4, 1, log=True)
            kind = trial.suggest_categorical("c", ["a", "b"])
            made.tell(trial, (x - 0.3) ** 2 + (math.log10(y) + 2) ** 2 / 16 + 0.2 * (kind == "b"))
        return [tuple(trial.params.values()) for trial in made.trials], made.best_value

    (drawn, best), again = study(0), study(0)
    assert (drawn, best) == again
    assert len(set(drawn)) == len(drawn)
    assert best < 0.06  # the mean of random draws is 0.31


def test_a_grid_that_nobody_can_finish_is_refused():
    with pytest.raises(SpecError, match=r"a grid of 1,000,000 trials is too large"):
        make(SAMPLERS, Part("grid"), 0, lambda count: {f"x{i}": list(range(10)) for i in range(6)})


@pytest.mark.parametrize("name", [name for name, entry in PRUNERS.items() if not entry.facts.get("folds")])
def test_pruners_end_what_is_worse_and_leave_what_is_better(name):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parts = {"pruner": make(PRUNERS, Part(name), 27), "sampler": optuna.samplers.RandomSampler(0)}
    study = optuna.create_study(study_name="named", **parts)  # Hyperband draws a trial's bracket from the study's name
    ended = {"good": 0, "bad": 0}
    for number in range(40):
        trial = study.ask()
        kind = "bad" if number % 2 else "good"
        for epoch in range(1, 28):
            trial.report(1.0 - number / 1000 if kind == "good" else 5.0 + epoch / 100, epoch)
            if number >= 10 and trial.should_prune():
                ended[kind] += 1
                break
        study.tell(trial, 1.0 if kind == "good" else 5.0)
    assert (ended["bad"] > 8) == (name != "none")
    assert ended["good"] == 0


def test_startup_trials_are_random_then_good_values_are_preferred():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=make(SAMPLERS, Part("tpe", {"startup": 10}), 0, points))
    distances = []
    for _ in range(60):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        distances.append(abs(x - 0.3))
        study.tell(trial, (x - 0.3) ** 2)
    assert sum(distances[-20:]) / 20 < 0.5 * sum(distances[:10]) / 10
