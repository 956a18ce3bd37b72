"""Rows with equal features stay in one part where that is asked for."""

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.columns import column_of
from nnlab.core.data.prepare import prepare
from nnlab.core.data.twins import twin_groups
from nnlab.core.errors import SpecError


def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame({"a": draw.integers(0, 12, 400), "b": draw.choice(list("xyz"), 400)})
    found.loc[::50, "b"] = None
    return found.assign(site=draw.integers(0, 60, 400), y=draw.integers(0, 2, 400))


@pytest.mark.parametrize("options", [{}, {"split": "random"}, {"folds": 4}])
def test_no_row_has_a_twin_in_another_part(options: dict[str, object]) -> None:
    table = frame().drop(columns="site")
    data = prepare(table, "y", group_duplicates=True, **options)
    keys = table["a"].astype(str) + table["b"].fillna("?")
    for fold in data.folds or (data,):
        sets = [set(keys.iloc[part.index]) for part in (fold.train, fold.valid, fold.test)]
        assert all(sets), "every part has rows"
        assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
        assert not [finding for finding in fold.audit if "two parts" in finding.what]
    plain = prepare(table, "y")
    assert [finding.option for finding in plain.audit if "two parts" in finding.what] in ([], ["--group_duplicates on"])


def test_groups_are_kept_together_as_well() -> None:
    table = frame().iloc[:60]
    groups = twin_groups([column_of(name, table[name]) for name in ("a", "b")], table["site"].to_numpy())
    keys = table["a"].astype(str) + table["b"].fillna("?")
    for kind in (keys, table["site"]):
        assert (pd.Series(groups, index=table.index).groupby(kind).nunique() == 1).all()


def test_given_parts_are_not_changed() -> None:
    with pytest.raises(SpecError, match="split=time"):
        prepare(frame(), "y", time="site", group_duplicates=True)
