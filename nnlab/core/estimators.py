"""Estimators of scikit-learn over the training core. Only who asks for one imports this file, and scikit-learn."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, _safe_indexing, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from nnlab.core.data.arrays import Scaling, prepared_arrays
from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.data.sources import dense, is_sparse
from nnlab.core.data.table_transformer import TableTransformer
from nnlab.core.data.target import Target, Task
from nnlab.core.errors import DataError, RunError, did_you_mean
from nnlab.core.fit import Where, fit
from nnlab.core.models import MODELS
from nnlab.core.options import resolve
from nnlab.core.run import Run
from nnlab.core.spec import CUSTOM, PrepareSpec, TrainSpec

PARTS = ("hidden", "activation", "dropout", "lr", "weight_decay")  # values of parts that have a parameter of their own
OWN = {"validation_fraction": 0.0, "prepare": None, "options": None, "random_state": None, "store": False}
ELSEWHERE = ("seed", "class_weight")  # random_state, and of classifiers alone
TARGET = "target"
SPARSE = ("csr", "csc", "coo")
E_ = TypeVar("E_", bound=type)


def _parameters(**own: Any) -> Callable[[E_], E_]:
    """Give a class the parameters of TrainSpec, those of PARTS and its own, which scikit-learn reads off `__init__`."""
    names = [field.name for field in fields(TrainSpec) if field.name not in ELSEWHERE]
    defaults: dict[str, Any] = dict.fromkeys([*names, *PARTS]) | own
    keyword = inspect.Parameter.KEYWORD_ONLY
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    def decorate(made: E_) -> E_:
        def __init__(self: Any, **given: Any) -> None:
            for name in given:
                if name not in defaults:
                    near = did_you_mean(name, defaults) or '; other options go by options={"name": value}'
                    raise TypeError(f"{type(self).__name__} has no parameter {name!r}{near}")
            for name, value in (defaults | given).items():
                setattr(self, name, value)

        listed = [inspect.Parameter(name, keyword, default=value) for name, value in defaults.items()]
        __init__.__signature__ = inspect.Signature([self, *listed])  # type: ignore[attr-defined]
        made.__init__ = __init__  # type: ignore[misc]
        return made

    return decorate


class _Network(BaseEstimator):  # type: ignore[misc]
    """What both estimators share."""

    options: Mapping[str, Any] | None
    prepare: PrepareSpec | Mapping[str, Any] | None
    validation_fraction: float
    random_state: Any
    store: Where

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> Any:
        """For pickles and copies: the network is on the CPU there."""
        state = super().__getstate__()
        if "run_" in state:
            state = {**state, "run_": _on_cpu(state["run_"])}
        return state

    def _options(self) -> dict[str, Any]:
        """What was asked for, as `nnlab.fit` takes it."""
        named = [field.name for field in fields(TrainSpec) if field.name != "seed" and hasattr(self, field.name)]
        given = {name: getattr(self, name) for name in (*named, *PARTS) if getattr(self, name) is not None}
        found: dict[str, Any] = {"model": "mlp"} | given  # the same network whatever the rows of a fold
        if found.get("dropout") == 0 and not self._has("dropout"):
            del found["dropout"]
        return found | dict(self.options or {})

    def _is_table(self, X: Any) -> bool:
        """Whether X is prepared as `nnlab.prepare` does it."""
        return self.prepare is not None or _needs_preparation(X)

    def _has(self, word: str) -> bool:
        """Whether the chosen network has such a parameter."""
        name = getattr(self.model, "name", self.model) or "mlp"
        return isinstance(name, str) and name in MODELS and word in MODELS[name].params

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _checked(self, X: Any, y: Any, numbers: bool) -> tuple[Any, np.ndarray]:
        """X as it is used and y as an array (n,). numbers: y holds numbers."""
        if self._is_table(X):
            validate_data(self, X, skip_check_array=True)
            if y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
            y = column_or_1d(y, dtype=np.float64 if numbers else None, warn=True)
            assert_all_finite(y, input_name="y")
            check_consistent_length(X, y)
            return X, y
        X, y = validate_data(self, X, y, accept_sparse=SPARSE, y_numeric=numbers)
        return (dense(X, "X") if is_sparse(X) else X), y

    def _fitted(self, X: Any, y: np.ndarray, target: Target, weight: np.ndarray | None) -> Any:
        """Train on rows that all count. y: codes or numbers."""
        seed, options = self._seed(), self._options()
        target = replace(target, dtype="float64" if options.get("precision") == "float64" else "float32")
        valid = self._set_aside(y, target, seed)
        self.transformer_: TableTransformer | Scaling
        if self._is_table(X):
            data, self.transformer_ = self._prepared(X, y, target, weight, valid)
        else:
            data, self.transformer_ = prepared_arrays(X, y, target, weight, valid)
        run = fit(data, store=self.store, seed=seed, baseline=False, **options)
        if run.best_epoch is None:
            raise RunError(f"no epoch had a finite loss: {run.finished.message}")
        self.run_, self.history_ = run, run.history
        self.n_iter_, self.loss_curve_ = run.finished.epoch, run.history["train_loss"].tolist()
        return self

    def _set_aside(self, y: np.ndarray, target: Target, seed: int) -> np.ndarray:
        """Positions of the rows that choose the best epoch."""
        if not self.validation_fraction:
            return np.empty(0, np.int64)
        by_class = y if target.classes else None
        rows = np.arange(len(y))
        return np.sort(
            train_test_split(rows, test_size=self.validation_fraction, random_state=seed, stratify=by_class)[1]
        )

    def _prepared(
        self, X: Any, y: np.ndarray, target: Target, weight: np.ndarray | None, valid: np.ndarray
    ) -> tuple[Prepared, TableTransformer]:
        """A frame prepared as `nnlab.prepare` does it, by its training rows."""
        own = self.prepare if self.prepare is not None else {}
        spec = own if isinstance(own, PrepareSpec) else resolve(PrepareSpec, own, PrepareSpec(""))
        spec = replace(spec, task=target.task, dtype=target.dtype)  # type: ignore[arg-type]
        train = np.setdiff1d(np.arange(len(y)), valid)
        transformer = TableTransformer(spec)
        data = transformer.prepared(_safe_indexing(X, train), y[train])
        found = replace(data.target, classes=target.classes)
        data.pipeline.target = found

        def rows(name: str, x: np.ndarray, places: np.ndarray) -> Rows:
            goals = y[places] if target.classes else found.scaled(y[places])
            own = None if weight is None else weight[places].astype(target.dtype)
            return Rows(x, goals, places, own, name, data.fingerprint)

        features = transformer.transform(_safe_indexing(X, valid)) if len(valid) else data.valid.x
        own_rows = rows("train", data.train.x, train[data.train.index])
        return replace(data, target=found, train=own_rows, valid=rows("valid", features, valid)), transformer

    def _outputs(self, X: Any) -> np.ndarray:
        """Logits (n, classes) or scaled predictions (n, 1), float64."""
        check_is_fitted(self)
        if isinstance(self.transformer_, TableTransformer):
            validate_data(self, X, reset=False, skip_check_array=True)
            x = self.transformer_.transform(X)
        else:
            X = validate_data(self, X, reset=False, accept_sparse=SPARSE)
            x = self.transformer_.apply(dense(X, "X") if is_sparse(X) else X, self.run_.pipeline.target.dtype)
        return np.asarray(_exact(self.run_).outputs(x).double().numpy())


@_parameters(dropout=0.0, class_weight=None, **OWN)
class NNClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A network that tells classes apart, as an estimator of scikit-learn.

    Every option of `nnlab.fit` is a parameter (None: nnlab's own default), with random_state for seed; those of chosen
    parts that are no parameters go by options={"label_smoothing": 0.1, "l1": 1e-4}. Arrays, sparse matrices and frames
    of numbers without gaps are standardized; other frames, or all where prepare={"scale": "quantile"} gives options
    for it, are prepared as `nnlab.prepare` does.
    validation_fraction: share of rows that choose the best epoch; 0: all train. class_weight: "balanced" or {label: w}.
    store: a folder for the runs, None for the default one, False for none.

    After fit: classes_, n_features_in_, feature_names_in_ (of frames), n_iter_ (epochs), loss_curve_, history_, run_.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NNClassifier":
        """X: (n, features); y: labels (n,) of any kind; sample_weight: (n,), rows of weight 0 count as absent."""
        X, y = self._checked(X, y, numbers=False)
        check_classification_targets(y)
        X, y, presence = _present(X, y, sample_weight)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class only, {self.classes_.tolist()[0]!r}; at least two classes are needed")
        task: Task = "binary" if len(self.classes_) == 2 else "multiclass"
        target = Target(TARGET, task, tuple(self.classes_.tolist()))
        self._fitted(X, codes.astype(np.int64), target, presence)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,)."""
        best = self._outputs(X).argmax(1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes) in the order of `classes_`."""
        return np.asarray(softmax(self._outputs(X), axis=1))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms."""
        return np.asarray(log_softmax(self._outputs(X), axis=1))

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits (n, classes); of two classes how much larger the second one's is, (n,)."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits


@_parameters(dropout=0.0, **OWN)
class NNRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A network that predicts numbers, as an estimator of scikit-learn; for its parameters see `NNClassifier`.

    The target is standardized while it is learned. run_.predict_distribution gives what quantile losses learn.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NNRegressor":
        """X: (n, features); y: numbers (n,); sample_weight: (n,), rows of weight 0 count as absent."""
        X, y = self._checked(X, y, numbers=True)
        X, y, presence = _present(X, y, sample_weight)
        self._fitted(X, np.asarray(y, np.float64), Target(TARGET, "regression"), presence)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers (n,) in the units of y."""
        scaled = self._outputs(X)[:, 0]
        return self.run_.pipeline.target.decode(scaled)


def _needs_preparation(X: Any) -> bool:
    """Whether it is a frame that holds anything but numbers, or numbers with gaps."""
    import narwhals.stable.v1 as nw

    if is_sparse(X) or not (hasattr(X, "columns") or hasattr(X, "column_names")):
        return False
    frame = nw.from_native(X, eager_only=True)
    return any(not column.dtype.is_numeric() or _gaps(column) for column in frame.iter_columns())


def _gaps(column: Any) -> bool:
    return bool(column.is_null().any() or (column.dtype.is_float() and column.is_nan().any()))


def _present(X: Any, y: np.ndarray, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """The rows that have a weight above 0, and their weights; None where all rows count alike."""
    if sample_weight is None:
        return X, y, None
    weight = _check_sample_weight(sample_weight, y, dtype=np.float64)
    if (weight < 0).any():
        raise DataError(
            f"sample_weight has {np.count_nonzero(weight < 0)} negative values; give 0 or more for each row"
        )
    kept = np.flatnonzero(weight)
    if not len(kept):
        raise DataError("sample_weight is 0 for every row; at least one must be above")
    return (_safe_indexing(X, kept) if len(kept) < len(y) else X), y[kept], weight[kept]


def _exact(run: Run) -> Run:
    """The run with its network in double precision, in which no row's prediction depends on how many come with it.

    An own network may be made for float32, so it stays as it is.
    """
    if run.spec.model.name == CUSTOM or run.device == "mps":
        return run
    return replace(run, model=copy.deepcopy(run.model).double())


def _on_cpu(run: Run) -> Run:
    return run if run.device == "cpu" else replace(run, model=copy.deepcopy(run.model).cpu(), device="cpu")
