"""Steps of the weights by formulas on whole buffers, for recording: all that may change in a run lies in a tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat
from nnlab.core.learners.stack.recording import Recorder
from nnlab.core.learners.stack.updates import Update

Values = dict[str, Any]


class RecordedUpdate(Update):
    """The same steps as those of `Update`, recorded: other step sizes and decays, also of one member, need no new one.

    A small table has the step size and the decay of each group and member; `owner` tells for every number of the flat
    buffer which column is its own.
    """

    def __init__(self, flat: Flat, name: str, values: Values, recorder: Recorder) -> None:
        super().__init__(flat, name, values)
        self._values = values
        self._decoupled = name == "adamw"
        self._momentum, self._nesterov = values.get("momentum", 0.0), name == "nesterov"
        device = flat.values.device
        owner = torch.zeros(len(flat.values), dtype=torch.int64, device=device)
        for at, group in enumerate(self._groups):
            for k in range(flat.members):
                for part in flat.parts(owner, group, k):
                    part.fill_(at * flat.members + k)
        self._owner = owner
        self._table = flat.values.new_zeros(2, len(self._groups) * flat.members)
        self._now: list[list[float]] = []
        formula: Callable[[Tensor, Tensor], None] = self._adam if self._counts else self._sgd
        self._recorded = recorder.record([lambda: formula(*self._table.index_select(1, self._owner).unbind())])

    def step(self, lrs: list[float]) -> None:
        """One step with these gradients and a step size for each member."""
        rates = [lr * group.factor_of(k) for group in self._groups for k, lr in enumerate(lrs)]
        decays = [decay if group.decays else 0.0 for group in self._groups for decay in self.decays]
        if [rates, decays] != self._now:
            self._now = [rates, decays]
            given = torch.tensor(self._now, dtype=self._table.dtype)
            # From memory of its own that is pinned, the host need not wait for the steps that are under way.
            self._table.copy_(given.pin_memory() if self._table.is_cuda else given, non_blocking=True)
        self._recorded()

    def _gradient(self, decays: Tensor) -> Tensor:
        """g + decay w: of the loss with its L2 penalty."""
        return torch.addcmul(self._flat.gradients, decays, self._flat.values)

    def _adam(self, rates: Tensor, decays: Tensor) -> None:
        """m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, w -= lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps).

        Decoupled decay is w *= 1 - lr decay (Loshchilov & Hutter 2019), else it is that of `_gradient`.
        """
        w, (m, v) = self._flat.values, self.moments
        beta1, beta2 = self._values["beta1"], self._values["beta2"]
        self.made.add_(self._one)
        done = self.made.double()  # 1 - 0.999 in single precision has an error that can be seen
        if self._decoupled:
            g = self._flat.gradients
            w.mul_(1 - rates * decays)
        else:
            g = self._gradient(decays)
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v / (1 - beta2**done)).sqrt_().add_(self._values["eps"])
        w.sub_((m / root).mul_(rates).div_(1 - beta1**done))

    def _sgd(self, rates: Tensor, decays: Tensor) -> None:
        """g += decay w; b = momentum b + g; w -= lr (g + momentum b if nesterov, else b), or lr g without momentum."""
        g = self._gradient(decays)
        if self.moments:
            (b,) = self.moments
            b.mul_(self._momentum).add_(g)
            g = g.add(b, alpha=self._momentum) if self._nesterov else b
        self._flat.values.sub_(rates * g)
