"""What tells prepared data from any other: its content, how it was prepared, and the fold."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.spec import PrepareSpec, to_json

ODD = np.random.PCG64(0).random_raw(4096) | np.uint64(1)  # as raw bits they are the same in all versions of numpy
AT_ONCE = 4 * len(ODD)  # words that stay in the cache


def sums_of(columns: list[Column]) -> dict[str, str]:
    """sha256 of a checksum of what each column holds, of its kind and its levels, by its name."""
    found = {}
    for column in columns:
        digest = hashlib.sha256(json.dumps([column.kind, str(column.data.dtype), list(column.levels)]).encode())
        digest.update(_checksum(np.ascontiguousarray(column.data).view(np.uint8)))
        found[column.name] = digest.hexdigest()
    return found


def fingerprint_of(sums: Mapping[str, str], spec: PrepareSpec) -> str:
    """sha256 of what the columns hold, by their sums, and of how they are prepared."""
    plain = {name: value for name, value in to_json(spec).items() if name != "stream"}  # the numbers are the same
    return hashlib.sha256(json.dumps([plain, list(sums.items())], sort_keys=True).encode()).hexdigest()


def _checksum(content: np.ndarray) -> bytes:
    """Length, a sum of 64-bit words for each stretch, and what is left of bytes: far faster than sha256.

    Each word counts as often as an odd number of its place says (Dietzfelbinger, 1996), so that one changed cell
    always changes a sum. Words are folded first: floats of few digits end with zeros, and so would their sums.
    """
    whole = len(content) // 8 * 8
    words = content[:whole].view(np.uint64)
    pieces = [_sums(words[low : low + AT_ONCE]) for low in range(0, len(words), AT_ONCE)]
    return b"".join([str(len(content)).encode(), *pieces, content[whole:].tobytes()])


def _sums(words: np.ndarray) -> bytes:
    folded = words >> np.uint64(32)
    folded ^= words
    full = len(words) // len(ODD) * len(ODD)
    rest = folded[full:]
    return (folded[:full].reshape(-1, len(ODD)) @ ODD).tobytes() + (rest @ ODD[: len(rest)]).tobytes()


def of_fold(fingerprint: str, fold: int) -> str:
    """Folds are fitted on other rows, so that a run of one must not take rows of another for its own."""
    return hashlib.sha256(f"{fingerprint} {fold}".encode()).hexdigest() if fold else fingerprint
