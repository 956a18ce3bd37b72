"""New numbers out of several columns: powers, products and ratios, each scaled like a column afterwards."""

from collections.abc import Mapping
from itertools import combinations, permutations
from typing import Annotated

import numpy as np

from nnlab.core.data.steps.registries import CROSSES, Array, State
from nnlab.core.params import Within
from nnlab.core.wording import agreeing

Most = Within(1, 100_000, log=True)


def cross_labels(state: State) -> tuple[str, ...]:
    """a*b, a/b, a^2."""
    return tuple(f"{a}{kind}{b}" for kind, a, b in state["recipes"])


def crossed(columns: Mapping[str, Array], state: State) -> Array:
    """The new numbers (n, m) of columns by name."""
    n = len(next(iter(columns.values()), ()))
    out = np.empty((n, len(state["recipes"])))
    with np.errstate(over="ignore"):  # what is too large is put at the ends of float32 below
        for i, (kind, a, b) in enumerate(state["recipes"]):
            if kind == "^":
                out[:, i] = columns[a] ** int(b)
            elif kind == "*":
                out[:, i] = columns[a] * columns[b]
            else:
                bottom = columns[b]
                out[:, i] = np.divide(columns[a], bottom, out=np.zeros(n), where=bottom != 0)
    limit = float(np.finfo(np.float32).max)
    return np.clip(np.nan_to_num(out, posinf=limit, neginf=-limit), -limit, limit)


@CROSSES.add(apply=crossed, labels=cross_labels)
def none(names: tuple[str, ...], matrix: Array, rng: np.random.Generator) -> State:
    """No new numbers."""
    return {"recipes": []}


@CROSSES.add(apply=crossed, labels=cross_labels)
def polynomial(
    names: tuple[str, ...],
    matrix: Array,
    rng: np.random.Generator,
    most: Annotated[int, Most, "most new numbers; beyond, those of the most different columns"] = 100,
    degree: Annotated[int, Within(2, 3), "largest power; 3 adds cubes"] = 2,
) -> State:
    """Powers and products of two columns (those of PolynomialFeatures of scikit-learn)."""
    wide = _by_spread(names, matrix)
    found = [["^", name, "2"] for name in wide] + [["*", a, b] for a, b in combinations(wide, 2)]
    return _capped(found + [["^", name, str(power)] for power in range(3, degree + 1) for name in wide], most)


@CROSSES.add(apply=crossed, labels=cross_labels)
def interactions(
    names: tuple[str, ...],
    matrix: Array,
    rng: np.random.Generator,
    most: Annotated[int, Most, "most new numbers; beyond, those of the most different columns"] = 100,
) -> State:
    """Products of two columns."""
    return _capped([["*", a, b] for a, b in combinations(_by_spread(names, matrix), 2)], most)


@CROSSES.add(apply=crossed, labels=cross_labels)
def ratios(
    names: tuple[str, ...],
    matrix: Array,
    rng: np.random.Generator,
    most: Annotated[int, Most, "most new numbers; beyond, those of the most different columns"] = 100,
) -> State:
    """A column divided by another one that keeps its sign and stays away from 0 in training."""
    smallest, typical = np.abs(matrix).min(0), np.abs(matrix).mean(0)
    signed = np.all(matrix > 0, axis=0) | np.all(matrix < 0, axis=0)
    safe = {name for i, name in enumerate(names) if signed[i] and smallest[i] > 1e-6 * typical[i]}
    return _capped([["/", a, b] for a, b in permutations(_by_spread(names, matrix), 2) if b in safe], most)


def _by_spread(names: tuple[str, ...], matrix: Array) -> list[str]:
    """Names by the number of different values (of a sample), most first."""
    sample = matrix[:: max(1, len(matrix) // 2000)]
    different = [-len(np.unique(sample[:, i])) for i in range(len(names))]
    return [names[i] for i in np.argsort(different, kind="stable")]


def _capped(recipes: list[list[str]], most: int) -> State:
    state: State = {"recipes": recipes[:most]}
    if len(recipes) > most:
        made = f"{most} of {len(recipes)} possible new numbers {agreeing(most, 'is', 'are')} made"
        state["note"] = f"{made}; --cross.most {len(recipes)} makes all"
    return state
