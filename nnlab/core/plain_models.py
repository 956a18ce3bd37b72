"""Ridge and logistic regression with scikit-learn's default penalties and so its minima, without loading it.

Loading takes a second and 50 MB, more than most of the runs that these stand beside.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

ROWS = 4096  # at a time, where sums need more digits than the features have
STEPS = 100
STILL = 1e-4  # largest slope of the mean loss at which it counts as a minimum
MEMORY = 10  # pairs of steps and changes of the slope that stand for the curvature
TRIES = 20  # halvings of a step
GAIN = 1e-4  # share of the foretold gain that a step must bring (Armijo 1966)


class Ridge:
    """Least squares + |w|^2, the intercept free: (X'X + I) w = X'y of centered columns."""

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "Ridge":
        """x (n, features), y (n,); sample_weight (n,): how much each row counts."""
        weight = np.ones(len(x)) if sample_weight is None else sample_weight.astype(np.float64)
        mass, features = weight.sum(), x.shape[1]
        center, middle = weight @ x / mass, weight @ y / mass
        squares, products = np.eye(features), np.zeros(features)
        for at in range(0, len(x), ROWS):
            part, own = x[at : at + ROWS] - center, weight[at : at + ROWS]
            squares += part.T @ (part * own[:, None])
            products += part.T @ (own * (y[at : at + ROWS] - middle))
        self._slope = np.linalg.solve(squares, products)
        self._shift = middle - center @ self._slope
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Numbers (n,)."""
        return np.asarray(x @ self._slope + self._shift)


class Logistic:
    """Cross-entropy of softmax(x W + b), summed over rows, + |W|^2 / 2; of two classes the first has W = 0 and b = 0.

    classes_: codes that fitted rows have. ValueError where that is one alone.
    """

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "Logistic":
        """x (n, features), y (n,) codes; sample_weight (n,): how much each row counts."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("all rows are of one class")
        self._free = slice(1, None) if len(self.classes_) == 2 else slice(None)
        given, target = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(codes)
        weight = torch.ones(len(x)) if sample_weight is None else torch.from_numpy(sample_weight)
        weight = (weight / weight.sum(dtype=torch.float64)).to(given)
        penalty = 1.0 / (len(x) if sample_weight is None else float(sample_weight.sum()))
        columns = len(self.classes_[self._free])
        start = torch.zeros((x.shape[1] + 1) * columns, dtype=torch.float64)

        def loss(values: Tensor) -> tuple[float, Tensor]:
            # d/dW = X'(w (p - e_y)) + penalty W, and d/db = the sum of w (p - e_y), with e_y the row's class
            both = values.view(-1, columns)
            logs = self._logits(given, both).log_softmax(1)
            value = -(logs.gather(1, target.unsqueeze(1)).squeeze(1) * weight).sum(dtype=torch.float64)
            value += penalty / 2 * both[:-1].square().sum()
            off = logs.exp_()
            off[torch.arange(len(off)), target] -= 1.0
            off = off[:, self._free] * weight.unsqueeze(1)
            slope = torch.cat([(given.T @ off).double() + penalty * both[:-1], off.sum(0, dtype=torch.float64)[None]])
            return float(value), slope.view(-1)

        self._values = minimum(loss, start).view(-1, columns)
        return self

    def _logits(self, x: Tensor, both: Tensor) -> Tensor:
        output = torch.addmm(both[-1].to(x), x, both[:-1].to(x))
        return output if output.shape[1] > 1 else torch.cat([torch.zeros_like(output), output], 1)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) in the order of `classes_`."""
        logits = self._logits(torch.from_numpy(np.ascontiguousarray(x)), self._values)
        return np.asarray(logits.double().softmax(1).numpy())


def minimum(function: Callable[[Tensor], tuple[float, Tensor]], at: Tensor) -> Tensor:
    """Where a smooth convex function is least, by L-BFGS (Liu & Nocedal 1989). function: place -> value and slope."""
    pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=MEMORY)
    value, slope = function(at)
    for _ in range(STEPS):
        if float(slope.abs().max()) <= STILL:
            break
        way = -_bent(slope, pairs)
        length, down = 1.0 if pairs else min(1.0, 1.0 / float(slope.abs().sum())), float(slope @ way)
        for _ in range(TRIES):
            there, (reached, steepness) = at + length * way, function(at + length * way)
            if reached <= value + GAIN * length * down:
                break
            length /= 2
        else:
            break  # rounding is all that is left
        step, change = there - at, steepness - slope
        if float(step @ change) > 0:
            pairs.append((step, change))
        at, value, slope = there, reached, steepness
    return at


def _bent(slope: Tensor, pairs: deque[tuple[Tensor, Tensor]]) -> Tensor:
    """The slope times an estimate of the inverse of the curvature: the two loops of Nocedal & Wright, algorithm 7.4."""
    way, shares = slope.clone(), list[float]()
    for step, change in reversed(pairs):
        shares.append(float(step @ way) / float(step @ change))
        way -= shares[-1] * change
    if pairs:
        step, change = pairs[-1]
        way *= float(step @ change) / float(change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        way += (share - float(change @ way) / float(step @ change)) * step
    return way
