"""Parts of the rows: all there, none twice, classes in proportion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.data.split import split_rows
from nnlab.core.errors import DataError, SpecError


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    rows=st.integers(4, 400),
    classes=st.integers(0, 6),
    valid=st.floats(0, 0.45),
    test=st.floats(0, 0.45),
    seed=st.integers(0, 9),
)
def test_parts_hold_every_row_once(rows: int, classes: int, valid: float, test: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, rows) if classes else None
    split = split_rows(rows, y, valid, test, np.random.default_rng(seed))
    parts = (split.train, split.valid, split.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(split.train) >= 2
    if rows >= 30 and not split.rare:  # fewer rows leave two for training first
        assert len(split.test) == pytest.approx(test * rows, abs=1.0)
        assert len(split.valid) == pytest.approx(valid * rows, abs=1.0)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_parts_have_each_class_in_proportion(seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.choice(4, 1003, p=[0.7, 0.2, 0.08, 0.02])
    split = split_rows(len(y), y, 0.16, 0.2, np.random.default_rng(seed))
    assert (len(split.valid), len(split.test)) == (160, 201)
    for part in (split.train, split.valid, split.test):
        expected = np.bincount(y) * len(part) / len(y)
        assert (np.abs(np.bincount(y[part], minlength=4) - expected) < 2.0).all()


def test_rare_classes_stay_in_training() -> None:
    y = np.array([0] * 50 + [1] * 48 + [2] * 2)
    split = split_rows(100, y, 0.2, 0.2, np.random.default_rng(0))
    assert split.rare == (2,)
    assert {98, 99} <= set(split.train.tolist())


def test_stratified_rows_are_drawn_at_random() -> None:
    y = np.repeat([0, 1], 500)
    drawn = np.zeros(1000)
    for seed in range(300):
        drawn[split_rows(1000, y, 0.0, 0.2, np.random.default_rng(seed)).test] += 1
    assert abs(drawn.mean() - 60) < 1e-9
    assert 5.5 < drawn.std() < 8.5  # binomial: sqrt(300 * 0.2 * 0.8) = 6.9


def test_same_seed_same_rows() -> None:
    first, again, other = (split_rows(99, None, 0.2, 0.2, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_shares_must_leave_rows_to_train_on() -> None:
    with pytest.raises(SpecError, match=r"valid=0\.5 and test=0\.5 leave no rows"):
        split_rows(100, None, 0.5, 0.5, np.random.default_rng(0))
    with pytest.raises(DataError, match="too few rows: 3"):
        split_rows(3, None, 0.2, 0.2, np.random.default_rng(0))
