"""Short ways to a number give what the plain ways of numpy give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.data import roles
from nnlab.core.data.category import Category
from nnlab.core.data.columns import NO_LEVELS, Column
from nnlab.core.data.split import stratified_order
from nnlab.core.data.spreads import spread_of_all, spreads
from nnlab.core.data.steps.encoders import Encoding
from nnlab.core.data.steps.imputers import middle
from nnlab.core.data.target import read_target
from nnlab.core.spec import PrepareSpec

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers=st.lists(FINITE, min_size=1, max_size=30))
def test_median_is_that_of_numpy(numbers: list[float]) -> None:
    with np.errstate(over="ignore"):
        assert middle(np.array(numbers)) == np.median(numbers)


def test_median_leaves_its_numbers_in_their_order() -> None:
    numbers = np.array([3.0, 1.0, 2.0, 0.0])
    assert middle(numbers) == 1.5
    assert numbers.tolist() == [3.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize("shift", [0.0, 1e4, 1e30])
def test_spread_of_a_matrix_is_that_of_all_its_cells(shift: float) -> None:
    cells = (np.random.default_rng(0).normal(size=(50, 3)) + shift).astype(np.float32)
    found, flat = spread_of_all(cells[:, ::2]), cells[:, ::2].astype(np.float64).ravel()
    assert found is not None
    assert (found.low, found.high, found.bars) == (flat.min(), flat.max(), ())
    np.testing.assert_allclose([found.mean, found.sd], [flat.mean(), flat.std()], rtol=1e-9, atol=1e-7 * shift)


def test_spread_of_a_matrix_without_finite_cells_is_none() -> None:
    assert spread_of_all(np.full((2, 2), np.nan, np.float32)) is None
    assert spread_of_all(np.empty((0, 2), np.float32)) is None


COLUMN = st.lists(st.integers(-(10**6), 10**6).map(float) | st.just(np.nan), min_size=9, max_size=9)


def test_some_rows_tell_the_role_that_all_rows_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    for _ in range(300):
        rows, different = draw.integers(0, 60), draw.integers(1, 8)
        whole = draw.choice([0, 2**60]) + draw.integers(0, different, rows)
        gaps = np.where(draw.random(rows) < draw.choice([0, 0.3, 1]), np.nan, draw.integers(0, different, rows))
        train = np.flatnonzero(draw.random(rows) < 0.7)
        for data in (whole, gaps, draw.permutation(rows)):
            column, found = Column("id", "number", data, NO_LEVELS), []
            for some in (0, 5, 1000):
                monkeypatch.setattr(roles, "MANY", some)
                typed = roles.type_column(column, train, PrepareSpec("y"))
                found.append((typed.role, typed.why, typed.missing, typed.as_category))
            assert found[0] == found[1] == found[2]


@given(columns=st.lists(COLUMN, min_size=1, max_size=4))
def test_spreads_count_the_numbers_that_are_there(columns: list[list[float]]) -> None:
    for found, column in zip(spreads(map(np.array, columns), 9), columns, strict=True):
        there = np.array(column)[~np.isnan(column)]
        if not len(there):
            assert found is None
            continue
        assert found is not None
        assert (found.low, found.high, sum(found.bars)) == (there.min(), there.max(), len(there))
        scale = np.abs(there).max() + 1e-300
        np.testing.assert_allclose([found.mean, found.sd], [there.mean(), there.std()], atol=1e-12 * scale)


def test_rows_without_a_level_stay_zeros() -> None:
    """Missing and unseen levels write nowhere, also not where a level writes -1."""
    encoding = Encoding(("a", "b"), np.array([0, 1, -1, -1], np.int32), np.array([-1, 1, 5, 7], np.float32))
    out = np.zeros((5, 2), np.float32)
    Category("c", ("a", "b"), encoding).write(np.array([0, 1, 2, 3, 0], np.uint8), out)
    assert out.tolist() == [[-1, 0], [0, 1], [0, 0], [0, 0], [-1, 0]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_whole_targets_are_classes_in_order(dtype: str) -> None:
    for first, last in ((3, int(np.iinfo(dtype).max)), (3, 9), (int(np.iinfo(dtype).min), 9), (4, 6)):
        data = np.array([last, first, last, 5, first, 5] * 2, dtype)
        target, codes, _ = read_target(Column("y", "number", data, NO_LEVELS), "multiclass")
        assert target.classes == (first, 5, last)
        assert codes.tolist() == [2, 0, 2, 1, 0, 1] * 2


def test_order_of_equal_places_is_stable() -> None:
    """All classes of one size with one share give ties only if their shares are equal, which a constant draw makes."""

    class Same(np.random.Generator):
        def random(self, size: int) -> np.ndarray:  # type: ignore[override]
            return np.zeros(size)

    order, rare = stratified_order(np.repeat([0, 1, 2], 40), 3, Same(np.random.PCG64(0)))
    assert rare == ()
    assert sorted(order.tolist()) == list(range(120))
    assert (np.arange(120) // 40)[order].reshape(-1, 3).tolist() == [[0, 1, 2]] * 40
