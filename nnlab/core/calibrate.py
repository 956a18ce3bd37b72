"""Temperature scaling: logits divided by one number, so that probabilities are what they say (Guo et al. 2017)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError, RunError, StoreError
from nnlab.core.store import files

if TYPE_CHECKING:
    from nnlab.core.run import Run

FILE = "calibration.json"  # beside the run's files, and in no manifest: it can come long after the run
PRIOR = 1.0  # standard deviation of the logarithm of a temperature before any row is seen
WIDEST = 20.0  # a temperature is between one by this and this


def temperature_of(logits: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The temperature of the least log loss. logits: (n, classes); y: (n,) codes; weight: (n,), None for all alike.

    Its logarithm is drawn to 0 as by a normal prior: rows that are all right would call for a temperature of 0.
    """
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        return log_loss(logits / np.exp(log), y, weight) + (log / PRIOR) ** 2 / (2 * len(y))

    found = minimize_scalar(
        loss, bounds=(-0.999 * np.log(WIDEST), 0.999 * np.log(WIDEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(f"{np.exp(found.x):.6g}")


def log_loss(logits: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The mean of minus the log of the probability of the true class."""
    top = logits.max(1, keepdims=True)
    each = np.log(np.exp(logits - top).sum(1)) - (logits - top)[np.arange(len(y)), y]
    return float(np.average(each, weights=weight))


def check_calibration(data: Prepared) -> None:
    """RunError or DataError where no temperature can be fitted."""
    if not data.target.classes:
        raise RunError("calibration is for classes; this run predicts numbers")
    if not len(data.valid.y):
        raise DataError("calibration needs validation rows; prepare the data with --valid 0.16")


def fitted_temperature(run: "Run", data: Prepared) -> float:
    """The temperature of a run's logits on the validation rows of its data."""
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; give what the run was trained on: nnlab.prepare(frame, ...)")
    if data.fingerprint != run.fingerprint:
        raise DataError("this data is not what the run was trained on")
    check_calibration(data)
    logits = run.outputs(data.valid.x).double().numpy() * (run.temperature or 1.0)
    return temperature_of(logits, data.valid.y, data.valid.weight)


def keep_temperature(folder: Path | None, temperature: float | None) -> None:
    """Write the temperature beside a run's files; StoreError where that fails."""
    if folder is None or temperature is None:
        return
    try:
        files.write_files({folder / FILE: files.seal({"temperature": temperature})})
    except OSError as error:
        raise StoreError(f"the calibration cannot be kept in {folder}: {error.strerror or error}") from error


def kept_temperature(folder: Path) -> float | None:
    """The temperature of a run's folder, None where it was not calibrated; StoreError for a damaged file."""
    if not (folder / FILE).exists():
        return None
    found = files.read_json(folder / FILE)
    try:
        value = float(found["temperature"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder.name}/{FILE} is not understood") from error
    if not 1 / WIDEST <= value <= WIDEST:
        raise StoreError(f"{folder.name}/{FILE}: temperature {value:g} is out of range")
    return value
