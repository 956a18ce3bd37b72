"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import Any

import torch
from torch import Tensor

from nnlab.core.stepping.base import Stepper, shrink


class SOAP(Stepper):
    """Adam on gradients that are rotated into the eigenvectors of the means of G G' and G' G (Vyas et al. 2024).

    Matrices only, and only sides of at most `largest`; all else is Adam. The rotation is mended every `every` steps by
    one step of power iteration and a QR decomposition; the first step only starts the means, as in the paper.
    """

    def __init__(  # noqa: PLR0913 (the coefficients of the method)
        self,
        groups: Any,
        lr: float,
        betas: tuple[float, float],
        every: int,
        largest: int,
        eps: float,
        weight_decay: float,
    ) -> None:
        own = {"lr": lr, "betas": betas, "every": every, "largest": largest, "eps": eps, "weight_decay": weight_decay}
        super().__init__(groups, own)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See `Stepper`."""
        beta1, beta2 = group["betas"]
        if not state:
            state["steps"] = 0
            state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
            for side in _sides(weight, group["largest"]):
                state[f"cov{side}"] = _outer(gradient, side)
                state[f"basis{side}"] = _eigenvectors(state[f"cov{side}"])
            if any(f"cov{side}" in state for side in (0, 1)):
                return  # the gradient that the basis was made of is not used twice
        state["steps"] += 1
        rotated = _turn(gradient, state)
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
        scale = (1 - beta2 ** state["steps"]) ** 0.5 / (1 - beta1 ** state["steps"])
        step = _turn(mean, state) / (square.sqrt() + group["eps"])
        shrink(weight, group)
        weight.add_(_back(step, state), alpha=-group["lr"] * scale)
        self._follow(gradient, state, group)

    @staticmethod
    def _follow(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Bring the means and, from time to time, the eigenvectors up to date."""
        for side in (0, 1):
            if f"cov{side}" in state:
                state[f"cov{side}"].lerp_(_outer(gradient, side), 1 - group["betas"][1])
        if state["steps"] % group["every"]:
            return
        for side in (0, 1):
            if f"cov{side}" in state:
                basis = state[f"basis{side}"]
                values = (basis.T @ state[f"cov{side}"] @ basis).diagonal()
                order = values.argsort(descending=True)
                state["square"] = state["square"].index_select(side, order)
                state[f"basis{side}"] = torch.linalg.qr(state[f"cov{side}"] @ basis[:, order])[0]


def _sides(weight: Tensor, largest: int) -> list[int]:
    """The sides of a matrix that get a preconditioner."""
    return [side for side in (0, 1) if weight.shape[side] <= largest] if weight.ndim == 2 else []


def _outer(gradient: Tensor, side: int) -> Tensor:
    return gradient @ gradient.T if side == 0 else gradient.T @ gradient


def _eigenvectors(matrix: Tensor) -> Tensor:
    """Eigenvectors, that of the largest eigenvalue first."""
    ridge = 1e-30 * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.eigh(matrix + ridge)[1].flip(1)


def _turn(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    if "basis0" in state:
        matrix = state["basis0"].T @ matrix
    return matrix @ state["basis1"] if "basis1" in state else matrix


def _back(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    if "basis0" in state:
        matrix = state["basis0"] @ matrix
    return matrix @ state["basis1"].T if "basis1" in state else matrix
