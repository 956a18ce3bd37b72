"""The audit: each planted fault is found under its column's name, and sound tables have none."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp, spearmanr
from sklearn import datasets
from sklearn.metrics import r2_score, recall_score, roc_auc_score

from nnlab.core.data.audit import Finding, evidence_of, findings_of
from nnlab.core.data.audit_rows import Answer, Measures, later_rows, measure, ranks, sample_rows
from nnlab.core.data.columns import NO_LEVELS, Column, column_of
from nnlab.core.data.equal_rows import HASHED_ROWS
from nnlab.core.data.roles import Typed, type_column
from nnlab.core.data.spelling import plain_level
from nnlab.core.data.split import Split, split_rows
from nnlab.core.data.target import Target, read_target
from nnlab.core.spec import PrepareSpec
from tests.yardstick import as_there


def audit(typed: list[Typed], target: Target, *rest: Any) -> tuple[Finding, ...]:
    """What is found in one go."""
    return findings_of(evidence_of(typed, target, *rest), target)


def pieces(frame: pd.DataFrame, seed: int = 0, **options) -> tuple[list[Typed], Target, np.ndarray, Split]:
    """What the audit gets of a frame whose target is y."""
    spec = PrepareSpec("y", **options)
    columns = {str(name): column_of(str(name), series) for name, series in frame.items()}
    target, numbers, _ = read_target(columns.pop("y"), None)
    classes = numbers if target.task != "regression" else None
    split = split_rows(len(frame), classes, 0.16, 0.2, np.random.default_rng(seed))
    return [type_column(column, split.train, spec) for column in columns.values()], target, numbers, split


def findings(frame: pd.DataFrame, seed: int = 0, **options) -> tuple[Finding, ...]:
    return audit(*pieces(frame, seed, **options))


def kinds(found: tuple[Finding, ...]) -> set[tuple[str, tuple[str, ...]]]:
    return {(finding.kind, finding.columns) for finding in found}


def table(rows: int = 1000, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """A sound table: two numbers tell something of the classes, or of the number where classes is 0."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    frame["colour"] = rng.choice(["red", "green", "blue"], rows)
    frame["flag"] = rng.integers(0, 2, rows)
    signal = frame["a"] + frame["b"] + rng.normal(size=rows)
    frame["y"] = pd.qcut(signal, classes, labels=False) if classes else signal
    return frame


@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("rows", [20, 120, 3000])
def test_sound_tables_have_no_finding(classes: int, rows: int) -> None:
    for seed in range(12):
        assert findings(table(rows, classes, seed), seed) == ()


def test_noise_alone_has_no_finding_in_many_columns() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.normal(size=(150, 600))).mask(rng.random((150, 600)) < 0.1)
        frame = frame.assign(**{f"k{i}": rng.choice(list("pqrst"), 150) for i in range(200)})
        assert findings(frame.assign(y=rng.integers(0, 2, 150)), seed) == ()


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes", "iris"])
def test_known_tables_have_no_finding_but_their_real_duplicates(name: str) -> None:
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame.rename(columns={"target": "y"})
    for seed in range(10):
        found = findings(frame, seed)
        if name == "iris":  # rows 101 and 142 are equal, in some splits in two parts
            found = tuple(finding for finding in found if finding.kind != "duplicates")
        assert found == ()


@pytest.mark.parametrize("classes", [2, 4])
def test_a_recoded_target_is_found_as_category_and_as_number(classes: int) -> None:
    frame = table(classes=classes)
    frame["words"] = frame["y"].map(dict(enumerate(["north", "east", "south", "west"])))
    frame["points"] = frame["y"].map(dict(enumerate([3.5, -1.0, 8.0, 2.0])))
    found = findings(frame)
    assert kinds(found) == {("target_copy", ("words",)), ("target_copy", ("points",))}
    assert {finding.option for finding in found} == {"--drop words", "--drop points"}


def test_a_monotone_copy_of_a_number_is_found() -> None:
    frame = table(classes=0)
    frame["my copy"] = -np.exp(frame["y"])
    frame["sometimes"] = (frame["y"] * 3).mask(np.arange(1000) % 10 == 0)
    found = findings(frame)
    assert kinds(found) == {("target_copy", ("my copy",)), ("target_copy", ("sometimes",))}
    assert str(found[0]) == (
        "column 'my copy' is the target 'y' in other words: rank correlation -1.0000 in 1000 rows; "
        '--drop "my copy" resolves it'
    )


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_column_that_nearly_tells_the_target_is_found(classes: int) -> None:
    frame = table(4000, classes)
    rng = np.random.default_rng(1)
    frame["leak"] = frame["y"] + rng.normal(size=4000) * 0.1
    assert ("near_copy", ("leak",)) in kinds(findings(frame))
    if classes:
        frame["leak"] = [
            f"{int(y)}{letter}" for y, letter in zip(frame["y"], rng.choice(list("abcdef"), 4000), strict=True)
        ]
        assert kinds(findings(frame)) == {("near_copy", ("leak",))}


def test_two_leaks_in_a_wide_table_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(2)
    frame = table(2000).assign(**{f"n{i}": rng.normal(size=2000) for i in range(20)})
    frame["one"], frame["two"] = (frame["y"] + 0.1 * rng.normal(size=2000) for _ in range(2))
    assert kinds(findings(frame)) == {("near_copy", ("one",)), ("near_copy", ("two",))}


def test_two_leaks_in_a_small_table_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(2)
    frame = table(2000).assign(**{f"n{i}": rng.normal(size=2000) for i in range(6)})
    frame["one"], frame["two"] = (frame["y"] + 0.1 * rng.normal(size=2000) for _ in range(2))
    assert kinds(findings(frame)) == {("near_copy", ("one",)), ("near_copy", ("two",))}


def test_an_easy_task_is_no_leak() -> None:
    frame = table(2000)
    for name in "pqrs":
        frame[name] = frame["y"] + 0.1 * np.random.default_rng(ord(name)).normal(size=2000)
    assert findings(frame) == ()


def test_kept_identifiers_are_found() -> None:
    frame = table()
    frame["member"] = [f"m{i * 7919}" for i in range(1000)]
    frame["counter"] = np.arange(1000) * 13.0
    found = findings(frame, categorical=("member",), numeric=("counter",))
    assert kinds(found) == {("identifier", ("member",)), ("identifier", ("counter",))}


def test_a_nearly_constant_column_is_found() -> None:
    frame = table(2000)
    frame["rare"], frame["empty"], frame["fair"] = 0.0, np.nan, 0.0
    frame.loc[::500, ["rare", "empty"]] = np.random.default_rng(0).normal(size=(4, 2))
    frame.loc[::100, "fair"] = 1.0
    assert kinds(findings(frame)) == {("near_constant", ("rare",)), ("near_constant", ("empty",))}


def test_equal_rows_in_two_parts_are_counted() -> None:
    typed, target, numbers, split = pieces(table())
    origin = np.arange(1000)
    origin[split.test[:7]] = split.train[:7]
    origin[split.valid[:4]] = split.test[50:54]
    origin[split.train[20:40]] = split.train[60:80]  # in one part: harmless
    frame = table().iloc[origin].reset_index(drop=True)
    columns = [column_of(name, frame[name]) for name in frame.columns[:-1]]
    typed = [Typed(column.name, "numeric", "", column, 0) for column in columns]
    (found,) = audit(typed, target, numbers[origin], split)
    assert (found.kind, found.columns) == ("duplicates", ())
    assert found.evidence.startswith("11 of 360 ")


def test_equal_rows_of_few_levels_are_chance() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 3, (2000, 4)), columns=list("abcd")).assign(y=rng.integers(0, 2, 2000))
    assert findings(frame) == ()


def test_equal_features_with_another_target_are_found() -> None:
    frame = table()
    twins = frame.iloc[:100].assign(y=1 - frame["y"])
    whole = pd.concat([frame, twins], ignore_index=True)
    (found,) = findings(whole)
    train = whole.iloc[pieces(whole)[3].train]
    unlike = int(train.drop(columns="y").duplicated(keep=False).sum())
    assert (found.kind, found.evidence) == ("duplicates", f"{unlike} of {len(train)} training rows")
    assert found.option == "--conflicts majority"


def test_duplicates_of_a_large_table_are_picked_together() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300_000, 3)), columns=list("abc")).assign(y=rng.integers(0, 2, 300_000))
    frame = pd.concat([frame, frame.iloc[:150_000]], ignore_index=True)
    (found,) = findings(frame)
    twins, held = (int(word) for word in found.evidence.split()[:3:2])
    # a pair is in two parts with 1 - .64^2 - .16^2 - .2^2; each such pair is one held-out row that has a twin
    assert twins / held == pytest.approx((1 - 0.64**2 - 0.16**2 - 0.2**2) / 3 / 0.36, rel=0.03)
    assert 0.25 * HASHED_ROWS < held < 0.5 * HASHED_ROWS


def test_unlike_twins_of_a_large_table_are_picked_together() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(90_000, 2)), columns=list("ab")).assign(y=rng.integers(0, 2, 90_000))
    twins = frame.iloc[:30_000].assign(y=lambda frame: 1 - frame["y"])
    (found,) = findings(pd.concat([frame, twins], ignore_index=True))
    assert found.what == "rows with equal features have different targets"
    unlike, rows = (int(word) for word in found.evidence.split()[:3:2])
    assert unlike / rows == pytest.approx(0.64 / 2, rel=0.03), "both of a pair are training rows"


def test_groups_and_times_across_parts_are_found() -> None:
    typed, target, numbers, split = pieces(table())
    rng = np.random.default_rng(0)
    groups, days = rng.integers(0, 100, 1000), np.arange("2020-01-01", 1000, dtype="datetime64[D]")
    found = audit(typed, target, numbers, split, groups, days)
    assert [finding.kind for finding in found] == ["groups_across", "times_across"]
    assert [finding.option for finding in found] == ["--split group", "--split time"]
    later = int((days[split.train] > days[split.test].min()).sum())
    assert found[1].evidence == f"{later} of {len(split.train)} training rows"
    whole = np.empty(1000, object)
    whole[split.train], whole[split.valid], whole[split.test] = "a", "b", None
    ordered = np.empty(1000)
    ordered[np.concatenate([split.train, split.valid, split.test])] = np.arange(1000)
    assert audit(typed, target, numbers, split, whole, ordered) == ()


def test_times_without_value_do_not_count() -> None:
    split = Split(np.array([0, 1, 2]), np.array([], int), np.array([3, 4]))
    assert later_rows(np.array([np.nan, 5.0, 1.0, np.nan, 3.0]), split) == 1
    assert later_rows(np.array(["NaT", "2020-02-01", "NaT", "NaT", "NaT"], "datetime64[D]"), split) == 0


def test_drift_between_training_and_test_is_found() -> None:
    frame = table(3000)
    split = pieces(frame)[3]
    late = np.isin(np.arange(3000), split.test)
    frame["c"] += late
    frame["colour"] = frame["colour"].mask(late & (np.arange(3000) % 2 == 0), "red")
    found = findings(frame)
    assert kinds(found) == {("drift", ("c",)), ("drift", ("colour",))}


def test_sure_but_small_drift_does_not_matter() -> None:
    frame = table(30_000)
    split = pieces(frame)[3]
    frame["c"] += 0.15 * np.isin(np.arange(30_000), split.test)
    assert ks_2samp(frame["c"][split.train], frame["c"][split.test]).pvalue < 1e-9
    assert findings(frame) == ()


def test_cells_missing_in_the_test_rows_are_found() -> None:
    frame = table(1500)
    split = pieces(frame)[3]
    frame.loc[split.test[::2], "c"] = np.nan
    frame.loc[split.valid, "colour"] = None
    frame["d"] = frame["d"].mask(np.random.default_rng(0).random(1500) < 0.3)
    found = [finding for finding in findings(frame) if finding.kind == "unknown_at_prediction"]
    assert [finding.columns for finding in found] == [("c",), ("colour",)]
    assert found[0].evidence == "50% of test rows and 0% of training rows have no value"


def test_a_column_known_for_one_class_only_is_found() -> None:
    frame = table(1000)
    rng = np.random.default_rng(0)
    frame["body"] = pd.Series(rng.normal(size=1000)).where((frame["y"] == 1) & (rng.random(1000) < 0.2))
    frame["stay"] = pd.Series(rng.normal(size=1000)).mask((frame["y"] == 0) & (rng.random(1000) < 0.2))
    assert kinds(findings(frame)) == {("unknown_at_prediction", ("body",)), ("unknown_at_prediction", ("stay",))}


def test_levels_that_training_does_not_have_are_found() -> None:
    frame = table(1500)
    split = pieces(frame)[3]
    frame["batch"] = np.random.default_rng(0).choice(["b1", "b2", "b3"], 1500)
    frame.loc[split.test, "batch"] = "b4"
    assert ("unknown_at_prediction", ("batch",)) in kinds(findings(frame))


def test_twins_of_levels_are_listed() -> None:
    frame = table()
    frame["town"] = np.random.default_rng(0).choice(
        ["New York", "new york ", "New  York", "Zürich", "Zurich", "Berlin"], 1000
    )
    (found,) = findings(frame)
    assert (found.kind, found.columns, found.option) == ("category_twins", ("town",), "--merge_levels town")
    for pair in ("'New York'", "'new york'", "'Zürich'", "'Zurich'"):
        assert pair in found.evidence
    assert "Berlin" not in found.evidence


@pytest.mark.parametrize(
    "one, other", [("-1", "1"), ("A+", "A-"), ("1.5", "15"), ("<=50K", ">50K"), ("C", "C++"), ("1-2", "12")]
)
def test_signs_that_tell_levels_apart_stay(one: str, other: str) -> None:
    assert plain_level(one) != plain_level(other)


@pytest.mark.parametrize("other", ["st louis", "St. Louis", "ST-LOUIS", " St.Louis. ", "St Louís", "st_louis"])
def test_ways_to_write_a_level_are_one(other: str) -> None:
    assert plain_level(other) == plain_level("St Louis")


def measured(data: list[np.ndarray], levels: list[bool], split: Split, y: np.ndarray, classes: int) -> Measures:
    columns = [
        Column(str(i), "text" if level else "number", values, NO_LEVELS)
        for i, (values, level) in enumerate(zip(data, levels, strict=True))
    ]
    sample = sample_rows(split, 10**6, np.random.default_rng(0))
    answer = Answer(y[sample.rows] if classes else ranks(y[sample.rows]), classes)
    return measure(columns, np.array(levels), sample, answer)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), classes=st.sampled_from([0, 2, 3]), decimals=st.integers(0, 3))
def test_measures_are_those_of_scipy_and_scikit_learn(seed: int, classes: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    n = 400
    split = split_rows(n, None, 0.2, 0.3, rng)
    values = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n).round(decimals))
    codes = rng.integers(-1, 6, n)
    signal = np.nan_to_num(values) + codes / 3 + rng.normal(size=n)
    y = np.searchsorted(np.quantile(signal, [1 / 3, 2 / 3][: classes - 1]), signal) if classes else signal.round(1)
    found = measured([codes, values], [True, False], split, y, classes)
    train, valid, test = (values[rows] for rows in (split.train, split.valid, split.test))
    assert found.drift[1] == pytest.approx(ks_2samp(train[train == train], test[test == test]).statistic)
    counts = np.array([np.bincount(codes[rows] + 1, minlength=7) for rows in (split.train, split.test)])
    assert found.p[0] == pytest.approx(chi2_contingency(counts).pvalue)
    assert found.drift[0] == pytest.approx(np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2)
    assert found.missing[1].tolist() == [int(np.isnan(part).sum()) for part in (train, valid, test)]
    assert found.score[0] == pytest.approx(level_score(codes, y, split, classes))
    if not classes:
        there = ~np.isnan(values)
        expected = np.corrcoef(pd.Series(values[there]).rank(), pd.Series(y).rank()[there])[0, 1]
        assert found.copy[1] == pytest.approx(expected)
        assert found.copy[0] == pytest.approx(spearmanr(codes[codes >= 0], y[codes >= 0]).statistic, abs=0.02)


def level_score(codes: np.ndarray, y: np.ndarray, split: Split, classes: int) -> float:
    """The rule of the levels, in pandas and scikit-learn."""
    train = pd.DataFrame({"code": codes[split.train], "y": y[split.train]})
    held, truth = pd.Series(codes[split.valid]), y[split.valid]
    groups = train.groupby("code")["y"]
    if classes == 2:
        rate = (groups.sum() + train["y"].mean()) / (groups.count() + 1)
        return roc_auc_score(truth, held.map(rate))
    if classes:
        table = pd.crosstab(train["code"], train["y"]) / train["y"].value_counts().sort_index()
        return recall_score(truth, held.map(table.idxmax(axis=1)), average="macro")
    rank = pd.Series((pd.Series(y).rank().to_numpy() - 1) / (len(y) - 1))
    mean = rank[split.train].groupby(codes[split.train]).mean()
    return r2_score(rank[split.valid], held.map(mean))


def test_levels_of_one_rate_tell_nothing_of_each_other() -> None:
    codes = np.repeat([0, 1, 0, 1], 100)
    y = np.concatenate([np.tile([0, 1], 100), np.repeat([0, 1], 100)])  # in validation the levels tell all by chance
    split = Split(np.arange(200), np.arange(200, 400), np.empty(0, np.int64))
    assert measured([codes], [True], split, y, 2).score[0] == 0.5


def test_bins_hold_equal_shares_of_the_training_rows() -> None:
    n = 4000
    y = np.random.default_rng(0).permutation(n).astype(float)
    found = measured([y], [False], split_rows(n, None, 0.25, 0.25, np.random.default_rng(1)), y, 0)
    assert found.score[0] == pytest.approx(1 - 1 / 20**2, abs=1e-3)  # what 20 equal bins leave of a uniform rank


def test_hostile_tables_are_audited() -> None:
    four = pd.DataFrame({"a": [1.0, np.nan, 2.0, 3.0], "b": ["x", None, "y", "x"], "y": [0, 1, 0, 1]})
    assert findings(four) == ()
    typed, target, numbers, _ = pieces(table(40))
    nothing = np.array([], np.int64)
    assert audit(typed, target, numbers, Split(np.arange(40), nothing, nothing)) == ()
    assert audit([], target, numbers, Split(np.arange(40), nothing, nothing)) == ()
    blank = Column("blank", "number", np.full(40, np.nan), NO_LEVELS)
    found = audit([Typed("blank", "numeric", "", blank, 40)], target, numbers, Split(np.arange(40), nothing, nothing))
    assert ("near_constant", ("blank",)) in kinds(found)


def test_many_classes_are_audited_without_scores() -> None:
    frame = table(3000).assign(y=np.random.default_rng(0).integers(0, 300, 3000).astype(str))
    assert findings(frame.assign(y="k" + frame["y"])) == ()
    assert kinds(findings(frame.assign(y="k" + frame["y"], c=frame["y"].astype(int)))) == {("target_copy", ("c",))}


def test_dates_are_looked_at_without_their_drift() -> None:
    frame = table()
    frame["day"] = pd.date_range("2020-01-01", periods=1000).where(np.arange(1000) % 7 > 0)
    typed, target, numbers, _ = pieces(frame)
    rows = np.arange(1000)
    assert audit(typed, target, numbers, Split(rows[:600], rows[600:800], rows[800:])) == ()


def test_many_findings_of_a_kind_are_folded() -> None:
    frame = table(200)
    for i in range(30):
        frame[f"n{i}"] = frame["y"] * (i + 1)
    found = findings(frame)
    assert len(found) == 11
    assert {name for finding in found for name in finding.columns} == {f"n{i}" for i in range(30)}
    assert found[-1].option == "--drop " + ",".join(found[-1].columns)
    assert str(found[-1]).startswith("20 more columns have a finding 'target_copy': ")
    dropped = frame.drop(columns=[name for finding in found for name in finding.columns])
    assert findings(dropped) == ()


@pytest.mark.parametrize("rows, columns", [(200, 10_000), (1_000_000, 20)])
def test_the_audit_takes_little_time(rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    typed = [
        Typed(f"c{i}", "numeric", "", Column(f"c{i}", "number", rng.random(rows), NO_LEVELS), 0) for i in range(columns)
    ]
    numbers = rng.integers(0, 2, rows)
    split = split_rows(rows, numbers, 0.16, 0.2, rng)
    start = time.process_time()
    assert audit(typed, Target("y", "binary", (0, 1)), numbers, split) == ()
    assert as_there(time.process_time() - start) < 2.0  # half a second on a quiet core


@pytest.mark.parametrize("rows", [1000, 4000])
@pytest.mark.parametrize("classes", [0, 2])
def test_a_near_copy_beside_a_strong_honest_column_is_found(rows: int, classes: int) -> None:
    """The honest column has an AUC or an R2 of 0.8 to 0.95: no gap that is wide for so few rows."""
    named = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.normal(size=(rows, 5)), columns=list("abcde"))
        y = frame["a"] + 0.5 * rng.normal(size=rows)
        frame["y"] = (y > 0).astype(int) if classes else y
        assert findings(frame, seed) == ()
        frame["leak"] = np.where(rng.random(rows) < 0.01, 1 - frame["y"], frame["y"]) if classes else y
        frame["leak"] += 0.0 if classes else 0.08 * rng.normal(size=rows)
        found = {columns for _, columns in kinds(findings(frame, seed))}
        assert found <= {("leak",)}
        named += len(found)
    assert named >= (7 if rows == 1000 else 9), "160 validation rows cannot always tell"


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes"])
def test_a_near_copy_is_named_alone_in_known_tables(name: str) -> None:
    table = getattr(datasets, f"load_{name}")(as_frame=True).frame.rename(columns={"target": "y"})
    named = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        frame = table.assign(leak=table["y"] + 0.04 * table["y"].std() * rng.normal(size=len(table)))
        if name != "diabetes":
            frame["leak"] = np.where(rng.random(len(table)) < 0.003, 0, table["y"])
        found = {columns for kind, columns in kinds(findings(frame, seed)) if kind in ("near_copy", "target_copy")}
        assert found <= {("leak",)}
        named += len(found)
    assert named >= 8
