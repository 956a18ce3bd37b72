"""Which training rows a step takes, and in what order: all networks the same ones, or each member its own (bagging)."""

import numpy as np
import torch
from torch import Tensor

from nnlab.core.errors import SpecError
from nnlab.core.learners.protocol import Learner
from nnlab.core.network import member_count
from nnlab.core.randomness import member_seed, row_order
from nnlab.core.spec import TrainSpec

BAG = 0x626167  # sets these draws apart from others of the same seed
AHEAD, FEW = 8, 2**14  # epochs whose orders are drawn together where they hold so few numbers: by themselves each of
# them would take three times as long, as between two epochs the processor has forgotten how to


def rows_in_bag(spec: TrainSpec, rows: int) -> int:
    """How many of so many training rows an epoch takes."""
    return rows if spec.bagging is None else max(1, round(spec.bagging * rows))


class Bags:
    """The rows of each epoch. With `bagging` each member has a part of them, drawn without replacement, or with
    `bootstrap` as many with it (Breiman 1996), the same in all epochs. rows: training rows."""

    def __init__(self, spec: TrainSpec, rows: int) -> None:
        self._spec, self.size = spec, rows_in_bag(spec, rows)
        self._bags: list[Tensor] | None = None
        self._ahead: dict[int, Tensor] = {}
        seeds = [member_seed(spec.seed, k) for k in range(member_count(spec))]
        if spec.bootstrap or self.size < rows:
            self._bags = [self._drawn(seed, rows) for seed in seeds]
        self._orders = seeds if spec.own_order and spec.shuffle else [spec.seed]
        self.apart = len(seeds) > 1 and (self._bags is not None or len(self._orders) > 1)

    def _drawn(self, seed: int, rows: int) -> Tensor:
        draw = np.random.default_rng([seed, BAG])
        return torch.from_numpy(np.sort(draw.choice(rows, self.size, replace=self._spec.bootstrap)))

    def order(self, epoch: int) -> Tensor:
        """Rows in the order of an epoch, (n,), or (members, n) where each has its own."""
        if epoch not in self._ahead:
            count = AHEAD if self.size * len(self._bags or self._orders) <= FEW else 1
            self._ahead = {each: self._order(each) for each in range(epoch, epoch + count)}
        return self._ahead[epoch]

    def _order(self, epoch: int) -> Tensor:
        if self._spec.shuffle:
            orders = [row_order(seed, epoch, self.size) for seed in self._orders]
        else:
            orders = [torch.arange(self.size)]
        if self._bags is not None:
            orders = [bag[orders[k % len(orders)]] for k, bag in enumerate(self._bags)]
        return torch.stack(orders) if len(orders) > 1 else orders[0]

    def check(self, learner: Learner) -> None:
        """SpecError for a learner that gives all members the same rows."""
        if self.apart and learner.name != "stack":
            word = "bootstrap" if self._spec.bootstrap else "own_order" if self._spec.bagging is None else "bagging"
            raise SpecError(
                f"{word}: members have rows of their own only where steps are made by hand, and {learner.why} is left "
                f"to autograd; leave one of the two off"
            )
