"""Imputers of the whole table: gaps of a column are filled by what the other columns say."""

from typing import Annotated, Literal

import numpy as np

from nnlab.core.data.steps.registries import IMPUTERS, Array, State
from nnlab.core.params import Within


def _nearest(matrix: Array, state: State) -> Array:
    from sklearn.impute import KNNImputer

    scale = np.asarray(state["scale"])
    imputer = KNNImputer(n_neighbors=state["neighbors"], weights=state["weights"], keep_empty_features=True)
    imputer.fit(np.asarray(state["rows"]))
    gaps = np.isnan(matrix).any(1)
    out = matrix.copy()
    if gaps.any():
        out[gaps] = imputer.transform(matrix[gaps] / scale) * scale
        out[~np.isnan(matrix)] = matrix[~np.isnan(matrix)]
    return out


@IMPUTERS.add(scope="table", apply=_nearest)
def knn(
    matrix: Array,
    rng: np.random.Generator,
    neighbors: Annotated[int, Within(1, 1000, log=True, search=(3, 30)), "rows that are averaged"] = 5,
    weights: Annotated[Literal["uniform", "distance"], "whether nearer rows count more"] = "distance",
    most_rows: Annotated[int, Within(10, 1_000_000, log=True), "training rows that are compared with"] = 5000,
) -> State:
    """Mean of the nearest training rows, columns by their standard deviation (KNNImputer of scikit-learn)."""
    rows = matrix
    if len(matrix) > most_rows:
        rows = matrix[np.sort(rng.choice(len(matrix), most_rows, replace=False))]
    there = ~np.isnan(matrix)
    mean = np.where(there, matrix, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    scale = np.sqrt(np.where(there, (matrix - mean) ** 2, 0.0).sum(0) / np.maximum(there.sum(0), 1))
    scale[scale == 0] = 1.0
    return {"rows": rows / scale, "scale": scale, "neighbors": neighbors, "weights": weights}


def _by_regression(matrix: Array, state: State) -> Array:
    gaps = np.isnan(matrix)
    out = np.where(gaps, np.asarray(state["start"]), matrix)
    order, weights, bias = (np.asarray(state[key]) for key in ("order", "weights", "bias"))
    for column, own, shift in zip(order, weights, bias, strict=True):
        missing = gaps[:, column]
        if missing.any():
            others = np.delete(out[missing], column, axis=1)
            out[missing, column] = others @ own + shift
    return out


@IMPUTERS.add(scope="table", apply=_by_regression)
def iterative(
    matrix: Array,
    rng: np.random.Generator,
    rounds: Annotated[int, Within(1, 100, search=(3, 20)), "times that each column is predicted anew"] = 10,
) -> State:
    """Each column predicted by the others in turns (IterativeImputer of scikit-learn with Bayesian ridge)."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (registers the class)
    from sklearn.impute import IterativeImputer

    columns = matrix.shape[1]
    imputer = IterativeImputer(max_iter=rounds, keep_empty_features=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer.fit(matrix)
    triples = imputer.imputation_sequence_ if columns > 1 else []
    start = np.nan_to_num(imputer.initial_imputer_.statistics_)
    weights = np.zeros((len(triples), max(columns - 1, 0)))
    for i, triple in enumerate(triples):
        place = {int(other): k for k, other in enumerate(np.delete(np.arange(columns), triple.feat_idx))}
        weights[i, [place[int(other)] for other in triple.neighbor_feat_idx]] = triple.estimator.coef_
    bias = np.array([float(triple.estimator.intercept_) for triple in triples])
    order = np.array([int(triple.feat_idx) for triple in triples], np.int64)
    return {"start": start, "order": order, "weights": weights, "bias": bias}
