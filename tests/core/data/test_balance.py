"""Classes with few rows: weights, repeated, dropped and new rows, against scikit-learn and imbalanced-learn."""

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from nnlab.core.class_weights import balanced_weights
from nnlab.core.data.groups import category_groups
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.steps import balance, mixed_smote
from nnlab.core.data.steps.balance import Balanced, Classed
from nnlab.core.data.steps.mixed_smote import collapse
from nnlab.core.data.steps.registries import BALANCES
from nnlab.core.errors import DataError, SpecError
from nnlab.core.losses import weighted_mean

Y = np.repeat([0, 1, 3], [60, 30, 10])  # class 2 has no rows
X = np.random.default_rng(5).standard_normal((100, 4)).astype(np.float32)


def balanced(name: str, x: np.ndarray = X, y: np.ndarray = Y, seed: int = 0, **values: float) -> Balanced:
    return BALANCES[name].make(Classed(x, y, 4), np.random.default_rng(seed), **values)


def check_shapes(found: Balanced) -> None:
    assert (found.rows.dtype, found.new_x.dtype, found.new_y.dtype) == (np.int64, np.float32, np.int64)
    assert found.new_x.shape == (len(found.new_y), X.shape[1])
    assert found.weights is None or found.weights.shape == (len(found.rows) + len(found.new_y),)


def test_every_entry_is_listed() -> None:
    assert set(BALANCES) >= {"none", "weights", "oversample", "undersample", "smote"}


def test_none_leaves_the_rows() -> None:
    found = balanced("none")
    check_shapes(found)
    assert np.array_equal(found.rows, np.arange(100))
    assert (found.weights, found.note, len(found.new_y)) == (None, "", 0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(y=st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_class_weights_are_those_of_scikit_learn(y: list[int]) -> None:
    codes, present = np.array(y), np.unique(y)
    found = balanced_weights(np.bincount(codes, minlength=7))
    np.testing.assert_allclose(found[present], compute_class_weight("balanced", classes=present, y=codes), rtol=1e-12)
    assert (np.delete(found, present) == 1.0).all()
    assert found[codes].mean() == pytest.approx(1.0)


def test_weights_make_classes_weigh_the_same() -> None:
    found = balanced("weights")
    check_shapes(found)
    assert found.weights is not None
    assert found.weights.dtype == np.float32
    np.testing.assert_allclose(np.bincount(Y, found.weights)[[0, 1, 3]], 100 / 3, rtol=1e-6)
    assert found.note == "rows weigh 0.556 to 3.33 by class"


@pytest.mark.parametrize(("ratio", "sizes"), [(1.0, [60, 60, 0, 60]), (0.5, [60, 30, 0, 30]), (0.01, [60, 30, 0, 10])])
def test_oversampling_repeats_rows_of_rare_classes(ratio: float, sizes: list[int]) -> None:
    found = balanced("oversample", ratio=ratio)
    check_shapes(found)
    assert np.bincount(Y[found.rows], minlength=4).tolist() == sizes
    times = np.bincount(found.rows, minlength=100)
    for code in (0, 1, 3):
        assert times[code == Y].min() >= 1
        assert np.ptp(times[code == Y]) <= 1
    assert found.note == (f"{sum(sizes) - 100} rows of rare classes repeated" if sum(sizes) > 100 else "")


def test_oversampled_rows_are_drawn_by_the_seed() -> None:
    first, again, other = (balanced("oversample", seed=seed, ratio=0.6).rows for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(np.sort(first), np.sort(other))


@pytest.mark.parametrize(("ratio", "sizes"), [(1.0, [10, 10, 0, 10]), (0.5, [20, 20, 0, 10]), (0.2, [50, 30, 0, 10])])
def test_undersampling_drops_rows_of_frequent_classes(ratio: float, sizes: list[int]) -> None:
    found = balanced("undersample", ratio=ratio)
    check_shapes(found)
    assert np.bincount(Y[found.rows], minlength=4).tolist() == sizes
    assert (np.diff(found.rows) > 0).all()
    assert found.note == f"{100 - sum(sizes)} of 100 rows dropped, of frequent classes"
    assert not np.array_equal(found.rows, balanced("undersample", seed=1, ratio=ratio).rows)


@pytest.mark.parametrize("name", ["weights", "oversample", "undersample", "smote"])
def test_a_number_as_target_has_no_classes(name: str) -> None:
    if name == "smote":
        pytest.importorskip("imblearn")
    with pytest.raises(DataError, match="the target is a number"):
        BALANCES[name].make(Classed(X, X[:, 0], 0), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["none", "weights", "oversample", "undersample", "smote"])
@pytest.mark.parametrize("rows", [0, 1])
def test_tables_with_next_to_no_rows(name: str, rows: int) -> None:
    if name == "smote":
        pytest.importorskip("imblearn")
    found = balanced(name, X[:rows], Y[:rows])
    check_shapes(found)
    assert found.rows.tolist() == list(range(rows))


def test_too_many_rows_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "MOST_ROWS", 150)
    with pytest.raises(DataError, match="would make 180 rows out of 100, more than 150"):
        balanced("oversample")
    assert len(balanced("oversample", ratio=0.5).rows) == 120


def test_ratio_is_checked() -> None:
    with pytest.raises(SpecError, match=r"ratio=2: expected number, 0\.01 to 1"):
        BALANCES["oversample"].read({"ratio": 2})


def test_smote_is_that_of_imbalanced_learn() -> None:
    over = pytest.importorskip("imblearn.over_sampling")
    found = balanced("smote", seed=7)
    check_shapes(found)
    assert np.array_equal(found.rows, np.arange(100))
    assert np.bincount(found.new_y).tolist() == [0, 30, 0, 50]
    seed = int(np.random.default_rng(7).integers(2**31))
    expected, _ = over.SMOTE(sampling_strategy={1: 60, 3: 60}, k_neighbors=5, random_state=seed).fit_resample(X, Y)
    assert np.array_equal(found.new_x, expected[100:])
    assert found.note == "80 new rows of rare classes from 5 near rows each"


def test_smote_rows_lie_between_two_rows_of_their_class() -> None:
    pytest.importorskip("imblearn")
    found = balanced("smote", ratio=0.5)
    assert (found.new_y == 3).all()
    own = X[Y == 3].astype(np.float64)
    for row in found.new_x.astype(np.float64):
        to_first = np.linalg.norm(own - row, axis=1)
        detour = to_first[:, None] + to_first[None, :] - np.linalg.norm(own[:, None] - own[None, :], axis=2)
        np.fill_diagonal(detour, np.inf)
        assert detour.min() < 1e-5


def test_smote_takes_fewer_neighbors_in_small_classes() -> None:
    pytest.importorskip("imblearn")
    y = np.repeat([0, 1, 2], [90, 9, 1])
    found = balanced("smote", y=y, neighbors=50)
    assert found.note == "81 new rows of rare classes from 8 near rows each; 1 class of one row stays as it is"
    assert np.bincount(found.new_y, minlength=3).tolist() == [0, 81, 0]
    only_single = balanced("smote", y=np.repeat([0, 1], [99, 1]))
    assert (len(only_single.new_y), only_single.note) == (0, "1 class of one row stays as it is")


def test_smote_without_imbalanced_learn_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(DataError, match=r'pip install "nnlab\[imbalance\]"'):
        balanced("smote")


def mixed(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    age, spend = draw.normal(40, 12, rows), draw.lognormal(size=rows)
    return pd.DataFrame(
        {
            "age": age,
            "spend": np.where(draw.random(rows) < 0.15, np.nan, spend),
            "job": draw.choice(["clerk", "cook", "nurse", "pilot"], rows),
            "town": np.where(draw.random(rows) < 0.2, None, draw.choice(["Bonn", "Kiel", "Ulm"], rows)),
            "rich": np.where(draw.random(rows) < 0.5, "no", "yes"),
            "flag": draw.integers(0, 2, rows),
            "y": np.where(age + 5 * draw.normal(size=rows) > 55, "rare", "usual"),
        }
    )


def smoted(frame: pd.DataFrame, **options: Any) -> tuple[Prepared, np.ndarray, np.ndarray]:
    """The preparation, and its real and its new training rows."""
    data = prepare(frame, "y", balance="smote", **options)
    made = data.train.index < 0
    assert made.any() and np.ptp(np.bincount(data.train.y)) == 0
    return data, data.train.x[~made], data.train.x[made]


@pytest.mark.parametrize("encode", ["one_hot", "hash", "ordinal", "codes"])
@pytest.mark.parametrize("expand", ["none", "bins"])
def test_new_rows_have_groups_that_real_rows_have(encode: str, expand: str) -> None:
    pytest.importorskip("imblearn")
    options = {} if expand == "none" else {"expand.spend": "bins"}
    data, real, new = smoted(mixed(), encode=encode, flag="isolation_forest", **options)
    groups = category_groups(data.pipeline)
    assert groups is not None and len(groups) == 3 + (expand == "bins")
    for group in groups:
        columns = list(group)
        assert set(map(bytes, new[:, columns])) <= set(map(bytes, real[:, columns]))
    flags = [i for i, name in enumerate(data.feature_names) if name in ("spend <missing>", "flag", "<outlier>")]
    assert len(flags) == 3
    for column in flags:
        assert set(new[:, column]) <= set(real[:, column]) and len(set(real[:, column])) == 2
    age = data.feature_names.index("age")
    assert not set(new[:, age]) & set(real[:, age])
    if encode == "one_hot":
        for word in ("job", "town"):
            own = [i for i, name in enumerate(data.feature_names) if name.startswith(f"{word}=")]
            assert (new[:, own].sum(axis=1) == 1).all() and set(np.unique(new[:, own])) == {0.0, 1.0}
        assert set(new[:, data.feature_names.index("rich=yes")]) == {-1.0, 1.0}


def test_smote_of_categories_is_that_of_imbalanced_learn_on_the_raw_table() -> None:
    over = pytest.importorskip("imblearn.over_sampling")
    frame = mixed().drop(columns=["spend", "town"])
    plain = prepare(frame, "y", scale="standard")
    data, _, new = smoted(frame, scale="standard")
    raw = frame.iloc[plain.train.index][["age", "job", "rich", "flag"]].reset_index(drop=True)
    raw["age"] = plain.train.x[:, plain.feature_names.index("age")].astype(np.float64)
    seed = int(np.random.default_rng([0, 2]).integers(2**31))
    maker = over.SMOTENC(["job", "rich", "flag"], k_neighbors=5, random_state=seed)
    expected, y = maker.fit_resample(raw, plain.train.y)
    assert np.array_equal(y, data.train.y)
    expected = expected[len(raw) :]
    np.testing.assert_allclose(new[:, data.feature_names.index("age")], expected["age"].astype(float), rtol=1e-6)
    jobs = ["clerk", "cook", "nurse", "pilot"]
    found = new[:, [data.feature_names.index(f"job={job}") for job in jobs]].argmax(axis=1)
    assert np.array(jobs)[found].tolist() == expected["job"].tolist()
    rich = np.where(new[:, data.feature_names.index("rich=yes")] > 0, "yes", "no")
    assert rich.tolist() == expected["rich"].tolist()
    flag = new[:, data.feature_names.index("flag")] > 0
    assert flag.tolist() == (expected["flag"].astype(int) == 1).tolist()


def test_tables_of_categories_alone_take_smote_n() -> None:
    over = pytest.importorskip("imblearn.over_sampling")
    frame = mixed()[["job", "rich", "y"]]
    plain = prepare(frame, "y")
    data, real, new = smoted(frame)
    assert set(map(bytes, new[:, :4])) <= set(map(bytes, real[:, :4]))
    raw = frame.iloc[plain.train.index][["job", "rich"]].to_numpy(object)
    seed = int(np.random.default_rng([0, 2]).integers(2**31))
    expected, _ = over.SMOTEN(k_neighbors=5, random_state=seed).fit_resample(raw, plain.train.y)
    found = [["clerk", "cook", "nurse", "pilot"][i] for i in new[:, :4].argmax(axis=1)]
    assert found == expected[len(raw) :, 0].tolist()
    rich = np.where(new[:, data.feature_names.index("rich=yes")] > 0, "yes", "no")
    assert rich.tolist() == expected[len(raw) :, 1].tolist()


def test_target_encoded_levels_are_numbers() -> None:
    pytest.importorskip("imblearn")
    data, real, new = smoted(mixed(), encode="target")
    job = data.feature_names.index("job")
    assert category_groups(data.pipeline) == ()
    assert not set(new[:, job]) <= set(real[:, job])


@pytest.mark.parametrize("options", [{"reduce": "pca"}, {"select": "mutual_info"}], ids=["pca", "selected"])
def test_features_that_were_mixed_get_fractions_and_that_is_said(options: dict[str, Any]) -> None:
    pytest.importorskip("imblearn")
    data, _, _ = smoted(mixed(), **options)
    assert category_groups(data.pipeline) is None
    assert any("features were selected or reduced: categories get fractions" in note for note in data.warnings)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30), width=st.integers(1, 5))
def test_collapsed_rows_expand_to_the_same_rows(seed: int, rows: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    x = np.hstack([draw.normal(size=(rows, 2)), np.eye(width)[draw.integers(width, size=rows)]]).astype(np.float32)
    x = np.hstack([x, draw.choice([-1, 1], (rows, 1))]).astype(np.float32)
    found = collapse(x, (tuple(range(2, 2 + width)),))
    assert found.table.shape[1] <= 4
    np.testing.assert_array_equal(found.expanded(found.table), x)


def test_smote_of_too_many_categories_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imblearn")
    monkeypatch.setattr(mixed_smote, "MOST_CELLS", 100)
    with pytest.raises(DataError, match=r"balance=smote would hold .* 100 are allowed: take a smaller ratio"):
        smoted(mixed())


def test_row_weights_are_the_alpha_of_a_focal_loss() -> None:
    """Lin et al., "Focal Loss for Dense Object Detection", 2017: alpha_t by inverse class frequency (section 3.1)."""
    data = prepare(mixed(), "y", balance="weights")
    counts = np.bincount(data.train.y)
    alpha = len(data.train) / (2 * counts)
    assert data.train.weight is not None
    np.testing.assert_allclose(data.train.weight, alpha[data.train.y], rtol=1e-6)

    def focal(out: torch.Tensor, y: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        log_p = out.log_softmax(1).gather(1, y[:, None])[:, 0]
        loss = -((1 - log_p.exp()) ** 2) * log_p
        return loss if reduction == "none" else loss.mean()

    out = torch.from_numpy(np.random.default_rng(0).normal(size=(len(counts[data.train.y]), 2)))
    y = torch.from_numpy(data.train.y)
    p = out.softmax(1).numpy()[np.arange(len(y)), data.train.y]
    expected = (-alpha[data.train.y] * (1 - p) ** 2 * np.log(p)).mean()  # alphas are 1 on average
    found = weighted_mean(focal)(out, y, torch.from_numpy(data.train.weight).double())
    assert float(found) == pytest.approx(expected, rel=1e-6)
