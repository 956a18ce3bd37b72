"""Population-based training: trials of one stack take over the weights of better ones while they train, and change.

Exploit and explore after Jaderberg et al. 2017, "Population Based Training of Neural Networks". Every few epochs each
of the worst trials takes weights and optimizer of one of the best, with its step size, weight decay and dropout, each
moved a little. What comes out is a run; its spec alone does not give it again, as it has inherited.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.steering import EACH
from nnlab.core.tune.ranges import Range, Space, Value

if TYPE_CHECKING:
    from nnlab.core.learners.stack.together import Together
    from nnlab.core.tune.population import Member

FAR = 0.2  # of a range that is not by ratio, by which a value moves


@dataclass(frozen=True)
class Inherited:
    """What a trial took over after an epoch: whose weights, and the values that it goes on with."""

    epoch: int
    source: int
    values: Mapping[str, float]


class Exchange:
    """Called with a stack between two epochs of all its members. every: epochs from one exchange to the next; share:
    of the trials that are replaced; factor: by which values move; history: what each trial took over, by its number."""

    def __init__(self, space: Space, maximize: bool, seed: int, every: int, share: float, factor: float) -> None:
        named = {name: one for name, one in space.items() if name.rpartition(".")[2] in EACH}
        self._space = {name: one for name, one in named.items() if isinstance(one, Range)}
        self._sign = -1.0 if maximize else 1.0
        self._rng = np.random.default_rng(seed)
        self._every, self._share, self._factor = every, share, factor
        self._now: dict[int, dict[str, float]] = {}
        self.history: dict[int, list[Inherited]] = {}

    def __call__(self, stack: "Together", alive: Sequence["Member"]) -> None:
        epoch = min(member.watch.epochs for member in alive)
        if epoch % self._every or not 0 < epoch < alive[0].spec.epochs or len(alive) < 2:
            return
        order = sorted(alive, key=self._cost)
        count = max(1, int(self._share * len(order)))
        for loser in order[len(order) - count :]:
            winner = order[self._rng.integers(min(count, len(order) - count))]
            if self._cost(winner) < self._cost(loser):
                self._inherit(stack, loser, winner, epoch)

    def _cost(self, member: "Member") -> float:
        value = self._sign * member.watch.value
        return value if np.isfinite(value) else np.inf

    def _inherit(self, stack: "Together", loser: "Member", winner: "Member", epoch: int) -> None:
        stack.copy(winner.learner, loser.learner)
        values = {name: self._moved(name, value) for name, value in self._values(winner).items()}
        for name, value in values.items():
            loser.watch.controls.set(name.rpartition(".")[2], value)
        self._now[loser.number] = values
        self.history.setdefault(loser.number, []).append(Inherited(epoch, winner.number, values))

    def _values(self, member: "Member") -> dict[str, float]:
        """The values that a trial has now."""
        said: dict[str, Any] = member.claim[1]
        own = {name: float(said[name]) for name in self._space if said.get(name) is not None}
        return self._now.get(member.number, own)

    def _moved(self, name: str, value: float) -> float:
        """Another value near by, within its range."""
        one = self._space[name]
        if one.choices:
            numbers = [choice for choice in one.choices if isinstance(choice, (int, float))]
            return float(numbers[self._rng.integers(len(numbers))])
        up = bool(self._rng.integers(2))
        if one.log:
            moved = value * self._factor if up else value / self._factor
        else:
            moved = value + (1 if up else -1) * FAR * (one.high - one.low)
        return float(min(max(moved, one.low), one.high))


def last_values(history: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """The values that a trial ended with, of its history as it is kept; {} where it took nothing over."""
    return dict(history[-1]["values"]) if history else {}
