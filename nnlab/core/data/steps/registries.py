"""The registries of what can be done to a table, and the contract of each. Every entry is one decorated function.

A function fits: it sees training rows only and returns its fitted state, a dict of JSON values and numpy arrays, which
is all that is stored. Its facts say what is done with the state; `steps/scalers.py` shows how. A contract that reads
fn(column) -> State; apply(column, state) stands for a registered function and a fact of that name.
"""

from typing import Any

import numpy as np

from nnlab.core.registry import Registry

Array = np.ndarray
State = dict[str, Any]

# column: float64 (n,) without NaN; fn(column, rng) -> State. Facts: apply(column, state), inverse(column, state).
SCALERS = Registry("scaler", "apply")

# fact scope="column": fn(present: float64 without NaN) -> State with "fill". scope="table": fn(matrix: float64 (n, k)
# with NaN, rng) -> State, apply(matrix, state) -> matrix without NaN. scope="order": fn() -> State, apply(column,
# series, state) -> column with fewer NaN, rows by group and time as ordered.py says; ahead: whether later rows give.
IMPUTERS = Registry("imputer", "scope")

# fn(present: float64 without NaN) -> State; apply(column with NaN, state) -> column.
OUTLIERS = Registry("outlier rule", "apply")

# A number as several features instead of one: fn(column: float64 without NaN, rng) -> State;
# apply(column, state) -> float64 (n, k); labels(name, state) -> k names; one_hot: the k are one category together.
EXPANDERS = Registry("expander", "apply", "labels")

# New numbers out of several columns: fn(names, matrix: float64 (n, k) without NaN, rng) -> State with "recipes":
# a list of [kind, name, name, ...]; see crosses.py.
CROSSES = Registry("cross", "apply", "labels")

# fn(data: Levels) -> Encoding.
ENCODERS = Registry("encoder")

# fn(texts: sequence of str, "" for missing; rng) -> State; apply(texts, state) -> float32 (n, k);
# labels(name, state) -> k names.
TEXTS = Registry("text step", "apply", "labels")

# On the float32 matrix of all features, one registry for each place in the chain: fn(x: float32 (n, f), y,
# classes: number of them or 0, rng) -> State; apply(x, state) -> x; labels(labels, state) -> labels.
FLAGS = Registry("outlier flag", "apply", "labels")
SELECTORS = Registry("selector", "apply", "labels")
REDUCERS = Registry("reducer", "apply", "labels")

# Training rows only: fn(data: Classed, rng) -> Balanced; see balance.py.
BALANCES = Registry("balance")

# More training rows: fn(sample: Sample, rng) -> Sample; see synthesis/.
SYNTHESIZERS = Registry("synthesizer")
