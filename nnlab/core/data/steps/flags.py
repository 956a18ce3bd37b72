"""A feature that marks unusual rows."""

from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import FLAGS, Array, State
from nnlab.core.params import Within

EULER = 0.5772156649015329


@FLAGS.add(apply=lambda x, state: x, labels=lambda labels, state: labels)
def none(x: Array, y: Array, classes: int, rng: np.random.Generator) -> State:
    """No mark."""
    return {}


def average_path(rows: Array) -> Array:
    """Mean depth of an unsuccessful search in a binary tree of so many rows (Liu et al. 2008)."""
    rows = np.asarray(rows, np.float64)
    deep = 2.0 * (np.log(np.maximum(rows - 1.0, 1.0)) + EULER) - 2.0 * (rows - 1.0) / np.maximum(rows, 1.0)
    return np.where(rows <= 1, 0.0, np.where(rows <= 2, 1.0, deep))


def outlier_scores(x: Array, state: State) -> Array:
    """Scores of isolation, -1 to 0; the lower, the more unusual (score_samples of scikit-learn)."""
    depth = np.zeros(len(x))
    rows = np.arange(len(x))
    starts = np.asarray(state["starts"])
    for start in starts:
        node = np.full(len(x), start)
        inner = np.asarray(state["left"])[node] >= 0
        while inner.any():
            here = rows[inner]
            at = node[here]
            low = x[here, state["feature"][at]] <= state["threshold"][at]
            node[here] = start + np.where(low, state["left"][at], state["right"][at])
            inner[here] = state["left"][node[here]] >= 0
        depth += state["depth"][node]
    return np.asarray(-(2.0 ** (-depth / (len(starts) * state["usual"]))))


def _marked(x: Array, state: State) -> Array:
    scores = outlier_scores(x, state)
    return np.hstack([x, (scores < state["limit"]).astype(np.float32)[:, None]])


@FLAGS.add(apply=_marked, labels=lambda labels, state: (*labels, "<outlier>"))
def isolation_forest(
    x: Array,
    y: Array,
    classes: int,
    rng: np.random.Generator,
    share: Annotated[float, Within(1e-6, 0.5, log=True), "share of the training rows that is marked"] = 0.01,
    trees: Annotated[int, Within(1, 10_000, log=True), "number of trees"] = 100,
) -> State:
    """1 for rows that random cuts part from the others early (IsolationForest of scikit-learn; Liu et al. 2008)."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=trees, random_state=int(rng.integers(2**31))).fit(x)
    left, right, feature, threshold, depth, starts, total = [], [], [], [], [], [], 0
    for tree in forest.estimators_:
        own = tree.tree_
        below = np.zeros(own.node_count)
        for node in range(own.node_count):  # children come after their parents
            if own.children_left[node] >= 0:
                below[[own.children_left[node], own.children_right[node]]] = below[node] + 1
        starts.append(total)
        total += own.node_count
        left.append(own.children_left)
        right.append(own.children_right)
        feature.append(np.maximum(own.feature, 0))
        threshold.append(own.threshold)
        depth.append(below + average_path(own.n_node_samples))
    state: State = {"starts": np.array(starts), "usual": float(average_path(np.array(forest.max_samples_))) or 1.0}
    state |= {"left": np.concatenate(left), "right": np.concatenate(right), "feature": np.concatenate(feature)}
    state |= {"threshold": np.concatenate(threshold), "depth": np.concatenate(depth)}
    state["limit"] = float(np.quantile(outlier_scores(x, state), share))
    return state
