"""Rows with equal features as groups, so that no row has a twin in another part of the split."""

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.data.equal_rows import row_hashes


def twin_groups(columns: list[Column], groups: np.ndarray | None = None) -> np.ndarray:
    """The group (int64) of each row: equal rows are in one. groups: codes, -1 for none, whose groups stay together too.

    Rows are compared by 64-bit hashes of all their cells.
    """
    rows = len(columns[0].data)
    twins = np.unique(row_hashes(columns, np.arange(rows)), return_inverse=True)[1]
    return twins if groups is None else _joined(twins, groups)


def _joined(twins: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Rows that share a twin group or a group, directly or by others, are one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = int(twins.max()) + 1
    there = groups >= 0
    size = first + int(groups.max(initial=-1)) + 1
    links = coo_array((np.ones(there.sum()), (twins[there], first + groups[there])), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1])[twins].astype(np.int64)
