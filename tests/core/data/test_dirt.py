"""Dirty tables, one test for each kind of dirt: refused by name, or handled and said, and never a foreign error."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, DataWarning, NNLabError
from nnlab.core.fit import fit
from tests.yardstick import as_there

ROWS = 200
NET: dict[str, Any] = {"hidden": (4,), "epochs": 2, "device": "cpu", "store": False}


def table(rows: int = ROWS, **columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": draw.normal(size=rows),
            "b": draw.choice(list("xyz"), rows),
            "y": draw.choice(["no", "yes"], rows),
        }
    )
    return frame.assign(**columns)


def refused(frame: Any, message: str, target: Any = "y", **options: Any) -> None:
    """By an error of nnlab of at most three lines."""
    with pytest.raises(NNLabError, match=message) as caught:
        prepare(frame, target, **options)
    assert len(str(caught.value).splitlines()) <= 3


def same(one: Prepared, other: Prepared) -> bool:
    """Bit by bit."""
    pairs = [(getattr(one, part), getattr(other, part)) for part in ("train", "valid", "test")]
    return all(np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y) for a, b in pairs)


def roles(data: Prepared) -> dict[str, str]:
    return {column.name: column.role for column in data.columns}


def said(data: Prepared, *words: str) -> bool:
    return any(all(word in warning for word in words) for warning in data.warnings)


def finite(data: Prepared) -> bool:
    return all(np.isfinite(part.x).all() for part in (data.train, data.valid, data.test))


def test_e1_missing_targets() -> None:
    frame = table()
    frame["y"] = frame["y"].where(frame.index % 40 != 1)
    refused(frame, r"target 'y' is missing in 5 of 200 rows \(row 1, 41, 81, 121, 161\); .* or by --drop_rows 1$")
    data = prepare(frame, "y", drop_rows=1)
    index = np.concatenate([part.index for part in (data.train, data.valid, data.test)])
    assert sorted(index.tolist()) == [row for row in range(ROWS) if row % 40 != 1]
    assert said(data, "5 of 200 rows are left out")
    numbers = table(y=np.where(np.arange(ROWS) == 7, np.nan, np.linspace(0, 1, ROWS)))
    refused(numbers, r"missing in 1 of 200 rows \(row 7\)")


@pytest.mark.parametrize("scale", ["quantile", "standard", "minmax", "robust", "none"])
def test_e2_constant_columns(scale: str) -> None:
    data = prepare(table(c=7, d="same"), "y", scale=scale)
    assert roles(data)["c"] == roles(data)["d"] == "constant"
    assert said(data, "set aside as constant", "'c', 'd'", "--categorical c")
    assert same(data, prepare(table(), "y", scale=scale))
    nearly = np.full(ROWS, 1e9)
    nearly[prepare(table(), "y").train.index[0]] += 1e-6
    assert finite(prepare(table(c=nearly), "y", scale=scale))


def test_e3_empty_columns() -> None:
    data = prepare(table(e=np.nan, g=None), "y")
    assert roles(data)["e"] == roles(data)["g"] == "constant"
    assert said(data, "'e', 'g'", "empty in all training rows")
    run = fit(data, **NET)
    expected = run.predict_proba(table())
    assert np.isfinite(expected).all()
    assert np.array_equal(run.predict_proba(table(e=3.0, g="now there")), expected)
    partly = table()
    partly["a"] = np.nan
    with pytest.warns(DataWarning, match="'a' has 200 missing where training had none"):
        assert np.isfinite(run.predict_proba(partly)).all()


def test_e4_a_single_class() -> None:
    refused(table(y="no"), "target 'y' has one class only, 'no'; at least two are needed")
    refused(table(y=1.5), "target 'y' is 1.5 in every row")


def test_e5_a_class_of_one_row() -> None:
    data = prepare(table(y=["rare", *["a", "b"] * 99, "a"]), "y")
    assert 0 in data.train.index
    assert said(data, "kept in training", "class 'rare'")
    folds = prepare(table(y=["rare", *["a", "b"] * 99, "a"]), "y", folds=3).folds
    assert all(part.target.classes == ("a", "b", "rare") for part in folds)
    assert all(np.isfinite(fold.train.x).all() for fold in folds)


def test_e5_fewer_than_two_rows_a_class() -> None:
    refused(table(5, y=["a", "b", "c", "a", "b"]), "'y' has 3 classes in 5 rows; at least 6 rows are needed")
    assert prepare(table(6, y=["a", "b", "c", "a", "b", "c"]), "y").task == "multiclass"


def test_e6_columns_and_levels_at_prediction() -> None:
    data = prepare(table(), "y")
    run, frame = fit(data, **NET), table()
    expected = run.predict_proba(frame)
    assert np.array_equal(run.predict_proba(frame[["y", "b", "a"]].assign(more=1)), expected)
    with pytest.raises(DataError, match="'b'"):
        run.predict(frame.drop(columns="b"))
    strange = frame.assign(b=np.where(frame.index < 3, "new", frame["b"]))
    with pytest.warns(DataWarning, match="'b' has 3 with a level that training did not see") as told:
        found = run.predict_proba(strange)
    assert told[0].filename == __file__, "the warning names the line that asked"
    assert run.check(strange).columns["b"].unseen == 3
    assert np.isfinite(found).all() and np.array_equal(found[3:], expected[3:])


def test_e7_words_among_numbers() -> None:
    cells = [*map(str, range(180)), *["1,234"] * 12, *["$5"] * 8]
    refused(table(a=cells), r"'a' has 20 cells of 200 that are no numbers: '1,234', '\$5'; mend them, or --coerce a ")
    gaps = prepare(table(a=[*map(str, np.arange(180) / 7), *["n/a"] * 20]), "y")
    assert roles(gaps)["a"] == "numeric"
    assert same(gaps, prepare(table(a=[*(np.arange(180) / 7), *[np.nan] * 20]), "y"))


def test_e8_numbers_out_of_bounds() -> None:
    for bad in (np.inf, -np.inf, 1e300, 1e39):
        refused(table(a=np.where(np.arange(ROWS) == 9, bad, 0.5)), r"'a' holds 1 infinite or too large .*\(row 9\)")
    assert finite(prepare(table(a=np.linspace(-3e38, 3e38, ROWS)), "y"))
    data = prepare(table(i=2**60 + np.arange(ROWS) * 1000), "y")
    assert roles(data)["i"] == "id" and said(data, "set aside as id", "--numeric i")
    near = prepare(table(i=2**60 + np.arange(ROWS) % 3), "y")
    assert roles(near)["i"] == "categorical", "as floats they would be one number"
    holed = table(a=np.where(np.arange(ROWS) % 50 == 9, np.inf, np.linspace(0, 1, ROWS)))
    lenient = prepare(holed, "y", inf="missing")
    assert said(lenient, "'a': 4 infinite or too large numbers count as missing")
    assert np.array_equal(lenient.transform(holed), lenient.transform(holed.replace(np.inf, np.nan)))
    again = Pipeline.from_state(*lenient.pipeline.state())
    assert np.array_equal(again.transform(holed), lenient.transform(holed))
    with pytest.raises(DataError, match="infinite"):
        prepare(holed, "y")


def test_e9_names_given_twice() -> None:
    frame = table(c=1.0, d=2.0)
    frame.columns = ["a", "b", "y", "a", "b"]
    refused(frame, "several columns of the same name: 'a', 'b'; rename them")


def test_e10_names_that_are_no_text() -> None:
    names = [1, 2.5, None, ("a", 1), pd.Timestamp("2020-01-01"), "y"]
    values = np.random.default_rng(0).normal(size=(ROWS, 6))
    data = prepare(pd.DataFrame(values, columns=pd.Index(names, dtype=object)), "y")
    plain = prepare(pd.DataFrame(values, columns=[*"abcde", "y"]), "y", scale="standard")
    assert data.feature_names == ("1", "2.5", "None", "('a', 1)", "2020-01-01 00:00:00")
    assert same(prepare(pd.DataFrame(values, columns=pd.Index(names, dtype=object)), "y", scale="standard"), plain)
    tiers = pd.DataFrame(values[:, :3], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("y", "")]))
    assert prepare(tiers, "('y', '')").feature_names == ("('a', 1)", "('a', 2)")
    refused(pd.DataFrame(values[:, :3], columns=pd.Index([1, "1", "y"], dtype=object)), "same name: '1'")


def test_e11_dates_of_all_types() -> None:
    days = pd.date_range("2020-01-01", periods=ROWS, freq="D")
    naive = prepare(table(w=days), "y")
    assert roles(naive)["w"] == "date"
    for cells in (days.tz_localize("UTC"), days.tz_localize("UTC").tz_convert("Asia/Tokyo"), days.to_period("D")):
        assert same(prepare(table(w=cells), "y"), naive)
    aware = prepare(table(w=days.tz_localize("UTC")), "y")
    with pytest.raises(DataError, match="'w' has dates with a time zone, in training they had none"):
        naive.transform(table(w=days.tz_localize("UTC")))
    with pytest.raises(DataError, match="'w' has dates with no time zone, in training they had one"):
        aware.transform(table(w=days))
    tokyo = days.tz_localize("UTC").tz_convert("Asia/Tokyo")
    assert np.array_equal(aware.transform(table(w=tokyo)), naive.transform(table(w=days)))
    holes = prepare(table(w=days.where(np.arange(ROWS) % 9 != 0)), "y")
    assert roles(holes)["w"] == "date" and finite(holes)
    spans = prepare(table(w=pd.to_timedelta(np.arange(ROWS) * 90, unit="min")), "y", numeric="w")
    assert same(spans, prepare(table(w=np.arange(ROWS) * 5400.0), "y", numeric="w"))
    with pytest.raises(DataError, match="'w'"):
        naive.transform(table(w="no day"))


def months(*levels: str) -> pd.Series:
    return pd.Series(np.resize(np.array(levels, dtype=object), ROWS))


@pytest.mark.parametrize(
    "levels",
    [("1949-01", "1949-02"), ("1949/01", "1949/12"), ("Jan 2020", "May 2020"), ("1 January 2020", "12 March 2021")],
)
def test_e11_months_are_dates(levels: tuple[str, str]) -> None:
    data = prepare(table(w=months(*levels)), "y")
    assert roles(data)["w"] == "date"
    real = pd.to_datetime(months(*levels), format="mixed")
    np.testing.assert_array_equal(data.train.x, prepare(table(w=real), "y").train.x)


@pytest.mark.parametrize("levels", [("12-2019", "11-2019"), ("4711-03", "4712-04"), ("2019-13", "2019-14")])
def test_e11_numbers_of_parts_are_no_dates(levels: tuple[str, str]) -> None:
    assert roles(prepare(table(w=months(*levels)), "y"))["w"] == "binary"


def test_e12_next_to_nothing() -> None:
    refused(pd.DataFrame({"a": [], "y": []}), "is empty: 0 rows, 2 columns")
    refused(pd.DataFrame(index=range(9)), "is empty: 9 rows, 0 columns")
    refused(table(3, y=[0.5, 1.5, 2.7]), "too few rows: 3; at least 4")
    refused(table(1), "at least")
    run = fit(prepare(table(8, y=["no", "yes"] * 4), "y"), batch_size=512, **NET)
    assert np.isfinite(run.predict_proba(table(1))).all()


def test_e13_the_target_is_not_there() -> None:
    refused(table(outcome=1), "no target column 'outcom'; did you mean 'outcome'", target="outcom")


def test_e14_the_target_among_the_features() -> None:
    frame = table()
    other = frame["y"].map({"no": "A", "yes": "B"})
    refused(frame.assign(z=frame["y"]), "column 'z' is a copy of it; --drop z leaves it out")
    data = prepare(frame.assign(z=other), "y")
    assert data.audit[0].kind == "target_copy" and data.audit[0].columns == ("z",)
    assert said(data, "column 'z' is the target 'y' in other words", "--drop z")
    refused(frame.assign(z=other), "strict: column 'z' is the target", strict=True)
    monotone = pd.DataFrame({"b": frame["b"], "y": frame["a"], "z": np.exp(frame["a"])})
    assert prepare(monotone, "y").audit[0].columns == ("z",)
    refused(monotone, "strict: column 'z' is the target", strict=True)
    assert same(prepare(frame.assign(z=other), "y", drop="z"), prepare(frame, "y"))


def test_e15_cells_of_odd_types() -> None:
    odd: dict[str, list[Any]] = {
        "mixed": [1, "a"],
        "list": [[1], [2]],
        "dict": [{"a": 1}, {"b": 2}],
        "set": [{1}, {2}],
        "tuple": [(1,), (2,)],
        "bytes": [b"x", b"y"],
    }
    plain = prepare(table(q=["a", "b"] * 100), "y")
    for name, cells in odd.items():
        data = prepare(table(q=pd.Series(cells * 100, dtype=object)), "y")
        assert roles(data)["q"] == "binary", name
        assert data.train.x.shape == plain.train.x.shape
    refused(table(q=[1j, 2j] * 100), "'q' holds complex numbers")
    decimals = prepare(table(q=[Decimal(i) / 8 for i in range(ROWS)]), "y")
    assert same(decimals, prepare(table(q=np.arange(ROWS) / 8), "y"))
    flags = pd.array([True, None, False, True] * 50, dtype="boolean")
    assert roles(prepare(table(q=flags), "y"))["q"] in ("binary", "categorical")
    assert same(prepare(table(q=flags), "y"), prepare(table(q=pd.Series(flags, dtype=object)), "y"))


def test_e16_many_columns() -> None:
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 2000)))
    began = time.process_time()
    data = prepare(wide.assign(y=table()["y"]), "y")
    assert as_there(time.process_time() - began) < 5
    assert len(data.feature_names) == 2000
    assert len(repr(data)) < 1000 and len(data.warnings) < 50


def test_e17_many_rows_are_float32_and_share_no_memory() -> None:
    rows = 300_000
    values = np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32)
    frame = pd.DataFrame(values, columns=list("abcdefgh")).assign(y=values[:, 0] + 1)
    data = prepare(frame, "y", scale="standard")
    parts = [data.train.x, data.valid.x, data.test.x]
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}
    assert sum(part.nbytes for part in parts) == values.nbytes
    assert not any(np.shares_memory(part, frame[name].to_numpy()) for part in parts for name in frame)


def typed_columns(cells: Callable[[pd.DataFrame], Any]) -> Prepared:
    frame = table(
        n=np.random.default_rng(1).integers(0, 9, ROWS), q=np.random.default_rng(2).normal(size=ROWS).round(2)
    )
    return prepare(cells(frame), "y")


def test_e18_types_of_columns_change_no_bit() -> None:
    plain = typed_columns(lambda f: f)
    unused = pd.CategoricalDtype(["unused", "z", "y", "x"])
    ways: dict[str, Callable[[pd.DataFrame], Any]] = {
        "nullable": lambda f: f.convert_dtypes(),
        "arrow": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
        "objects": lambda f: f.astype(object),
        "unused levels": lambda f: f.astype({"b": unused}),
        "dictionary": lambda f: f.astype({"b": pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))}),
        "decimal": lambda f: f.assign(
            q=pd.array([Decimal(str(v)) for v in f["q"]], pd.ArrowDtype(pa.decimal128(9, 2)))
        ),
    }
    for name, way in ways.items():
        assert same(typed_columns(way), plain), name


def test_e19_tables_of_other_libraries(tmp_path: Path) -> None:
    frame = table()
    plain = prepare(frame, "y")
    frame.to_csv(tmp_path / "t.csv", index=False)
    ways = [pl.from_pandas(frame), pl.from_pandas(frame).lazy(), pa.Table.from_pandas(frame), frame.to_dict("list")]
    for way in [*ways, tmp_path / "t.csv", str(tmp_path / "t.csv")]:
        assert same(prepare(way, "y"), plain), type(way)
    x = np.where(np.random.default_rng(0).random((ROWS, 4)) < 0.5, 0, np.arange(4) + 1.5 + np.eye(ROWS, 4))
    dense = prepare(x, frame["y"].to_numpy())
    assert same(prepare(sparse.csr_array(x), frame["y"].to_numpy()), dense)
    thin = pd.DataFrame(x).astype(pd.SparseDtype(float, 0.0)).assign(y=frame["y"])
    assert same(prepare(thin, "y"), prepare(pd.DataFrame(x).assign(y=frame["y"]), "y"))
    for strange in (3, None, object(), {1, 2}):
        refused(strange, f"a {type(strange).__name__} cannot be read as a table")


def test_e20_rows_are_paired_by_label() -> None:
    frame = table()
    x, y = frame[["a", "b"]], frame["y"]
    assert same(prepare(x, y.sample(frac=1, random_state=0)), prepare(x, y))
    refused(x, "different row labels", target=y.set_axis(range(5, 5 + ROWS)))
    refused(x, "X has 200 rows and y has 199", target=y.iloc[1:])


def test_e21_levels_by_the_thousand_and_twins() -> None:
    many = table(20_000, q=[f"l{i % 7000}" for i in range(20_000)])
    data = prepare(many, "y", categorical="q")
    assert len(data.feature_names) < 200 and finite(data)
    assert roles(prepare(table(q=[f"l{i}" for i in range(ROWS)]), "y"))["q"] == "id"
    blanks = prepare(table(q=["v", "v ", " w", "w", ""] * 40), "y")
    assert same(blanks, prepare(table(q=["v", "v", "w", "w", None] * 40), "y"))
    twins = prepare(table(q=["caf\u00e9", "cafe\u0301", "tea", "tea"] * 50), "y")
    assert [finding.kind for finding in twins.audit] == ["category_twins"]


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0.0, 1.0], "binary", (0, 1)),
        ([2, 7, 40, 7], "multiclass", (2, 7, 40)),
        ([True, False], "binary", (False, True)),
        (["3", "1"], "binary", (1, 3)),
        (list(range(50)), "regression", ()),
    ],
)
def test_e22_what_a_target_is_taken_for(values: list[Any], task: str, classes: tuple[Any, ...]) -> None:
    frame = table(y=np.resize(np.array(values, dtype=object), ROWS))
    data = prepare(frame, "y")
    assert (data.task, data.target.classes) == (task, classes)
    again = Pipeline.from_state(*data.pipeline.state()).target
    assert (again.task, again.classes) == (task, classes)
    column = frame["y"].to_numpy()
    assert same(prepare(frame[["a", "b"]], column[:, None]), prepare(frame[["a", "b"]], column))
    if task == "multiclass":
        assert said(data, "3 classes", "task=regression")
        assert prepare(frame, "y", task="regression").task == "regression"


def test_e23_weights_that_weigh_nothing() -> None:
    ones = [1.0] * (ROWS - 1)
    refused(table(w=[np.nan, *ones]), r"'w' has 1 missing or negative cell \(row 0\)", weight="w")
    refused(table(w=[-1.0, *ones]), r"'w' has 1 missing or negative cell \(row 0\)", weight="w")
    refused(table(w=0.0), "'w' is 0 in every row", weight="w")
    refused(table(w=[np.inf, *ones]), "'w' holds 1 infinite", weight="w")
    refused(table(w="much"), "'w' has 200 cells of 200 that are no numbers", weight="w")
    for word in ("weight", "group", "time", "part"):
        refused(table(), f"{word}=w: no such column; columns are 'a', 'b', 'y'", **{word: "w"})
    data = prepare(table(w=3.0), "y", weight="w")
    assert data.train.weight is not None and np.array_equal(data.train.weight, np.ones(len(data.train), np.float32))
    assert "w" not in data.pipeline.columns


def digest(frame: pd.DataFrame) -> tuple[Any, ...]:
    """What the frame holds: names, types, labels and the repr of every cell, which lists and sets have as well."""
    cells = tuple(tuple(map(repr, frame.iloc[:, i])) for i in range(frame.shape[1]))
    return (tuple(map(repr, frame.columns)), tuple(map(str, frame.dtypes)), tuple(frame.index), hash(cells))


def test_e24_the_users_frame_is_left_alone() -> None:
    frame = table(e=np.nan, w=pd.date_range("2020", periods=ROWS), q=pd.Series([[1], [2]] * 100, dtype=object))
    before = digest(frame)
    data = prepare(frame, "y")
    run = fit(data, **NET)
    expected = run.predict_proba(frame)
    assert digest(frame) == before
    kept = data.train.x.copy(), data.train.y.copy()
    copy = frame.copy(deep=True)
    frame["a"] = -1e9
    frame.loc[:, "b"] = "gone"
    frame.loc[:, "y"] = "other"
    assert np.array_equal(data.train.x, kept[0]) and np.array_equal(data.train.y, kept[1])
    assert np.array_equal(run.predict_proba(copy), expected)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "floats": st.floats(),
    "gaps": st.sampled_from([1.5, -2.0, None, float("nan"), 0.0, 7.25]),
    "huge": st.integers(),
    "few": st.integers(0, 3),
    "flags": st.sampled_from([True, False, None]),
    "text": st.text(max_size=5),
    "money": st.sampled_from(["1,234", "$5", "n/a", "7", "8.5", "-", "", " 9 "]),
    "twins": st.sampled_from(["caf\u00e9", "cafe\u0301", "Cafe", "cafe ", "\u200bcafe", "\x00"]),
    "dates": st.datetimes() | st.just(pd.NaT),
    "days": st.dates().map(str) | st.just("31/12/2020"),
    "spans": st.timedeltas(timedelta(-100_000), timedelta(100_000)),
    "things": st.sampled_from([[1], {"a": 1}, {1}, (1, 2), b"x", Decimal("1.5"), Decimal("NaN"), 1j, None, 3, "3"]),
    "nothing": st.none(),
}
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "scale": st.sampled_from(["quantile", "standard", "robust", "minmax", "power", "log1p"]),
    "encode": st.sampled_from(["one_hot", "target", "ordinal"]),
    "drop_rows": st.sampled_from([None, 0.0, 0.5, 1.0]),
    "drop_columns": st.sampled_from([None, 0.5]),
    "split": st.sampled_from([None, "random"]),
    "indicators": st.booleans(),
    "strict": st.booleans(),
    "folds": st.sampled_from([None, None, 2]),
}


@st.composite
def dirty_frames(draw: st.DrawFn) -> pd.DataFrame:
    """A few rows of dirt over and over, so that there is something to fit; any names, maybe twice; any labels."""
    rows, width = draw(st.integers(0, 24)), draw(st.integers(1, 4))
    drawn = [draw(st.lists(CELLS[draw(st.sampled_from(sorted(CELLS)))], min_size=1, max_size=8)) for _ in range(width)]
    series = [pd.Series([cells[i % len(cells)] for i in range(rows)], dtype=object) for cells in drawn]
    series = [column.infer_objects() if draw(st.booleans()) else column for column in series]
    frame = pd.concat(series, axis=1)
    names = st.sampled_from(["a", "b", "c", "d", "e", 1, "1", None, ("a", 1), 2.5, "<b>", "y", ""])
    frame.columns = pd.Index(draw(st.lists(names, min_size=width, max_size=width)), dtype=object, tupleize_cols=False)
    if rows and draw(st.booleans()):
        frame.index = pd.Index(draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows)))
    return frame


@pytest.mark.filterwarnings("ignore::nnlab.core.errors.DataWarning")
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    frame=dirty_frames(), target=st.sampled_from(["y", "a", "1"]), options=st.fixed_dictionaries({}, optional=OPTIONS)
)
def test_random_dirt_is_prepared_or_refused(frame: pd.DataFrame, target: str, options: dict[str, Any]) -> None:
    if target == "y" and "y" not in frame.columns:
        frame["y"] = np.resize(["no", "yes"], len(frame))
    before = digest(frame)
    try:
        data = prepare(frame, target, **options)
    except NNLabError as error:
        assert str(error).strip() and len(str(error).splitlines()) <= 3
    else:
        assert finite(data) and np.isfinite(data.train.y).all()
        used = np.concatenate([part.index for part in (data.train, data.valid, data.test)])  # not those left out
        assert np.isfinite(data.transform(frame.iloc[np.sort(used)])).all()
    assert digest(frame) == before
