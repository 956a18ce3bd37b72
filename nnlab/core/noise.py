"""Whether two runs' metrics are further apart than chance alone would put them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.evaluate import Evaluation
from nnlab.core.metrics import METRICS
from nnlab.core.own import is_missing

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_SEEDS = 3
DRAWS = 300  # of the bootstrap: its standard error is then known to some 4 %
MOST_ROWS = 5000  # that are drawn at once; noise goes with the square root of the rows
SURE = 0.95
NORMAL = 1.96  # standard errors on either side that hold so much of a normal distribution


@dataclass(frozen=True)
class Judged:
    """A metric of two runs. noise: how far apart chance puts them in 95 of 100 cases; None where nothing tells it, and
    source says why, else whence it is known."""

    name: str
    a: float
    b: float
    noise: float | None
    source: str

    @property
    def change(self) -> float:
        """b less a."""
        return self.b - self.a

    @property
    def verdict(self) -> str:
        """What is to be thought of b: equal, within noise, better, worse; or not judged."""
        if self.change == 0:
            return "equal"
        if self.noise is None or not math.isfinite(self.change):
            return "not judged"
        if abs(self.change) <= self.noise:
            return "within noise"
        higher = self.name in METRICS and bool(METRICS[self.name].facts.get("maximize"))
        return "better" if (self.change > 0) == higher else "worse"


def seed_noise(first: Sequence[float], second: Sequence[float], alike: bool) -> float | None:
    """Of the difference of two single runs, from values of runs that differ in nothing but the seed.

    first, second: values of the runs like either one; of fewer than three the other's spread is taken for both. alike:
    both are of one group. Half the width of Welch's interval: a t-quantile, since few seeds tell a spread badly.
    """
    known = [np.asarray(group, float) for group in ((first,) if alike else (first, second))]
    known = [group for group in known if len(group) >= FEWEST_SEEDS and np.isfinite(group).all()]
    if not known:
        return None
    spreads = [float(group.var(ddof=1)) for group in known]
    free = [len(group) - 1 for group in known]
    if len(known) == 1:
        return _t(free[0]) * math.sqrt(2 * spreads[0])
    total = sum(spreads)
    if total == 0:
        return 0.0
    return _t(total**2 / sum(v**2 / n for v, n in zip(spreads, free, strict=True))) * math.sqrt(total)


def _t(free: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + SURE) / 2, free))


def row_noise(
    a: Evaluation, b: Evaluation, metrics: tuple[Mapping[str, float], Mapping[str, float]], same_rows: bool
) -> dict[str, tuple[float, bool]]:
    """Of the difference of each metric, by a bootstrap over validation rows (Efron, 1979), and whether it is paired.

    metrics: of both runs. They keep a sample of their rows with what was predicted; where both have the same rows these
    are drawn together. Of many classes, and in stores of older versions, only counts are kept, so each run is drawn by
    itself; on the same rows that is more noise than there is, never less. Then metrics that the counts do not tell
    (they need probabilities) are left out.
    """
    names = tuple(
        name for name in metrics[0] if name in metrics[1] and name in METRICS and not is_missing("metrics", name)
    )
    draw = np.random.default_rng(0)
    kept = [side for side in (_kept(a), _kept(b)) if side is not None]
    if len(kept) == 2:
        names += ("loss",) * all(_is_log_loss(*side) for side in zip(kept, metrics, strict=True))
        paired = same_rows and _truth(a) == _truth(b) and a.rows == b.rows
        places = [draw.integers(len(truth), size=(DRAWS, len(truth))) for _, truth in (kept[0], kept[1])]
        first = _rows_drawn(names, a.rows, kept[0], places[0])
        second = _rows_drawn(names, b.rows, kept[1], places[0] if paired else places[1])
        return {name: (_half(first[name], second[name], paired), paired) for name in names}
    if not (a.confusion and b.confusion):
        return {}
    names = tuple(name for name in names if all(_told(name, *side) for side in zip((a, b), metrics, strict=True)))
    drawn = [_counts_drawn(names, side, draw) for side in (a, b)]
    return {name: (_half(drawn[0][name], drawn[1][name], False), False) for name in names}


def _is_log_loss(kept: "tuple[Tensor, Tensor]", metrics: Mapping[str, float]) -> bool:
    """Whether the loss is the mean of -log p(true), as far as the sample tells: it may be weighted or smoothed."""
    output, truth = kept
    if truth.is_floating_point() or "loss" not in metrics:
        return False
    each = -output[range(len(truth)), truth]
    return abs(float(each.mean()) - metrics["loss"]) <= 3 * float(each.std()) / math.sqrt(len(truth))


def _truth(side: Evaluation) -> tuple[float, ...]:
    return side.codes or side.true


def _kept(side: Evaluation) -> "tuple[Tensor, Tensor] | None":
    """Outputs (n, outputs) and truth (n,) of the sampled rows; None where there is no sample."""
    import torch

    if side.logs:
        return torch.tensor(side.logs, dtype=torch.float64), torch.tensor(side.codes)
    if side.true:
        return torch.tensor(side.predicted, dtype=torch.float64).unsqueeze(1), torch.tensor(
            side.true, dtype=torch.float64
        )
    return None


def _half(first: np.ndarray, second: np.ndarray, paired: bool) -> float:
    if paired:
        return NORMAL * float(np.nanstd(second - first, ddof=1))
    return NORMAL * math.hypot(float(np.nanstd(first, ddof=1)), float(np.nanstd(second, ddof=1)))


def _rows_drawn(
    names: tuple[str, ...], rows: int, kept: "tuple[Tensor, Tensor]", places: np.ndarray
) -> dict[str, np.ndarray]:
    """Values of each metric in the draws, nearer to their mean as more rows than the sample were seen."""
    output, truth = kept
    shrink = math.sqrt(len(truth) / max(rows, len(truth)))
    found = {name: np.array([_one(name, output[at], truth[at]) for at in places]) for name in names}
    return {name: np.nanmean(values) + shrink * (values - np.nanmean(values)) for name, values in found.items()}


def _counts_drawn(names: tuple[str, ...], side: Evaluation, draw: np.random.Generator) -> dict[str, np.ndarray]:
    counts = np.asarray(side.confusion)
    total = int(counts.sum())
    rows = min(total, MOST_ROWS)
    drawn = draw.multinomial(rows, counts.ravel() / total, size=DRAWS)
    shrink = math.sqrt(rows / total)
    parts = [_labels(one.reshape(counts.shape)) for one in drawn]
    found = {name: np.array([_one(name, *part) for part in parts]) for name in names}
    return {name: values * shrink for name, values in found.items()}


def _told(name: str, side: Evaluation, metrics: Mapping[str, float]) -> bool:
    """Whether the metric follows from labels alone: then the counts give the value that was measured."""
    return math.isclose(_one(name, *_labels(np.asarray(side.confusion))), metrics[name], rel_tol=1e-4, abs_tol=1e-6)


def _labels(counts: np.ndarray) -> "tuple[Tensor, Tensor]":
    """Outputs that are sure of the predicted class (n, classes), and the true classes (n,)."""
    import torch

    true, predicted = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), len(counts))
    return torch.eye(len(counts))[torch.from_numpy(predicted)], torch.from_numpy(true)


def _one(name: str, output: "Tensor", truth: "Tensor") -> float:
    """The metric, nan where a function of the user's own fails on such rows."""
    from nnlab.core.metrics import measure

    word = "log_loss" if name == "loss" else name
    try:
        return measure((word,), output, truth)[word]
    except Exception:
        return math.nan
