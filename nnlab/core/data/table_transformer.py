"""A preparation as a scikit-learn transformer. Only who asks for one imports this file, and with it scikit-learn."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec

PARTED: dict[str, Any] = {
    "test": 0.0,
    "valid": 0.0,
    "split": "random",
    "group": None,
    "time": None,
    "gap": 0.0,
    "part": None,
}
NOT_HERE: dict[str, Any] = {
    "folds": None,
    "weight": None,
    "drop_rows": None,
    "strict": False,
    "group_duplicates": False,
}


class TableTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Tables as float32 matrices, as nnlab prepares them, within scikit-learn's pipelines and searches.

    spec: how; its options of splitting, weighing and adding rows play no part, since all rows of fit are training rows.
    fit_transform gives rows of fit what training rows get: with target encoding that is not what transform gives.
    """

    def __init__(self, spec: PrepareSpec | None = None) -> None:
        self.spec = spec

    def fit(self, X: Any, y: Any) -> "TableTransformer":
        """Learn the preparation from all rows. X: what nnlab.prepare takes as a table; y: its target."""
        self._fitted(X, y)
        return self

    def fit_transform(self, X: Any, y: Any, **fit_params: Any) -> np.ndarray:
        """Learn the preparation and give the features (rows, features) of the same rows."""
        return self._fitted(X, y).train.x

    def transform(self, X: Any) -> np.ndarray:
        """Rows of a table with the same columns as float32 (rows, features)."""
        return self._known().transform(X)

    def inverse_transform(self, X: Any) -> Any:
        """Features as columns in their own units again, a pandas DataFrame; gaps come back filled."""
        return self._known().inverse(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the features."""
        return np.asarray(self._known().feature_names, object)

    def _fitted(self, x: Any, y: Any) -> Prepared:
        spec = replace(self.spec or PrepareSpec(""), balance=Part("none"), synthesis=Part("none"))
        spec = replace(spec, **PARTED, **NOT_HERE)
        data = prepare((x, y), spec=replace(spec, target=str(getattr(y, "name", None) or "target")))
        self.pipeline_ = data.pipeline
        self.n_features_in_ = len(data.columns) - 1
        self.feature_names_in_ = np.asarray([c.name for c in data.columns if c.role != "target"], object)
        return data

    def _known(self) -> Pipeline:
        if not hasattr(self, "pipeline_"):
            raise NotFittedError("this TableTransformer is not fitted yet; call fit first")
        found: Pipeline = self.pipeline_
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "pipeline_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


def fitted_transformer(data: Prepared) -> TableTransformer:
    """The transformer of prepared data, fitted on its training rows; a clone can be fitted anew."""
    made = TableTransformer(data.spec)
    made.pipeline_ = data.pipeline
    made.n_features_in_ = len(data.columns) - 1
    made.feature_names_in_ = np.asarray([c.name for c in data.columns if c.role != "target"], object)
    return made
