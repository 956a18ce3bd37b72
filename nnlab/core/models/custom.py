"""Networks that the user wrote: an nn.Module, a class of it, or a function that makes one."""

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import RunError, SpecError

if TYPE_CHECKING:
    from torch import nn

Maker = Any  # nn.Module | type[nn.Module] | Callable[..., nn.Module]; torch is not imported here


def build(maker: Maker, n_in: int, n_out: int) -> "nn.Module":
    """The user's network for n_in features and n_out outputs; a module itself is copied, never trained in place.

    A maker may take nothing, n_in, or n_in and n_out, by position or under these names. The network is given on the
    CPU, wherever the user has put it.
    """
    from torch import nn

    if isinstance(maker, nn.Module):
        return _initialized(copy.deepcopy(maker).cpu(), n_in)
    if not callable(maker):
        raise SpecError(
            f"model is {maker!r}, a {type(maker).__name__}; "
            "give a registered name, an nn.Module or a function that makes one"
        )
    places, names = _arguments(maker, n_in, n_out)
    module = maker(*places, **names)
    if not isinstance(module, nn.Module):
        raise SpecError(f"{_name(maker)} made a {type(module).__name__}; an nn.Module is needed")
    return _initialized(module.cpu(), n_in)


def _arguments(maker: Callable[..., Any], n_in: int, n_out: int) -> tuple[list[int], dict[str, int]]:
    """Sizes by position and by name: to those who ask by the name, then in order to what else has no default."""
    sizes = {"n_in": n_in, "n_out": n_out}
    taken = [p for p in inspect.signature(maker).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    asked = {p.name for p in taken} & sizes.keys()
    needed = [p for p in taken if p.name in asked or p.default is p.empty]
    if len(needed) > 2:
        raise SpecError(f"{_name(maker)} needs {len(needed)} arguments; it is given n_in and n_out at the most")
    rest = iter([size for name, size in sizes.items() if name not in asked])
    given = [(p, sizes[p.name] if p.name in asked else next(rest)) for p in needed]
    places = [size for p, size in given if p.kind is p.POSITIONAL_ONLY]
    return places, {p.name: size for p, size in given if p.kind is not p.POSITIONAL_ONLY}


def _name(maker: Any) -> str:
    return str(getattr(maker, "__name__", maker))


def _initialized(module: "nn.Module", n_in: int) -> "nn.Module":
    """Lazy layers (nn.LazyLinear) get their shapes from two rows of zeros."""
    import torch
    from torch.nn.parameter import UninitializedParameter

    if any(isinstance(p, UninitializedParameter) for p in module.parameters()):
        with torch.no_grad():
            module(torch.zeros(2, n_in))
    return module


def check_output(module: "nn.Module", n_in: int, n_out: int, dtype: Any = None) -> None:
    """RunError unless two rows of zeros come out as (2, n_out). dtype: of the rows, None for float32."""
    import torch

    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            output = module(torch.zeros(2, n_in, dtype=dtype))
    except Exception as error:
        raise RunError(f"the model failed on 2 rows of {n_in} features: {type(error).__name__}: {error}") from error
    finally:
        module.train(training)
    shape = tuple(getattr(output, "shape", ()))
    if shape != (2, n_out) and not (n_out == 1 and shape == (2,)):
        got = f"shape {shape}" if shape else f"a {type(output).__name__}"
        need = f"one value a class, {n_out} in all" if n_out > 1 else "one value"
        raise RunError(f"the model gave {got} for 2 rows; needed is (2, {n_out}): {need}")
