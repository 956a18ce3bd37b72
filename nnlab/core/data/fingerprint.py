"""What tells prepared data from any other: its content, how it was prepared, and the fold."""

import hashlib
import json
import zlib
from collections.abc import Mapping

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.spec import PrepareSpec, to_json


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
    """Length, CRC-32 and sum of 64-bit words of bytes: far faster than sha256. One changed cell always changes it."""
    words = len(content) // 8 * 8
    total = int(content[:words].view(np.uint64).sum(dtype=np.uint64))
    return f"{len(content)} {zlib.crc32(content.data)} {total} ".encode() + content[words:].tobytes()


def of_fold(fingerprint: str, fold: int) -> str:
    """Folds are fitted on other rows, so that a run of one must not take rows of another for its own."""
    return hashlib.sha256(f"{fingerprint} {fold}".encode()).hexdigest() if fold else fingerprint
