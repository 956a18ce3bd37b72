"""A sampler that keeps to what a study was steered to, around any other. Imports Optuna."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nnlab.core.tune.ranges import Range

TRIES = 16  # draws of a choice before chance decides among those that are left


class Steered(BaseSampler):
    """Draws as the sampler does, from what is left of the ranges. allowed: by Optuna's names.

    Trials are recorded with the whole ranges, so that what was learned before and after goes together.
    """

    def __init__(self, sampler: BaseSampler, allowed: Mapping[str, Range], seed: int) -> None:
        self._sampler, self._allowed = sampler, allowed
        self._rng = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._sampler, name)  # is_exhausted, of those that have it

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Without names that have one value left, or fewer choices than before."""
        space = self._sampler.infer_relative_search_space(study, trial)
        allowed = self._allowed
        return {name: dist for name, dist in space.items() if name not in allowed or _narrowed(dist, allowed[name])}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What of the sampler's proposal is allowed; the rest is drawn name by name."""
        inside = {n: _narrowed(d, self._allowed[n]) or d if n in self._allowed else d for n, d in search_space.items()}
        params = self._sampler.sample_relative(study, trial, inside)
        return {name: value for name, value in params.items() if self._is_allowed(name, value)}

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, dist: BaseDistribution) -> Any:
        """The one value that is left, or a draw from what is."""
        one = self._allowed.get(name)
        if one is None:
            return self._sampler.sample_independent(study, trial, name, dist)
        if len(one.choices) == 1:
            return one.choices[0]
        narrow: Any = _narrowed(dist, one) or dist
        for _ in range(TRIES):
            value = self._sampler.sample_independent(study, trial, name, narrow)
            if self._is_allowed(name, value) or hasattr(self._sampler, "is_exhausted"):
                return value  # what a grid has outside, the search passes over
        return one.choices[self._rng.integers(len(one.choices))] if one.choices else narrow.low

    def _is_allowed(self, name: str, value: Any) -> bool:
        return name not in self._allowed or value in self._allowed[name]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """The sampler's own."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """The sampler's own."""
        self._sampler.after_trial(study, trial, state, values)


def _narrowed(dist: BaseDistribution, one: Range) -> Any:
    """The distribution between the ends that are left; None for choices, and where one value is left."""
    if isinstance(dist, CategoricalDistribution) or one.choices:
        return None
    if isinstance(dist, FloatDistribution) and dist.step is None:
        return FloatDistribution(max(one.low, dist.low), min(one.high, dist.high), log=dist.log)
    if isinstance(dist, (FloatDistribution, IntDistribution)):
        step = dist.step or 1
        low = dist.low + step * math.ceil((one.low - dist.low) / step - 1e-9)
        high = dist.low + step * math.floor((min(one.high, dist.high) - dist.low) / step + 1e-9)
        return type(dist)(low, high, log=dist.log, step=dist.step)  # type: ignore[arg-type]
    return None
