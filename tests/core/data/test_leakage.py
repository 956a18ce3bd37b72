"""No way for validation or test rows to reach what is learnt; each check is shown to catch a leak that is put in."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import nnlab.core.data.parting as parting
import nnlab.core.data.prepare as preparing
from nnlab.core.controls import Controls
from nnlab.core.data.numbers import Number
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.split import Split, split_rows
from nnlab.core.options import resolve
from nnlab.core.spec import TrainSpec
from nnlab.core.train import set_up, train
from nnlab.core.tune.search import tune

Mutant = Callable[[pytest.MonkeyPatch], None]

NET: dict[str, Any] = {"hidden": (8,), "epochs": 3, "batch_size": 64, "device": "cpu", "patience": None}
STEPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "standard": {"scale": "standard"},
    "minmax, target encoding": {"scale": "minmax", "encode": "target"},
    "knn, clipped, pca": {"impute": "knn", "outliers": "clip", "reduce": "pca"},
    "selected, oversampled": {"select": "mutual_info", "balance": "oversample"},
}


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    age = draw.normal(40, 12, rows)
    age[draw.random(rows) < 0.1] = np.nan
    spend = draw.lognormal(size=rows)
    chance = 1 / (1 + np.exp(-(spend - 1.5)))
    return pd.DataFrame(
        {
            "age": age,
            "spend": spend,
            "job": draw.choice(["cook", "nurse", "clerk", "pilot"], rows),
            "town": np.where(draw.random(rows) < 0.2, None, draw.choice(["Ulm", "Bonn", "Kiel"], rows)),
            "rich": np.where(draw.random(rows) < chance, "yes", "no"),
        }
    )


def poisoned(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """The frame with every feature of the given rows far off, missing, or of a level not seen elsewhere."""
    other, at = frame.copy(), frame.index[rows]
    other.loc[at, "age"] = np.where(np.arange(len(at)) % 2, 1e9, np.nan)
    other.loc[at, "spend"] = 1e9
    other.loc[at, "job"] = [f"new {i}" for i in range(len(at))]
    other.loc[at, "town"] = "Atlantis"
    return other


def pipeline_digest(data: Prepared) -> str:
    plain, arrays = data.pipeline.state()
    digest = hashlib.sha256(json.dumps(plain).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def weights_digest(data: Prepared) -> str:
    """The network after the last epoch: without validation rows none is chosen by them."""
    empty = replace(data.valid, x=data.valid.x[:0], y=data.valid.y[:0], index=data.valid.index[:0])
    job = set_up(resolve(TrainSpec, NET), replace(data, valid=empty))
    for _ in train(job, Controls()):
        pass
    digest = hashlib.sha256()
    for value in job.learner.model.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def fit_on_all_rows(patch: pytest.MonkeyPatch) -> None:
    """Everything is fitted on all rows, and no row's own target is kept out of its features."""
    own = preparing.fit_pipeline

    def leaky(typed: Any, target: Any, numbers: np.ndarray, train_rows: np.ndarray, *more: Any) -> Any:
        pipeline = own(typed, target, numbers, np.arange(len(numbers)), *more)
        pipeline.features = tuple(
            feature
            if isinstance(feature, Number)
            else replace(feature, encoding=replace(feature.encoding, training=None))
            for feature in pipeline.features
        )
        return pipeline

    patch.setattr(preparing, "fit_pipeline", leaky)


def part_at_random(patch: pytest.MonkeyPatch) -> None:
    """Rows are parted at random whatever holds them together or orders them."""

    def random_groups(groups: np.ndarray, valid: float, test: float, rng: np.random.Generator, _: Any = None) -> Split:
        return split_rows(len(groups), None, valid, test, rng)

    def random_times(times: np.ndarray, valid: float, test: float, _: float = 0.0) -> Split:
        return split_rows(len(times), None, valid, test, np.random.default_rng(0))

    patch.setattr(parting, "group_split", random_groups)
    patch.setattr(parting, "time_split", random_times)


def choose_by_test_rows(patch: pytest.MonkeyPatch) -> None:
    """Trials are compared on the test rows."""
    own = preparing._Content._parts

    def swapped(*given: Any) -> Any:
        first, valid, test = own(*given)
        return [first, test, valid]

    patch.setattr(preparing._Content, "_parts", swapped)


def is_caught(check: Callable[[], None], mutant: Mutant) -> None:
    check()
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        with pytest.raises(AssertionError):
            check()


def check_poison(options: dict[str, Any]) -> None:
    frame = table()
    first = prepare(frame, "rich", **options)
    hidden = np.concatenate([first.valid.index, first.test.index])
    second = prepare(poisoned(frame, hidden), "rich", **options)
    assert np.array_equal(first.train.index, second.train.index)
    assert first.fingerprint != second.fingerprint
    assert pipeline_digest(first) == pipeline_digest(second)
    assert np.array_equal(first.train.x, second.train.x)
    assert weights_digest(first) == weights_digest(second)


@pytest.mark.parametrize("steps", STEPS)
def test_l1_poisoned_rows_change_neither_pipeline_nor_weights(steps: str) -> None:
    check_poison(STEPS[steps])


def test_l1_catches_a_fit_on_all_rows() -> None:
    is_caught(lambda: check_poison({"scale": "standard"}), fit_on_all_rows)


def check_scaler() -> None:
    rows = 500
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"x": draw.normal(3, 2, rows), "y": draw.choice(["no", "yes"], rows)})
    at = prepare(frame, "y").train.index
    frame.loc[~frame.index.isin(at), "x"] += 100  # the whole table has another mean and deviation
    data = prepare(frame, "y", scale="standard")
    assert np.array_equal(data.train.index, at)
    (number,) = data.pipeline.features
    seen = frame["x"].to_numpy()[at]
    assert not np.isclose(seen.mean(), frame["x"].mean(), rtol=0.1)
    np.testing.assert_allclose(number.scaling["shift"], np.sum(seen) / len(seen), rtol=1e-12)
    spread = np.sqrt(np.sum((seen - np.sum(seen) / len(seen)) ** 2) / len(seen))
    np.testing.assert_allclose(number.scaling["scale"], spread, rtol=1e-12)


def test_l2_the_scaler_knows_the_training_rows_alone() -> None:
    is_caught(check_scaler, fit_on_all_rows)


def row_hashes(frame: pd.DataFrame) -> pd.Series:
    return pd.util.hash_pandas_object(frame[["a", "b"]], index=False).astype(str)


def twice() -> pd.DataFrame:
    """150 rows, each there twice."""
    draw = np.random.default_rng(2)
    half = pd.DataFrame({"a": draw.normal(size=150), "b": draw.normal(size=150), "y": draw.choice(["no", "yes"], 150)})
    return pd.concat([half, half], ignore_index=True)


def check_duplicates_reported() -> None:
    findings = [finding for finding in prepare(twice(), "y").audit if finding.kind == "duplicates"]
    assert findings and "row" in str(findings[0])


def check_duplicates_together(options: dict[str, Any]) -> None:
    frame = twice()
    hashes = row_hashes(frame)
    data = prepare(frame.assign(row=hashes) if "group" in options else frame, "y", **options)
    sides = [set(hashes.iloc[part.index]) for part in (data.train, data.valid, data.test)]
    assert all(sides)
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert not [finding for finding in data.audit if finding.kind == "duplicates"]


def test_l3_equal_rows_in_two_parts_are_reported() -> None:
    def deaf(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(preparing, "findings_of", lambda *given: ())

    is_caught(check_duplicates_reported, deaf)


@pytest.mark.parametrize("options", [{"group": "row"}, {"group_duplicates": True}])
def test_l3_equal_rows_stay_together(options: dict[str, Any]) -> None:
    is_caught(lambda: check_duplicates_together(options), part_at_random)


def check_groups(rows: int, groups: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    name = np.concatenate([np.arange(groups), draw.integers(0, groups, rows - groups)])
    frame = pd.DataFrame({"x": draw.normal(size=rows), "who": name, "y": draw.normal(size=rows)})
    data = prepare(frame, "y", group="who", seed=seed)
    assert "who" not in data.pipeline.columns
    sides = [set(name[part.index].tolist()) for part in (data.train, data.valid, data.test)]
    assert sum(map(len, sides)) == len(set().union(*sides)) == groups


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(20, 300), groups=st.integers(3, 20), seed=st.integers(0, 2**31 - 1))
def test_l4_no_group_is_on_two_sides(rows: int, groups: int, seed: int) -> None:
    check_groups(rows, groups, seed)


def test_l4_catches_rows_parted_at_random() -> None:
    is_caught(lambda: check_groups(200, 10, 0), part_at_random)


def check_times(rows: int, different: int, seed: int, dates: bool) -> None:
    draw = np.random.default_rng(seed)
    day = draw.permutation(np.concatenate([np.arange(different), draw.integers(0, different, rows - different)]))
    time = pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D") if dates else day
    frame = pd.DataFrame({"x": draw.normal(size=rows), "when": time, "y": draw.normal(size=rows)})
    data = prepare(frame, "y", time="when")
    first, valid, test = (day[part.index] for part in (data.train, data.valid, data.test))
    assert first.max() < valid.min() and valid.max() < test.min()  # strictly: equal times are on one side
    assert len(first) + len(valid) + len(test) == rows


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(20, 300), different=st.integers(3, 20), seed=st.integers(0, 2**31 - 1), dates=st.booleans())
def test_l5_training_ends_before_validation_and_that_before_the_test(
    rows: int, different: int, seed: int, dates: bool
) -> None:
    check_times(rows, different, seed, dates)


def test_l5_catches_rows_parted_at_random() -> None:
    is_caught(lambda: check_times(200, 20, 0, True), part_at_random)


def check_noise(seeds: int) -> None:
    """Validation AUC of shuffled labels after every step that looks at them."""
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        rows = 1500
        frame = pd.DataFrame(draw.normal(size=(rows, 20)), columns=[f"n{i}" for i in range(20)])
        frame["level"] = draw.integers(0, 750, rows).astype(str)
        frame["y"] = draw.permutation(np.repeat(["no", "yes"], [900, 600]))
        options: dict[str, Any] = {"categorical": "level", "encode": "target", "select": "mutual_info"}
        data = prepare(
            frame, "y", scale="minmax", valid=0.4, test=0.0, reduce="pca", balance="oversample", seed=seed, **options
        )
        model = LogisticRegression().fit(data.train.x, data.train.y)
        score = roc_auc_score(data.valid.y, model.predict_proba(data.valid.x)[:, 1])
        assert 0.4 <= score <= 0.6, f"AUC {score:.3f} of shuffled labels, seed {seed}"


def test_l6_shuffled_labels_are_not_predicted() -> None:
    check_noise(20)


def test_l6_catches_a_fit_on_all_rows() -> None:
    is_caught(lambda: check_noise(1), fit_on_all_rows)


def trial_values(frame: pd.DataFrame) -> list[float]:
    data = prepare(frame, "rich", scale="standard")
    study = tune(data, trials=4, store=False, space=("lr=1e-3..1e-1", "dropout=0..0.5"), **NET)
    return [float(value) for value in study.trials["score"]]


def check_trials(rows: np.ndarray) -> None:
    frame = table()
    values = trial_values(frame)
    assert len(values) == 4 and np.isfinite(values).all() and len(set(values)) > 1
    assert values == trial_values(poisoned(frame, rows))


@pytest.mark.parametrize("mutant", [fit_on_all_rows, choose_by_test_rows])
def test_l7_poisoned_test_rows_change_no_trial(mutant: Mutant) -> None:
    rows = prepare(table(), "rich").test.index
    is_caught(lambda: check_trials(rows), mutant)
