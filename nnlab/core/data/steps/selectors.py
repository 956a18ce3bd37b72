"""Which features of the matrix are kept. All give {"keep": int64 positions}, at least one."""

from typing import Annotated, Any

import numpy as np

from nnlab.core.data.steps.registries import SELECTORS, Array, State
from nnlab.core.errors import DataError
from nnlab.core.params import Within

NEIGHBORS = 3  # of a row, in the estimate of mutual information; the same as scikit-learn's
ROWS = 20_000  # at most so many are looked at where the cost grows fast


def kept(x: Array, state: State) -> Array:
    """The kept features."""
    return x[:, np.asarray(state["keep"])]


def kept_labels(labels: tuple[str, ...], state: State) -> tuple[str, ...]:
    """Their names."""
    return tuple(labels[i] for i in np.asarray(state["keep"]))


@SELECTORS.add(apply=kept, labels=kept_labels)
def none(x: Array, y: Array, classes: int, rng: np.random.Generator) -> State:
    """All features."""
    return {"keep": np.arange(x.shape[1])}


@SELECTORS.add(apply=kept, labels=kept_labels)
def variance(
    x: Array,
    y: Array,
    classes: int,
    rng: np.random.Generator,
    threshold: Annotated[float, Within(0.0, 1e6), "features whose variance is not above it go"] = 0.01,
) -> State:
    """Features that vary (VarianceThreshold of scikit-learn)."""
    spread = x.var(0, dtype=np.float64)
    return _positions(spread, spread > threshold)


@SELECTORS.add(apply=kept, labels=kept_labels)
def mutual_info(
    x: Array,
    y: Array,
    classes: int,
    rng: np.random.Generator,
    keep: Annotated[int, Within(1, 1_000_000, log=True), "number of features that stay"] = 20,
) -> State:
    """Features that tell most of the target (mutual_info_classif and _regression of scikit-learn)."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    rows = _sample(len(x), rng)
    if classes and np.bincount(y[rows]).max() < 2:
        raise DataError("select=mutual_info needs two training rows of a class, every class has one; use variance")
    if not classes and len(rows) <= NEIGHBORS:
        raise DataError(f"select=mutual_info needs {NEIGHBORS + 1} training rows, got {len(rows)}; use variance")
    measure = mutual_info_classif if classes else mutual_info_regression
    told = measure(x[rows], y[rows], n_neighbors=NEIGHBORS, random_state=int(rng.integers(2**31)))
    best = np.zeros(x.shape[1], bool)
    best[np.argsort(-told, kind="stable")[:keep]] = True
    return _positions(told, best)


@SELECTORS.add(apply=kept, labels=kept_labels)
def l1(
    x: Array,
    y: Array,
    classes: int,
    rng: np.random.Generator,
    strength: Annotated[float, Within(1e-6, 1e3, log=True, search=(1e-4, 0.1)), "penalty; larger keeps fewer"] = 0.01,
) -> State:
    """Features with a weight in a linear model with L1 penalty (Lasso, or L1 logistic regression for classes)."""
    from sklearn.linear_model import Lasso, LogisticRegression

    rows = _sample(len(x), rng)
    if classes and len(np.unique(y[rows])) < 2:
        raise DataError(f"select=l1 needs two classes, the {len(rows)} training rows have one; use variance")
    inputs = x[rows].astype(np.float64)
    spread = inputs.std(0)
    inputs = (inputs - inputs.mean(0)) / np.where(spread > 0, spread, 1.0)
    if classes:
        model = LogisticRegression(l1_ratio=1.0, solver="saga", C=1.0 / (strength * len(rows)), max_iter=200, tol=1e-3)
    else:
        scale = y[rows].std() or 1.0
        model = Lasso(alpha=strength)
    target = y[rows] if classes else (y[rows] - y[rows].mean()) / scale
    weights = np.abs(np.atleast_2d(_fitted(model, inputs, target).coef_)).max(0)
    return _positions(weights, weights > 0)


def _fitted(model: Any, x: Array, y: Array) -> Any:
    """An unfinished fit is good enough to choose by."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _sample(rows: int, rng: np.random.Generator) -> Array:
    return np.arange(rows) if rows <= ROWS else np.sort(rng.choice(rows, ROWS, replace=False))


def _positions(score: Array, chosen: Array) -> State:
    keep = np.flatnonzero(chosen)
    return {"keep": keep if len(keep) else np.array([int(np.argmax(score))])}
