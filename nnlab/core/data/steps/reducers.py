"""Fewer features in place of many."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import REDUCERS, Array, State
from nnlab.core.params import Within


@REDUCERS.add(apply=lambda x, state: x, labels=lambda labels, state: labels)
def none(x: Array, y: Array, classes: int, rng: np.random.Generator) -> State:
    """All features as they are."""
    return {}


def _axes(centred: Array) -> tuple[Array, Array]:
    """Squared singular values, largest first, and their axes, for those that are more than rounding."""
    if len(centred) < centred.shape[1]:
        _, sizes, vectors = np.linalg.svd(centred, full_matrices=False)
        values = sizes**2
    else:  # far less memory and time than the above
        values, vectors = np.linalg.eigh(centred.T @ centred)
        values, vectors = values[::-1].clip(0.0), vectors[:, ::-1].T
    rank = int((values > values[0] * max(centred.shape) * np.finfo(np.float64).eps).sum())
    return values[: max(rank, 1)], vectors[: max(rank, 1)]


@REDUCERS.add(
    apply=lambda x, state: (x - state["mean"]) @ state["components"].T,
    inverse=lambda z, state: z @ state["components"] + state["mean"],
    labels=lambda labels, state: tuple(f"pca {i + 1}" for i in range(len(state["components"]))),
)
def pca(
    x: Array,
    y: Array,
    classes: int,
    rng: np.random.Generator,
    components: Annotated[int | None, Within(1, 100_000, log=True), "number of components; auto: by share"] = None,
    share: Annotated[float, Within(0.0, 1.0), "share of the variance that the components keep, if auto"] = 0.95,
) -> State:
    """Principal components of the training rows (PCA of scikit-learn)."""
    mean = x.mean(0, dtype=np.float64)
    centred = x.astype(np.float64) - mean
    values, vectors = _axes(centred)
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)])
    told = np.cumsum(values) / max(values.sum(), np.finfo(np.float64).tiny)
    count = components or int(np.searchsorted(told, share - 1e-12)) + 1
    count = min(count, len(vectors))
    return {"mean": mean.astype(np.float32), "components": (vectors * signs[:, None])[:count].astype(np.float32)}
