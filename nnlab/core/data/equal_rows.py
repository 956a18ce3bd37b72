"""Rows whose cells are all equal, found by hashes of 64 bits."""

import numpy as np

from nnlab.core.data.audit_rows import blocks
from nnlab.core.data.columns import Column
from nnlab.core.data.split import Split

HASHED_ROWS = 50_000
HASHED_AT_ONCE = 32_768
MIX = np.uint64(0x9E3779B97F4A7C15)


def comparable_rows(columns: list[Column], rows: int, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are compared with each other, ascending, and the part of each: all, or at most about 50,000.

    Of more some are chosen by a hash of these columns, so that rows with equal features are chosen together.
    """
    part = np.full(rows, -1, np.int8)
    for code, own in enumerate((split.train, split.valid, split.test)):
        part[own] = code
    there = np.flatnonzero(part >= 0)
    if len(there) <= HASHED_ROWS:
        return there, part[there]
    limit = np.uint64(HASHED_ROWS / len(there) * 2.0**64)
    pieces = [there[low : low + HASHED_AT_ONCE] for low in range(0, len(there), HASHED_AT_ONCE)]
    near = [piece[_quick_hashes(columns, piece) < limit] for piece in pieces]
    chosen = np.concatenate(near)[: 2 * HASHED_ROWS]
    return chosen, part[chosen]


def equal_rows(columns: list[Column], numbers: np.ndarray, part: np.ndarray) -> tuple[int, int, int, int]:
    """(held-out rows, those equal to a row of an earlier part with target, training rows, those of them with a twin
    among them that has another target).

    Rows are compared by 64-bit hashes of all features.
    """
    features = row_hashes(columns, np.arange(len(part)))
    ordered = np.sort(features)
    held, train = int((part > 0).sum()), part == 0
    if (ordered[1:] != ordered[:-1]).all():
        return held, 0, len(part) - held, 0
    whole = features * MIX + _mixed(numbers.astype(np.float64)[None] + 0.0)
    order = np.lexsort((part, whole))
    keys, parts = whole[order], part[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, bool)
    least = parts[first][np.cumsum(first) - 1]
    _, of, counts = np.unique(features[train], return_inverse=True, return_counts=True)
    answers = np.bincount(of[np.unique(whole[train], return_index=True)[1]], minlength=len(counts))
    return held, int((parts > least).sum()), len(part) - held, int(counts[answers > 1].sum())


def _quick_hashes(columns: list[Column], rows: np.ndarray) -> np.ndarray:
    """Hashes (uint64) that are good enough to choose rows by: halves folded, then multiplied, then added up."""
    salts = _salts(len(columns))
    found = np.zeros(len(rows), np.uint64)
    for low, block in blocks(columns, rows):
        block[np.isnan(block)] = np.nan
        bits = block.view(np.uint64)
        bits ^= bits >> np.uint64(32)
        bits *= salts[low : low + len(block), None]
        found += bits.sum(axis=0, dtype=np.uint64)
    return found


def _salts(count: int) -> np.ndarray:
    """Odd random numbers (uint64)."""
    drawn = np.random.default_rng(0).integers(1, 2**63, count, dtype=np.uint64)
    return drawn * np.uint64(2) + np.uint64(1)


def row_hashes(columns: list[Column], rows: np.ndarray) -> np.ndarray:
    """A 64-bit hash (uint64) of all cells of each of the rows."""
    salts = _salts(len(columns))
    found = np.zeros(len(rows), np.uint64)
    for low, block in blocks(columns, rows):
        block[np.isnan(block)] = np.nan  # NaNs of one pattern
        found += (_mix(block.view(np.uint64) ^ salts[low : low + len(block), None])).sum(axis=0, dtype=np.uint64)
    return found


def _mixed(values: np.ndarray) -> np.ndarray:
    return _mix(np.ascontiguousarray(values).view(np.uint64)).sum(axis=0, dtype=np.uint64)


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), one round."""
    moved = bits >> np.uint64(30)
    bits = bits ^ moved
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= np.right_shift(bits, np.uint64(27), out=moved)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= np.right_shift(bits, np.uint64(31), out=moved)
    return bits
