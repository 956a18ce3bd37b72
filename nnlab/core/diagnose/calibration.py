"""Whether probabilities are what they say, and whether steps wait for their rows."""

from typing import Annotated

import numpy as np

from nnlab.core.calibrate import log_loss, temperature_of
from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.registry import DIAGNOSES, Live, Plot, Verdict
from nnlab.core.params import Within

BINS = 8


@DIAGNOSES.add(needs=("classes", "data", "valid", "weights"))
def miscalibrated(
    case: Case,
    gap: Annotated[float, Within(0.0, 1.0), "mean confidence less the share of rows that are right"] = 0.05,
    ratio: Annotated[float, Within(0.0, 1e6), "likelihood ratio of the best temperature and none (chi-squared)"] = 15.0,
) -> Verdict | None:
    """Probabilities are too sure, or not sure enough; one temperature mends it (Guo et al. 2017)."""
    logits, truth = case.output, case.truth
    temperature = temperature_of(logits, truth)
    gain = 2 * len(truth) * (log_loss(logits, truth) - log_loss(logits / temperature, truth))
    sure = case.shares.max(1)
    right = logits.argmax(1) == truth
    apart = float(sure.mean() - right.mean())
    if not (abs(apart) > gap and gain > ratio):
        return None
    how = "too sure" if apart > 0 else "not sure enough"
    evidence = (
        f"{sure.mean():.1%} sure in the mean, right for {right.mean():.1%} of {len(truth):,} validation rows;"
        f" a temperature of {temperature:.2f} takes the log loss from {log_loss(logits, truth):.3g}"
        f" to {log_loss(logits / temperature, truth):.3g}"
    )
    parts = np.array_split(np.argsort(sure, kind="stable"), BINS)
    x = [float(sure[part].mean()) for part in parts if len(part)]
    lines = {"as they say": x, "rows that are right": [float(right[part].mean()) for part in parts if len(part)]}
    plot = Plot("share", x, lines, "probability of the predicted class")
    return Verdict(
        "miscalibrated",
        f"probabilities are {how}",
        evidence,
        {"calibrate": True},
        advice="or at once, of this run:  run.calibrate(data)",
        plot=plot,
    )


@DIAGNOSES.add(needs=("looks",), live=Live(looks=8))
def loading_bound(
    case: Case,
    share: Annotated[float, Within(0.0, 1.0), "largest share of a step's time that fetching its rows takes"] = 0.4,
) -> Verdict | None:
    """Steps wait for their rows longer than they compute."""
    load = np.array([look.load for look in case.looks])
    load = load[np.isfinite(load)]
    if len(load) < 4 or not np.median(load) > share:
        return None
    evidence = f"fetching the rows takes {np.median(load):.0%} of a step (median of {len(load)} steps)"
    known = [look.step for look in case.looks if np.isfinite(look.load)]
    plot = Plot(
        "share of a step that fetching takes", known, {"": load.tolist()}, "step", level=share, level_name="limit"
    )
    size = case.spec.batch_size or 256
    return Verdict(
        "loading_bound", "training waits for its rows", evidence, {"batch_size": 4 * size}, {"stream": False}, plot=plot
    )
