"""What the course of the loss shows: step sizes that do not fit, plateaus, over- and underfitting."""

import math
from typing import Annotated

import numpy as np

from nnlab.core.diagnose.case import FEW_EPOCHS, Case
from nnlab.core.diagnose.registry import DIAGNOSES, Live, Plot, Verdict
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.params import Within
from nnlab.core.plan import plan
from nnlab.core.recipe import SOME
from nnlab.core.spec import CUSTOM, defaults_for, part_values

FACTOR = 10.0  # by which a step size that does not fit is changed
FEWEST_STEPS = 100  # a run of fewer is short, whatever its steps
FEWEST = 15  # epochs of a plateau
STALE = 5  # epochs without a better one, at least, after which a run that lives may be said to overfit
LITTLE_PATIENCE = 5  # epochs
STEADY = 0.8  # of the largest step size; where it falls further the schedule explains that little happens
LEARNED = 0.4  # of the loss of a constant prediction
CONSTANT = "constant prediction"  # the line in plots of the loss
SMALL_STEP = 0.1  # for the norm of the weights: such steps throw no loss up
DECAYED = 0.02  # share of the weights that decay takes in a step: such a fall is not the step size's


@DIAGNOSES.add(
    live=Live(values={"rate": 1.0}),
    explains=(
        "dead_units",
        "saturated_activations",
        "vanishing_gradients",
        "underfitting",
        "overfitting",
        "plateau",
        "class_ignored",
        "miscalibrated",
    ),
)
def lr_too_high(
    case: Case,
    rate: Annotated[float, Within(0.0, 10.0), "largest step for the norm of the weights, median of the layers"] = 0.8,
    rise: Annotated[float, Within(1.0, 1e6), "largest training loss over that of a constant prediction"] = 3.0,
    lost: Annotated[float, Within(0.0, 2.0), "training loss at the end, likewise, after it was below"] = 0.9,
) -> Verdict | None:
    """Steps are so large that the loss rises: the run diverges, or loses what it had learned."""
    evidence = _ran_away(case) or _too_large(case, rate) or _risen(case, rise, lost)
    if not evidence:
        return None
    plot = Plot(
        "training loss",
        case.epochs.tolist(),
        {"": case.train.tolist()},
        log=True,
        level=case.baseline,
        level_name=CONSTANT,
    )
    return Verdict(
        "lr_too_high", "the learning rate is too high", evidence, {"lr": _changed(case, 1 / FACTOR)}, plot=plot
    )


def _ran_away(case: Case) -> str:
    if case.living or (case.run.finished.reason != "diverged" and np.isfinite(case.train).all()):
        return ""  # a run that lives says itself that it ends for that
    epoch = int(case.epochs[np.argmin(np.isfinite(case.train))]) if len(case.train) else 1
    return f"the training loss is not finite from epoch {epoch} on, at lr {case.peak:.2g}"


def _too_large(case: Case, rate: float) -> str:
    if not case.looks or OPTIMIZERS[case.spec.optimizer.name].facts.get("full_batch"):
        return ""  # a step of these is many small ones along searched lines
    rates = np.nan_to_num(case.usual_rates, posinf=math.inf)
    most = int(np.argmax(rates))
    if not rates[most] > rate or _learned(case):
        return ""
    return f"step {case.looks[most].step} changed the weights by {rates[most]:.0%} of their norm, at lr {case.peak:.2g}"


def _learned(case: Case) -> bool:
    """Whether the training loss went down all the same, and stayed there."""
    if not len(case.train) or case.baseline is None:
        return False
    return max(case.lowest, float(case.train[-1])) < LEARNED * case.baseline


def _risen(case: Case, rise: float, lost: float) -> str:
    if case.baseline is None or not len(case.train) or not case.baseline > 0:
        return ""
    far = case.living or _learned(case) or (len(case.looks) > 0 and float(np.nanmax(case.usual_rates)) < SMALL_STEP)
    seen = case.train[1:] if far else case.train  # a first epoch may have come from far away
    even = math.log(max(1, len(case.run.pipeline.target.classes)))  # where a rare class is begun with, far above shares
    top, last = float(seen.max(initial=0.0)) / case.baseline, float(case.train[-1]) / case.baseline
    if top > rise * max(1.0, even / case.baseline):
        return f"the training loss rose to {top:.3g} times that of a constant prediction, at lr {case.peak:.2g}"
    decay = part_values(OPTIMIZERS, case.spec.optimizer).get("weight_decay", 0.0)
    if last > lost and case.lowest / case.baseline < lost - 0.2 and decay * case.peak < DECAYED:
        return (
            f"the training loss fell to {case.lowest:.3g} and rose again to {case.train[-1]:.3g},"
            f" {last:.0%} of that of a constant prediction"
        )
    return ""


@DIAGNOSES.add(
    needs=("looks", "epochs"),
    live=Live(looks=7),
    explains=("underfitting", "plateau", "class_ignored", "miscalibrated"),
)
def lr_too_low(
    case: Case,
    path: Annotated[float, Within(0.0, 10.0), "least sum of the steps of a run, for the norm of the weights"] = 0.15,
    left: Annotated[float, Within(0.0, 1.0), "share of the loss of a constant prediction that is left"] = 0.3,
) -> Verdict | None:
    """Steps are so small that the weights hardly move while there is much to learn."""
    rates = case.rates[:, np.isfinite(case.rates).any(0)]
    rates = np.median(rates[np.isfinite(rates).all(1)], axis=1) if rates.shape[1] else np.empty(0)
    moved = float(np.median(rates)) * case.taken if len(rates) else math.inf
    ahead = case.planned / max(case.taken, 1) if case.living else 1.0
    if (
        case.taken < FEWEST_STEPS
        or not moved * ahead < path
        or (case.baseline is not None and case.lowest < left * case.baseline)
        or (case.living and case.rates_of_lr[-1] < STEADY * case.peak)  # steps that still grow
    ):
        return None
    evidence = (
        f"all {case.taken:,} steps{' so far' * case.living} together moved the weights by {moved:.1%} of their norm"
        " at the most;"
        f" the training loss fell from {case.train[0]:.3g} to {case.lowest:.3g}"
    )
    plot = Plot(
        "training loss", case.epochs.tolist(), {"": case.train.tolist()}, level=case.baseline, level_name=CONSTANT
    )
    return Verdict("lr_too_low", "the learning rate is too low", evidence, {"lr": _changed(case, FACTOR)}, plot=plot)


def _changed(case: Case, factor: float) -> float:
    """A step size that is larger or smaller by this factor at least; the usual one where it is further off."""
    name = case.spec.optimizer.name
    param, default = OPTIMIZERS[name].params["lr"], defaults_for(case.spec)["optimizer"]
    usual = float(default.values.get("lr", param.default) if default.name == name else param.default)
    wanted = (min if factor < 1 else max)(case.peak * factor, usual)
    return float(min(max(float(f"{wanted:.1g}"), param.domain.low), param.domain.high))


@DIAGNOSES.add(needs=("epochs",), live=Live(epochs=FEWEST + 4))
def plateau(
    case: Case,
    tail: Annotated[float, Within(0.1, 0.9), "share of the epochs, at the end, that are looked at"] = 0.4,
    fall: Annotated[float, Within(0.0, 1.0), "least share of the training loss that falls in them"] = 0.04,
    left: Annotated[
        float, Within(0.0, 1.0), "training loss over that of a constant prediction below which little is left to gain"
    ] = 0.08,
) -> Verdict | None:
    """The training loss stands still for long while steps are as large as ever."""
    count = max(int(len(case.epochs) * tail), FEWEST)
    if len(case.epochs) < count + 4 or not np.isfinite(case.train).all():
        return None
    last, rates = case.train[-count:], case.rates_of_lr
    half = count // 2
    fallen = 1.0 - float(np.median(last[half:]) / max(np.median(last[:half]), 1e-300))
    if rates[-count:].min() < STEADY * case.peak or not fallen < fall:
        return None
    if case.baseline is None or float(np.median(last)) < left * case.baseline:
        return None
    if case.living and plan(case.spec, case.run.started.rows).end_lr[-1] < STEADY * case.peak:
        return None  # smaller steps are to come
    course = f"fell by {fallen:.1%}" if fallen > 0 else f"rose by {-fallen:.1%}"
    evidence = (
        f"in the last {count} epochs the training loss {course}, from {np.median(last[:half]):.3g}"
        f" to {np.median(last[half:]):.3g}, at lr {rates[-1]:.2g}"
    )
    plot = Plot("training loss", case.epochs.tolist(), {"": case.train.tolist()}, place=float(case.epochs[-count]))
    return Verdict("plateau", "the loss is on a plateau", evidence, {"schedule": "cosine"}, plot=plot)


@DIAGNOSES.add(needs=("epochs", "valid"), live=Live(epochs=STALE + FEW_EPOCHS))
def overfitting(
    case: Case,
    gap: Annotated[
        float, Within(0.0, 2.0), "validation loss less training loss, over the loss of a constant prediction"
    ] = 0.5,
) -> Verdict | None:
    """The network learns the training rows by heart: what it learns of them does not hold for validation rows."""
    if case.baseline is None:
        return None
    best = float(np.nanmin(case.valid))
    end = float(np.median(case.train[-3:]))
    if not (best - end) / case.baseline > gap:
        return None
    at = int(case.epochs[np.nanargmin(case.valid)])
    if case.living and case.epochs[-1] - at < max(STALE, len(case.epochs) / 3):
        return None  # an average of weights comes after the training loss, and may still come
    evidence = (
        f"the training loss fell to {end:.2g}, the validation loss no lower than {best:.3g} (epoch {at}; a constant"
        f" prediction has {case.baseline:.3g}); {'now' if case.living else 'at the end'} it is {case.valid[-1]:.3g}"
    )
    lines = {"training": case.train.tolist(), "validation": case.valid.tolist()}
    plot = Plot("loss", case.epochs.tolist(), lines, place=float(at), level=case.baseline, level_name=CONSTANT)
    return Verdict("overfitting", "the network overfits", evidence, _regularized(case), plot=plot)


def _regularized(case: Case) -> dict[str, object]:
    """Options that hold a network back, those it has raised, and an end soon after its best epoch.

    On few rows it is the vectors of numbers that learn them by heart: without them the validation loss was 3 and 7%
    lower in two runs of tests/benchmarks/doctor.py, and the rest need not be as strict.
    """
    values = part_values(MODELS, case.spec.model) if case.spec.model.name != CUSTOM else {}
    options = OPTIMIZERS[case.spec.optimizer.name].params
    decay = part_values(OPTIMIZERS, case.spec.optimizer).get("weight_decay", 0.0)
    fix: dict[str, object] = {}
    if case.spec.embed.name != "none" and case.run.started.rows < SOME:
        fix["embed"] = "none"
    least_decay, least_dropout = (0.1, 0.3) if fix else (0.3, 0.5)
    if "weight_decay" in options:
        fix["weight_decay"] = min(max(3 * decay, least_decay), options["weight_decay"].domain.high)
    if "dropout" in values:
        fix["dropout"] = round(min(max(values["dropout"] + 0.15, least_dropout), 0.7), 2)
    return fix | {"patience": min(case.spec.patience or LITTLE_PATIENCE, LITTLE_PATIENCE)}
