"""What the looks into layers show: gradients that vanish or explode, units that are dead, activations at their ends."""

from typing import Annotated

import numpy as np

from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.registry import DIAGNOSES, Live, Plot, Verdict
from nnlab.core.params import Within
from nnlab.core.spec import CUSTOM

NAMED = 4  # layers that a verdict names
SMALL = 1e-30
SHRUNK = 0.2  # of a layer's first weight norm


@DIAGNOSES.add(
    needs=("looks",),
    live=Live(looks=1),
    explains=(
        "lr_too_high",
        "lr_too_low",
        "underfitting",
        "overfitting",
        "vanishing_gradients",
        "plateau",
        "class_ignored",
    ),
)
def exploding_gradients(
    case: Case,
    norm: Annotated[float, Within(1.0, 1e9, log=True), "largest norm of a layer's gradient in the first steps"] = 100.0,
    ratio: Annotated[float, Within(1.0, 1e12, log=True), "largest norm of a gradient for that of another layer"] = 1e4,
) -> Verdict | None:
    """Gradients grow from layer to layer beyond what a step can use (Pascanu et al. 2013)."""
    slopes = case.look("gradient")
    first = slopes[0]
    growth = _growth(slopes)
    if np.isfinite(first).all() and first.max() < norm and not growth > ratio:
        return None
    where = int(np.argmax(np.nan_to_num(first, nan=np.inf)))
    evidence = (
        f"in the first step the gradient of layer {case.layers[where]} has norm {first[where]:.2g}"
        f" (up to {norm:g} is usual)"
    )
    if growth > ratio:
        evidence += f"; the first layers' are {growth:.1g} times the last one's"
    plot = Plot(
        "gradient norm in the first step",
        range(len(first)),
        {"": first.tolist()},
        "layer",
        True,
        norm,
        labels=case.layers,
    )
    prepare = {} if case.run.task != "regression" or _standard(case) else {"scale_target": "standard"}
    return Verdict(
        "exploding_gradients", "gradients explode", evidence, _calmer(case, {"clip_norm": 1.0}), prepare, plot=plot
    )


@DIAGNOSES.add(
    needs=("looks",),
    live=Live(looks=6),
    explains=("dead_units", "saturated_activations", "lr_too_low", "underfitting", "plateau", "class_ignored"),
)
def vanishing_gradients(
    case: Case,
    ratio: Annotated[float, Within(0.0, 1.0), "least gradient of the first layer for the largest of any layer"] = 1e-3,
) -> Verdict | None:
    """Gradients become so small on their way back that the first layers do not learn (Glorot & Bengio 2010)."""
    slopes = case.look("gradient")
    if slopes.shape[1] < 3:
        return None
    most = np.maximum(slopes.max(1, keepdims=True), SMALL)
    share = np.median(slopes / most, axis=0)
    if not share[0] < ratio or not np.isfinite(share).all():
        return None
    few = [name for name, one in zip(case.layers, share, strict=True) if one < ratio]
    evidence = (
        f"the gradient of layer {case.layers[0]} is {share[0]:.1g} of the largest layer's; too small in {_names(few)}"
    )
    plot = Plot(
        "gradient, share of the largest layer's",
        range(len(share)),
        {"": np.maximum(share, SMALL).tolist()},
        "layer",
        True,
        ratio,
        "limit",
        labels=case.layers,
    )
    own = case.spec.model.name == CUSTOM
    advice = "where that is not enough, in the network's code: SiLU in place of sigmoid or tanh, a norm in each layer"
    fix = _calmer(case, {"activation": "silu", "norm": "layer"}) | ({"center": True} if own else {})
    return Verdict("vanishing_gradients", "gradients vanish", evidence, fix, advice=advice * own, plot=plot)


@DIAGNOSES.add(
    needs=("looks",),
    live=Live(looks=6),
    explains=("lr_too_low", "underfitting", "plateau", "class_ignored", "miscalibrated"),
)
def dead_units(
    case: Case,
    share: Annotated[
        float, Within(0.0, 1.0), "largest share of a layer's units that give the same for every row"
    ] = 0.5,
) -> Verdict | None:
    """Units give the same for every row, so nothing behind them can learn from it (Lu et al. 2019, dying ReLU)."""
    dead = np.where(_shrunk(case), 0.0, _late(case.look("dead")))
    if not np.nanmax(dead, initial=0.0) > share:
        return None
    worst = int(np.nanargmax(dead))
    many = [name for name, one in zip(case.layers, dead, strict=True) if one > share]
    evidence = (
        f"{dead[worst]:.0%} of the units of layer {case.layers[worst]} give the same for every row;"
        f" more than {share:.0%} in {_names(many)}"
    )
    plot = Plot(
        f"dead units of layer {case.layers[worst]}",
        case.steps.tolist(),
        {"": case.look("dead")[:, worst].tolist()},
        "step",
        level=share,
        level_name="limit",
    )
    fix: dict[str, object] = (
        {"activation": "silu"} if _activation(case) in ("relu", "hardswish") else {"lr": _lower(case, 10.0)}
    )
    return Verdict("dead_units", "units are dead", evidence, _calmer(case, fix), plot=plot)


@DIAGNOSES.add(
    needs=("looks",),
    live=Live(looks=6),
    explains=("lr_too_low", "underfitting", "plateau", "class_ignored", "miscalibrated"),
)
def saturated_activations(
    case: Case,
    share: Annotated[float, Within(0.0, 1.0), "largest share of a layer's values at an end of their range"] = 0.7,
) -> Verdict | None:
    """Values stay at the ends of a bounded activation, where its slope is almost nothing (Glorot & Bengio 2010)."""
    ends = _late(case.look("saturated"))
    if not np.nanmax(ends, initial=0.0) > share:
        return None
    worst = int(np.nanargmax(ends))
    evidence = (
        f"{ends[worst]:.0%} of the values of layer {case.layers[worst]} are at an end of their range, where the slope"
        " is almost 0, so that little is learned"
    )
    plot = Plot(
        f"saturated values of layer {case.layers[worst]}",
        case.steps.tolist(),
        {"": case.look("saturated")[:, worst].tolist()},
        "step",
        level=share,
        level_name="limit",
    )
    return Verdict(
        "saturated_activations", "activations are saturated", evidence, _calmer(case, {"activation": "silu"}), plot=plot
    )


def _growth(slopes: np.ndarray) -> float:
    """How many times the first layers' gradients are the last hidden one's, at most times; 0 for few layers."""
    if slopes.shape[1] < 3:
        return 0.0
    return float(np.median(slopes[:, 0] / np.maximum(slopes[:, -2], SMALL)))


def _late(values: np.ndarray) -> np.ndarray:
    """The median of each layer over the last third of the looks."""
    with np.errstate(all="ignore"):
        return np.median(values[-max(1, len(values) // 3) :], axis=0)


def _shrunk(case: Case) -> np.ndarray:
    """Layers whose weights a penalty has taken away: their units are meant to be gone."""
    weights = case.look("weight")
    return np.asarray(weights[-1] < SHRUNK * weights[0])


def _names(layers: list[str]) -> str:
    more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers[:NAMED])}{more}"


def _standard(case: Case) -> bool:
    """Whether the target of a regression is near mean 0 and deviation 1 where the network learns it."""
    if case.data is None:
        return True
    y = case.data.train.y
    return abs(float(y.mean())) < 5 and 0.1 < float(y.std()) < 10


def _activation(case: Case) -> str | None:
    value = case.spec.model.values.get("activation", "silu")
    return None if case.spec.model.name == CUSTOM else str(value)


def _lower(case: Case, by: float) -> float:
    return float(f"{case.peak / by:.1g}")


def _calmer(case: Case, fix: dict[str, object]) -> dict[str, object]:
    """A change of the network's own options; of a network of the user's, whose layers are its text, first weights."""
    if case.spec.model.name != CUSTOM:
        return fix
    rest = {name: value for name, value in fix.items() if name not in ("activation", "norm")}
    return {"init": "lsuv", **rest}
