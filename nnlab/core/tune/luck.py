"""How much of the best score of a search is luck: the bootstrap of Tsamardinos, Greasidou and Borboudakis (2018).

Many trials are compared on the same validation rows, and the best of them is in part the one that suits these rows by
chance. So each trial keeps what parts of the rows say of it. Parts are drawn with replacement, the best trial on those
drawn is chosen, and it is measured on the parts that were not drawn: the mean over many draws is what a choice among
these trials is worth. Simulated with known truth it is right to a tenth of the luck, rather too strict than too kind.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.run import Run

PARTS = 64
DRAWS = 1000
FEWEST = 8  # parts below which a draw says nothing


def parts_of_score(run: "Run", data: "Prepared", metric: str) -> list[float]:
    """A run's validation value as numbers (parts,), one for each part of the rows, whose mean is near to it.

    They are pseudo-values of the jackknife (Tukey 1958): for a mean over rows, the means of the parts; also right for a
    metric that is none, such as the area under a curve. Empty where rows are too few, or a part cannot be left out.
    """
    import torch

    from nnlab.core.device import thread_limit, threads_for
    from nnlab.core.learners.start import class_counts, measured, tensors_of
    from nnlab.core.losses import make_loss
    from nnlab.core.network import loss_of
    from nnlab.core.predict import CHUNK, forward

    rows = len(data.valid.y)
    parts = min(PARTS, rows)
    if parts < FEWEST:
        return []
    loss = loss_of(run.spec, data.target)
    x, y, weight = tensors_of(data.valid, run.spec, data, "cpu")
    with thread_limit(threads_for(None, min(rows, CHUNK), run.parameters)):
        output = forward(run.model, x, run.device).cpu()
    make = make_loss(loss, class_counts(data))
    names = () if metric == "loss" else (metric,)

    each = getattr(make, "each", None)
    if metric == "loss" and each is not None and weight is None:
        return _parts_of_mean(each(output, y).double().numpy(), parts)

    def value(kept: torch.Tensor) -> float:
        some = (x[:0], y[kept], None if weight is None else weight[kept])
        return measured(output[kept], some, make, loss, data.target, names)[metric]

    turn = torch.from_numpy(_turns(rows, parts))
    whole = value(torch.ones(rows, dtype=torch.bool))
    found = np.array([parts * whole - (parts - 1) * value(turn != part) for part in range(parts)])
    return _plain(found)


def _turns(rows: int, parts: int) -> np.ndarray:
    """Which part each row belongs to: the same for all trials."""
    return np.random.default_rng(0).permutation(rows) % parts


def _parts_of_mean(each: np.ndarray, parts: int) -> list[float]:
    """The same pseudo-values of the mean of each (rows,), of which every part can be left out at once."""
    turn = _turns(len(each), parts)
    sums, counts = np.bincount(turn, each, parts), np.bincount(turn, minlength=parts)
    without = (each.sum() - sums) / (len(each) - counts)
    return _plain(parts * each.mean() - (parts - 1) * without)


def _plain(found: np.ndarray) -> list[float]:
    return [float(f"{one:.9g}") for one in found] if np.isfinite(found).all() else []


def worth_of_choice(values: np.ndarray, maximize: bool) -> float:
    """What the best of some trials scores on rows that did not choose it. values: (trials, parts)."""
    parts = values.shape[1]
    signed = values if maximize else -values
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(parts, np.full(parts, 1 / parts), size=DRAWS)
    chosen = (drawn @ signed.T).argmax(1)
    left = drawn == 0
    used = left.any(1)
    scores = (left * values[chosen]).sum(1)[used] / left.sum(1)[used]
    return float(scores.mean())


def better_beyond_chance(new: np.ndarray, old: np.ndarray, maximize: bool) -> bool:
    """Whether the first is better by more than the standard error of their difference over the same parts (parts,)."""
    gain = new - old if maximize else old - new
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))
