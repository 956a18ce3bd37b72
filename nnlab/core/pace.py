"""Which rows each step of an epoch takes, also where the batch size is changed on the way."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from nnlab.core.bags import Bags, rows_in_bag
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.spec import TrainSpec


def batch_for(rows: int) -> int:
    """Rows per step where the user leaves it open: 256, below 8,000 rows 128; smaller ones did worse on all tables."""
    return 256 if rows >= 8_000 else 128


def batch_of(spec: TrainSpec, rows: int) -> int:
    """Rows of the first steps of a spec."""
    rows = rows_in_bag(spec, rows)
    whole = OPTIMIZERS[spec.optimizer.name].facts.get("full_batch")
    return min(rows, rows if whole else spec.batch_size or batch_for(rows))


def steps_by_epoch(spec: TrainSpec, rows: int) -> list[int]:
    """Steps of each epoch, of nearly equal size: no crumb of a last batch. rows: training rows."""
    batch, rows = batch_of(spec, rows), rows_in_bag(spec, rows)
    growth = (spec.batch_growth - 1.0) / max(1, spec.epochs - 1)
    if not growth:
        return [math.ceil(rows / batch)] * spec.epochs
    return [math.ceil(rows / min(rows, batch * (1.0 + growth * epoch))) for epoch in range(spec.epochs)]


AT_ONCE = 0.004  # seconds
MOST_AT_ONCE = 32


def at_once(each: float, left: float = AT_ONCE) -> int:
    """How many steps are made before the next look at the controls. each: seconds of a step; left: until then."""
    return max(1, min(MOST_AT_ONCE, int(min(AT_ONCE, left) / max(each, 1e-9))))


class Pace:
    """The steps of a run. plan: of each epoch, those that are done as they were.

    A change of the batch size holds from the next step on: the rows of the epoch that are left are cut anew. Schedules
    follow the share of the rows that is seen, so that they do not jump.
    """

    def __init__(self, spec: TrainSpec, rows: int) -> None:
        self._spec, self._rows = spec, rows
        self.bags = Bags(spec, rows)
        self.plan = steps_by_epoch(spec, rows)
        self._usual, self._total = list(self.plan), sum(self.plan)
        self.changes = 0
        self.batch = batch_of(spec, rows)
        self._seen = self._made = 0  # rows and steps of the epoch that were made with another batch size

    def batches(self, epoch: int, device: str) -> tuple[Tensor, ...]:
        """The rows of each step of the epoch since the batch size was last changed."""
        left = self.bags.order(epoch).to(device)[..., self._seen :]
        return left.tensor_split(self.plan[epoch - 1] - self._made, -1)

    def place(self, done: int) -> int:
        """Where the next step stands among `batches`, when so many steps of the epoch are done."""
        return done - self._made

    def rows_seen(self, epoch: int, done: int) -> int:
        """Rows of the epoch that so many steps have taken."""
        left, steps = self.bags.size - self._seen, self.plan[epoch - 1] - self._made
        whole, more = divmod(left, steps)
        return self._seen + self.place(done) * whole + min(self.place(done), more)

    def next_epoch(self) -> None:
        """An epoch begins."""
        self._seen = self._made = 0

    def change(self, epoch: int, done: int, batch: int) -> int:
        """Another batch size after so many steps of the epoch; gives the old one."""
        before, self.batch = self.batch, min(batch, self.bags.size)
        self.changes += 1
        self._seen, self._made = self.rows_seen(epoch, done), done
        steps = steps_by_epoch(replace(self._spec, batch_size=self.batch), self._rows)
        left = (self.bags.size - self._seen) / self.bags.size
        self.plan = [*self.plan[: epoch - 1], done + math.ceil(left * steps[epoch - 1]), *steps[epoch:]]
        return before

    def made(self, epoch: int) -> int:
        """Steps of the epochs before this one."""
        return sum(self.plan[: epoch - 1])

    def clock(self, epoch: int) -> tuple[Callable[[int], float], int]:
        """Gives where schedules are after so many steps of the epoch, and of how many: as the run was planned."""
        start, usual = sum(self._usual[: epoch - 1]), self._usual[epoch - 1]
        if self.plan[epoch - 1] == usual and not self._made:
            return start.__add__, self._total
        return lambda done: start + usual * self.rows_seen(epoch, done) / self.bags.size, self._total

    def state(self, epoch: int) -> dict[str, Any]:
        """What a run needs that is resumed after so many epochs; not all epochs to come, of which there may be many."""
        return {"batch": self.batch, "plan": self.plan[: epoch + 1], "seen": self._seen, "made": self._made}

    def load(self, state: Mapping[str, Any], epoch: int) -> None:
        """Go on from there, after so many epochs; the run may have been given more of them since."""
        if state["batch"] == self.batch and not state["made"] and state["plan"][:epoch] == self.plan[:epoch]:
            return
        self.batch = state["batch"]
        changed = steps_by_epoch(replace(self._spec, batch_size=self.batch), self._rows)
        self._seen, self._made = state["seen"], state["made"]
        now = state["plan"][epoch : epoch + 1] if self._made else []
        self.plan = [*state["plan"][:epoch], *now, *changed[epoch + len(now) :]]
