"""What is said of prepared data, read from real preparations."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

import nnlab
from nnlab.core.data.spreads import Spread
from nnlab.core.errors import DataError
from nnlab.report.bundle import LARGEST, LARGEST_CELL, prepared_bundles
from nnlab.report.column_charts import before_after
from nnlab.report.prepared import prepared_blocks
from nnlab.report.sparks import BLOCKS, date_text, ends, share, spark
from nnlab.report.tables import Table
from tests.report.reader import check_bare
from tests.report.standins import HOSTILE


def passengers(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.normal(30, 12, rows)
    y = rng.integers(0, 2, rows)
    frame = pd.DataFrame({"age": np.where(rng.random(rows) < 0.2, np.nan, age), "sex": rng.choice(["f", "m"], rows)})
    frame["day"] = pd.Timestamp("1912-01-03") + pd.to_timedelta(rng.integers(0, 90, rows), "D")
    frame["note"] = [f"text number {at} of {at * 7}" for at in range(rows)]
    frame["boat"] = np.where((y == 1) & (rng.random(rows) < 0.9), rng.integers(1, 17, rows), np.nan)
    frame["survived"] = np.where(y == 1, "yes", "no")
    return frame


@pytest.fixture(scope="module")
def data() -> nnlab.Prepared:
    return nnlab.prepare(passengers(), "survived")


def tables(data: nnlab.Prepared) -> dict[str, Table]:
    return {block.title.partition(":")[0]: block for block in prepared_blocks(data) if isinstance(block, Table)}


def test_bars_of_text_are_as_high_as_the_counts() -> None:
    assert spark([0, 1, 50, 100]) == "▁▂▅█"
    assert spark([]) == "" and spark([0, 0]) == "▁▁" and spark([7]) == "█"
    heights = [BLOCKS.index(bar) for bar in spark(range(100))]
    assert heights == sorted(heights) and set(heights) == set(range(8))


def test_ends_shares_and_dates_are_short_and_true() -> None:
    assert ends(Spread(-0.00001234, 1234567.0, 0, 1)) == "-1.23e-05 to 1,234,567"
    assert ends(Spread(2.0, 2.0, 2, 0)) == "2"
    assert [share(1, 10_000), share(9_999, 10_000), share(0, 5), share(5, 5), share(0, 0)] == [
        "<0.1%",
        ">99.9%",
        "0%",
        "100%",
        "0%",
    ]
    assert date_text(86_400e6 * 1.5, 1e15) == "1970-01-02" and date_text(86_400e6 * 1.5, 1e9) == "1970-01-02 12:00"


def test_a_column_has_its_histogram_and_where_it_goes_before_and_after(data: nnlab.Prepared) -> None:
    rows = {row[0]: row for row in tables(data)["Columns"].rows}
    _, role, missing, before, after, steps, features, relation = rows["age"]
    frame = passengers()
    train = frame["age"].iloc[data.train.index].dropna()
    assert (role, missing, features) == ("numeric", share(int(frame["age"].isna().sum()), 400), 2)
    assert before.split() == [spark(np.histogram(train, 12)[0]), *f"{train.min():.3g} to {train.max():.3g}".split()]
    assert len(after.split()[0]) == 12 and "robust scaled" in steps and "missing becomes" in steps
    assert re.fullmatch(r"0\.\d\d", relation)
    assert rows["sex"][3].split("\n")[1] in ("m,\xa0f", "f,\xa0m")
    assert "1912-01-0" in rows["day"][3] and rows["note"][5].startswith("set aside")


def test_parts_have_rows_and_shares_of_each_class(data: nnlab.Prepared) -> None:
    table = tables(data)["Parts"]
    frame = passengers()
    assert list(table.columns) == ["part", "rows", "share", "no", "yes"]
    for row, part in zip(table.rows, (data.train, data.valid, data.test), strict=True):
        yes = frame["survived"].iloc[part.index].eq("yes").mean()
        assert row[1:] == (len(part), f"{len(part) / 4:.1f}%", f"{1 - yes:.1%}", f"{yes:.1%}")


def test_parts_of_a_regression_have_the_mean_in_its_units() -> None:
    frame = load_diabetes(as_frame=True).frame
    data = nnlab.prepare(frame, "target", scale_target="quantile", test=0.0)
    table = tables(data)["Parts"]
    y = frame["target"].iloc[data.train.index]
    np.testing.assert_allclose(table.rows[0][3:], [y.mean(), y.std(ddof=0), y.min(), y.max()], rtol=1e-3)
    assert table.rows[2][1:] == (0, None, None, None, None, None)


def test_many_classes_share_the_last_column_and_rows_in_no_part_are_told() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=600), "y": [f"c{at}" for at in rng.integers(0, 30, 600)], "t": np.arange(600)}
    )
    head, *rows = (lambda t: (t.columns, *t.rows))(tables(nnlab.prepare(frame, "y"))["Parts"])
    assert len(head) == 3 + 6 and head[-1] == "25 other classes"
    assert sum(float(cell.rstrip("%")) for cell in rows[0][3:]) == pytest.approx(100, abs=0.5)
    gapped = nnlab.prepare(frame.assign(y=rng.normal(size=600)), "y", time="t", gap=10)
    used = len(gapped.train) + len(gapped.valid) + len(gapped.test)
    assert tables(gapped)["Parts"].rows[-1][:2] == ("left out", 600 - used) and used < 600


def test_findings_are_a_table_and_not_warnings_again(data: nnlab.Prepared) -> None:
    assert {finding.columns for finding in data.audit} == {("boat",)}
    table = tables(data)["Audit"]
    assert [row[0] for row in table.rows] == [finding.kind for finding in data.audit]
    assert {row[3] for row in table.rows} == {"--drop boat"}
    text = prepared_bundles(data)[-1].data["text/plain"]
    for finding in data.audit:
        assert str(finding) in data.warnings and f"warning: {finding}" not in text
    assert "warning: set aside as text: 'note'" in text
    clean = nnlab.prepare(load_breast_cancer(as_frame=True).frame, "target")
    assert "audit: no leak" in prepared_bundles(clean)[-1].data["text/plain"]


def test_folds_and_steps_on_several_columns_are_told() -> None:
    data = nnlab.prepare(passengers(), "survived", folds=3, impute="knn", drop=("boat",))
    text = data.report().text
    assert "the first of 3 folds (data.folds)" in text and "impute knn: 1 column" in text
    assert data.folds[1].report().text != text


def test_a_report_shows_itself_and_prints_as_text(data: nnlab.Prepared) -> None:
    report = data.report()
    bundle = report._repr_mimebundle_()
    assert bundle["text/plain"] == repr(report) == report.text == prepared_bundles(data)[-1].data["text/plain"]
    assert report.html.startswith('<p><img src="data:image/png;base64,') and report.png is not None
    check_bare(report.html.partition("\n")[2])
    assert "| age |" in report.markdown


def test_the_picture_of_a_report_survives_the_page_and_nothing_hostile_does(data: nnlab.Prepared) -> None:
    from nnlab.report.page import _clean

    report = data.report()
    cleaned = _clean(report.html)
    assert cleaned.count("<img") == 1 and "data:image/png;base64," in cleaned and "█" in cleaned


def test_one_column_is_told_in_detail(data: nnlab.Prepared) -> None:
    age = data.report("age")
    train = passengers()["age"].iloc[data.train.index]
    line = next(line for line in age.text.splitlines() if line.startswith("mean"))
    assert line.split()[1] == f"{train.mean():.3g}" and age.png is not None
    assert "2 features: age, age <missing>" in age.text
    assert "unknown_at_prediction: " in data.report("boat").text
    assert re.search(r"^m +\d+$", data.report("sex").text, re.MULTILINE)
    assert "1912-0" in data.report("day").text and data.report("survived").png is not None
    assert data.report("note").png is None
    with pytest.raises(DataError, match=r"no column 'agee'.*age"):
        data.report("agee")


@pytest.mark.parametrize("spread", [(-1.7e308, 1.7e308), (0.0, 5e-324), (1e15, 1e15 + 1), (-3.0, -3.0)])
def test_extreme_columns_are_drawn(spread: tuple[float, float]) -> None:
    bars = (3,) if spread[0] == spread[1] else (1,) * 12
    found = Spread(*spread, spread[0], 0.0, bars)
    assert before_after("x", found, found, lambda value: f"{value:.3g}").startswith(b"\x89PNG")


def wide(columns: int, name: str = "gene") -> nnlab.Prepared:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, columns))
    x[:, : columns // 20][rng.random((200, columns // 20)) < 0.1] = np.nan
    x[:, -columns // 50 :] = 1.0
    frame = pd.DataFrame(x, columns=[f"{name} {at}" for at in range(columns)])
    frame["y"] = rng.integers(0, 2, 200)
    frame[f"{name} leak"] = frame["y"] * 2.0 + 1 + rng.normal(size=200) * 0.2
    return nnlab.prepare(frame, "y")


def size(data: nnlab.Prepared) -> int:
    return sum(bundle.size for bundle in prepared_bundles(data))


def test_ten_thousand_columns_stay_small_and_name_what_needs_a_look() -> None:
    data = wide(10_000)
    assert size(data) <= LARGEST
    assert len(data.report().html.encode()) <= LARGEST
    text = prepared_bundles(data)[-1].data["text/plain"]
    assert "10,002 columns by role" in text and "of 200 set aside" in text and "of 500 with missing values" in text
    strongest = max((c for c in data.columns if c.relation is not None), key=lambda c: c.relation or 0)
    assert strongest.name in text


@pytest.mark.parametrize("name", ["<" * 4000, "\u202e" * 4000, '&"' * 2000, "表" * 3000])
def test_hostile_long_names_stay_small(name: str) -> None:
    for columns, largest in ((190, LARGEST_CELL), (1000, LARGEST)):
        assert size(wide(columns, name)) <= largest


def test_up_to_two_hundred_columns_have_a_row_each() -> None:
    data = wide(198)
    assert len(tables(data)["Columns"].rows) == 200
    text = prepared_bundles(data)[-1].data["text/plain"]
    assert all(f"\n{column.name}  " in text for column in data.columns)
    assert size(data) <= LARGEST_CELL
    assert "201 columns by role" in tables(wide(199))


@pytest.mark.parametrize("name", [text for text in HOSTILE if text != "\ud800"])
def test_hostile_names_and_levels_are_shown_and_nothing_else(name: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice([name, "b", "c"], 90), "x": rng.normal(size=90), "y": np.arange(90) % 2})
    data = nnlab.prepare(frame, "y")
    for report in (data.report(), data.report(name)):
        check_bare(report.html.partition("\n")[2])
        assert report.html.count("<img") == 1


def test_short_cells_are_not_torn_in_a_narrow_page() -> None:
    found = Table(
        ["option", "evidence"], [("--group_duplicates on", "w " * 30), ("–", "two\nlines"), ("one", 2)]
    ).html()
    assert "<nobr>--group_duplicates on</nobr>" in found
    assert found.count("<nobr>") == 1  # not what is long, has lines of its own, or has no place to break
