"""Arrays of numbers as prepared data: every column is a number and keeps its place; rows may weigh."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np

from nnlab.core.data.numbers import LARGEST, Number
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.data.steps.scalers import EPS
from nnlab.core.data.target import Target
from nnlab.core.spec import PrepareSpec, to_json


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and standard deviation of each column of an array, 1 for constants. low, high: ends of the columns."""

    shift: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def apply(self, x: np.ndarray, dtype: str) -> np.ndarray:
        """Rows in standard deviations from the mean, as the network gets them."""
        with np.errstate(over="ignore"):
            scaled = (x.astype(np.float64) - self.shift) / self.scale
        return scaled.clip(-LARGEST, LARGEST).astype(dtype)


def scaling_of(x: np.ndarray, weight: np.ndarray | None) -> Scaling:
    """Of columns x (n, k), each row as often as its weight (n,) says: a row of weight 2 counts as two equal rows."""
    x = x.astype(np.float64)
    share = np.full(len(x), 1 / len(x)) if weight is None else weight / weight.sum()
    mean = share @ x
    variance = share @ np.square(x - mean)
    rounding = len(x) * EPS * variance + np.square(len(x) * mean * EPS)
    deviation = np.sqrt(np.where(variance > rounding, variance, 1.0))
    return Scaling(mean, deviation, x.min(0), x.max(0))


def prepared_arrays(
    x: np.ndarray, y: np.ndarray, target: Target, weight: np.ndarray | None, valid: np.ndarray
) -> tuple[Prepared, Scaling]:
    """Arrays ready for training, features standardized by the training rows, and how. y: (n,) codes or numbers.

    weight: how often each row is there, (n,), above 0; None for once. valid: positions of the rows that choose the best
    epoch; all others train.
    """
    train = np.setdiff1d(np.arange(len(x)), valid)
    own = None if weight is None else weight[train]
    scaling = scaling_of(x[train], own)
    if not target.classes:
        found = scaling_of(y[train, None], own)
        target = replace(target, mean=float(found.shift[0]), scale=float(found.scale[0]))
    features = [_number(f"x{i}", scaling, i) for i in range(x.shape[1])]
    pipeline = Pipeline(features, target)
    pipeline.rows = len(train)
    matrix = scaling.apply(x, target.dtype)
    goals = y if target.classes else target.scaled(y)
    loss = None if weight is None else (weight / weight.mean()).astype(target.dtype)
    spec = PrepareSpec(target.name, task=target.task, test=0.0, dtype=target.dtype)  # type: ignore[arg-type]
    fingerprint = _fingerprint(spec, x, y, weight, valid)

    def part(name: str, rows: np.ndarray) -> Rows:
        return Rows(matrix[rows], goals[rows], rows, None if loss is None else loss[rows], name, fingerprint)

    parts = part("train", train), part("valid", valid), part("test", valid[:0])
    counts = dict(zip(target.classes, np.bincount(y).tolist(), strict=True)) if target.classes else {}
    data = Prepared(spec, target, *parts, pipeline, fingerprint, "X", counts, None)
    return data, scaling


def _number(name: str, scaling: Scaling, place: int) -> Number:
    own = {"shift": float(scaling.shift[place]), "scale": float(scaling.scale[place])}
    ends = float(scaling.low[place]), float(scaling.high[place])
    return Number(name, own["shift"], False, "standard", own, low=ends[0], high=ends[1], complete=True)


def _fingerprint(spec: PrepareSpec, *arrays: np.ndarray | None) -> str:
    digest = hashlib.sha256(json.dumps(to_json(spec), sort_keys=True).encode())
    for array in arrays:
        digest.update(b"" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
