"""prepare end to end: numbers against scikit-learn, no leak, and every bad frame answered in a line."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, NNLabError, SpecError
from nnlab.core.options import override_values, resolve
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec


def people(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    age = draw.normal(40, 12, rows)
    age[draw.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "children": draw.integers(0, 5, rows),
            "job": draw.choice(["cook", "nurse", "clerk", "pilot"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "town": np.where(draw.random(rows) < 0.2, None, draw.choice(["Ulm", "Bonn", "Kiel"], rows)),
            "smokes": draw.choice(["no", "yes"], rows),
            "income": draw.choice(["<=50K", ">50K"], rows, p=[0.7, 0.3]),
        }
    )


def parts(data: Prepared) -> list[np.ndarray]:
    return [data.train.x, data.valid.x, data.test.x]


@pytest.mark.parametrize("max_levels", [3, 64])
@pytest.mark.parametrize("scale", ["standard", "quantile"])
def test_numbers_equal_scikit_learn(scale: str, max_levels: int) -> None:
    frame = people(2000)
    given = {"noise": 0.0, "knots": 50} if scale == "quantile" else {}
    data = prepare(frame, "income", scale=scale, max_levels=max_levels, **given)
    scaler = (
        StandardScaler()
        if scale == "standard"
        else QuantileTransformer(n_quantiles=50, output_distribution="normal", subsample=None)
    )
    levels = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=max_levels + (max_levels < 4))
    reference = ColumnTransformer(
        [
            ("age", make_pipeline(SimpleImputer(strategy="median"), scaler), ["age"]),
            ("flag", SimpleImputer(strategy="median", add_indicator=True), ["age"]),
            ("children", scaler, ["children"]),
            ("job", levels, ["job"]),
            ("town", make_pipeline(SimpleImputer(strategy="constant", fill_value="~"), OneHotEncoder()), ["town"]),
            ("smokes", OneHotEncoder(drop="if_binary"), ["smokes"]),
        ],
        sparse_threshold=0.0,
    )
    frame["town"] = frame["town"].astype(object).where(frame["town"].notna(), None)
    features = frame.drop(columns="income").fillna({"town": "~"})
    reference.fit(features.iloc[data.train.index])
    for rows in (data.train, data.valid, data.test):
        expected = np.delete(
            reference.transform(features.iloc[rows.index]), 1, axis=1
        )  # the filled age beside its flag
        expected[:, -1] = 2 * expected[:, -1] - 1
        np.testing.assert_allclose(rows.x, expected, rtol=0, atol=1e-6)


def test_what_comes_out() -> None:
    data = prepare(people(), "income")
    assert data.feature_names[:4] == ("age", "age <missing>", "children", "job=clerk")
    assert [c.role for c in data.columns] == ["numeric", "numeric", "categorical", "categorical", "binary", "target"]
    assert [len(rows) for rows in (data.train, data.valid, data.test)] == [128, 32, 40]
    assert data.train.x.dtype == np.float32
    assert data.train.x.flags.c_contiguous
    assert data.train.x.shape == (128, len(data.feature_names))
    assert data.train.y.dtype == data.train.index.dtype == np.int64
    assert sum(c.features for c in data.columns) == len(data.feature_names)
    assert data.columns[0].missing == people()["age"].isna().sum()
    assert data.target.classes == ("<=50K", ">50K")
    counts = people()["income"].value_counts()
    assert data.target_counts == {"<=50K": counts["<=50K"], ">50K": counts[">50K"]}
    assert repr(data) == (
        "Prepared(DataFrame, target 'income', binary; 128 train, 32 valid, 40 test rows; 5 columns -> 12 features)"
    )


@pytest.mark.parametrize(("gaps", "flagged"), [(1, False), (9, False), (10, True), (118, True), (119, False)])
def test_gaps_that_training_hardly_had_are_filled_and_not_flagged(gaps: int, flagged: bool) -> None:
    """A flag that is set in one row learns that row's label, and makes every later gap as sure of it."""
    frame = people().fillna({"age": 40.0})
    rows = prepare(frame, "income").train.index
    frame.loc[rows[:gaps], "age"] = np.nan
    data = prepare(frame, "income")
    assert np.array_equal(data.train.index, rows) and len(rows) == 128
    assert ("age <missing>" in data.feature_names) is flagged
    unknown = frame.drop(columns="income").assign(age=np.nan)
    usual = unknown.assign(age=float(frame.loc[rows, "age"].median()))
    assert np.array_equal(data.transform(unknown), data.transform(usual)) is not flagged


def test_a_regression_target_is_scaled_by_training_rows_and_undone() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2))
    y = 1000 + 250 * x[:, 0]
    data = prepare((x, y))
    chosen = y[data.train.index]
    assert (data.target.mean, data.target.scale) == (chosen.mean(), chosen.std())
    np.testing.assert_allclose(data.target.decode(data.test.y), y[data.test.index], rtol=1e-6)
    plain = prepare((x, y), scale_target="none")
    assert np.array_equal(plain.train.y, y[plain.train.index].astype(np.float32))
    counts, edges = data.target_histogram or ((), ())
    assert (sum(counts), edges[0], edges[-1]) == (300, y.min(), y.max())
    json.dumps(data.target_histogram)


@pytest.mark.parametrize("share", [{"valid": 0}, {"test": 0}, {"valid": 0, "test": 0}])
def test_parts_may_be_empty(share: dict[str, float]) -> None:
    data = prepare(people(), "income", **share)
    for name in share:
        assert getattr(data, name).x.shape == (0, len(data.feature_names))
    assert sum(map(len, parts(data))) == 200


def test_the_frame_is_not_changed() -> None:
    frame = people()
    before = frame.copy(deep=True)
    data = prepare(frame, "income")
    pd.testing.assert_frame_equal(frame, before)
    kept = data.train.x.copy()
    frame.loc[:, "age"] = -1.0
    assert np.array_equal(data.train.x, kept)


def state_bytes(data: Prepared) -> str:
    plain, arrays = data.pipeline.state()
    digest = hashlib.sha256(json.dumps(plain).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("scale", ["quantile", "standard", "minmax"])
def test_validation_and_test_rows_reach_no_statistic(scale: str) -> None:
    frame = people(400).assign(
        when=[f"{d:%d/%m/%Y}" for d in pd.date_range("2020-01-01", periods=400)], spend=np.linspace(0, 1, 400)
    )
    first = prepare(frame, "income", scale=scale)
    hidden = np.concatenate([first.valid.index, first.test.index])
    other = frame.copy()
    rows = other.index[hidden]
    other.loc[rows, "age"] = np.where(np.arange(len(rows)) % 2, 1e9, np.nan)
    other.loc[rows, "spend"] = -1e12
    other.loc[rows, "children"] = np.arange(len(rows)) + 1000
    other.loc[rows, "job"] = [f"new {i}" for i in range(len(rows))]
    other.loc[rows, ["town", "smokes"]] = [None, "perhaps"]
    other.loc[rows, "when"] = "31/12/2050"
    second = prepare(other, "income", scale=scale)
    assert np.array_equal(first.train.index, second.train.index)
    assert state_bytes(first) == state_bytes(second)
    assert np.array_equal(first.train.x, second.train.x)
    assert not np.array_equal(first.test.x, second.test.x)
    assert first.fingerprint != second.fingerprint


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again, other = (prepare(people(), "income", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.train.x, again.train.x)
    assert first.fingerprint == again.fingerprint
    assert not np.array_equal(first.train.index, other.train.index)
    assert first.fingerprint != other.fingerprint


def test_the_users_random_numbers_are_left_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    prepare(people(), "income")
    assert np.random.random() == expected


def test_a_spec_and_options_over_it() -> None:
    spec = PrepareSpec("income", scale=Part("standard"), test=0.5)
    data = prepare(people(), spec=spec, valid="0.1")
    assert (data.spec.scale.name, data.spec.test, data.spec.valid) == ("standard", 0.5, 0.1)
    assert prepare(people(), "smokes", spec=spec).target.name == "smokes"
    assert prepare(people(), "income", split="random").spec.split == "random"


def test_overrides() -> None:
    frame = people().assign(year=np.resize([1999, 2001, 2024], 200), code=np.resize(["1", "2", "x"], 200))
    data = prepare(frame, "income", categorical="children", date="year", drop="job,town")
    roles = {c.name: c.role for c in data.columns}
    assert roles["children"] == "categorical"
    assert roles["year"] == "date"
    assert roles["job"] == roles["town"] == "dropped"
    assert roles["code"] == "categorical"
    assert "children=4" in data.feature_names
    assert {"year year", "year elapsed"} <= set(data.feature_names)


def test_what_is_set_aside_is_said_with_the_way_to_keep_it() -> None:
    frame = people().assign(
        member_id=np.arange(200) * 7 + 5,
        key=[f"k{i:05d}" for i in range(200)],
        remark=[f"said {i} and then left again" for i in range(200)],
        same=1,
        void=None,
    )
    frame["note"] = frame["remark"]
    data = prepare(frame, "income")
    assert data.warnings == (
        "set aside as id: 'member_id' (every row has its own number); --numeric member_id keeps 'member_id'",
        "set aside as id: 'key' (every row has its own value); --categorical key keeps 'key'",
        "set aside as text: 'remark', 'note' (most rows have their own text); --text.remark tfidf keeps 'remark'",
        "set aside as constant: 'same' (one value in all training rows); --categorical same keeps 'same'",
        "set aside as constant: 'void' (empty in all training rows); --categorical void keeps 'void'",
    )
    kept = prepare(frame, "income", numeric="member_id", categorical=("remark", "same"), max_levels=5)
    assert {"member_id", "remark=<other>", "same=1"} <= set(kept.feature_names)


NAMES = ["it's", 'say "hi"', "{x}", "<script>alert(1)</script>", "größe 🦊", "a\nb", "$x", "%d", "", " ", "x" * 5000]


@pytest.mark.parametrize("name", NAMES)
def test_strange_column_names(name: str) -> None:
    frame = people()[["age", "income"]].rename(columns={"age": name, "income": name + "!"})
    data = prepare(frame, name + "!")
    assert data.pipeline.columns == (name,)
    again = type(data.pipeline).from_state(*data.pipeline.state())
    assert np.array_equal(again.transform(frame), data.transform(frame))
    with pytest.raises(DataError):
        data.transform(frame.drop(columns=name))


def test_rare_classes_are_said() -> None:
    frame = people().assign(income=["a"] * 100 + ["b"] * 98 + ["c"] * 2)
    data = prepare(frame, "income")
    assert data.warnings[0] == "too few rows to be in every part, all kept in training: class 'c'"
    assert {198, 199} <= set(data.train.index.tolist())


def test_a_column_that_tells_the_target_is_said() -> None:
    frame = people()
    data = prepare(frame.assign(rich=(frame["income"] == ">50K").map({True: "oui", False: "non"})), "income")
    assert any("column 'rich' is the target 'income' in other words" in said for said in data.warnings)
    assert data.audit[0].kind == "target_copy" and data.audit[0].option == "--drop rich"


BAD: dict[str, tuple[Any, dict[str, Any], type[NNLabError], str]] = {
    "no target": (people(), {}, SpecError, "no target; name the column to predict, one of 'age', 'children'"),
    "target missing": (people(), {"target": "incom"}, DataError, "no target column 'incom'; did you mean 'income'?"),
    "target far off": (people(), {"target": "zzz"}, DataError, "no target column 'zzz'; columns are 'age'"),
    "copy": (people().assign(wage=people()["income"]), {"target": "income"}, DataError, "'wage' is a copy of it"),
    "number copy": (
        people().assign(w=people()["children"] * 1.0),
        {"target": "children"},
        DataError,
        "target 'children' is among the features: column 'w' is a copy of it; --drop w leaves it out",
    ),
    "y in X": (
        (np.c_[np.arange(50) % 7, np.arange(50) / 7], np.arange(50) / 7),
        {},
        DataError,
        "target 'target' is among the features: column 'x1'",
    ),
    "target as feature": (
        people(),
        {"target": "income", "categorical": "income"},
        SpecError,
        "categorical=income: that is the target",
    ),
    "one class": (
        people().assign(income="no"),
        {"target": "income"},
        DataError,
        "target 'income' has one class only, 'no'; at least two are needed",
    ),
    "constant number": (people().assign(y=2.5), {"target": "y"}, DataError, "target 'y' is 2.5 in every row"),
    "gaps": (
        people().assign(income=people()["income"].where(people().index % 50 != 3)),
        {"target": "income"},
        DataError,
        r"target 'income' is missing in 4 of 200 rows \(row 3, 53, 103, 153\); leave them out, e.g. df.dropna",
    ),
    "gaps in numbers": (people(), {"target": "age"}, DataError, r"target 'age' is missing in \d+ of 200 rows"),
    "empty": (people().iloc[:0], {"target": "income"}, DataError, "DataFrame is empty: 0 rows, 6 columns"),
    "no columns": (pd.DataFrame(index=range(9)), {"target": "y"}, DataError, "is empty: 9 rows, 0 columns"),
    "three rows": (people(3), {"target": "income"}, DataError, "one class|too few rows: 3"),
    "target alone": (people()[["income"]], {"target": "income"}, DataError, "no column besides the target"),
    "text among numbers": (
        people().assign(age=[str(v) for v in range(197)] + ["abc", "12 years", "abc"]),
        {"target": "income"},
        DataError,
        "column 'age' has 3 cells of 200 that are no numbers: 'abc', '12 years'; "
        r"mend them, or --coerce age \(what is no number is missing\), --categorical age or --drop age",
    ),
    "numeric job": (people(), {"target": "income", "numeric": "job"}, DataError, "'job' has 200 cells of 200 that are"),
    "date job": (
        people(),
        {"target": "income", "date": "job"},
        DataError,
        "'job' has 200 cells of 200 that are no dates",
    ),
    "infinite": (
        people().assign(age=np.where(np.arange(200) % 90 == 4, np.inf, 1.0)),
        {"target": "income"},
        DataError,
        r"column 'age' holds 3 infinite or too large numbers \(row 4, 94, 184\); --inf missing takes them",
    ),
    "too large": (people().assign(age=-1e200), {"target": "income"}, DataError, "holds 200 infinite or too large"),
    "infinite target": (people().assign(y=np.inf), {"target": "y"}, DataError, "infinite or too large"),
    "override unknown": (
        people(),
        {"target": "income", "drop": "jab"},
        DataError,
        "drop=jab: no such column; did you mean 'job'",
    ),
    "override twice": (
        people(),
        {"target": "income", "drop": "job", "categorical": "job"},
        SpecError,
        "given as categorical and as drop; choose one",
    ),
    "nothing left": (
        pd.DataFrame({"a": 1, "y": np.arange(30) % 2}),
        {"target": "y"},
        DataError,
        r"no column is left to learn from: 'a' is constant \(one value in all training rows\)",
    ),
    "nothing but text": (
        pd.DataFrame(
            {"id": range(200), "t": [f"a text of many words number {i}" for i in range(200)], "y": [0, 1] * 100}
        ),
        {"target": "y"},
        DataError,
        "no column is left to learn from: 'id' is id .*, 't' is text|--text.t tfidf keeps 't'",
    ),
    "names as target": (
        people().assign(y=[f"n{i}" for i in range(200)]),
        {"target": "y"},
        DataError,
        "target 'y' has 200 different values in 200 rows, too many for classes",
    ),
    "date target": (
        people().assign(y=pd.date_range("2020", periods=200)),
        {"target": "y"},
        DataError,
        "target 'y' is a date",
    ),
    "text regression": (
        people(),
        {"target": "job", "task": "regression"},
        DataError,
        "200 cells of 200 that are no numb",
    ),
    "binary of four": (
        people(),
        {"target": "job", "task": "binary"},
        DataError,
        "needs two classes; target 'job' has 4",
    ),
    "stratified regression": (
        people().assign(y=np.linspace(0, 1, 200)),
        {"target": "y", "split": "stratified"},
        SpecError,
        "split=stratified needs classes",
    ),
    "shares": (people(), {"target": "income", "test": 0.6, "valid": 0.5}, SpecError, "leave no rows to train on"),
    "share": (people(), {"target": "income", "test": 1.5}, SpecError, "test=1.5: expected number, 0 to 0.9"),
    "nan": (people(), {"target": "income", "test": "nan"}, SpecError, "test=nan"),
    "scaler": (people(), {"target": "income", "scale": "standart"}, SpecError, "did you mean 'standard'"),
    "option": (people(), {"target": "income", "vaild": 0.2}, SpecError, "no option 'vaild'; did you mean 'valid'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_answered_in_a_line_or_two(case: str) -> None:
    frame, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as caught:
        prepare(frame, **options)
    assert len(str(caught.value)) < 400


def test_an_array_keeps_every_column_in_its_place() -> None:
    x = np.random.default_rng(0).normal(size=(100, 4))
    x[:, 1] = 3.0
    x[:, 2] = np.arange(100)
    data = prepare((x, (x[:, 0] > 0).astype(int)), scale="standard")
    assert data.feature_names == ("x0", "x1", "x2", "x3")
    assert (data.train.x[:, 1] == 0).all()
    assert {column.role for column in data.columns if column.name != "target"} == {"numeric"}


def test_x_and_y_can_be_given_as_two_arguments() -> None:
    frame = pd.DataFrame({"a": np.arange(60.0) % 7, "b": np.arange(60.0) ** 0.5})
    kind = pd.Series(["low", "high"] * 30, name="kind")
    data = prepare(frame, kind)
    assert data.target.name == "kind" and data.fingerprint == prepare((frame, kind)).fingerprint
    assert prepare(frame.to_numpy(), kind.to_numpy()).target.classes == ("high", "low")


@pytest.mark.parametrize("task", ["regression", None])
def test_advice_about_the_target_can_be_followed(task: str | None) -> None:
    frame = pd.DataFrame({"a": np.arange(60.0), "y": np.arange(60.0) ** 1.5})
    frame.loc[3, "y"] = np.inf
    with pytest.raises(DataError, match=r"'y' holds 1 infinite .*leave these rows out") as caught:
        prepare(frame, "y", task=task)
    assert "--drop" not in str(caught.value)


def test_advice_at_prediction_names_no_option() -> None:
    frame = pd.DataFrame({"a": np.arange(60.0), "y": np.arange(60.0) ** 1.5})
    pipeline = prepare(frame, "y").pipeline
    with pytest.raises(DataError, match="in training the column held numbers") as caught:
        pipeline.transform(pd.DataFrame({"a": ["x", "1"]}))
    assert "--" not in str(caught.value)


def test_folds_of_a_column_validate_on_its_rows() -> None:
    frame = people()
    frame["turn"] = np.where(frame.index % 7 == 6, "test", (frame.index % 3).astype(str))
    folds = prepare(frame, "income", part="turn", folds=3).folds
    for fold, word in zip(folds, "012", strict=True):
        assert set(frame["turn"].iloc[fold.valid.index]) == {word}
        assert set(frame["turn"].iloc[fold.train.index]) == set("012") - {word}
        assert set(frame["turn"].iloc[fold.test.index]) == {"test"}
        assert "turn" not in fold.pipeline.columns


STEPS_OF_ONE = ("impute", "scale", "expand")


@pytest.mark.parametrize("name", ["value", "count", "order", "low", "noise", "my.count"])
def test_columns_may_be_called_like_parameters(name: str) -> None:
    frame = people().rename(columns={"age": name})
    options: dict[str, Any] = {f"impute.{name}": "mean", f"scale.{name}": "standard", f"expand.{name}": "bins"}
    spec = prepare(frame, "income", **options, **{f"expand.{name}.count": 3}).spec
    assert {step: list(parts) for step, parts in spec.overrides.items()} == {step: [name] for step in STEPS_OF_ONE}
    assert spec.overrides["expand"][name] == Part("bins", {"count": 3})
    assert spec == resolve(PrepareSpec, override_values(spec), replace(spec, overrides={}))


def test_a_parameter_of_a_part_that_one_column_has_says_how_it_is_typed() -> None:
    message = r"belongs to encode target; this one is one_hot; of one column it is --encode.COLUMN.smoothing$"
    with pytest.raises(SpecError, match=message):
        prepare(people(), "income", **{"encode.job": "target", "smoothing": 3})
