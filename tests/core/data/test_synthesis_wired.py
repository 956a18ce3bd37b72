"""Synthetic rows in a preparation: made of training rows alone, features by the fitted pipeline, appended to train."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression

import nnlab.core.data.prepare as preparing
from nnlab.core.data.columns import Column
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.roles import Typed
from nnlab.core.data.synthesis import ctgan as gan
from nnlab.core.data.synthesis import tvae as vae
from nnlab.core.data.synthetic import Dates, Levels, _column, _view, made_rows
from nnlab.core.errors import DataError, SpecError
from nnlab.core.fit import fit
from nnlab.core.options import options_of, resolve
from nnlab.core.spec import PrepareSpec

QUICK: dict[str, dict[str, Any]] = {"copula": {}, "tvae": {"epochs": 3}, "ctgan": {"epochs": 3}}


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Every kind of column: a class that goes with age and job, gaps, counts, days, a flag, an id, sample weights."""
    draw = np.random.default_rng(seed)
    age = draw.normal(40, 12, rows)
    job = draw.choice(["cook", "nurse", "clerk"], rows, p=[0.6, 0.3, 0.1])
    chance = 1 / (1 + np.exp(-(age - 40) / 4 - 2.0 * (job == "nurse")))
    town = np.where(draw.random(rows) < 0.2, None, draw.choice(["Ulm", "Bonn"], rows))
    return pd.DataFrame(
        {
            "age": np.where(draw.random(rows) < 0.1, np.nan, age),
            "children": draw.poisson(1.5, rows),
            "half": draw.choice([0.5, 2.25], rows),
            "job": job,
            "town": town,
            "member": draw.random(rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
            "client_id": np.arange(rows) + 10_000,
            "counts": draw.uniform(0.5, 2.0, rows),
            "rich": np.where(draw.random(rows) < chance, "yes", "no"),
        }
    )


def made(frame: pd.DataFrame, name: str = "copula", target: str = "rich", **options: Any) -> Prepared:
    return prepare(frame, target, synthesis=name, **QUICK[name], **options)


def new(data: Prepared) -> np.ndarray:
    return np.flatnonzero(data.train.index < 0)


@pytest.mark.parametrize("name", QUICK)
def test_rows_are_appended_to_the_training_rows_alone(name: str) -> None:
    frame = table()
    plain, data = prepare(frame, "rich", weight="counts"), made(frame, name, weight="counts", rows=1.5)
    n = len(plain.train)
    assert new(data).tolist() == list(range(n, n + round(1.5 * n)))
    np.testing.assert_array_equal(data.train.x[:n], plain.train.x)
    np.testing.assert_array_equal(data.train.y[:n], plain.train.y)
    np.testing.assert_array_equal(data.train.index[:n], plain.train.index)
    assert plain.train.weight is not None and data.train.weight is not None
    np.testing.assert_array_equal(data.train.weight[:n], plain.train.weight)
    assert (data.train.weight[n:] == 1.0).all()
    for part in ("valid", "test"):
        np.testing.assert_array_equal(getattr(data, part).x, getattr(plain, part).x)
        np.testing.assert_array_equal(getattr(data, part).y, getattr(plain, part).y)
    kinds = [(a.dtype, b.dtype) for a, b in ((data.train.x, plain.train.x), (data.train.y, plain.train.y))]
    assert all(a == b for a, b in kinds)
    said = f"{round(1.5 * n)} synthetic rows, made by {name} from {n} training rows, are added"
    assert any(said in warning for warning in data.warnings)
    assert data.target_counts == plain.target_counts


@pytest.mark.parametrize("name", QUICK)
def test_made_cells_are_such_as_training_cells(name: str) -> None:
    frame = table()
    data = made(frame, name, scale="standard", rows=2.0)
    real = frame.iloc[data.train.index[data.train.index >= 0]]
    back = data.inverse(data.train.x[new(data)])
    assert "client_id" not in back
    for word in ("age", "children"):
        assert real[word].min() - 1e-3 <= back[word].min() and back[word].max() <= real[word].max() + 1e-3
    assert np.abs(back["children"] - back["children"].round()).max() < 1e-4
    np.testing.assert_allclose(np.unique(back["half"].round(4)), [0.5, 2.25])
    assert set(back["job"]) <= set(real["job"]) and set(back["member"].astype(str)) == {"True", "False"}
    assert set(back["town"].dropna()) == {"Ulm", "Bonn"} and back["town"].isna().any()
    days = back["since"].astype("datetime64[us]")
    assert days.min() >= real["since"].min() - pd.Timedelta("1min")
    assert days.max() <= real["since"].max() + pd.Timedelta("1min")
    off = (days - days.dt.round("D")).abs().max()
    assert off < pd.Timedelta("1min"), "days come back as days"
    assert set(data.train.y[new(data)]) == {0, 1}


def test_copula_rows_are_worth_learning_from() -> None:
    frame = table(1200)
    data = made(frame, rows=1.0, drop=("counts",))
    x, y, at = data.train.x, data.train.y, new(data)
    model = LogisticRegression(max_iter=1000).fit(x[at], y[at])
    real = LogisticRegression(max_iter=1000).fit(x[: at[0]], y[: at[0]])
    assert model.score(data.valid.x, data.valid.y) > 0.95 * real.score(data.valid.x, data.valid.y) > 0.7
    found = data.synthesis
    assert found is not None and found.score == "accuracy" and found.synthetic_score is not None
    assert [c.name for c in found.columns] == ["age", "children", "since", "half", "job", "town", "member", "rich"]
    assert max(c.distance for c in found.columns) < 0.1 and max(c.missing for c in found.columns) < 0.05


def test_a_number_as_target_is_made_in_its_units_and_scaled() -> None:
    bunch = load_diabetes(as_frame=True)
    data = prepare(bunch.frame, "target", synthesis="copula", scale_target="standard")
    at = new(data)
    real = data.target.decode(data.train.y[: at[0]])
    found = data.target.decode(data.train.y[at])
    assert data.train.y.dtype == np.float32
    assert real.min() - 1e-3 <= found.min() and found.max() <= real.max() + 1e-3
    assert found.mean() == pytest.approx(real.mean(), rel=0.1)
    bmi = data.feature_names.index("bmi")
    own, other = (np.corrcoef(data.train.x[rows, bmi], data.train.y[rows])[0, 1] for rows in (at, np.arange(at[0])))
    assert own == pytest.approx(other, abs=0.12)
    assert data.synthesis is not None and data.synthesis.score == "R2" and (data.synthesis.synthetic_score or 0) > 0.15


def poisoned(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    other, at = frame.copy(), frame.index[rows]
    other.loc[at, "age"] = np.where(np.arange(len(at)) % 2, 1e9, np.nan)
    other.loc[at, "children"] = 10**6
    other.loc[at, "half"] = 7.0
    other.loc[at, "job"] = [f"a new {i}" for i in range(len(at))]
    other.loc[at, "since"] = pd.Timestamp("1999-01-01 03:04:05")
    return other.iloc[::1]


def check_poison(name: str) -> None:
    frame = table()
    first = made(frame, name, rows=1.0)
    hidden = np.concatenate([first.valid.index, first.test.index])
    second = made(poisoned(frame, hidden), name, rows=1.0)
    np.testing.assert_array_equal(first.train.index, second.train.index)
    np.testing.assert_array_equal(first.train.x, second.train.x)
    np.testing.assert_array_equal(first.train.y, second.train.y)


@pytest.mark.parametrize("name", QUICK)
def test_poisoned_rows_change_no_synthetic_row(name: str) -> None:
    check_poison(name)


def leaky(own: Callable[..., Any]) -> Callable[..., Any]:
    def all_rows(pipeline: Any, typed: Any, numbers: np.ndarray, split: Any, spec: Any) -> Any:
        return own(pipeline, typed, numbers, replace(split, train=np.arange(len(numbers))), spec)

    return all_rows


def test_the_check_catches_a_synthesis_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "made_rows", leaky(preparing.made_rows))
    with pytest.raises(AssertionError):
        check_poison("copula")


def test_quality_is_of_validation_rows_and_never_of_test_rows() -> None:
    frame = table()
    first = made(frame)
    tested, validated = (made(poisoned(frame, part.index)) for part in (first.test, first.valid))
    assert first.synthesis == tested.synthesis != validated.synthesis
    assert made(frame, valid=0.0).synthesis is not None
    assert made(frame, valid=0.0).synthesis.synthetic_score is None  # type: ignore[union-attr]


def test_each_fold_has_its_own_rows() -> None:
    frame = table()
    data = made(frame, folds=3)
    assert len(data.folds) == 3
    parts = [fold.train.x[new(fold)] for fold in data.folds]
    assert [len(part) for part in parts] == [int((fold.train.index >= 0).sum()) for fold in data.folds]
    assert len({part.tobytes() for part in parts}) == 3
    for fold in data.folds:
        hidden = np.concatenate([fold.valid.index, fold.test.index])
        assert fold.synthesis is not None and not np.isin(hidden, fold.train.index).any()
    last = data.folds[2]
    again = made(poisoned(frame, last.valid.index), folds=3).folds[2]
    np.testing.assert_array_equal(again.train.x, last.train.x)


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides(name: str) -> None:
    frame = table(120)
    first, again, other = (made(frame, name, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.train.x, again.train.x)
    assert first.synthesis == again.synthesis
    assert not np.array_equal(first.train.x[new(first)], other.train.x[new(other)])


def test_synthesis_comes_before_balance() -> None:
    frame = table()
    frame["rich"] = np.where(frame["age"].fillna(0) > 52, "yes", "no")
    data = made(frame, balance="weights")
    weight, y = data.train.weight, data.train.y
    assert weight is not None and len(weight) == len(data.train)
    np.testing.assert_allclose(np.bincount(y, weight), len(y) / 2, rtol=1e-5)
    grown = made(frame, balance="oversample")
    assert np.ptp(np.bincount(grown.train.y)) == 0
    assert (grown.train.index < 0).sum() >= (data.train.index < 0).sum()
    notes = [i for i, text in enumerate(grown.warnings) if "synthetic rows" in text or "rare classes" in text]
    assert len(notes) == 2 and "synthetic" in grown.warnings[notes[0]]


def test_target_encoders_give_synthetic_rows_what_they_give_later_frames() -> None:
    frame = table()
    data = made(frame, encode="target", impute="knn", rows=1.0)
    (job,) = [feature for feature in data.pipeline.features if feature.name == "job"]
    column = data.feature_names.index("job")
    later = set(job.encoding.table[:, 0].tolist())  # type: ignore[attr-defined]
    real, own = data.train.x[: new(data)[0], column], data.train.x[new(data), column]
    assert set(own.tolist()) <= later
    assert not set(real.tolist()) <= later


@pytest.mark.parametrize(
    "options",
    [{"reduce": "pca"}, {"select": "mutual_info"}, {"flag": "isolation_forest"}, {"cross": "products"}],
    ids=lambda o: next(iter(o)),
)
def test_steps_on_the_whole_matrix_are_done_to_synthetic_rows(options: dict[str, Any]) -> None:
    if options == {"cross": "products"}:
        from nnlab.core.data.steps import CROSSES

        options = {"cross": next(name for name in CROSSES if name != "none")}
    data = made(table(), **options)
    assert data.train.x.shape == (len(data.train), len(data.feature_names)) and np.isfinite(data.train.x).all()


@pytest.mark.parametrize(("name", "module"), [("ctgan", gan), ("tvae", vae)])
def test_an_interrupted_training_leaves_everything_as_it_was(
    name: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(120)
    whole = made(frame, name)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    own, calls = torch.optim.Adam.step, []

    def pressed(*given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return own(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", pressed)
        with pytest.raises(KeyboardInterrupt):
            made(frame, name)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    np.testing.assert_array_equal(made(frame, name).train.x, whole.train.x)


def test_options_and_what_is_said_of_wrong_ones() -> None:
    words = options_of(PrepareSpec, {"synthesis": "tvae"})
    assert {"synthesis", "rows", "epochs", "synthesis.rows", "synthesis.epochs"} <= set(words)
    assert resolve(PrepareSpec, {"synthesis": "ctgan", "synthesis.rows": "0.5"}).synthesis.values == {"rows": 0.5}
    frame = table(60)
    with pytest.raises(SpecError, match=r"rows=200: expected number, 0 to 100"):
        made(frame, rows=200)
    with pytest.raises(SpecError, match="'epochs' belongs to synthesis ctgan, tvae"):
        made(frame, epochs=3)
    with pytest.raises(SpecError, match="did you mean 'copula'"):
        prepare(frame, "rich", synthesis="copulla")
    none = made(frame, rows=0)
    assert none.synthesis is None and len(new(none)) == 0


def test_free_text_is_refused() -> None:
    texts = np.array(["a b c", "d e f"], object)
    typed = Typed("review", "text", "", Column("review", "text", np.array([0, 1]), texts), 0)
    with pytest.raises(DataError, match=r"'review' is free text.*--drop review"):
        _column(typed)


def test_views_of_odd_columns() -> None:
    rows = np.arange(3)
    stamps = np.array(["2020-01-01T00:00", "NaT", "2020-01-01T00:30"], "datetime64[us]")
    view = _view(Column("t", "date", stamps, np.empty(0, object)), rows)
    assert isinstance(view, Dates) and view.step == 30 * 60 * 10**6
    np.testing.assert_array_equal(view.encode(stamps), [0.0, np.nan, 1.0])
    np.testing.assert_array_equal(view.column(view.encode(stamps)).data, stamps)
    one = _view(Column("t", "date", np.repeat(stamps[:1], 3), np.empty(0, object)), rows)
    np.testing.assert_array_equal(one.column(np.array([0.0, np.nan])).data, stamps[:2])
    two = _view(Column("x", "number", np.array([7.5, np.nan, -1.0]), np.empty(0, object)), rows)
    assert isinstance(two, Levels)
    np.testing.assert_array_equal(two.encode(np.array([-1.0, 7.5, np.nan, 3.0])), [0, 1, -1, -1])
    np.testing.assert_array_equal(two.column(np.array([1, -1])).data, [7.5, np.nan])
    levels = np.array(["b", "a", "later"], object)
    text = _view(Column("c", "text", np.array([0, 1, -1]), levels), rows)
    np.testing.assert_array_equal(text.encode(np.array([0, 1, -1, 2])), [1, 0, -1, -1])
    assert text.column(np.array([0, 1])).levels.tolist() == ["a", "b"]
    empty = _view(Column("c", "text", np.full(3, -1), levels), rows)
    assert empty.encode(np.array([0, -1])).tolist() == [-1, -1]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("rows", [12, 40])
def test_small_tables(name: str, rows: int) -> None:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"x": draw.normal(size=rows), "y": np.arange(rows) % 2})
    data = made(frame, name, target="y", rows=3.0)
    assert len(new(data)) == 3 * (len(data.train) - len(new(data)))
    assert np.isfinite(data.train.x).all()


def test_positions_of_an_array_and_dropped_rows() -> None:
    x, y = load_wine(return_X_y=True)
    data = prepare((x, y), synthesis="copula")
    assert data.train.x.shape[1] == 13 and set(data.train.y[new(data)]) == {0, 1, 2}
    frame = table()
    frame.loc[5:20, "rich"] = None
    kept = made(frame, drop_rows=1.0)
    assert not np.isin(kept.train.index, np.arange(5, 21)).any() and (kept.train.index[new(kept)] == -1).all()


def test_training_takes_the_rows() -> None:
    data = prepare(load_breast_cancer(as_frame=True).frame, "target", synthesis="copula", rows=0.5)
    run = fit(data, epochs=5, device="cpu", hidden=(16,))
    assert run.metrics["accuracy"] > 0.85
    assert made_rows(data.pipeline, [], np.empty(0), None, PrepareSpec("y")) is None  # type: ignore[arg-type]
