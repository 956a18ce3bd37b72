"""Preparations of a search over steps of the preparation: made again from the table itself, once for each choice.

Each is fitted on the same training rows, and validated on the same rows; nobody looks at the test part.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.roles import check_overrides
from nnlab.core.errors import DataError, SpecError
from nnlab.core.spec import to_json
from nnlab.core.tune.ranges import Space, Value
from nnlab.core.tune.space import is_step, prepare_with

KEPT = 512 * 2**20  # bytes of features that are held at once, of the preparations that were used last


class Preparations:
    """The data of each trial. frame: the table that data was prepared from; None: its file is read again."""

    def __init__(self, data: Prepared, space: Space, frame: Any = None) -> None:
        self._data, self._frame = data, frame
        self._made: OrderedDict[str, Prepared] = OrderedDict()
        self._steps = [name for name in space if is_step(name)]
        if self._steps:
            self._check(space)

    def _check(self, space: Space) -> None:
        """The table is there, and is the one that the data comes from."""
        if self._frame is None and not self._data.source:
            raise SpecError(
                f"space: {self._steps[0]} is a step of the preparation; that needs the table itself: "
                "tune(data, frame=df, ...), or --frame df"
            )
        again = prepare(self._table, spec=self._data.spec)
        if again.fingerprint != self._data.fingerprint:
            raise DataError(
                f"frame is not the table that {self._data.name} was prepared from; "
                "give that one, or prepare it again and search on the result"
            )
        first = {name: one.grid(2, name)[name][0] for name, one in space.items() if name in self._steps}
        check_overrides(prepare_with(first, self._data.spec), list(again.sums))
        self._made[_key(again)] = self._data

    @property
    def _table(self) -> Any:
        return self._data.source if self._frame is None else self._frame

    def of(self, values: Mapping[str, Value]) -> Prepared:
        """The data of a trial with these values; DataError or SpecError for steps that cannot be taken."""
        if not any(is_step(name) for name in values):
            return self._data
        spec = prepare_with(values, self._data.spec)
        key = json.dumps(to_json(spec), sort_keys=True)
        if key not in self._made:
            made = prepare(self._table, spec=spec)
            self._compare(made)
            self._made[key] = made
        self._made.move_to_end(key)
        while len(self._made) > 1 and sum(map(_size, self._made.values())) > KEPT:
            self._made.popitem(last=False)
        return self._made[key]

    def _compare(self, made: Prepared) -> None:
        """Scores compare only where they are of the same rows."""
        for part in ("valid", "test"):
            before, after = getattr(self._data, part), getattr(made, part)
            if not np.array_equal(before.index, after.index) or not np.array_equal(before.y, after.y):
                raise SpecError(f"these steps change the {part} rows, so their scores do not compare")


def _size(data: Prepared) -> int:
    return sum(rows.x.nbytes for rows in (data.train, data.valid, data.test))


def _key(data: Prepared) -> str:
    return json.dumps(to_json(data.spec), sort_keys=True)
