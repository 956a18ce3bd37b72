"""The fitted preparation: any frame with the same columns becomes the matrix that the network was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, column_of
from nnlab.core.data.features import Feature, feature_from
from nnlab.core.data.read import Table, read
from nnlab.core.data.target import Target, target_from
from nnlab.core.errors import DataError, did_you_mean

BLOCK = 16_384  # rows worked on at a time, so that a column's numbers stay in the cache
VERSION = 1


class Pipeline:
    """Fitted columns and the target. last_notes: what the last transform had to say, e.g. of levels never seen."""

    def __init__(self, features: Sequence[Feature], target: Target) -> None:
        self.features = tuple(features)
        self.target = target
        self.last_notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a frame must have."""
        return tuple(feature.name for feature in self.features)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        return tuple(label for feature in self.features for label in feature.labels)

    def __repr__(self) -> str:
        return f"Pipeline({len(self.features)} columns -> {len(self.feature_names)} features, {self.target.name!r})"

    def transform(self, frame: Any) -> np.ndarray:
        """The frame as (rows, features) float32, columns found by name, others ignored; DataError for a missing one."""
        table = read(frame)
        self._check(table)
        values, notes = [], []
        for feature in self.features:
            found, unseen = feature.values(column_of(feature.name, table.columns[feature.name]))
            values.append(found)
            if unseen:
                notes.append(f"column {feature.name!r}: {unseen} rows hold a level that training did not see")
        self.last_notes = tuple(notes)
        return self.matrix(values, np.arange(table.rows))

    def matrix(self, values: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """The features of the given rows of each column's values."""
        out = np.zeros((len(rows), len(self.feature_names)), np.float32)
        cuts = np.cumsum([0, *(len(feature.labels) for feature in self.features)])
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            for feature, column, low, high in zip(self.features, values, cuts[:-1], cuts[1:], strict=True):
                feature.write(column[block], out[start : start + BLOCK, low:high])
        return out

    def transform_target(self, frame: Any) -> np.ndarray:
        """The target of a frame that has it: int64 codes, or scaled float32."""
        table = read(frame)
        name = self.target.name if self.target.name in table.columns else table.target
        if name is None:
            raise DataError(f"no target column {self.target.name!r}{did_you_mean(self.target.name, table.columns)}")
        column = column_of(name, table.columns[name])
        return self.target.encode_column(Column(self.target.name, column.kind, column.data, column.levels))

    def _check(self, table: Table) -> None:
        lost = [name for name in self.columns if name not in table.columns]
        if lost:
            near = did_you_mean(lost[0], [name for name in table.columns if name not in self.columns])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise DataError(f"{table.name} lacks columns: {', '.join(map(repr, lost[:5]))}{more}{near}")

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Everything as JSON values and arrays by name; `from_state` makes the same pipeline of them, to the bit."""
        plain: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for i, feature in enumerate(self.features):
            own, found = feature.state()
            plain.append(own)
            arrays |= {f"{i}.{key}": np.ascontiguousarray(value) for key, value in found.items()}
        return {"version": VERSION, "target": self.target.state(), "features": plain}, arrays

    @classmethod
    def from_state(cls, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Pipeline":
        """The pipeline that `state` wrote."""
        if plain.get("version") != VERSION:
            raise DataError(f"the pipeline has version {plain.get('version')}; this nnlab reads version {VERSION}")
        own: list[dict[str, np.ndarray]] = [{} for _ in plain["features"]]
        for name, value in arrays.items():
            i, _, key = name.partition(".")
            own[int(i)][key] = value
        features = [feature_from(state, found) for state, found in zip(plain["features"], own, strict=True)]
        return cls(features, target_from(plain["target"]))
