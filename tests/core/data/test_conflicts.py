"""Training rows with equal features and different targets: what becomes of them, and that other rows stay."""

import numpy as np
import pandas as pd
import pytest

from nnlab import prepare
from nnlab.core.errors import DataError, SpecError

RULES = ("majority", "drop")


def frame(rows: int = 600) -> pd.DataFrame:
    """Rows that come thrice; in every third such group one row has another class than the two others."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "c", "d"])
    table["b"] = rng.choice(["x", "y", None], rows)
    table["y"] = np.where(table["a"] + rng.normal(size=rows) > 0, "high", "low")
    twins = table.copy()
    twins.loc[::3, "y"] = np.where(table["y"][::3] == "high", "low", "high")
    return pd.concat([table, table, twins], ignore_index=True)


def kept_by_hand(train: pd.DataFrame, rule: str) -> np.ndarray:
    """The index that stays, by pandas."""
    kept = []
    for _, group in train.groupby(["a", "b", "c", "d"], dropna=False):
        counts = group["y"].value_counts()
        if rule == "drop":
            kept += list(group.index) if len(counts) == 1 else []
        elif len(counts) == 1 or counts.iloc[0] > counts.iloc[1]:
            kept += list(group.index[group["y"] == counts.index[0]])
    return np.sort(kept)


@pytest.mark.parametrize("rule", RULES)
def test_only_training_rows_that_contradict_others_go(rule: str) -> None:
    table = frame()
    plain, data = prepare(table, "y"), prepare(table, "y", conflicts=rule)
    expected = kept_by_hand(table.iloc[plain.train.index], rule)
    assert 0 < len(expected) < len(plain.train)
    assert np.array_equal(data.train.index, expected)
    for part in ("valid", "test"):
        assert np.array_equal(getattr(data, part).index, getattr(plain, part).index)
    lost = len(plain.train) - len(expected)
    assert any(text.startswith(f"{lost} of {len(plain.train):,} training rows are left out") for text in data.warnings)


@pytest.mark.parametrize("rule", RULES)
def test_the_option_of_the_finding_resolves_it(rule: str) -> None:
    what = "rows with equal features have different targets"
    (found,) = [finding for finding in prepare(frame(), "y").audit if finding.what == what]
    assert found.option == "--conflicts majority"
    assert what not in [finding.what for finding in prepare(frame(), "y", conflicts=rule).audit]


def test_each_fold_has_its_own_training_rows() -> None:
    table = frame()
    data = prepare(table, "y", folds=3, conflicts="majority")
    for fold in data.folds:
        train = np.setdiff1d(np.arange(len(table)), np.concatenate([fold.valid.index, fold.test.index]))
        assert np.array_equal(fold.train.index, kept_by_hand(table.iloc[train], "majority"))


def test_without_conflicts_nothing_changes() -> None:
    table = frame().drop_duplicates(["a", "b", "c", "d"])
    data = prepare(table, "y", conflicts="drop")
    assert np.array_equal(data.train.x, prepare(table, "y").train.x) and not data.warnings


def test_what_cannot_be_done_is_said() -> None:
    table = frame()
    with pytest.raises(SpecError, match="conflicts=drop is for classes; the target 'y' is a number"):
        prepare(table.assign(y=np.arange(len(table)) / 7), "y", conflicts="drop")
    same = pd.DataFrame({"a": [1.0, 2.0] * 50, "y": ["no", "yes", "yes", "yes", "no"] * 20})
    with pytest.raises(DataError, match="conflicts=majority leaves no training row of the class 'no'"):
        prepare(same, "y", conflicts="majority")
