"""How a network is called while it trains: plainly, in half precision, compiled, with recomputed activations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.learners.recompute import Recomputed
from nnlab.core.precision import AUTOCAST
from nnlab.core.predict import as_columns
from nnlab.core.spec import TrainSpec

Call = Callable[[Tensor], Tensor]


def training_call(model: nn.Module, spec: TrainSpec, device: str, notes: list[str]) -> Call:
    """x (n, features) -> outputs (n, n_out), float32 or float64. notes: where to say what could not be done."""
    call: Callable[[Tensor], Any] = model
    if spec.checkpoint_activations:
        call = Recomputed(model)
    if spec.compile:
        call = Compiled(call, notes)
    if spec.precision in AUTOCAST:
        return _in_half(call, torch.device(device).type, AUTOCAST[spec.precision])
    return lambda x: as_columns(call(x))


def _in_half(call: Callable[[Tensor], Any], kind: str, dtype: torch.dtype) -> Call:
    def forward(x: Tensor) -> Tensor:
        with torch.autocast(kind, dtype):
            output = call(x)
        return as_columns(output).float()

    return forward


class Compiled:
    """A call by torch.compile; as it is where no compiler can be used, which a note then says."""

    def __init__(self, call: Callable[[Tensor], Any], notes: list[str]) -> None:
        self._plain, self._notes, self._made = call, notes, False
        self._call: Callable[[Tensor], Any] = torch.compile(call)

    def __call__(self, x: Tensor) -> Any:
        if self._made:
            return self._call(x)
        try:
            output = self._call(x)
        except Exception as error:  # of many kinds, by what is missing; an error of the network itself comes again
            self._call = self._plain
            inner = getattr(error, "inner_exception", error)
            why = f"{type(inner).__name__}: {str(inner).strip().partition(chr(10))[0]:.160}"
            self._notes.append(f"compile: left out, as torch.compile failed here ({why})")
            output = self._plain(x)
        self._made = True
        return output
