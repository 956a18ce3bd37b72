"""Encoders against scikit-learn and closed forms, and the fitted category: unseen, missing, to files and back."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from nnlab.core.data.category import Category, fit_category
from nnlab.core.data.columns import Column
from nnlab.core.data.steps.encoders import Levels, codes, hashed, one_hot, ordinal, parts_of
from nnlab.core.data.steps.encoders import target as target_encoder
from nnlab.core.errors import DataError, NNLabError, SpecError
from nnlab.core.registry import Part

ALL = ("one_hot", "codes", "target", "hash", "ordinal")


def column(cells: list[str | None]) -> Column:
    levels = list(dict.fromkeys(cell for cell in cells if cell is not None))
    found = [-1 if cell is None else levels.index(cell) for cell in cells]
    return Column("c", "text", np.array(found, np.int32), np.array(levels, object))


def fitted(cells: list[str | None], encode: Part, **more: object) -> Category:
    raw = column(cells)
    return fit_category(raw, raw.data, encode, **more)  # type: ignore[arg-type]


def features(category: Category, cells: list[str | None]) -> np.ndarray:
    values, _ = category.values(column(cells))
    out = np.zeros((len(cells), len(category.labels)), np.float32)
    category.write(values, out)
    return out


def drawn(rows: int = 900, missing: float = 0.1) -> tuple[list[str | None], np.ndarray, np.random.Generator]:
    draw = np.random.default_rng(5)
    cells = [f"l{i}" for i in np.minimum(draw.geometric(0.15, rows), 25)]
    return [None if draw.random() < missing else cell for cell in cells], draw.normal(2.0, 3.0, rows), draw


def test_one_hot_groups_the_rarest_levels() -> None:
    found = one_hot(Levels(("a", "b", "c", "d"), np.array([5, 9, 1, 5, 0])), max_levels=2)
    assert found.labels == ("a", "b", "<other>")
    assert found.slots.tolist() == [0, 1, 2, 2, -1, 2]  # missing, never seen, has no feature; unseen levels are other


def test_one_hot_least_rows() -> None:
    found = one_hot(Levels(("a", "b", "c"), np.array([50, 3, 2, 4])), min_rows=3)
    assert found.labels == ("a", "b", "<missing>", "<other>")
    assert found.slots.tolist() == [0, 1, 3, 2, 3]


def test_two_levels_share_a_feature_unless_one_is_missing_or_rare() -> None:
    assert one_hot(Levels(("no", "yes"), np.array([6, 4, 0]))).values.tolist() == [-1.0, 1.0, 0.0, 0.0]
    assert one_hot(Levels(("no", "yes"), np.array([6, 4, 1]))).labels == ("no", "yes", "<missing>")
    assert one_hot(Levels(("no", "yes"), np.array([6, 4, 0])), min_rows=5).labels == ("no", "<other>")


@pytest.mark.parametrize("impute", [None, Part("most_frequent"), Part("constant")])
def test_one_hot_equals_scikit_learn(impute: Part | None) -> None:
    cells, _, _ = drawn()
    table = np.array(cells, object)[:, None]
    if impute:
        constant = {"fill_value": "~"} if impute.name == "constant" else {}  # ~ is sorted last, as <missing> is here
        table = SimpleImputer(missing_values=None, strategy=impute.name, **constant).fit_transform(table)
    else:
        table = np.where(table == None, "~", table)  # noqa: E711 (cell by cell)
    expected = OneHotEncoder(sparse_output=False).fit_transform(table)
    assert np.array_equal(features(fitted(cells, Part("one_hot"), impute=impute), cells), expected)


@pytest.mark.parametrize("smoothing", [None, 0.0, 7.5])
@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_target_equals_scikit_learn(smoothing: float | None, classes: int, missing: float) -> None:
    cells, y, draw = drawn(missing=missing)
    if classes:
        y = draw.integers(0, classes, len(cells))
    part = parts_of(Levels((), np.array([0]), lambda: np.zeros(len(y)), y, classes, np.random.default_rng(3)), 5)
    folds = [(np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(5)]
    kind = {0: "continuous", 2: "binary"}.get(classes, "multiclass")
    smooth = "auto" if smoothing is None else smoothing
    reference = TargetEncoder(smooth=smooth, cv=folds, target_type=kind)
    table = np.array(cells, object)[:, None]
    trained = reference.fit_transform(table, y)
    encode = Part("target", {} if smoothing is None else {"smoothing": smoothing})
    found = fitted(cells, encode, y=y, classes=classes, rng=np.random.default_rng(3))
    np.testing.assert_allclose(found.encoding.training, trained, rtol=1e-6, atol=1e-7)
    other: list[str | None] = [*cells, "never seen", None]
    expected = reference.transform(np.array(other, object)[:, None])
    np.testing.assert_allclose(features(found, other), expected, rtol=1e-6, atol=1e-7)
    assert found.labels == (("c",) if classes < 3 else tuple(f"c=<class {k}>" for k in range(classes)))


def test_target_parts_hold_all_classes_alike() -> None:
    y = np.repeat([0, 1, 2], [50, 25, 10])
    part = parts_of(Levels((), np.array([0]), lambda: np.zeros(85), y, 3), 5)
    assert [np.bincount(y[part == i]).tolist() for i in range(5)] == [[10, 5, 2]] * 5


def test_target_of_a_row_does_not_enter_its_own_feature() -> None:
    cells, y, _ = drawn()
    first = fitted(cells, Part("target"), y=y).encoding.training
    y[17] += 1e3
    second = fitted(cells, Part("target"), y=y).encoding.training
    assert first is not None
    assert second is not None
    assert first[17] == second[17]
    assert (first != second).any()


def test_target_of_noise_tells_nothing_of_training_rows() -> None:
    draw = np.random.default_rng(0)
    cells: list[str | None] = [f"l{i}" for i in draw.integers(0, 300, 900)]
    y = draw.integers(0, 2, 900)
    found = fitted(cells, Part("target", {"smoothing": 0.0}), y=y, classes=2)
    assert found.encoding.training is not None
    assert np.corrcoef(features(found, cells)[:, 0], y)[0, 1] > 0.4  # what the row's own target would give away
    assert abs(np.corrcoef(found.encoding.training[:, 0], y)[0, 1]) < 0.15


def test_target_needs_a_target() -> None:
    with pytest.raises(DataError, match="encode=target needs the target"):
        fitted(["a", "b", "c"], Part("target"))


def test_target_of_very_few_rows() -> None:
    for n in (1, 2, 3):
        found = fitted(["a", "b", None][:n], Part("target"), y=np.array([1.0, 3.0, 5.0])[:n])
        assert found.encoding.training is not None
        assert np.isfinite(found.encoding.training).all()
        assert found.encoding.table is not None
        assert found.encoding.table[-1, 0] == np.array([1.0, 3.0, 5.0])[:n].mean()


def test_codes() -> None:
    found = codes(Levels(("a", "b", "c", "d"), np.array([5, 1, 5, 2, 3])), min_rows=2)
    assert found.values.tolist() == [2, 5, 3, 4, 1, 0]  # b is rare: <other>
    assert found.cardinality == 6
    assert codes(Levels(("a", "b"), np.array([5, 1, 0]))).cardinality == 4
    assert features(fitted(["b", "a", None], Part("codes")), ["a", "b", None, "new"])[:, 0].tolist() == [2, 3, 1, 0]


def test_hash_is_the_checksum_of_the_level() -> None:
    levels = ["a", "Müller", "\ud800", "123"]
    sums = [zlib.crc32(level.encode("utf-8", "surrogatepass")) for level in levels]
    assert hashed(levels, 7).tolist() == [2 * (s % 7) + (s >= 2**31) for s in sums]
    found = fitted(["a", "b", None], Part("hash", {"buckets": 7}))
    assert found.levels == ()
    x = features(found, ["never seen", "a", None])
    assert (np.abs(x).sum(1) == 1).all()
    assert x[2].tolist() == [0] * 7 + [1]
    crc = zlib.crc32(b"never seen")
    assert x[0, crc % 7] == (-1 if crc >= 2**31 else 1)
    assert features(fitted(["a", "b"], Part("hash")), [None]).any() == np.False_


def test_hash_spreads_levels_and_signs() -> None:
    found = hashed([f"user{i}" for i in range(64_000)], 64)
    counts = np.bincount(found, minlength=128)
    assert 400 < counts.min() <= counts.max() < 600


def test_ordinal() -> None:
    cells: list[str | None] = ["mid", "low", "low", "high", None, "mid", "low"]
    found = fitted(cells, Part("ordinal", {"order": ("low", "mid", "high", "top")}))
    x = features(found, cells)
    present = x[[cell is not None for cell in cells], 0]
    assert found.labels == ("c", "c=<missing>")
    np.testing.assert_allclose([present.mean(), present.std()], [0, 1], atol=1e-6)
    assert x[4].tolist() == [0, 1]
    steps = np.diff(features(found, ["low", "mid", "high", "top"])[:, 0])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)  # top, in the order but not in training, has its place
    assert found.values(column(["top", "unknown"]))[1] == 1
    assert features(found, ["unknown"]).tolist() == [[0, 0]]


def test_ordinal_without_order_takes_numbers_by_size_then_text() -> None:
    assert ordinal(Levels(("1", "10", "2", "a", "B"), np.array([1, 1, 1, 1, 1, 0]))).levels == (
        "1",
        "2",
        "10",
        "B",
        "a",
    )
    assert ordinal(Levels(("a",), np.array([4, 0]))).values[0] == 0


@pytest.mark.parametrize(
    ("order", "kind", "words"),
    [(("a",), DataError, "lacks 2 levels.*'2', 'b'"), (("a", "b", "2", "a"), SpecError, "'a' is there more than once")],
)
def test_ordinal_refuses_an_order_that_is_none(order: tuple[str, ...], kind: type[NNLabError], words: str) -> None:
    with pytest.raises(kind, match=words):
        fitted(["a", "b", "2"], Part("ordinal", {"order": order}))


def test_imputed_by_the_most_frequent_level() -> None:
    found = fitted(["b", "a", None, "a", "b", "c"], Part("codes"), impute=Part("most_frequent"))
    assert features(found, [None, "a", "b"])[:, 0].tolist() == [2, 2, 3]  # a and b are equal: the first
    assert found.detail == "'a', 'b', 'c'; missing becomes 'a'"
    assert fitted([None, "b", "10", "9"], Part("codes"), impute=Part("most_frequent")).fill == "10"
    assert fitted([None, "10", "9"], Part("codes"), impute=Part("most_frequent")).fill == "9"
    assert fitted(["a", None], Part("codes"), impute=Part("median")).fill is None


def test_imputed_by_a_level_of_its_own() -> None:
    found = fitted(["a", None, "a"], Part("one_hot"), impute=Part("constant"))
    assert found.levels == ("a", "<missing>")
    assert features(found, ["a", None, "new"])[:, 0].tolist() == [-1, 1, 0]
    assert found.inverse(np.array([[1.0], [-1.0]], np.float32)).tolist() == [None, "a"]
    whole = fitted(["a", "b", "a"], Part("one_hot"), impute=Part("constant"))
    assert (whole.levels, whole.fill) == (("a", "b"), None)


def test_hashed_missing_cells_take_the_most_frequent_level() -> None:
    found = fitted(["b", "b", None, "a"], Part("hash"), impute=Part("most_frequent"))
    assert np.array_equal(features(found, [None]), features(found, ["b"]))
    assert len(found.labels) == 64


@pytest.mark.parametrize("impute", [None, Part("most_frequent"), Part("constant")])
@pytest.mark.parametrize("encode", ALL)
def test_files_bring_back_the_same_bits(tmp_path: Path, encode: str, impute: Part | None) -> None:
    cells, y, _ = drawn()
    found = fitted(cells, Part(encode), y=y, impute=impute)
    plain, arrays = found.state()
    save_file(arrays, tmp_path / "a.safetensors")
    again = Category.from_state(json.loads(json.dumps(plain, allow_nan=False)), load_file(tmp_path / "a.safetensors"))
    other: list[str | None] = [*cells, "new", None, "Ünïcode"]
    assert np.array_equal(features(again, other), features(found, other))
    assert again.labels == found.labels
    assert (again.done, again.detail, again.levels) == (found.done, found.detail, found.levels)
    assert again.encoding.cardinality == found.encoding.cardinality
    assert again.inverse(features(found, other)).tolist() == found.inverse(features(found, other)).tolist()


def test_states_of_one_hot_alone_still_load() -> None:
    for cells, done in ((["a", "b", "c"], "3 levels, one-hot"), (["a", "b"], "2 levels as -1 and 1")):
        found = fitted(list(cells), Part("one_hot"))
        plain, arrays = found.state()
        old = {key: plain[key] for key in ("kind", "name", "levels", "labels")}
        again = Category.from_state(old, arrays)
        assert again.done == done
        assert np.array_equal(features(again, ["a", "b", None, "x"]), features(found, ["a", "b", None, "x"]))


def test_what_was_done_in_words() -> None:
    cells: list[str | None] = ["a", "b", "c"]
    y = np.arange(3.0)
    assert [fitted(cells, Part(name), y=y).done for name in ALL] == [
        "3 levels, one-hot",
        "3 levels as codes",
        "3 levels, target encoded",
        "hashed into 64 features",
        "3 levels, in order",
    ]
    assert fitted(["a", "b"], Part("one_hot")).done == "2 levels as -1 and 1"
    assert fitted(["a", None], Part("one_hot")).done == "1 level, one-hot"


def test_values_are_small_and_count_unseen_cells() -> None:
    found = fitted(["a", "b", None], Part("one_hot"))
    values, unseen = found.values(column(["b", "x", None, "y", "x", "a"]))
    assert values.tolist() == [1, 3, 2, 3, 3, 0]
    assert values.dtype == np.uint8
    assert unseen == 3
    assert fitted(["a"], Part("hash")).values(column(["x", "y"]))[1] == 0


texts = st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=40)


@given(cells=texts, name=st.sampled_from(("one_hot", "codes", "ordinal", "target")))
def test_inverse_gives_levels_back(cells: list[str | None], name: str) -> None:
    y = np.random.default_rng(0).normal(size=len(cells))
    found = fitted(cells, Part(name), y=y)
    back = found.inverse(features(found, cells)).tolist()
    for cell, was in zip(cells, back, strict=True):
        assert was in (cell, None)
        assert was is not None or name == "target" or cell is None
    if name != "ordinal":  # there 0 is also the place of a level
        assert found.inverse(features(found, ["never seen in this test"])).tolist() == [None]


def test_inverse_knows_no_mixtures_nor_shared_features() -> None:
    found = fitted(["a", "b", "c", "d", "c", "d"], Part("one_hot", {"min_rows": 2}))
    assert found.inverse(np.eye(3, dtype=np.float32)).tolist() == ["c", "d", None]
    mixed = np.array([[1, 1, 0], [0.5, 0, 0], [0, 0, 0], [np.nan, 0, 0]], np.float32)
    assert found.inverse(mixed).tolist() == [None] * 4
    assert fitted(["a", "b"], Part("hash")).inverse(np.ones((2, 64), np.float32)).tolist() == [None, None]
    assert found.inverse(np.zeros((0, 3), np.float32)).tolist() == []


@pytest.mark.parametrize("encode", ALL)
def test_a_column_without_a_level_and_one_with_a_million(encode: str) -> None:
    nothing = fitted([None, None], Part(encode), y=np.zeros(2), impute=Part("most_frequent"))
    assert np.isfinite(features(nothing, [None, "x"])).all()
    assert nothing.inverse(features(nothing, [None])).tolist() == [None]
    levels = np.array([f"user{i}" for i in range(100_000)], object)
    many = Column("c", "text", np.arange(100_000, dtype=np.int32), levels)
    found = fit_category(many, many.data, Part(encode), y=np.zeros(100_000))
    values, unseen = found.values(many)
    assert unseen == 0
    assert len(found.levels) == (0 if encode == "hash" else 100_000)
    out = np.zeros((100_000, len(found.labels)), np.float32)
    found.write(values, out)
    assert np.isfinite(out).all()


def test_features_land_in_a_slice_of_a_wider_matrix() -> None:
    cells, y, _ = drawn()
    for name in ALL:
        found = fitted(cells, Part(name), y=y)
        wide = np.zeros((len(cells), len(found.labels) + 3), np.float32)
        found.write(found.values(column(cells))[0], wide[:, 2:-1])
        assert np.array_equal(wide[:, 2:-1], features(found, cells))
        assert not wide[:, [0, 1, -1]].any()


def test_order_of_levels_does_not_hang_on_the_order_of_rows() -> None:
    first = fitted(["1.0", "1", "02", "10"], Part("codes"))
    assert first.levels == fitted(["10", "02", "1", "1.0"], Part("codes")).levels == ("1", "1.0", "02", "10")


def test_target_encoder_without_rows_of_a_class() -> None:
    codes_of_rows = np.array([0, 0, 1, 1])
    found = target_encoder(Levels(("a", "b"), np.array([2, 2, 0]), lambda: codes_of_rows, np.array([0, 2, 2, 0]), 4))
    assert found.table is not None
    assert found.table[:, 1].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(found.table.sum(1), 1)
