"""How numbers spread: ends, mean, standard deviation and a small histogram, of many columns at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

BARS = 12  # of the small histogram of a column
SAMPLE = 20_000  # rows that are looked at for it
BLOCK_CELLS = 1 << 16  # worked on at a time, so that they stay in the cache


@dataclass(frozen=True)
class Spread:
    """Least, largest, mean and standard deviation (of the population) of the numbers that are there.

    bars: how many fall into each of equal steps from low to high, () where several features are taken together.
    Dates count in microseconds since 1970, UTC.
    """

    low: float
    high: float
    mean: float
    sd: float
    bars: tuple[int, ...] = ()


def sampled(rows: int) -> slice:
    """At most SAMPLE rows at even distances."""
    return slice(None, None, -(-rows // SAMPLE) if rows > SAMPLE else 1)


def spreads(columns: Iterable[np.ndarray], rows: int) -> Iterator[Spread | None]:
    """One for each column; None where no number is finite. columns: float64 (rows,), taken as they are needed."""
    rest = iter(columns)
    while block := list(islice(rest, max(1, BLOCK_CELLS // max(rows, 1)))):
        yield from _of_block(np.stack(block))


def spread_of_all(features: np.ndarray) -> Spread | None:
    """Of all cells of a matrix together, without bars."""
    cells = features.astype(np.float64).ravel()
    n, total, squares = len(cells), float(cells.sum()), float(cells @ cells)
    if not n or not np.isfinite(squares) or squares * n < 1.000001 * total**2:  # the difference would have no digits
        found = next(spreads([cells], n))
        return replace(found, bars=()) if found else None
    mean = total / n
    return Spread(float(features.min()), float(features.max()), mean, float(np.sqrt(squares / n - mean**2)))


def _of_block(block: np.ndarray) -> Iterator[Spread | None]:
    """block: (columns, rows) float64."""
    there = np.isfinite(block)
    counts = np.count_nonzero(there, axis=1)
    full = bool((counts == block.shape[1]).all())
    low = (block if full else np.where(there, block, np.inf)).min(1, initial=np.inf)
    high = (block if full else np.where(there, block, -np.inf)).max(1, initial=-np.inf)
    low[counts == 0] = high[counts == 0] = 0.0
    block = block if full else np.where(there, block, low[:, None])
    reach = high / 2 - low / 2  # halves: the range itself may be more than a float holds
    scale = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(np.float64).tiny)
    shares = block / scale[:, None]  # sums of large numbers would overflow
    n = np.maximum(counts, 1)
    mean = (shares.sum(1) - (block.shape[1] - counts) * (low / scale)) / n  # low stands where nothing is
    shares -= mean[:, None]
    shares *= there
    sd = np.sqrt(np.einsum("ij,ij->i", shares, shares) / n)
    width = reach / BARS
    flat = width == 0
    place = np.multiply(block, 0.5, out=shares)
    place -= low[:, None] / 2
    place /= np.where(flat, 1.0, width)[:, None]
    np.minimum(place, BARS - 1, out=place)
    bar = place.astype(np.int64)
    bar += BARS * np.arange(len(block))[:, None]
    bars = np.bincount(bar.ravel() if full else bar[there], minlength=BARS * len(block)).reshape(-1, BARS).tolist()
    values = zip(low.tolist(), high.tolist(), (mean * scale).tolist(), (sd * scale).tolist(), strict=True)
    for i, found in enumerate(values):
        if not counts[i]:
            yield None
        else:
            yield Spread(*found, (int(counts[i]),) if flat[i] else tuple(bars[i]))
