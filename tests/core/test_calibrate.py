"""Temperature scaling against a search by hand and scikit-learn, and that it is kept and used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnlab import DataError, NNLabError, Run, RunError, StoreError, fit
from nnlab.core.calibrate import PRIOR, log_loss, temperature_of
from nnlab.core.data.prepare import Prepared

SMALL: dict[str, Any] = {"hidden": (16,), "epochs": 6, "label_smoothing": 0.4, "lr": 0.03}


def sure(scale: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `scale` times those from which the classes are drawn."""
    draw = np.random.default_rng(0)
    logits = 2 * draw.normal(size=(rows, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (shares.cumsum(1) > draw.random((rows, 1))).argmax(1)
    return logits * scale, y


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_scale_of_logits_is_found(scale: float) -> None:
    logits, y = sure(scale)
    assert temperature_of(logits, y) == pytest.approx(scale, rel=0.05)


def test_the_optimum_is_that_of_a_grid_and_weights_are_repeated_rows() -> None:
    logits, y = sure(2.5, 300)
    grid = np.geomspace(0.5, 10, 20_001)
    losses = [log_loss(logits / t, y) + (np.log(t) / PRIOR) ** 2 / 600 for t in grid]
    assert temperature_of(logits, y) == pytest.approx(grid[np.argmin(losses)], rel=1e-3)
    weight = np.where(np.arange(300) < 100, 2.0, 1.0)
    twice = np.concatenate([np.arange(300), np.arange(100)])
    assert log_loss(logits, y, weight) == pytest.approx(log_loss(logits[twice], y[twice]))


def test_log_loss_is_scikit_learns() -> None:
    from sklearn.metrics import log_loss as theirs

    logits, y = sure(3.0, 200)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert log_loss(logits, y) == pytest.approx(theirs(y, shares), rel=1e-6)


def test_rows_that_are_all_right_do_not_make_it_certain() -> None:
    y = np.arange(60) % 3
    assert temperature_of(6.0 * np.eye(3)[y], y) > 0.5


def test_a_calibrated_run_keeps_its_labels_and_its_temperature(classes: Prepared, tmp_path: Path) -> None:
    run = fit(classes, store=tmp_path / "store", **SMALL)
    frame = classes.inverse(classes.valid.x)
    before, labels = run.predict_proba(frame), run.predict(frame)
    loss = run.score(classes.valid)["log_loss"]
    found = run.calibrate(classes)
    assert found == run.temperature and found < 0.8  # smoothed labels are not sure enough
    after = run.predict_proba(frame)
    expected = np.log(before) / found
    expected = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    assert after == pytest.approx(expected, rel=1e-4)
    assert (run.predict(frame) == labels).all()
    assert run.score(classes.valid)["log_loss"] < loss
    assert run.calibrate(classes) == pytest.approx(found, rel=1e-3)  # from the network's own logits, not twice
    assert run.path is not None
    for folder in (run.path, run.save(tmp_path / "copy")):
        again = Run.load(folder)
        assert again.temperature == run.temperature
        assert (again.predict_proba(frame) == run.predict_proba(frame)).all()


def test_fit_calibrates_when_asked(classes: Prepared) -> None:
    run = fit(classes, calibrate=True, store=False, **SMALL)
    assert run.temperature == fit(classes, store=False, **SMALL).calibrate(classes)


def test_what_cannot_be_calibrated_is_refused_before_training(classes: Prepared, numbers: Prepared) -> None:
    from dataclasses import replace

    with pytest.raises(RunError, match="for classes"):
        fit(numbers, calibrate=True, store=False, epochs=1)
    none = type(classes.valid)(classes.valid.x[:0], classes.valid.y[:0], classes.valid.index[:0])
    with pytest.raises(DataError, match="--valid"):
        fit(replace(classes, valid=none), calibrate=True, store=False, epochs=1)
    run = fit(classes, store=False, hidden=(4,), epochs=1)
    for wrong in (numbers, "df"):
        with pytest.raises(NNLabError):
            run.calibrate(wrong)  # type: ignore[arg-type]
    assert run.temperature is None


@pytest.mark.parametrize("text", ["{}", "nonsense", None])
def test_a_damaged_calibration_is_an_error(classes: Prepared, tmp_path: Path, text: str | None) -> None:
    run = fit(classes, calibrate=True, store=tmp_path / "store", hidden=(4,), epochs=1)
    assert run.path is not None
    path = run.path / "calibration.json"
    path.write_text(text if text is not None else json.dumps({**json.loads(path.read_text()), "temperature": 0.5}))
    with pytest.raises(StoreError, match=r"calibration\.json"):
        Run.load(run.path)
