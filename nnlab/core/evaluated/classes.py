"""What predicted probabilities are worth: curves over all thresholds, counts at some, and whether they come true.

true: bool (n,), whether a row is of the class; shares: float (n,), its predicted probability of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BINS = 10


def roc(true: np.ndarray, shares: np.ndarray) -> "pd.DataFrame":
    """threshold, false_positive_rate, true_positive_rate (scikit-learn's roc_curve); empty with one class only."""
    import pandas as pd
    from sklearn.metrics import roc_curve

    if true.all() or not true.any():
        return pd.DataFrame({"threshold": [], "false_positive_rate": [], "true_positive_rate": []}, dtype=float)
    false_rate, true_rate, at = roc_curve(true, shares)
    return pd.DataFrame({"threshold": at, "false_positive_rate": false_rate, "true_positive_rate": true_rate})


def precision_recall(true: np.ndarray, shares: np.ndarray) -> "pd.DataFrame":
    """threshold, recall, precision (scikit-learn's precision_recall_curve); empty where no row is of the class.

    The last point, of no row at all, has no threshold: nan.
    """
    import pandas as pd
    from sklearn.metrics import precision_recall_curve

    if not true.any():
        return pd.DataFrame({"threshold": [], "recall": [], "precision": []}, dtype=float)
    precision, recall, at = precision_recall_curve(true, shares)
    return pd.DataFrame({"threshold": np.append(at, np.nan), "recall": recall, "precision": precision})


def thresholds(true: np.ndarray, shares: np.ndarray, at: Sequence[float] | np.ndarray = THRESHOLDS) -> "pd.DataFrame":
    """Counts and rates where rows with a probability of at least each threshold are taken, one threshold a row."""
    import pandas as pd

    places = np.asarray(at, float)
    taken, hit = np.sort(shares), np.sort(shares[true])
    chosen = len(taken) - np.searchsorted(taken, places, "left")
    tp = len(hit) - np.searchsorted(hit, places, "left")
    fp, fn = chosen - tp, len(hit) - tp
    tn = len(taken) - tp - fp - fn
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = {
            "precision": tp / chosen,
            "recall": tp / len(hit),
            "specificity": tn / (tn + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "accuracy": (tp + tn) / len(taken),
        }
    return pd.DataFrame({"threshold": places, "tp": tp, "fp": fp, "fn": fn, "tn": tn, **rates})


def best_threshold(true: np.ndarray, shares: np.ndarray) -> float:
    """The smallest probability that, as a threshold, gives the largest F1; nan where no row is of the class."""
    if not true.any():
        return float("nan")
    at = np.unique(shares)
    return float(at[np.argmax(thresholds(true, shares, at)["f1"])])


def calibration(true: np.ndarray, shares: np.ndarray, bins: int = BINS) -> "pd.DataFrame":
    """predicted (mean probability), observed (share of the class) and rows of each bin of equal width that has any."""
    import pandas as pd
    from sklearn.calibration import calibration_curve

    if not len(true):
        return pd.DataFrame({"predicted": [], "observed": [], "rows": []})
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], shares)  # the bins of scikit-learn
    rows = np.bincount(place, minlength=bins)
    if true.all() or not true.any():  # which scikit-learn refuses
        predicted = np.bincount(place, shares, bins)[rows > 0] / rows[rows > 0]
        observed = np.full(len(predicted), float(true[0]))
    else:
        observed, predicted = calibration_curve(true, shares, n_bins=bins)
    return pd.DataFrame({"predicted": predicted, "observed": observed, "rows": rows[rows > 0]})
