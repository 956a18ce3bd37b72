"""How a network is called while it trains: plainly, in half precision, compiled, with recomputed activations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.device import out_of_memory
from nnlab.core.errors import SpecError
from nnlab.core.learners.pieces import Kept, Pieces
from nnlab.core.learners.recompute import Recomputed
from nnlab.core.learners.state import dropouts
from nnlab.core.precision import AUTOCAST
from nnlab.core.predict import as_columns
from nnlab.core.spec import TrainSpec

Call = Callable[[Tensor], Tensor]


def training_call(model: nn.Module, spec: TrainSpec, device: str, pieces: Pieces) -> Call:
    """x (n, features) -> outputs (n, n_out), float32 or float64. pieces: its notes say what could not be done."""
    call: Callable[[Tensor], Any] = model
    if spec.checkpoint_activations:
        call = Recomputed(model)
    if spec.compile:
        call = Compiled(call, pieces.notes)
    if spec.cuda_graphs:
        check_graphs(spec)
        call = Graphed(model, pieces, device)
    if spec.precision in AUTOCAST:
        return _in_half(call, torch.device(device).type, AUTOCAST[spec.precision], cache=not spec.cuda_graphs)
    return lambda x: as_columns(call(x))


def _in_half(call: Callable[[Tensor], Any], kind: str, dtype: torch.dtype, cache: bool) -> Call:
    def forward(x: Tensor) -> Tensor:
        with torch.autocast(kind, dtype, cache_enabled=cache):
            output = call(x)
        return as_columns(output).float()

    return forward


def check_graphs(spec: TrainSpec) -> None:
    """SpecError for what takes several passes before a backward one, or makes other passes."""
    usual = TrainSpec()
    for name in ("accumulate", "checkpoint_activations", "compile", "terms"):
        if getattr(spec, name) != getattr(usual, name):
            raise SpecError(f"cuda_graphs does not go with {name}; leave one of the two off")


class Graphed:
    """A network whose passes are recorded as CUDA graphs, for the first two sizes of batch; others go as usual.

    Where memory ran out and rows are taken in parts, whose gradients add up, and where a network cannot be recorded,
    it goes as usual too. A new share of dropout is recorded anew.
    """

    SIZES = 2  # batches of an epoch differ by one row at the most

    def __init__(self, model: nn.Module, pieces: Pieces, device: str) -> None:
        self._model, self._pieces, self._device = model, pieces, device
        self._dropouts = dropouts(model)
        self._shares: list[float] = []
        self._graphs: dict[tuple[int, ...], Callable[[Tensor], Any]] = {}
        self._off = any(hasattr(layer, "added_loss") for layer in model.modules())
        if self._off:
            pieces.notes.append("cuda_graphs: left out, as the network adds a term to the loss by itself")

    def __call__(self, x: Tensor) -> Any:
        if self._off or self._pieces.count > 1:
            return self._model(x)
        size, shares = tuple(x.shape), [layer.p for layer in self._dropouts]
        if shares != self._shares:
            self._graphs, self._shares = {}, shares
        if size not in self._graphs:
            if len(self._graphs) >= self.SIZES:
                return self._model(x)
            self._record(size, x)
        return self._graphs.get(size, self._model)(x)

    def _record(self, size: tuple[int, ...], x: Tensor) -> None:
        kept = Kept(self._model, self._device)  # recording makes passes of its own
        try:
            self._graphs[size] = torch.cuda.make_graphed_callables(_Whole(self._model), (x.clone(),))
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            self._off = True
            why = str(error).strip().partition("\n")[0]
            self._pieces.notes.append(f"cuda_graphs: left out, as the network cannot be recorded ({why:.160})")
        finally:
            kept.put_back()


class _Whole(nn.Module):
    """Recording replaces the forward of a module: of this one, not of the network itself."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


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
