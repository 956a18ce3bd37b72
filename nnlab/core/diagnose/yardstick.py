"""A forest as a yardstick: what a plain model, fitted in a second, makes of the same rows."""

from dataclasses import dataclass

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows

MOST_ROWS = 3000
TREES = 100
LEAF = 2  # rows of a leaf at least


@dataclass(frozen=True, eq=False)
class Forest:
    """valid: its predictions (rows, classes) or (rows,) of validation rows. out_of_bag: of training rows by trees that
    did not see them; y: the truth of these."""

    valid: np.ndarray
    out_of_bag: np.ndarray
    y: np.ndarray


def forest(data: Prepared, valid: np.ndarray) -> Forest:
    """Fitted on at most MOST_ROWS training rows, evenly chosen. valid: places of the validation rows to predict."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if data.target.classes else RandomForestRegressor
    some = evenly(data.train, MOST_ROWS)
    x, y = np.asarray(data.train.x[some]), data.train.y[some]
    model = kind(TREES, min_samples_leaf=LEAF, oob_score=True, random_state=0, n_jobs=1).fit(x, y)
    if not data.target.classes:
        return Forest(model.predict(data.valid.x[valid]), model.oob_prediction_, y)
    shape = (len(valid), len(data.target.classes))
    shares, out_of_bag = np.zeros(shape), np.zeros((len(y), shape[1]))
    shares[:, model.classes_] = model.predict_proba(data.valid.x[valid])
    out_of_bag[:, model.classes_] = np.nan_to_num(model.oob_decision_function_)
    return Forest(shares, out_of_bag, y)


def evenly(rows: Rows, most: int) -> np.ndarray:
    """Places of at most so many rows, evenly over a part."""
    return np.unique(np.linspace(0, len(rows.y) - 1, min(len(rows.y), most)).round().astype(int))
