"""What trials are compared by where one score is not all: quality, the time of a prediction, the number of weights.

A trial dominates another if it is as good in all objectives and better in one; those that none dominates are the front
of Pareto. The first objective counts first: the best trial is the one of the front that is best in it.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.errors import SpecError, did_you_mean
from nnlab.core.metrics import check_monitor

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.run import Run

LATENCY, PARAMETERS = "latency", "parameters"
OF_NETWORK = (LATENCY, PARAMETERS)  # less is better
ROWS = 1000  # that the time of a prediction is of
WARM, LEAST, MOST = 3, 15, 200  # predictions before the clock runs; and how many are timed
SECONDS = 0.2  # after which it is enough


def check_objectives(names: Sequence[str], metrics: tuple[str, ...]) -> tuple[bool, ...]:
    """For each objective, whether more of it is better; SpecError for words that are none."""
    for place, name in enumerate(names):
        known = ("loss", *metrics, *OF_NETWORK)
        if name not in known:
            raise SpecError(f"objectives={name}: there are {', '.join(known)}{did_you_mean(name, known)}")
        if names.index(name) != place:
            raise SpecError(f"objectives={','.join(names)}: {name} is there twice")
    if names and names[0] in OF_NETWORK:
        raise SpecError(
            f"objectives={','.join(names)}: the first is what the best epoch is chosen by, loss or a metric; "
            f"write it before {names[0]}"
        )
    return tuple(name not in OF_NETWORK and check_monitor(name, metrics) for name in names)


def measured_objectives(names: Sequence[str], runs: Sequence["Run"], folds: Sequence["Prepared"]) -> tuple[float, ...]:
    """The values of a trial that is complete: means over its runs, of what is the network's own the first run's."""
    found = []
    for name in names:
        if name == PARAMETERS:
            found.append(float(runs[0].parameters))
        elif name == LATENCY:
            found.append(latency(runs[0], folds[0]))
        else:
            found.append(float(np.mean([run.metrics[name] for run in runs])))
    return tuple(found)


def latency(run: "Run", data: "Prepared") -> float:
    """Milliseconds that a run's network takes for 1,000 rows, on one thread: the median of repeated predictions.

    The rows are those of validation, repeated as often as needed; what prepares them is not timed.
    """
    from nnlab.core.device import thread_limit
    from nnlab.core.predict import forward

    rows = data.valid.x[np.arange(ROWS) % len(data.valid)]
    times: list[float] = []
    with thread_limit(1):
        for _ in range(WARM):
            forward(run.model, rows, run.device).cpu()
        while len(times) < LEAST or (sum(times) < SECONDS and len(times) < MOST):
            began = time.perf_counter()
            forward(run.model, rows, run.device).cpu()
            times.append(time.perf_counter() - began)
    return 1000.0 * float(np.median(times))


def front(values: np.ndarray, maximize: Sequence[bool], means: np.ndarray | None = None) -> np.ndarray:
    """Which rows of values (trials, objectives) no other dominates: (trials,) of bool. Equal rows are all on it.

    means: over fresh seeds, rows of nan for trials without; two trials that have them are compared by these, so that
    no trial's luck is held against another's mean.
    """
    found = _dominates(values, maximize)
    if means is not None:
        again = np.isfinite(means).all(1)
        found = np.where(again[:, None] & again, _dominates(means, maximize), found)
    return np.asarray(~found.any(0))


def _dominates(values: np.ndarray, maximize: Sequence[bool]) -> np.ndarray:
    """Whether a row dominates another: (trials, trials) of bool."""
    costs = np.where(np.asarray(maximize), -values, values)
    as_good = (costs[:, None, :] <= costs[None, :, :]).all(2)
    better = (costs[:, None, :] < costs[None, :, :]).any(2)
    return np.asarray(as_good & better)
