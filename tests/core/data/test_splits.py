"""Parts by group, time and column, and folds: no group on two sides, no look ahead, every row validated on once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import PredefinedSplit, TimeSeriesSplit

from nnlab.core.data.split import Split
from nnlab.core.data.splits import Keys, column_folds, column_split, fold_splits, group_split, time_split
from nnlab.core.errors import DataError, SpecError

drawn = settings(max_examples=200, deadline=None, derandomize=True)
shares = st.floats(0, 0.45)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def check_rows(split: Split, rows: int) -> None:
    """Every row in exactly one place, positions ascending."""
    parts = (split.train, split.valid, split.test, split.left_out)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)


def groups_apart(groups: np.ndarray, split: Split) -> bool:
    found = [set(groups[part][groups[part] >= 0].tolist()) for part in (split.train, split.valid, split.test)]
    return sum(map(len, found)) == len(set.union(*found))


@drawn
@given(
    groups=st.lists(st.integers(-1, 12), min_size=4, max_size=120),
    classes=st.integers(0, 4),
    valid=shares,
    test=shares,
    seed=st.integers(0, 9),
)
def test_groups_stay_together(groups: list[int], classes: int, valid: float, test: float, seed: int) -> None:
    codes = np.array(groups)
    own = len(np.unique(codes[codes >= 0])) + int((codes < 0).sum())
    y = rng(seed).integers(0, classes, len(codes)) if classes else None
    if own < 1 + (valid > 0) + (test > 0):
        with pytest.raises(DataError, match=f"^{own} groups cannot fill train"):
            group_split(codes, valid, test, rng(seed), y)
        return
    split = group_split(codes, valid, test, rng(seed), y)
    check_rows(split, len(codes))
    assert groups_apart(codes, split)
    assert not len(split.left_out)
    assert len(split.train)
    assert (len(split.valid) > 0, len(split.test) > 0) == (valid > 0, test > 0)


def test_group_shares_are_met_where_groups_allow() -> None:
    groups = np.repeat(np.arange(4), [40, 10, 40, 10])
    split = group_split(groups, 0.1, 0.1, rng())
    assert (len(split.train), len(split.valid), len(split.test)) == (80, 10, 10)
    single = group_split(np.full(1000, -1), 0.16, 0.2, rng())
    assert (len(single.train), len(single.valid), len(single.test)) == (640, 160, 200)


@pytest.mark.parametrize("seed", range(5))
def test_group_shares_are_near_for_groups_of_all_sizes(seed: int) -> None:
    sizes = rng(seed).geometric(0.1, 200)
    groups = rng(seed).permutation(np.repeat(np.arange(200), sizes))
    split = group_split(groups, 0.16, 0.2, rng(seed))
    assert len(split.valid) / len(groups) == pytest.approx(0.16, abs=0.005)
    assert len(split.test) / len(groups) == pytest.approx(0.2, abs=0.005)
    mean = [sizes[np.unique(groups[part])].mean() for part in (split.train, split.valid, split.test)]
    assert max(mean) < 1.6 * min(mean)  # large and small groups in each part


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_in_proportion_in_parts_of_groups(seed: int) -> None:
    draw = rng(seed)
    lean = draw.dirichlet([0.7, 0.2, 0.1], 150)  # each group has its own mix of classes
    groups = np.sort(draw.integers(0, 150, 3000))
    y = np.array([draw.choice(3, p=lean[group]) for group in groups])
    split = group_split(groups, 0.16, 0.2, rng(seed), y)
    for part in (split.valid, split.test):
        assert np.abs(np.bincount(y[part], minlength=3) / len(part) - np.bincount(y) / len(y)).max() < 0.02


def test_shares_are_met_where_every_class_is_rare() -> None:
    split = group_split(np.full(1000, -1), 0.16, 0.2, rng(), np.arange(1000))
    assert (len(split.train), len(split.valid), len(split.test)) == (640, 160, 200)


def test_groups_of_a_size_are_drawn_by_the_seed() -> None:
    groups = np.repeat(np.arange(50), 4)
    first, again, other = (group_split(groups, 0.2, 0.2, rng(seed)).test for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@drawn
@given(
    times=st.lists(st.integers(0, 30), min_size=4, max_size=120),
    valid=shares,
    test=shares,
    gap=st.sampled_from([0.0, 1.0, 2.5]),
    dates=st.booleans(),
)
def test_time_is_not_seen_ahead(times: list[int], valid: float, test: float, gap: float, dates: bool) -> None:
    days = np.array(times, float)
    given_times = np.datetime64("2020-02-27T12", "us") + days.astype(int) * np.timedelta64(1, "D") if dates else days
    try:
        split = time_split(given_times, valid, test, gap)
    except DataError:
        assert gap or len(set(times)) < 1 + (valid > 0) + (test > 0)
        return
    check_rows(split, len(days))
    parts = [days[part] for part in (split.train, split.valid, split.test) if len(part)]
    assert len(parts) == 1 + (valid > 0) + (test > 0)
    for before, after in pairwise(parts):
        assert after.min() > before.max() + gap  # so no tie is on two sides
    for row in split.left_out:
        ends = [part.max() for part in parts[:-1]]
        assert any(0 < days[row] - end <= gap for end in ends)


def test_time_parts_have_their_shares_and_ties_move_the_least() -> None:
    times = rng().permutation(100).astype(float)
    split = time_split(times, 0.2, 0.1)
    assert sorted(times[split.valid]) == list(range(70, 90))
    assert sorted(times[split.test]) == list(range(90, 100))
    tied = np.repeat([0.0, 1.0, 2.0, 3.0], [40, 35, 15, 10])
    assert [len(part) for part in (time_split(tied, 0.2, 0.1).train, time_split(tied, 0.2, 0.1).test)] == [75, 10]


def test_gap_counts_days_and_leaves_rows_out() -> None:
    times = np.datetime64("2024-02-20") + np.arange(20)
    split = time_split(times, 0.25, 0.25, gap=2)
    assert split.train.tolist() == list(range(10))
    assert split.valid.tolist() == [12, 13, 14]
    assert split.test.tolist() == [17, 18, 19]
    assert split.left_out.tolist() == [10, 11, 15, 16]
    assert not len(time_split(times, 0.25, 0.25).left_out)


def test_times_that_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="missing in 2 of 6 rows"):
        time_split(np.array([1, 2, np.nan, 4, np.inf, 6]), 0.2, 0.2)
    with pytest.raises(DataError, match="missing in 1 of 4 rows"):
        time_split(np.array(["2024-01-01", "NaT", "2024-01-02", "2024-01-03"], "datetime64[ns]"), 0.2, 0.2)
    with pytest.raises(DataError, match="2 different times cannot fill 3 parts"):
        time_split(np.repeat([1.0, 2.0], 50), 0.2, 0.2)
    with pytest.raises(DataError, match=r"gap=30 leaves no rows for valid: the gap takes its 20 rows \(farthest 20\)"):
        time_split(np.arange(100.0), 0.2, 0.2, gap=30)
    for gap in (-1.0, np.nan, np.inf):
        with pytest.raises(SpecError, match="expected 0 or more"):
            time_split(np.arange(100.0), 0.2, 0.2, gap)
    with pytest.raises(SpecError, match="leave no rows to train on"):
        time_split(np.arange(100.0), 0.5, 0.5)


def test_words_of_a_column() -> None:
    levels = ["Train", "VALIDATION", " test ", "training", "dev", "Val", "holdout", "unused rubbish"]
    split = column_split(levels, np.array([0, 1, 2, 3, 4, 5, 6]))
    assert (split.train.tolist(), split.valid.tolist(), split.test.tolist()) == ([0, 3], [1, 4, 5], [2, 6])


def test_columns_that_do_not_part() -> None:
    with pytest.raises(DataError, match=r"'fold' has words that name no part: 'trian', '2'; .*did you mean 'train'"):
        column_split(["trian", "train", "2"], np.array([0, 1, 2, 1]), "fold")
    with pytest.raises(DataError, match="is empty in 2 rows"):
        column_split(["train", "test"], np.array([0, -1, 1, -1]))
    with pytest.raises(DataError, match="names no row for training"):
        column_split(["train", "test"], np.array([1, 1]))
    with pytest.raises(DataError, match="has only train"):
        column_split(["train", "test"], np.array([0, 0]))
    with pytest.raises(DataError) as error:
        column_split([f"word {i} " + "x" * 9999 for i in range(1000)], np.arange(1000))
    assert len(str(error.value)) < 500


def test_folds_of_a_column_are_those_of_scikit_learn() -> None:
    fold = rng(5).choice([-1, 0, 1, 2, 10], 200)
    levels, codes = np.unique(fold.astype(str), return_inverse=True)
    splits = column_folds(list(levels), codes, 4, "fold")
    for split, (train, valid) in zip(splits, PredefinedSplit(fold).split(), strict=True):
        assert np.array_equal(split.train, train) and np.array_equal(split.valid, valid)
        assert not len(split.test)
    words = ["b", "Train", "a", "holdout", "unused"]
    first, second = column_folds(words, np.array([0, 1, 2, 3, 0, 2]), 2)
    assert (first.train.tolist(), first.valid.tolist(), first.test.tolist()) == ([0, 1, 4], [2, 5], [3])
    assert (second.train.tolist(), second.valid.tolist(), second.test.tolist()) == ([1, 2, 5], [0, 4], [3])


def test_columns_that_name_other_folds() -> None:
    with pytest.raises(DataError, match=r"'f' names 3 folds \('2', '9', '10'\) and folds=5; .*; --folds 3 takes them$"):
        column_folds(["10", "9", "2", "test"], np.array([0, 1, 2, 3]), 5, "f")
    with pytest.raises(DataError, match=r"names 1 fold \('valid'\) and folds=2; it tells the fold of each row"):
        column_folds(["train", "valid"], np.array([0, 1]), 2)
    with pytest.raises(DataError, match=r"names 0 folds \(none\)"):
        column_folds(["train", "test"], np.array([0, 1]), 2)
    with pytest.raises(DataError, match="is empty in 1 row; each row needs its fold, train or test"):
        column_folds(["1", "2"], np.array([0, 1, -1]), 2)


@drawn
@given(
    kind=st.sampled_from(["random", "stratified", "group"]),
    folds=st.integers(2, 6),
    rows=st.integers(4, 150),
    test=st.sampled_from([0.0, 0.2, 0.4]),
    many=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_folds_validate_on_each_row_once(kind: str, folds: int, rows: int, test: float, many: int, seed: int) -> None:
    draw = rng(seed)
    keys = Keys(draw.integers(0, 3, rows), draw.integers(-1, many, rows))
    assert keys.groups is not None
    try:
        splits = fold_splits(kind, folds, rows, keys, test, rng(seed))
    except DataError:
        assume(False)
    assert len(splits) == folds
    assert (len(splits[0].test) > 0) == (test > 0)
    for split in splits:
        check_rows(split, rows)
        assert not len(split.left_out)
        assert np.array_equal(split.test, splits[0].test)
        assert len(split.valid)
        assert kind != "group" or groups_apart(keys.groups, split)
    turns = np.sort(np.concatenate([split.valid for split in splits]))
    assert np.array_equal(turns, np.setdiff1d(np.arange(rows), splits[0].test))


@pytest.mark.parametrize("kind", ["stratified", "group"])
def test_folds_have_classes_in_proportion(kind: str) -> None:
    y = rng(3).choice(3, 1000, p=[0.8, 0.15, 0.05])
    keys = Keys(y, rng(4).integers(0, 300, 1000))
    for split in fold_splits(kind, 5, 1000, keys, 0.2, rng()):
        assert len(split.valid) == pytest.approx(160, abs=1 if kind == "stratified" else 3)
        assert (np.abs(np.bincount(y[split.valid]) - np.bincount(y) * 0.16) < 3.0).all()


def test_random_folds_are_of_one_size() -> None:
    sizes = [len(split.valid) for split in fold_splits("random", 4, 103, Keys(), 0.0, rng())]
    assert sorted(sizes) == [25, 26, 26, 26]


@pytest.mark.parametrize(("rows", "folds"), [(60, 5), (44, 3)])
def test_time_folds_are_those_of_scikit_learn(rows: int, folds: int) -> None:
    order = rng(1).permutation(rows)  # the time of each row
    splits = fold_splits("time", folds, rows, Keys(times=order.astype(float)), 0.0, rng())
    expected = TimeSeriesSplit(folds).split(np.empty(rows))
    for split, (train, valid) in zip(splits, expected, strict=True):
        assert np.array_equal(np.sort(order[split.train]), train)
        assert np.array_equal(np.sort(order[split.valid]), valid)


@drawn
@given(
    times=st.lists(st.integers(0, 60), min_size=20, max_size=120),
    folds=st.integers(2, 4),
    test=st.sampled_from([0.0, 0.2]),
    gap=st.sampled_from([0.0, 2.0]),
)
def test_time_folds_widen_and_keep_the_gap(times: list[int], folds: int, test: float, gap: float) -> None:
    when = np.array(times)
    try:
        splits = fold_splits("time", folds, len(when), Keys(times=when, gap=gap), test, rng())
    except DataError:
        assume(False)
    seen = 0
    for split in splits:
        check_rows(split, len(when))
        assert np.array_equal(split.test, splits[0].test)
        assert when[split.valid].min() > when[split.train].max() + gap
        if test:
            assert when[split.test].min() > when[split.valid].max() + gap
        assert len(split.train) > seen
        seen = len(split.train)


def test_folds_that_cannot_be_made() -> None:
    with pytest.raises(SpecError, match=r"kind 'gruop'.*did you mean 'group'"):
        fold_splits("gruop", 5, 100, Keys(), 0.2, rng())
    with pytest.raises(SpecError, match="need groups; none are given"):
        fold_splits("group", 5, 100, Keys(), 0.2, rng())
    with pytest.raises(SpecError, match="folds=1"):
        fold_splits("random", 1, 100, Keys(), 0.2, rng())
    with pytest.raises(DataError, match="8 rows outside of the test cannot make 9 folds"):
        fold_splits("random", 9, 10, Keys(), 0.2, rng())
    with pytest.raises(DataError, match="groups cannot fill 5 folds"):
        fold_splits("group", 5, 100, Keys(groups=np.arange(100) % 4), 0.2, rng())
    with pytest.raises(DataError, match="3 different times cannot fill 6 parts"):
        fold_splits("time", 5, 99, Keys(times=np.arange(99) % 3), 0.0, rng())
