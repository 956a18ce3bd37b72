"""Optimizers around another optimizer: they share its parameter groups."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Wrapper(Optimizer):
    """Holds the inner optimizer and, by weight, a state of its own."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        super().__init__([{"params": group["params"]} for group in inner.param_groups], {})
        self.param_groups = inner.param_groups

    @property
    def weights(self) -> list[Tensor]:
        """All weights, in order."""
        return [weight for group in self.param_groups for weight in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """The inner state and the own one, by the place of the weight."""
        own = [dict(self.state[weight]) for weight in self.weights]
        return {"inner": self.inner.state_dict(), "own": own, "more": self.more()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take both back."""
        self.inner.load_state_dict(state_dict["inner"])
        self.param_groups = self.inner.param_groups
        for weight, state in zip(self.weights, state_dict["own"], strict=True):
            self.state[weight] = {key: value.to(weight.device).clone() for key, value in state.items()}
        self.take(state_dict["more"])

    def more(self) -> dict[str, Any]:
        """Plain values to keep."""
        return {}

    def take(self, more: dict[str, Any]) -> None:
        """Take the plain values back."""

    def eval(self) -> None:
        """As the inner optimizer's, where it has one."""
        getattr(self.inner, "eval", lambda: None)()

    def train(self) -> None:
        """As the inner optimizer's, where it has one."""
        getattr(self.inner, "train", lambda: None)()


class SAM(Wrapper):
    """Steps with the gradient at w + rho g / |g|, the norm over all weights (Foret et al. 2021, equation 2)."""

    def __init__(self, inner: Optimizer, rho: float) -> None:
        super().__init__(inner)
        self._rho = rho

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """closure: computes the loss and its gradients; they are there for the weights as they are."""
        if closure is None:
            raise TypeError("SAM evaluates the loss twice; it needs a closure")
        with torch.enable_grad():
            loss = closure()
        moved = [weight for weight in self.weights if weight.grad is not None]
        norm = torch.stack([weight.grad.norm() for weight in moved if weight.grad is not None]).norm()
        ways = [weight.grad * (self._rho / (norm + 1e-12)) for weight in moved if weight.grad is not None]
        for weight, way in zip(moved, ways, strict=True):
            weight.add_(way)
        with torch.enable_grad():
            closure()
        for weight, way in zip(moved, ways, strict=True):
            weight.sub_(way)
        self.inner.step()
        return loss


class Lookahead(Wrapper):
    """After every k steps: slow += share (fast - slow), fast = slow (Zhang et al. 2019, algorithm 1)."""

    def __init__(self, inner: Optimizer, every: int, share: float) -> None:
        super().__init__(inner)
        self._every, self._share, self._steps = every, share, 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the inner optimizer, then maybe a look back."""
        for weight in self.weights:
            if "slow" not in self.state[weight]:
                self.state[weight]["slow"] = weight.detach().clone()
        loss: Any = self.inner.step(closure)
        self._steps += 1
        if self._every and self._steps % self._every == 0:
            for weight in self.weights:
                weight.copy_(self.state[weight]["slow"].lerp_(weight, self._share))
        return loss

    def more(self) -> dict[str, Any]:
        """See `Wrapper`."""
        return {"steps": self._steps}

    def take(self, more: dict[str, Any]) -> None:
        """See `Wrapper`."""
        self._steps = more["steps"]
