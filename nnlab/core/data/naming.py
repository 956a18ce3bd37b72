"""Names of features, each there once; and frames of columns whatever their names and cells hold."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, a later one of two that are equal with its number: 'a', 'a (2)'."""
    if len(set(names)) == len(names):
        return names
    found: dict[str, None] = {}
    taken = set(names)
    for name in names:
        number, own = 1, name
        while own in found or (number > 1 and own in taken):
            number += 1
            own = f"{name} ({number})"
        found[own] = None
    return tuple(found)


def series_of(cells: np.ndarray) -> "pd.Series":
    """A Series of the type that pandas finds; of objects where text holds half of a surrogate pair, which is none."""
    import pandas as pd

    try:
        return pd.Series(cells)
    except UnicodeEncodeError:
        return pd.Series(cells, dtype=object)


def frame_of(columns: "Mapping[str, pd.Series]") -> "pd.DataFrame":
    """The columns side by side."""
    import pandas as pd

    frame = pd.concat(list(columns.values()), axis=1)
    names = np.empty(len(columns), object)
    names[:] = list(columns)
    frame.columns = pd.Index(series_of(names))
    return frame
