"""Samplers of our own, as Optuna's: evolution, a controller that learns by policy gradient, and a bandit for each name.

None keeps a state: what they know they read from the trials, in their order, so that a study that was killed goes on as
it would have. The reward of a trial is its rank among all, from 0 for the worst to 1 for the best; a pruned or failed
one has 0. Numbers are cut into BINS of equal width, by ratio where the range is, and drawn evenly within one.

Imports Optuna; import this module only where a study is opened.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nnlab.core.tune.header import RANKED

BINS = 6
SPREAD = 0.15  # of a range, by which evolution moves a number (standard deviation)
FORGET = 0.7  # share of the old baseline that stays


class _OneByOne(BaseSampler):
    """Draws the names of a trial one after the other, from its own seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """No names together."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        """No values together."""
        return {}


class Evolution(_OneByOne):
    """The best of a few trials is the parent, one of its values is changed; only the youngest trials are alive.

    Regularized evolution: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search".
    """

    def __init__(self, seed: int, population: int, tournament: int) -> None:
        super().__init__(seed)
        self._population, self._tournament = population, tournament
        self._chosen: tuple[Mapping[str, Any], str] | None = None

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution) -> Any:
        """The parent's value, another one where it is the name that changes; by chance before there are parents."""
        parent, changed = self._parent(study)
        if name not in parent or not dist._contains(dist.to_internal_repr(parent[name])):
            return dist.to_external_repr(_from_share(dist, self._rng.random()))
        return self._near(dist, parent[name]) if name == changed else parent[name]

    def _parent(self, study: Study) -> tuple[Mapping[str, Any], str]:
        if self._chosen is None:
            trials = [trial for trial, _ in _rewarded(study) if trial.params]
            living = [(reward, trial) for trial, reward in _rewarded(study) if trial.params][-self._population :]
            if len(trials) < self._population:
                self._chosen = {}, ""
            else:
                few = self._rng.choice(len(living), min(self._tournament, len(living)), replace=False)
                params = max((living[at] for at in few), key=lambda one: one[0])[1].params
                self._chosen = params, str(self._rng.choice(list(params)))
        return self._chosen

    def _near(self, dist: BaseDistribution, value: Any) -> Any:
        """Another choice, or a number not far away."""
        if isinstance(dist, CategoricalDistribution):
            others = [choice for choice in dist.choices if choice != value or type(choice) is not type(value)]
            return others[self._rng.integers(len(others))] if others else value
        moved = _share(dist, value) + self._rng.normal(0.0, SPREAD)
        inside = abs(moved) if moved < 1 else 2 - moved  # what would leave the range comes back
        return dist.to_external_repr(_from_share(dist, min(max(inside, 0.0), 1.0)))


class OneShot(_OneByOne):
    """Gives the architectures that one network has ranked, best first; what it did not rank is drawn at random."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._chosen: Mapping[str, Any] | None = None

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution) -> Any:
        """The value of the best architecture that no trial has had."""
        if self._chosen is None:
            tried = [one.params for one in study.get_trials(deepcopy=False) if one.number != trial.number]
            left = (one["params"] for one in study.user_attrs.get(RANKED, ()))
            self._chosen = next((p for p in left if not any(p.items() <= one.items() for one in tried)), {})
        value = self._chosen.get(name)
        return dist.to_external_repr(_from_share(dist, self._rng.random())) if value is None else value


class Reinforce(_OneByOne):
    """A softmax over the values of each name, moved by the gradient of the expected reward.

    Williams 1992; as a controller of architectures Zoph & Le 2017, with a moving baseline and a bonus for entropy.
    """

    def __init__(self, seed: int, step: float, entropy: float) -> None:
        super().__init__(seed)
        self._step, self._entropy = step, entropy
        self._logits: dict[str, np.ndarray] | None = None

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution) -> Any:
        """A draw of the policy that the trials so far have taught."""
        if self._logits is None:
            self._logits = self._learned(study)
        logits = self._logits.get(name, np.zeros(_arms(dist)))
        return _drawn(dist, int(self._rng.choice(len(logits), p=_softmax(logits))), self._rng)

    def _learned(self, study: Study) -> dict[str, np.ndarray]:
        logits: dict[str, np.ndarray] = {}
        baseline = 0.5
        for trial, reward in _rewarded(study):
            for name, arm, count in _pulled(trial):
                policy = _softmax(logits.setdefault(name, np.zeros(count)))
                chosen = np.eye(count)[arm] - policy
                surprise = np.log(policy + 1e-12)
                spread = -policy * (surprise - (policy * surprise).sum())  # gradient of the entropy
                logits[name] = logits[name] + self._step * ((reward - baseline) * chosen + self._entropy * spread)
            baseline = FORGET * baseline + (1 - FORGET) * reward
        return logits


class Bandit(_OneByOne):
    """Each name is a bandit of its own: the value with the largest upper bound of its reward is taken.

    UCB1: Auer, Cesa-Bianchi & Fischer 2002. Trials that still run count as if they were average.
    """

    def __init__(self, seed: int, explore: float) -> None:
        super().__init__(seed)
        self._explore = explore
        self._pulls: dict[str, list[tuple[int, float]]] | None = None

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution) -> Any:
        """The value with the largest bound; values that were never taken come first, in an order by chance."""
        if self._pulls is None:
            self._pulls = self._taken(study)
        count, pulls = _arms(dist), self._pulls.get(name, [])
        rewards: list[list[float]] = [[reward for arm, reward in pulls if arm == at] for at in range(count)]
        bounds = [
            np.mean(one) + self._explore * math.sqrt(2 * math.log(len(pulls)) / len(one)) if one else math.inf
            for one in rewards
        ]
        order = self._rng.permutation(count)
        return _drawn(dist, int(max(order, key=lambda at: bounds[at])), self._rng)

    def _taken(self, study: Study) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        running = [(trial, 0.5) for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        for trial, reward in (*_rewarded(study), *running):
            for name, arm, _ in _pulled(trial):
                found.setdefault(name, []).append((arm, reward))
        return found


def _rewarded(study: Study) -> list[tuple[FrozenTrial, float]]:
    """The trials that have ended, each with its reward."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    sign = 1.0 if study.direction.name == "MAXIMIZE" else -1.0
    done = [trial.state == TrialState.COMPLETE and trial.value is not None for trial in trials]
    values = [sign * float(trial.value or 0.0) if ok else -math.inf for trial, ok in zip(trials, done, strict=True)]
    ordered = sorted(values)
    most = max(len(values) - 1, 1)
    ranks = [(ordered.index(value) + len(values) - 1 - ordered[::-1].index(value)) / 2 / most for value in values]
    return [(trial, rank if ok else 0.0) for trial, rank, ok in zip(trials, ranks, done, strict=True)]


def _pulled(trial: FrozenTrial) -> Iterator[tuple[str, int, int]]:
    """For each name of a trial: its arm, and how many there are."""
    for name, value in trial.params.items():
        dist = trial.distributions[name]
        yield name, _arm(dist, value), _arms(dist)


def _arms(dist: BaseDistribution) -> int:
    if isinstance(dist, CategoricalDistribution):
        return len(dist.choices)
    if isinstance(dist, IntDistribution):
        return min(BINS, (dist.high - dist.low) // dist.step + 1)
    return BINS


def _arm(dist: BaseDistribution, value: Any) -> int:
    if isinstance(dist, CategoricalDistribution):
        return int(dist.to_internal_repr(value))
    return min(int(_share(dist, value) * _arms(dist)), _arms(dist) - 1)


def _drawn(dist: BaseDistribution, arm: int, rng: np.random.Generator) -> Any:
    if isinstance(dist, CategoricalDistribution):
        return dist.choices[arm]
    return dist.to_external_repr(_from_share(dist, (arm + rng.random()) / _arms(dist)))


def _ends(dist: BaseDistribution) -> tuple[float, float]:
    """Of a range, by ratio where it is; of whole numbers with half a step more on each side, so that all have room."""
    if not isinstance(dist, (FloatDistribution, IntDistribution)):
        raise TypeError(f"{dist} is no range of numbers")
    room = dist.step / 2 if dist.step else 0.0
    low, high = dist.low - room, dist.high + room
    return (math.log(low), math.log(high)) if dist.log else (low, high)


def _share(dist: BaseDistribution, value: float) -> float:
    """Where in its range a number is, from 0 to 1."""
    low, high = _ends(dist)
    place = math.log(value) if getattr(dist, "log", False) else value
    return (place - low) / (high - low)


def _from_share(dist: BaseDistribution, share: float) -> float:
    """The number at a place of its range, as Optuna holds it; of choices the number of one."""
    if isinstance(dist, CategoricalDistribution):
        return float(min(int(share * len(dist.choices)), len(dist.choices) - 1))
    if not isinstance(dist, (FloatDistribution, IntDistribution)):
        raise TypeError(f"{dist} is no range of numbers")
    low, high = _ends(dist)
    value = low + share * (high - low)
    value = math.exp(value) if dist.log else value
    if dist.step:
        value = dist.low + dist.step * round((value - dist.low) / dist.step)
    return float(min(max(value, dist.low), dist.high))


def _softmax(logits: Sequence[float] | np.ndarray) -> np.ndarray:
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return np.asarray(powers / powers.sum())
