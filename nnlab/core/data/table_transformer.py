"""A preparation as a scikit-learn transformer. Only who asks for one imports this file, and with it scikit-learn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from nnlab.core.data.parting import ASIDE, NAMING
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.read import TARGET, are_dicts, read
from nnlab.core.data.sources import dense, is_sparse
from nnlab.core.errors import DataError
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec

# All rows given to fit are training rows, and as many come out. Columns of groups, parts and weights are no features.
NOT_HERE: dict[str, Any] = {
    "test": 0.0,
    "valid": 0.0,
    "split": "random",
    "folds": None,
    "drop_rows": None,
    "strict": False,
    "group_duplicates": False,
    "conflicts": "keep",
    "balance": Part("none"),
    "synthesis": Part("none"),
}


class TableTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Tables as matrices of numbers, as nnlab prepares them, within scikit-learn's pipelines and searches.

    spec: how; its options of splitting, weighing and adding rows play no part, since all rows of fit are training rows.
    Tables go by the names of their columns, arrays by place. fit_transform gives rows of fit what training rows get:
    with target encoding that is not what transform gives, as with scikit-learn's TargetEncoder.
    """

    def __init__(self, spec: PrepareSpec | None = None) -> None:
        self.spec = spec

    def fit(self, X: Any, y: Any) -> "TableTransformer":
        """Learn the preparation from all rows. X: what nnlab.prepare takes as a table; y: its target, row by row."""
        self.prepared(X, y)
        return self

    def fit_transform(self, X: Any, y: Any, **fit_params: Any) -> np.ndarray:
        """Learn the preparation and give the features (rows, features) of the same rows."""
        return self.prepared(X, y).train.x

    def transform(self, X: Any) -> np.ndarray:
        """Rows of a table with the same columns, or of an array of as many, as (rows, features)."""
        pipeline, table = self._known(), _table(X)
        if isinstance(table, np.ndarray):
            if table.shape[1] != self.n_features_in_:
                raise DataError(
                    f"X has {table.shape[1]} features, but TableTransformer is expecting {self.n_features_in_} features"
                    " as input"
                )
            table = {name: table[:, i] for i, name in enumerate(self.columns_)}
        return pipeline.transform(table)

    def inverse_transform(self, X: Any) -> Any:
        """Features as columns in their own units again, a pandas DataFrame; gaps come back filled."""
        return self._known().inverse(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the features."""
        return np.asarray(self._known().feature_names, object)

    def prepared(self, x: Any, y: Any) -> Prepared:
        """Learn the preparation from all rows and give all that it knows; every row is a training row."""
        if y is None:
            raise ValueError("TableTransformer requires y to be passed, but the target y is None")
        table = _table(x)
        columns = list(read(table).columns)
        target = str(getattr(y, "name", None) or TARGET) if not hasattr(y, "columns") else TARGET
        while target in columns:  # its name says nothing here; a column of X may have it
            target += "_"
        spec = replace(self.spec or PrepareSpec(""), target=target, **NOT_HERE)
        absent: dict[str, Any] = {word: None for word in NAMING if getattr(spec, word) not in columns}
        spec = replace(spec, **absent)
        data = prepare((table, _by_place(y, table, target)), target, spec=spec)
        self._learnt(data.pipeline, columns, named=not isinstance(table, np.ndarray))
        return data

    def _learnt(self, pipeline: Pipeline, columns: Sequence[str], named: bool) -> None:
        self.pipeline_, self.columns_, self.n_features_in_ = pipeline, tuple(columns), len(columns)
        if named:
            self.feature_names_in_ = np.asarray(columns, object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

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
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = [self.spec.dtype if self.spec else "float32"]
        return tags


def fitted_transformer(data: Prepared) -> TableTransformer:
    """The transformer of prepared data, fitted on its training rows; a clone can be fitted anew."""
    made = TableTransformer(data.spec)
    columns = [column.name for column in data.columns if column.role not in ("target", *ASIDE)]
    made._learnt(data.pipeline, columns, named=True)
    return made


def _table(x: Any) -> Any:
    """What has names for its columns as it is, all else as an array (rows, columns). ValueError for other shapes."""
    words = ("collect_schema", "columns", "column_names")  # in this order: a LazyFrame warns if it is asked for columns
    named = any(hasattr(x, word) for word in words)
    if isinstance(x, str | dict) or hasattr(x, "__fspath__") or (named and not is_sparse(x)) or are_dicts(x):
        return x
    array = dense(x, "X") if is_sparse(x) else np.asanyarray(x)
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim == 1:
        raise ValueError(
            "Expected 2D array, got 1D array instead. Reshape your data: array.reshape(-1, 1) if it has one feature, "
            "array.reshape(1, -1) if it is one sample"
        )
    return array


def _by_place(y: Any, table: Any, name: str) -> Any:
    """The target with the labels of the table: scikit-learn pairs rows by place, whatever they are called."""
    import pandas as pd

    values = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        return values  # prepare says what is wrong
    index = table.index if isinstance(table, pd.DataFrame) and len(table) == len(values) else None
    return pd.Series(values, index, name=name)
