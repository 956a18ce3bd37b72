"""Numbers written in text: read where the whole column is, or where the user says so; otherwise refused or left."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.data.columns import column_of
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.readings import reading_of
from nnlab.core.data.written import Reading, cell_of
from nnlab.core.errors import DataError, DataWarning, SpecError
from nnlab.core.spec import PrepareSpec, from_json, to_json

ROWS = 200


def table(cells: list[Any], rows: int = ROWS) -> pd.DataFrame:
    """The cells over and over beside a random number and target."""
    draw = np.random.default_rng(0)
    column = [cells[i % len(cells)] for i in range(rows)]
    return pd.DataFrame({"q": column, "a": draw.normal(size=rows), "y": draw.choice(["no", "yes"], rows)})


def many(write: Any) -> list[str]:
    return [write(i) for i in range(ROWS)]


def role(data: Prepared) -> str:
    return next(column.role for column in data.columns if column.name == "q")


def numbers(data: Prepared, cells: list[Any]) -> list[float]:
    """The column as it is read, before scaling."""
    feature = next(feature for feature in data.pipeline.features if feature.name == "q")
    return list(feature.values(column_of("q", pd.Series(cells, dtype=object)))[0])


def said(data: Prepared) -> str:
    return "\n".join(line for line in data.warnings if line.startswith("column 'q': "))


def swapped(text: str) -> str:
    return text.translate(str.maketrans(",.", ".,"))


# cells of the column, some of them with their numbers, what the report says
READ: dict[str, tuple[list[str], dict[str, float], str]] = {
    "dollars": (many(lambda i: f"${i * 37:,}"), {"$1,200": 1200, "-$5": -5, "0": 0}, "',' parts thousands"),
    "cents": (many(lambda i: f"${i / 7:.2f}"), {"$4.99": 4.99}, "is read as 0.14"),
    "euro behind": (many(lambda i: f"{i} €"), {"12 €": 12, "12€": 12}, "'1 €' is read as 1"),
    "code": (many(lambda i: f"CHF {i * 77:,}".replace(",", "'")), {"CHF 1'001": 1001, "CHF 1’001": 1001}, "thousands"),
    "percent": (["5%", "10%", "45%", "12.5 %"], {"45%": 0.45, "0": 0, "-5%": -0.05}, "'5%' is read as 0.05"),
    "open ends": (["10,000+", "500+", "1,000,000+"], {"10,000+": 10000}, "'10,000+' is read as 10000"),
    "below": ([f"<{i}" if i < 9 else str(i) for i in range(99)], {"<5": 5, "50": 50}, "'<1' is read as 1"),
    "letters": (["1.5M", "14M", "201k", "9.9M"], {"1.5M": 1.5e6, "201k": 201e3}, "'1.5M' is read as 1500000"),
    "billions": (["$1.5B", "$20M", "$3M"], {"$2B": 2e9}, "'$1.5B' is read as 1500000000"),
    "thousands": (
        many(lambda i: f"{i * 77:,}"),
        {"1,234": 1234, "12,345,678": 12345678, "9": 9},
        "',' parts thousands",
    ),
    "blanks": (many(lambda i: f"{i * 77:,}".replace(",", "\u202f")), {"1 234": 1234, "1\u00a0234": 1234}, "parts"),
    "decimal comma": (["1,5", "2,25", "3"], {"1,5": 1.5, "0,125": 0.125}, "',' is the decimal mark"),
    "groups of 0": (many(lambda i: f"0,{i:03d}"), {"0,125": 0.125}, "',' is the decimal mark"),
    "continental": (
        many(lambda i: swapped(f"{i * 77.5:,.2f}")),
        {"1.234,56": 1234.56, "1.234": 1234, "1.234.567": 1234567},
        "'.' parts thousands, ',' is the decimal mark",
    ),
    "euro points": (many(lambda i: swapped(f"{i * 70:,} €")), {"1.120 €": 1120, "950 €": 950}, "'.' parts thousands"),
    "brackets": (many(lambda i: f"({i})" if i % 2 else str(i)), {"(5)": -5, "6": 6}, "'(1)' is read as -1"),
    "minus": (many(lambda i: f"\u2212{i}" if i % 2 else f"{i + 1},000"), {"\u22125": -5}, "',' parts thousands"),
}


@pytest.mark.parametrize(("cells", "values", "words"), READ.values(), ids=READ.keys())
def test_a_column_that_is_written_in_one_way_is_read(cells: list[str], values: dict[str, float], words: str) -> None:
    data = prepare(table(cells), "y")
    assert role(data) == "numeric"
    assert words in said(data) and "--categorical q" in said(data)
    assert numbers(data, list(values)) == pytest.approx(list(values.values()), rel=1e-15)
    raw = [numbers(data, [cell])[0] for cell in cells]
    assert np.array_equal(data.train.x, prepare(table(raw), "y", numeric="q").train.x)


LEFT: dict[str, list[Any]] = {
    "sizes": ["S", "M", "L", "XL"],
    "codes": ["1A", "1B", "2A", "2B"],
    "one letter": many(lambda i: f"{i}B"),
    "metres": many(lambda i: f"{i}m"),
    "levels": ["0", "1", "2", "3+"],
    "few letters": ["5K", "10K", "21K"],
    "versions": many(lambda i: f"1.{i % 20}.{i % 7}"),
    "telephone": many(lambda i: f"555-{i:04d}"),
    "telephone in groups": many(lambda i: f"555 123 {i + 100}"),
    "abroad": many(lambda i: f"+49 170 123 {i + 100}"),
    "addresses": many(lambda i: f"192.168.{100 + i % 100}.{100 + i // 2}"),
    "times": many(lambda i: f"{i % 24}:30"),
    "ranges": many(lambda i: f"{i}-{i + 5}"),
    "choices": ["1", "1,2", "1,2,3", "2,3"],
    "dates": many(lambda i: f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2024"),
    "two currencies": ["$5", "€5", "$7", "€8"],
    "percent and plain": ["5%", "7", "8%", "9"],
    "letter and percent": ["5K", "7%", "8K", "9%"],
}


@pytest.mark.parametrize("cells", LEFT.values(), ids=LEFT.keys())
def test_what_is_no_number_or_mixes_units_is_left(cells: list[str]) -> None:
    data = prepare(table(cells), "y")
    assert role(data) != "numeric"
    assert " is read as " not in said(data)


@pytest.mark.parametrize("text", ["1.234", "-5", "1e3", " 7 ", "0"])
def test_plain_numbers_are_read_as_ever_and_not_reported(text: str) -> None:
    data = prepare(table([text, "2.5", "3"]), "y")
    assert role(data) == "numeric" and not said(data)
    assert numbers(data, [text]) == [float(text)]


def test_only_training_rows_decide() -> None:
    plain = table(many(lambda i: f"{i}"))
    rows = prepare(plain, "y").test.index[:2]
    changed = plain.assign(q=plain["q"].where(~plain.index.isin(rows), "$5"))
    with pytest.raises(DataError, match=r"'q' has 2 cells of 200 that are no numbers: '\$5'; .*--coerce q"):
        prepare(changed, "y")


MIXED: dict[str, tuple[list[str], str]] = {
    "among plain": (
        [*map(str, range(180)), *["n/a"] * 5, *["1,234"] * 5, *["$5"] * 5, *["-"] * 5],
        r"has 10 cells of 200 that are no numbers: '1,234', '\$5'; mend them, or --coerce q .*--categorical q or",
    ),
    "five at most": (
        [*map(str, range(190)), *"abcdefghij"],
        r"has 10 cells of 200 that are no numbers: 'a', 'b', 'c', 'd', 'e', …; mend",
    ),
    "among dollars": ([*many(lambda i: f"${i}")[:190], *["call us"] * 10], "has 10 cells of 200 .*: 'call us'; mend"),
    "another currency": ([*many(lambda i: f"${i}")[:190], *["€5"] * 10], "has 10 cells of 200 .*: '€5'; mend"),
    "no unit": ([*many(lambda i: f"{i}%")[:190], *["0.5"] * 10], r"has 10 cells of 200 .*: '0\.5'; mend"),
    "letters": ([*many(lambda i: f"{i / 8}M")[:190], *["Varies"] * 10], "has 10 cells of 200 .*: 'Varies'; mend"),
}


@pytest.mark.parametrize(("cells", "message"), MIXED.values(), ids=MIXED.keys())
def test_a_few_other_cells_are_refused_by_their_number_and_texts(cells: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        prepare(table(cells), "y")
    assert len(str(caught.value).splitlines()) <= 3


def test_words_for_missing_are_no_junk() -> None:
    data = prepare(table([*many(lambda i: f"${i}")[:180], *["n/a", "-", "--", "none", "."] * 4]), "y")
    column = next(column for column in data.columns if column.name == "q")
    assert (column.role, column.missing) == ("numeric", 20)


def test_half_numbers_are_levels_and_it_is_said() -> None:
    cells = [str(i % 50) if i % 10 < 7 else "abc"[i % 3] for i in range(ROWS)]
    data = prepare(table(cells), "y")
    assert role(data) == "categorical"
    assert "% of its cells are numbers, but it is read as levels; --coerce q reads numbers" in said(data)


def test_coerce_reads_what_it_can_and_counts_the_rest() -> None:
    cells = [*map(str, range(180)), *["n/a"] * 5, *["1,234"] * 5, *["$5"] * 5, *["call"] * 5]
    data = prepare(table(cells), "y", coerce="q")
    assert numbers(data, ["7", "1,234", "$5"]) == [7, 1234, 5]
    assert np.isnan(numbers(data, ["call", "n/a"])).all()
    assert "5 cells of 200 hold no number and count as missing: 'call'" in said(data)
    assert next(column.missing for column in data.columns if column.name == "q") == 10
    plain = pd.to_numeric(pd.Series(cells).replace({"1,234": "1234", "$5": "5"}), errors="coerce").to_list()
    assert np.array_equal(data.train.x, prepare(table(plain), "y").train.x)
    with pytest.warns(DataWarning, match="'q' has 2 that are no numbers, taken as missing"):
        found = data.transform(table(["call", "new word", "$9"], 3))
    assert np.isfinite(found).all()


def test_coerce_of_what_is_a_number_or_a_few_levels() -> None:
    assert np.array_equal(
        prepare(table([1.5, 2.5, 3.5]), "y", coerce="q").train.x,
        prepare(table([1.5, 2.5, 3.5]), "y").train.x,
    )
    data = prepare(table(["0", "1", "2", "3+"]), "y", coerce="q")
    assert numbers(data, ["2", "3+"]) == [2, 3] and "'3+' is read as 3" in said(data)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["$5", "€5"], "coerce=q: the numbers have several units: '\\$5', '€5'; make them one"),
        (["5%", "7"], "coerce=q: the numbers have several units: '5%', '7'"),
        (["5%", "7K"], "coerce=q: the numbers have several units"),
        (["a", "b"], "coerce=q: no training row holds a number, but 'a', 'b'; --categorical q or --drop q"),
        (["1.2.3", "4.5.6"], "coerce=q: no training row holds a number"),
        ([pd.Timestamp("2020-01-01"), pd.Timestamp("2021-01-01")], "'q' holds dates, not numbers"),
    ],
)
def test_coerce_that_cannot_be(cells: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(table(cells), "y", coerce="q")


def test_coerce_is_checked_like_the_other_overrides() -> None:
    with pytest.raises(DataError, match="coerce=p: no such column"):
        prepare(table(["1"]), "y", coerce="p")
    with pytest.raises(SpecError, match="coerce=y: that is the target"):
        prepare(table(["1"]), "y", coerce="y")
    with pytest.raises(SpecError, match="'q' is given as coerce and as drop"):
        prepare(table(["1"]), "y", coerce="q", drop="q")
    spec = PrepareSpec("y", coerce=("q", "a, b"))
    assert from_json(PrepareSpec, json.loads(json.dumps(to_json(spec)))) == spec


def test_numeric_reads_one_way_of_writing_and_refuses_others() -> None:
    data = prepare(table(["0", "1", "2", "3+"]), "y", numeric="q")
    assert numbers(data, ["3+"]) == [3]
    with pytest.raises(DataError, match="'q' has 100 cells of 200 that are no numbers: 'x'"):
        prepare(table(["1", "x"]), "y", numeric="q")


@pytest.mark.parametrize("options", [{}, {"coerce": "q"}], ids=["found", "coerced"])
@pytest.mark.parametrize("name", ["dollars", "percent", "letters", "continental", "open ends"])
def test_the_reading_is_stored(name: str, options: dict[str, Any]) -> None:
    cells = READ[name][0]
    data = prepare(table(cells), "y", **options)
    plain, arrays = data.pipeline.state()
    again = Pipeline.from_state(json.loads(json.dumps(plain)), arrays)
    assert np.array_equal(again.transform(table(cells)), data.transform(table(cells)))
    assert again.state()[0] == plain
    assert any(len(row["reading"]["examples"]) for row in plain["features"] if row["name"] == "q")


def test_states_without_a_reading_are_those_of_before() -> None:
    plain, arrays = prepare(table([1.5, 2.5, 4.0]), "y").pipeline.state()
    assert all("reading" not in feature for feature in plain["features"])
    assert Pipeline.from_state(plain, arrays).columns == ("q", "a")


PREDICTED: dict[str, tuple[str, list[Any], str]] = {
    "a word": (
        "dollars",
        ["$5", "soon"],
        r"1 cell of 2 that is no number: 'soon'; mend .* '\$1,\d+' is read",
    ),
    "no unit": ("dollars", ["5"], "1 cell of 1 that is no number: '5'"),
    "another unit": ("dollars", ["€5"], "no number: '€5'"),
    "percent as plain text": ("percent", ["0.45"], "no number: '0.45'"),
    "percent as number": ("percent", [0.45], "'q' holds 1 number such as 0.45, but in training it was text: '5%'"),
    "decimal point": ("decimal comma", ["1.5"], "no number: '1.5'"),
    "a reader's point": ("continental", [1.234, 2.5], "holds 2 numbers such as 1.234, but in training it was text"),
    "letter": ("thousands", ["1K"], "no number: '1K'"),
    "open end": ("thousands", ["1,000+"], r"no number: '1,000\+'"),
}


@pytest.mark.parametrize(("name", "cells", "message"), PREDICTED.values(), ids=PREDICTED.keys())
def test_cells_that_do_not_go_with_the_reading_are_named(name: str, cells: list[Any], message: str) -> None:
    data = prepare(table(READ[name][0]), "y")
    with pytest.raises(DataError, match=message):
        data.transform(table(cells, len(cells)))


def test_numbers_that_are_none_of_text_are_taken_as_they_are() -> None:
    data = prepare(table(READ["dollars"][0]), "y")
    assert np.array_equal(data.transform(table([1200.0, 5], 2)), data.transform(table(["$1,200", "$5"], 2)))
    assert np.isfinite(data.transform(table([None], 2))).all()
    whole = prepare(table(READ["continental"][0]), "y")
    assert np.array_equal(whole.transform(table([1200], 2)), whole.transform(table(["1.200"], 2)))
    with pytest.raises(DataError, match=r"no numbers: '\$5'"):
        prepare(table([1.5, 2.5]), "y").transform(table(["$5"], 2))


@pytest.mark.parametrize("name", ["dollars", "continental", "percent"])
def test_a_target_of_such_numbers_is_one(name: str) -> None:
    cells = READ[name][0]
    frame = table(cells).drop(columns="y")
    task = "regression" if len(set(cells)) < 20 else None
    data = prepare(frame, "q", task=task)
    assert data.task == "regression" and any(line.startswith("target 'q': ") for line in data.warnings)
    reading = data.target.reading
    assert reading is not None
    values = reading.parse(np.array(cells, object))[0]
    plain = prepare(frame.assign(q=np.resize(values, ROWS)), "q", task="regression")
    assert np.array_equal(data.train.y, plain.train.y) and not any("is read as" in line for line in plain.warnings)
    again = Pipeline.from_state(*json.loads(json.dumps([data.pipeline.state()[0], {}]))[:1], data.pipeline.state()[1])
    assert again.target == data.pipeline.target
    assert np.array_equal(again.transform_target(frame), data.pipeline.transform_target(frame))
    with pytest.raises(DataError, match="'q' has 200 cells of 200 that are no numbers: 'soon'"):
        again.transform_target(frame.assign(q="soon"))


def test_a_few_such_labels_stay_classes() -> None:
    frame = table(["<$50K", ">$50K", "5%"]).drop(columns="y")
    assert prepare(frame, "q").target.classes == ("5%", "<$50K", ">$50K")
    assert prepare(table(["5%", "10%"]).drop(columns="y"), "q").target.classes == ("10%", "5%")


def test_a_file_is_read_alike(tmp_path: Path) -> None:
    frame = table(READ["dollars"][0]).assign(share=many(lambda i: f"{i / 2}%"))
    frame.to_csv(tmp_path / "shop.csv", index=False)
    data, other = prepare(tmp_path / "shop.csv", "y"), prepare(frame, "y")
    assert np.array_equal(data.train.x, other.train.x)
    assert {column.name: column.role for column in data.columns} == {
        "q": "numeric",
        "a": "numeric",
        "y": "target",
        "share": "numeric",
    }


SIGNED = st.sampled_from(["", "-"])


@given(st.integers(0, 10**12), SIGNED, st.sampled_from(["", "$", "€", "USD "]), st.integers(0, 99))
def test_formatted_numbers_come_back(whole: int, sign: str, unit: str, cents: int) -> None:
    text = f"{sign}{unit}{whole:,}.{cents:02d}"
    expected = float(f"{sign}{whole}.{cents:02d}")
    plain = unit.strip()
    assert Reading(plain).parse(np.array([text], object))[0][0] == expected
    assert Reading(plain, ".", ",").parse(np.array([swapped(text)], object))[0][0] == expected


@given(st.lists(st.text("0123456789.,'$€%KMB+-<>() e", max_size=8), min_size=1, max_size=12, unique=True))
def test_any_text_is_read_or_left(texts: list[str]) -> None:
    levels = np.array(texts, object)
    found = reading_of(levels, np.ones(len(levels), np.int64))
    if found:
        reading, share = found
        values, junk = reading.found(levels)
        assert 0 < share <= 1 and len(reading.examples) <= 3
        assert not (junk & ~np.isnan(values)).any()
        cells = [cell for cell, good in zip(map(cell_of, texts), ~np.isnan(values), strict=True) if good and cell]
        assert len({cell.unit for cell in cells if cell.unit}) <= 1
        assert Reading.from_state(json.loads(json.dumps(reading.state()))) == reading
