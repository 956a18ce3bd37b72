"""Several features out of one number."""

from typing import Annotated, Literal

import numpy as np

from nnlab.core.data.steps.registries import EXPANDERS, Array, State
from nnlab.core.params import Within


@EXPANDERS.add(apply=lambda column, state: column[:, None], labels=lambda name, state: (name,))
def none(column: Array, rng: np.random.Generator) -> State:
    """The number stays one feature."""
    return {}


def _spline_basis(column: Array, state: State) -> Array:
    from scipy.interpolate import BSpline

    knots, degree = np.asarray(state["knots"]), state["degree"]
    count = len(knots) - degree - 1
    inside = np.clip(column, knots[degree], knots[count])  # constant beyond the ends
    return np.asarray(BSpline.design_matrix(inside, knots, degree).toarray())


@EXPANDERS.add(
    apply=_spline_basis,
    labels=lambda name, state: tuple(f"{name} spline {i}" for i in range(len(state["knots"]) - state["degree"] - 1)),
)
def splines(
    column: Array,
    rng: np.random.Generator,
    knots: Annotated[int, Within(2, 1000, search=(3, 20)), "number of knots, at quantiles of the column"] = 5,
    degree: Annotated[int, Within(1, 5), "degree of the pieces"] = 3,
) -> State:
    """B-splines of the column, constant beyond the training range (SplineTransformer of scikit-learn)."""
    base = np.unique(np.percentile(column, np.linspace(0.0, 100.0, knots)))
    # Pieces are divided by their widths, so that knots within rounding, or of almost no number at all, give NaN.
    base = base[np.append(True, np.diff(base) > max(1e-12 * (base[-1] - base[0]), 1e-250))]
    if len(base) < 2:
        base = np.array([base[0], base[0] + max(1.0, 1e-6 * abs(base[0]))])  # 1 is lost beside large numbers
    before = base[0] - (base[1] - base[0]) * np.arange(degree, 0, -1)
    after = base[-1] + (base[-1] - base[-2]) * np.arange(1, degree + 1)
    return {"knots": np.concatenate([before, base, after]), "degree": degree}


def _bin_flags(column: Array, state: State) -> Array:
    edges = np.asarray(state["edges"])
    place = np.searchsorted(edges[1:-1], column, side="right")
    return np.asarray(np.eye(len(edges) - 1)[place])


@EXPANDERS.add(
    apply=_bin_flags,
    labels=lambda name, state: tuple(f"{name} bin {i}" for i in range(len(state["edges"]) - 1)),
    one_hot=True,
)
def bins(
    column: Array,
    rng: np.random.Generator,
    count: Annotated[int, Within(2, 1000, search=(3, 30)), "number of bins"] = 8,
    widths: Annotated[Literal["quantile", "uniform"], "equal rows or equal widths"] = "quantile",
) -> State:
    """A 0/1 feature for each bin of the column (KBinsDiscretizer of scikit-learn)."""
    if widths == "uniform":
        edges = np.linspace(column.min(), column.max(), count + 1)
    else:
        edges = np.percentile(column, np.linspace(0.0, 100.0, count + 1))
    edges = np.unique(edges)
    return {"edges": edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])}
