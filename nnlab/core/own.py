"""Losses and metrics of the user's own: plain functions that stand in the registries beside nnlab's for this session.

A run's JSON names them with their code as text; where they are not defined, the run still loads and predicts.
"""

import inspect
import keyword
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from nnlab.core.errors import RunError, SpecError
from nnlab.core.losses import LOSSES
from nnlab.core.metrics import METRICS, wide
from nnlab.core.registry import Entry, Registry

if TYPE_CHECKING:
    from torch import Tensor

    from nnlab.core.losses import Loss

F = TypeVar("F", bound=Callable[..., Any])
TASKS = ("binary", "multiclass", "regression")
LOWER_IS_BETTER = ("loss", "error", "cost", "distance", "deviance")  # how names of such metrics end, as in scikit-learn
KINDS: dict[str, Registry] = {"loss": LOSSES, "metrics": METRICS}


@overload
def metric(function: F, *, maximize: bool | None = None, name: str | None = None) -> F: ...
@overload
def metric(*, maximize: bool | None = None, name: str | None = None) -> Callable[[F], F]: ...
def metric(function: Any = None, *, maximize: bool | None = None, name: str | None = None) -> Any:
    """Register a metric of your own, as @nnlab.metric or nnlab.metric(function); `--metrics` and `--monitor` know it.

    function: (output, target) as the metrics of nnlab get them (logits (n, classes) and codes, or predictions and
    targets (n,) in the target's units), or by the names of its arguments as scikit-learn calls it: (y_true, y_pred)
    with codes or numbers as arrays, (y_true, y_score) or (y_true, y_proba) with probabilities, of two classes that of
    the second. maximize: whether more is better; None: yes, unless the name ends in loss, error, cost, distance.
    """
    if function is None:
        return lambda later: metric(later, maximize=maximize, name=name)
    label = _label(function, name, "metrics")
    more = getattr(function, "maximize", None) if maximize is None else maximize
    facts = {"tasks": TASKS, "maximize": not label.endswith(LOWER_IS_BETTER) if more is None else bool(more)}
    _put("metrics", label, _measuring(function, label), function, facts)
    return function


@overload
def loss(function: F, *, outputs: int = 1, name: str | None = None) -> F: ...
@overload
def loss(*, outputs: int = 1, name: str | None = None) -> Callable[[F], F]: ...
def loss(function: Any = None, *, outputs: int = 1, name: str | None = None) -> Any:
    """Register a loss of your own, as @nnlab.loss or nnlab.loss(function); `--loss` knows it.

    function: (output, target) -> a tensor, one number or one a row. output: logits (n, classes) with target codes; of a
    regression (n,), or (n, outputs) for more than one, with the scaled target. outputs: how many of a regression.
    """
    if function is None:
        return lambda later: loss(later, outputs=outputs, name=name)
    label = _label(function, name, "loss")
    facts = {"tasks": TASKS, "outputs": lambda: outputs, "count": outputs}
    _put("loss", label, lambda: _checked_loss(function, label), function, facts)
    return function


def with_own(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with functions given as loss or metrics registered and named."""
    found = dict(options)
    if _is_function(found.get("loss")):
        found["loss"] = _registered("loss", found["loss"])
    if _is_function(found.get("metrics")):
        found["metrics"] = [found["metrics"]]
    if isinstance(found.get("metrics"), (list, tuple)):
        items = found["metrics"]
        found["metrics"] = [_registered("metrics", item) if _is_function(item) else item for item in items]
    return found


def described(loss_name: str | None, metrics: tuple[str, ...]) -> dict[str, Any]:
    """What a spec's JSON says of the functions of the user's own that it names, by kind and name."""
    named = [("loss", loss_name), *(("metrics", name) for name in metrics)]
    entries = [(kind, KINDS[kind][name]) for kind, name in named if name and name in KINDS[kind]]
    own = [(kind, entry) for kind, entry in entries if "code" in entry.facts]
    return {f"{kind}.{entry.name}": {key: entry.facts[key] for key in _kept(kind)} for kind, entry in own}


def stand_in(plain: Mapping[str, Any]) -> None:
    """Entries for functions that a stored spec names and this session does not know; using one says what to do."""
    for key, facts in plain.items():
        kind, _, name = str(key).partition(".")
        if kind in KINDS and name not in KINDS[kind]:
            own = {"tasks": TASKS, "missing": True} | {key: facts[key] for key in _kept(kind)}
            own |= {"outputs": partial(int, facts["count"])} if kind == "loss" else {}
            KINDS[kind][name] = Entry(name, partial(_missing, kind, name), {}, "Your own; not defined here.", own)


def is_missing(kind: str, name: str) -> bool:
    """Whether the name stands for a function of the user's own that this session does not have."""
    return name in KINDS[kind] and bool(KINDS[kind][name].facts.get("missing"))


def _kept(kind: str) -> tuple[str, str]:
    return ("code", "count") if kind == "loss" else ("code", "maximize")


def _missing(kind: str, name: str, *_: Any) -> Any:
    word = "loss" if kind == "loss" else "metric"
    raise RunError(f"{word} {name} was a function of your own; define it again and call nnlab.{word}({name})")


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, (str, type)) and not hasattr(value, "values")


def _registered(kind: str, function: Any) -> str:
    label = _label(function, None, kind)
    known = KINDS[kind].get(label)
    if known is None or known.facts.get("function") is not function:
        (loss if kind == "loss" else metric)(function)
    return label


def _label(function: Any, name: str | None, kind: str) -> str:
    """The name of a function; SpecError for one without a name, and for names that nnlab has."""
    inner = function.func if isinstance(function, partial) else function
    label = str(name or getattr(inner, "__name__", type(inner).__name__))
    if not label.isidentifier() or keyword.iskeyword(label):
        raise SpecError(f"{kind}: a function without a name ({label}); write it with def, or give name=...")
    known = KINDS[kind].get(label)
    if (known is not None and "code" not in known.facts) or label == "loss":
        raise SpecError(f"{kind}: {label} is nnlab's own; give your function another name")
    return label


def _put(kind: str, label: str, make: Callable[..., Any], function: Any, facts: Mapping[str, Any]) -> None:
    summary = (getattr(function, "__doc__", None) or "Your own.").strip().partition("\n")[0]
    more = {"code": _code(function), "function": function}
    KINDS[kind][label] = Entry(label, make, {}, summary, {**facts, **more})


def _code(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, written in C, an instance
        return ""


def _checked_loss(function: Callable[..., Any], label: str) -> "Loss":
    import torch

    def compute(output: "Tensor", target: "Tensor", weight: "Tensor | None" = None) -> "Tensor":
        flat = output.squeeze(1) if target.is_floating_point() and output.shape[1] == 1 else output
        each = function(flat, target)
        if not isinstance(each, torch.Tensor) or each.ndim > 1 or (each.ndim and len(each) != len(target)):
            got = tuple(each.shape) if isinstance(each, torch.Tensor) else type(each).__name__
            raise RunError(
                f"loss {label} gave {got} for {len(target)} rows; needed is a tensor, one number or one a row"
            )
        if weight is None:
            return each.mean()
        if not each.ndim:
            raise RunError(f"loss {label} gives one number for all rows; with row weights it must give one a row")
        return (each * weight).sum() / weight.sum().clamp(min=1e-12)

    return compute


def _measuring(function: Callable[..., Any], label: str) -> Callable[["Tensor", "Tensor"], "Tensor"]:
    """The metric as the others are called, whatever its arguments are named."""
    second = _second_argument(function)

    def measure(output: "Tensor", target: "Tensor") -> "Tensor":
        import torch

        value = function(output, target) if second is None else function(*_as_arrays(output, target, second))
        try:
            return torch.as_tensor(value, dtype=torch.float32).reshape(())
        except (TypeError, ValueError, RuntimeError):
            raise RunError(f"metric {label} gave {type(value).__name__} {value!r:.60}; needed is one number") from None

    return measure


def _second_argument(function: Callable[..., Any]) -> str | None:
    """The second argument of a function that scikit-learn would call, None for one that takes tensors."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return names[1] if len(names) > 1 and names[0] == "y_true" else None


def _as_arrays(output: "Tensor", target: "Tensor", second: str) -> tuple[Any, Any]:
    truth = target.cpu().numpy()
    if target.is_floating_point():
        return truth, output.cpu().numpy()
    if second == "y_pred":
        return truth, output.argmax(1).cpu().numpy()
    shares = wide(output).softmax(1).cpu().numpy()
    return truth, shares[:, 1] if shares.shape[1] == 2 else shares
