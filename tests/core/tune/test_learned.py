"""Samplers of our own against random draws, as many trials each, and their rules on small cases."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nnlab.core.registry import Part
from nnlab.core.spec import make
from nnlab.core.tune.learned import BINS, Evolution, _arm, _arms, _drawn, _from_share, _rewarded, _share
from nnlab.core.tune.search import tune
from nnlab.core.tune.strategies import SAMPLERS

OURS = ["evolution", "reinforce", "bandit"]
DISTRIBUTIONS = [
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(-1.0, 1.0),
    FloatDistribution(0.0, 0.5, step=0.1),
    IntDistribution(1, 4),
    IntDistribution(16, 512, log=True),
    IntDistribution(10, 90, step=20),
    CategoricalDistribution(("a", None, 3, True)),
]


def searched(name, seed, trials=60, values=None):
    """Scores in their order, of a cost with a best depth, activation and step size, and a conditional name."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for number in range(trials):
        study.sampler = make(SAMPLERS, Part(name, values or {}), 1000 * seed + number, lambda count: {})
        trial = study.ask()
        cost = abs(trial.suggest_int("depth", 1, 6) - 4) / 5
        kind = trial.suggest_categorical("activation", ["relu", "selu", "mish", "silu", "tanh"])
        cost += 0.5 * (kind != "mish")
        cost += abs(np.log10(trial.suggest_float("lr", 1e-4, 1.0, log=True)) + 2) / 2
        if kind == "mish":
            cost += (trial.suggest_float("slope", 0, 1) - 0.2) ** 2
        study.tell(trial, cost)
    return [trial.value for trial in study.trials]


@pytest.mark.parametrize("name", OURS)
def test_with_as_many_trials_they_are_better_than_random(name):
    ours, theirs = ([searched(one, seed) for seed in range(8)] for one in (name, "random"))
    late, late_random = (np.mean([one[40:] for one in many]) for many in (ours, theirs))
    assert late < 0.6 * late_random  # what is drawn in the end
    assert np.mean([min(one) for one in ours]) < np.mean([min(one) for one in theirs])


@pytest.mark.parametrize("name", OURS)
def test_a_study_that_was_cut_goes_on_as_it_would_have(name, classes, tmp_path):
    words = {"sampler": name, "space": ("lr=1e-3..1e-1", "hidden={4,8}"), "epochs": 1, "model": "mlp"}
    whole = tune(classes, trials=14, store=tmp_path / "a", **words)
    tune(classes, trials=6, store=tmp_path / "b", **words)
    again = tune(classes, trials=14, store=tmp_path / "b", **words)
    assert again.trials["lr"].tolist() == whole.trials["lr"].tolist()


@pytest.mark.parametrize("dist", DISTRIBUTIONS, ids=str)
def test_every_arm_gives_its_own_values_and_all_are_allowed(dist):
    rng = np.random.default_rng(0)
    assert _arms(dist) <= max(BINS, 4)
    for arm in range(_arms(dist)):
        for _ in range(20):
            value = _drawn(dist, arm, rng)
            assert dist._contains(dist.to_internal_repr(value))
    if not isinstance(dist, CategoricalDistribution):
        drawn = [dist.to_external_repr(_from_share(dist, share)) for share in np.linspace(0, 1, 1001)]
        assert min(drawn) == pytest.approx(dist.low)
        assert max(drawn) == pytest.approx(dist.high)
        assert all(0 <= _share(dist, value) <= 1 for value in drawn)
        assert {_arm(dist, value) for value in drawn} == set(range(_arms(dist)))


def told(study, values, score, state=TrialState.COMPLETE):
    dists = {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(("a", "b", "c"))}
    value = score if state == TrialState.COMPLETE else None
    study.add_trial(optuna.create_trial(state=state, value=value, params=values, distributions=dists))


def test_rewards_are_ranks_and_what_failed_has_none():
    study = optuna.create_study(direction="maximize")
    for score in (3.0, 1.0, 2.0, 2.0):
        told(study, {"x": 0.5, "c": "a"}, score)
    told(study, {"x": 0.5, "c": "b"}, 0.0, TrialState.PRUNED)
    assert [reward for _, reward in _rewarded(study)] == [1.0, 0.25, 0.625, 0.625, 0.0]


def test_evolution_changes_one_value_of_the_best_young_trial():
    study = optuna.create_study()
    told(study, {"x": 0.9, "c": "c"}, 0.0)  # the best of all, but too old
    for at in range(4):
        told(study, {"x": 0.1 * (at + 1), "c": "a"}, float(at + 1))
    for seed in range(30):
        study.sampler = Evolution(seed, 4, 4)
        trial = study.ask()
        x, c = trial.suggest_float("x", 0, 1), trial.suggest_categorical("c", ("a", "b", "c"))
        assert (x == 0.1) != (c == "a")  # 0.1 and a are the parent's
        assert 0 <= x <= 1


def test_a_bandit_tries_all_and_then_what_pays():
    study = optuna.create_study()
    taken = []
    for number in range(40):
        study.sampler = make(SAMPLERS, Part("bandit"), number, lambda count: {})
        trial = study.ask()
        choice = trial.suggest_categorical("c", ("a", "b", "c", "d"))
        taken.append(choice)
        study.tell(trial, {"a": 1.0, "b": 0.1, "c": 0.9, "d": 0.8}[choice])
    assert set(taken[:4]) == {"a", "b", "c", "d"}
    assert taken.count("b") > 20
