"""Every source gives the same numbers; what cannot be read is named in a line."""

import bz2
import csv
import datetime
import gzip
import json
import lzma
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.data.columns import column_of
from nnlab.core.data.files import sniff
from nnlab.core.data.prepare import prepare
from nnlab.core.data.read import read
from nnlab.core.errors import DataError


def frame(rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x = draw.normal(size=rows)
    x[3] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "n": draw.integers(0, 9, rows),
            "colour": np.where(draw.random(rows) < 0.1, None, draw.choice(["red", "green", "blue"], rows)),
            "when": pd.date_range("2024-01-30", periods=rows, freq="7h"),
            "on": draw.random(rows) < 0.5,
            "y": draw.choice(["no", "yes"], rows),
        }
    )


SOURCES = {
    "pandas": lambda f: f,
    "polars": pl.from_pandas,
    "polars lazy": lambda f: pl.from_pandas(f).lazy(),
    "pyarrow": pa.Table.from_pandas,
    "dict": lambda f: {name: f[name].tolist() for name in f},
    "nullable": lambda f: f.convert_dtypes(),
    "arrow types": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda f: f.astype({"colour": pd.CategoricalDtype(["unused", "red", "green", "blue"])}),
    "polars categorical": lambda f: pl.from_pandas(f).with_columns(pl.col("colour").cast(pl.Categorical)),
    "objects": lambda f: f.astype(object),
    "time zone": lambda f: f.assign(when=f["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")),
    "float32 and int8": lambda f: f.astype({"x": "float32", "n": "int8"}),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_frame_gives_the_same_numbers(source: str) -> None:
    expected = prepare(frame(), "y")
    data = prepare(SOURCES[source](frame()), "y")
    assert data.feature_names == expected.feature_names
    assert [c.role for c in data.columns] == [c.role for c in expected.columns]
    tolerance = 1e-5 if source == "float32 and int8" else 0
    np.testing.assert_allclose(data.train.x, expected.train.x, rtol=0, atol=tolerance)
    assert np.array_equal(data.test.y, expected.test.y)
    if source == "time zone":  # dates with and without one are not the same moments
        with pytest.raises(DataError, match="'when' has dates with a time zone"):
            expected.transform(SOURCES[source](frame()))
        return
    np.testing.assert_allclose(expected.transform(SOURCES[source](frame())), expected.transform(frame()), atol=1e-5)


def packed(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    raw = text.encode("utf-8-sig" if "bom" in name else "utf-8")
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(raw))
    elif name.endswith(".bz2"):
        path.write_bytes(bz2.compress(raw))
    elif name.endswith(".xz"):
        path.write_bytes(lzma.compress(raw))
    elif name.endswith(".zst"):
        with pa.output_stream(str(path), compression="zstd") as out:
            out.write(raw)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", raw)
    else:
        path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", ["t.csv", "bom.csv", "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.csv.zst", "t.csv.zip"])
@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_text_files_give_the_same_numbers(tmp_path: Path, name: str, separator: str) -> None:
    path = packed(tmp_path, name, frame().to_csv(index=False, sep=separator))
    data, expected = prepare(path, "y"), prepare(frame(), "y")
    assert data.feature_names == expected.feature_names
    np.testing.assert_allclose(data.train.x, expected.train.x, atol=1e-6)
    assert data.name == str(path)


def test_tsv_and_parquet(tmp_path: Path) -> None:
    expected = prepare(frame(), "y").train.x
    frame().to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    pq.write_table(pa.Table.from_pandas(frame()), tmp_path / "t.parquet")
    (tmp_path / "t.parquet.gz").write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    np.testing.assert_allclose(prepare(str(tmp_path / "t.tsv"), "y").train.x, expected, atol=1e-6)
    assert np.array_equal(prepare(tmp_path / "t.parquet", "y").train.x, expected)
    assert np.array_equal(prepare(tmp_path / "t.parquet.gz", "y").train.x, expected)


def test_blanks_and_words_for_missing(tmp_path: Path) -> None:
    path = packed(tmp_path, "adult.csv", "job, age, y\n Private, 39, <=50K\n ?, 50, >50K\nNA,?, <=50K\n Private ,,n\n")
    columns = {name: column_of(name, series) for name, series in read(path).columns.items()}
    assert list(columns) == ["job", "age", "y"]
    assert columns["job"].levels.tolist() == ["Private"]
    assert columns["job"].data.tolist() == [0, -1, -1, 0]
    assert columns["age"].kind == "number"
    assert columns["age"].missing().tolist() == [False, False, True, True]


def test_decimal_commas_are_read_where_semicolons_part_the_cells(tmp_path: Path) -> None:
    path = packed(tmp_path, "german.csv", "a;b;y\n1,5;x;2\n2,25;y;3\n")
    assert read(path).columns["a"].tolist() == [1.5, 2.25]


def test_a_file_that_is_not_utf8_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes("name,y\nMüller,1\n".encode("cp1252"))
    table = read(path)
    assert table.columns["name"].tolist() == ["Müller"]
    assert table.warnings == ("old.csv is not UTF-8 and was read as Windows-1252",)


def test_sniff_counts_cells_not_characters() -> None:
    assert sniff('a,b\n"x;y;z;1",2\n"x;y;z;2",3\n') == ","
    assert sniff("only\n1\n2\n") == ","
    assert sniff("") == ","


def test_pairs_of_arrays() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(50, 3)), draw.integers(0, 2, 50)
    data = prepare((x, y), scale="none")
    assert data.target.name == "target"
    assert data.feature_names == ("x0", "x1", "x2")
    assert np.array_equal(data.train.x, x[data.train.index].astype(np.float32))
    assert np.array_equal(data.transform(x), x.astype(np.float32))
    assert np.array_equal(data.pipeline.transform_target((x, y)), y)
    named = prepare((pd.DataFrame(x, columns=list("abc")), pd.Series(y, name="sick")), scale="none")
    assert (named.target.name, named.feature_names) == ("sick", ("a", "b", "c"))
    assert prepare((x, y[:, None]), "sick").target.name == "sick"
    assert prepare((x[:, 0], y.tolist())).feature_names == ("x0",)


def test_pairs_are_paired_by_label() -> None:
    x = pd.DataFrame({"a": np.arange(40.0)})
    y = pd.Series(np.arange(40.0) * 2 + 1, name="y")
    data = prepare((x, y.sample(frac=1, random_state=0)), scale="none", scale_target="none")
    np.testing.assert_allclose(data.train.y, 2 * data.train.x[:, 0] + 1)
    with pytest.raises(DataError, match="different row labels"):
        prepare((x, y.set_axis(range(100, 140))))


def test_column_names_of_any_type_become_text() -> None:
    draw = np.random.default_rng(0)
    wide = pd.DataFrame(draw.normal(size=(30, 3)), columns=[1, ("a", 2), None])
    data = prepare(wide.assign(y=draw.normal(size=30)), "y")
    assert data.feature_names == ("1", "('a', 2)", "None")


def bad_sources(folder: Path) -> dict[str, tuple[object, str]]:
    (folder / "sales.csv").write_text("a,y\n1,2\n")
    (folder / "empty.csv").write_text("")
    (folder / "twice.csv").write_text("a,b,a\n1,2,3\n")
    (folder / "ragged.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    (folder / "broken.csv.gz").write_bytes(b"not gzip at all")
    (folder / "broken.parquet").write_bytes(b"PAR1 nothing")
    (folder / "book.xls").write_bytes(b"PK")
    (folder / "broken.arrow").write_bytes(b"ARROW1 nothing")
    (folder / "old.feather").write_bytes(b"FEA1 nothing")
    (folder / "blank.jsonl").write_text("\n\n")
    (folder / "broken.jsonl").write_text('{"a": 1}\n\n{"a": \n')
    (folder / "list.jsonl").write_text("[1, 2]\n")
    (folder / "nested.ndjson").write_text('{"a": 1}\n{"a": {"b": 2}}\n')
    (folder / "twice.jsonl").write_text('{"a": 1, "a": 2}\n')
    (folder / "deep.jsonl").write_text("[" * 200_000)
    (folder / "open.csv").write_text('a,b\n1,2\n3,"4\n5,6\n')
    x = np.zeros((5, 2))
    return {
        "no file": (folder / "sale.csv", "no file .*; did you mean 'sales.csv'"),
        "no folder": (folder / "none" / "sale.csv", "the folder .* is not there"),
        "folder": (folder, "cannot be read as a table"),
        "old excel": (folder / "book.xls", "expected .csv, .tsv, .txt, .jsonl, .parquet, .arrow, .feather or .xlsx"),
        "arrow": (folder / "broken.arrow", "cannot be read"),
        "feather 1": (folder / "old.feather", "Feather file of version 1"),
        "no lines": (folder / "blank.jsonl", "is empty; expected a JSON object in each line"),
        "half a line": (folder / "broken.jsonl", "line 3 of .*broken.jsonl' cannot be read"),
        "list in a line": (folder / "list.jsonl", "line 1 of .* it holds a list; expected an object"),
        "nested": (folder / "nested.ndjson", "line 2 of .* 'a' is an object; expected one value"),
        "twice in a line": (folder / "twice.jsonl", "line 1 of .* it has the key 'a' twice"),
        "deep line": (folder / "deep.jsonl", "line 1 of .* cannot be read"),
        "open quote": (folder / "open.csv", "a quoted cell is never closed"),
        "empty": (folder / "empty.csv", "is empty"),
        "twice in a file": (folder / "twice.csv", "several columns of the same name: 'a'"),
        "ragged": (folder / "ragged.csv", r"2 rows have more cells than the first line \(lines 2, 3\)"),
        "gzip": (folder / "broken.csv.gz", "cannot be read"),
        "parquet": (folder / "broken.parquet", "cannot be read"),
        "number": (3, "a int cannot be read as a table; give a pandas or polars DataFrame"),
        "none": (None, "a NoneType cannot be read"),
        "lengths": ((x, [1, 2, 3]), "X has 5 rows and y has 3"),
        "deep": ((np.zeros((5, 2, 2)), np.zeros(5)), r"shape \(5, 2, 2\) is no table"),
        "two targets": ((x, np.zeros((5, 2))), r"y has the shape \(5, 2\)"),
        "name clash": ((pd.DataFrame({"y": [1.0]}), pd.Series([1.0], name="y")), "target 'y' is among the features"),
        "dict": ({"a": [1, 2], "b": [1]}, "the dict is no table"),
        "same name": (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "several columns of the same name: 'a'"),
        "1 and '1'": (pd.DataFrame([[1, 2]], columns=[1, "1"]), "several columns of the same name: '1'"),
        "complex": (pd.DataFrame({"z": [1j, 2j], "y": [0.0, 1.0]}), "column 'z' holds complex numbers"),
    }


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for case, (source, message) in bad_sources(tmp_path).items():
        with pytest.raises(DataError, match=message) as caught:
            prepare(source, "y" if case == "complex" else None)
        assert len(str(caught.value).splitlines()) == 1, case


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r'reading Parquet needs pyarrow: pip install "nnlab\[data\]"'):
        prepare(tmp_path / "t.parquet", "y")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    frame().to_csv(tmp_path / "table.csv", index=False)
    assert read("~/table.csv").rows == 60


def test_a_utf16_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("a,b\n1,é\n2,x\n", encoding="utf-16")
    table = read(path)
    assert list(table.columns) == ["a", "b"] and table.columns["b"].tolist() == ["é", "x"]


def test_a_ragged_file_names_what_is_wrong_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n" + "1,2\n" * 30 + "1,2,3,4\n" + "1,2\n" * 30)
    with pytest.raises(
        DataError, match=r"1 row has more cells than the first line \(line 32\); quote the cells that hold ','"
    ) as caught:
        read(path)
    assert "index_col" not in str(caught.value) and "tokeniz" not in str(caught.value)


def test_wide_rows_are_counted_and_three_are_named(tmp_path: Path) -> None:
    """A quoted cell over two lines moves the lines below it; blank lines count as lines, not as rows."""
    rows = ['"a\nb",1', "", "1,2,3", "4,5", "6,7,8", '"x\ny",1,2', "1,2,3,4", "9,9"]
    path = packed(tmp_path, "wide.csv.gz", "\n".join(["p,q", *rows]) + "\n")
    with pytest.raises(DataError, match=r"4 rows have more cells than the first line \(lines 5, 7, 8, \.\.\.\)"):
        read(path)


def test_short_rows_are_read_and_told(tmp_path: Path) -> None:
    """A quoted cell over two lines is no short row, nor is a blank line, nor a missing last cell."""
    rows = ['"a\nb",1,2', "", "  ", "1,2,", "4,5", "6,7,8", '"x\ny",1', "7", "8", "9,9,"]
    text = "\n".join(["p,q,r", *rows]) + "\n"
    path = packed(tmp_path, "short.csv.gz", text)
    table = read(path)
    said = "short.csv.gz: 4 rows have fewer cells than the first line (lines 7, 9, 11, ...); "
    assert table.warnings == (said + "their last cells count as missing",)
    assert table.columns["q"].tolist()[:4] == [1, 2, 5, 7] and table.columns["r"].isna().sum() == 6
    (tmp_path / "one.csv").write_text("p,q\n1,2\n3\n4,5\n")
    assert (
        read(tmp_path / "one.csv").warnings[0].startswith("one.csv: 1 row has fewer cells than the first line (line 3)")
    )
    (tmp_path / "none.csv").write_text('p,q\n1,"a\nb"\n3,\n4,x\n')
    assert read(tmp_path / "none.csv").warnings == ()


def test_a_cell_may_be_longer_than_the_csv_module_takes(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "long.csv").write_text("p,q\n1,2\n3\n" + "x" * (before + 1) + ",5\n")
    table = read(tmp_path / "long.csv")
    assert len(table.columns["p"].iloc[2]) == before + 1 and "(line 3)" in table.warnings[0]
    assert csv.field_size_limit() == before


def test_wide_rows_of_old_text_and_of_tabs(tmp_path: Path) -> None:
    (tmp_path / "old.tsv").write_bytes("name\ty\nMüller\t1\nMeier\t1\t2\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"\(line 3\); quote the cells that hold a tab"):
        read(tmp_path / "old.tsv")


NAMELESS = {
    "question marks": ("2,?,38.5\n1,4,?\n?,5,3e2\n", [[2, np.nan, 38.5], [1, 4, np.nan], [np.nan, 5, 300]]),
    "empty cells": ("1,,-2\n,3,+4\n", [[1, np.nan, -2], [np.nan, 3, 4]]),
    "commas": ("1,5;2;7\n3,25;4;8\n", [[1.5, 2, 7], [3.25, 4, 8]]),
    "equal cells": ("0,0\n1,0\n", [[0, 0], [1, 0]]),
}


@pytest.mark.parametrize("case", NAMELESS)
def test_a_file_without_names_gets_names_and_a_warning(tmp_path: Path, case: str) -> None:
    text, expected = NAMELESS[case]
    table = read(packed(tmp_path, "t.csv", text))
    width = len(expected[0])
    assert list(table.columns) == [f"column_{i + 1}" for i in range(width)]
    assert table.warnings == (f"t.csv has no line of column names; they are column_1 to column_{width}",)
    np.testing.assert_array_equal(pd.DataFrame(table.columns).to_numpy(float), expected)


NAMED = {
    "a word": ("age,2\n1,2\n", ["age", "2"]),
    "a date": ("2024-01-01,5\n2024-01-02,6\n", ["2024-01-01", "5"]),
    "only one line": ("1,2,3\n", ["1", "2", "3"]),
    "words below": ("1,2\nx,y\n", ["1", "2"]),
    "places": ("0,1,2\n0.5,1.5,2.5\n", ["0", "1", "2"]),
    "index and places": (",0,1\n0,1.5,2.5\n1,2.5,3.5\n", ["Unnamed: 0", "0", "1"]),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_line_of_names_stays_one(tmp_path: Path, case: str) -> None:
    text, names = NAMED[case]
    table = read(packed(tmp_path, "t.csv", text))
    assert list(table.columns) == names and table.warnings == ()
    assert table.rows == text.count("\n") - 1


def test_the_first_line_may_be_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).normal(size=(3, 5000))
    path = packed(tmp_path, "genes.csv", "\n".join(",".join(map(repr, row)) for row in wide.tolist()) + "\n")
    table = read(path)
    assert len(table.columns) == 5000 and table.rows == 3
    np.testing.assert_allclose(pd.DataFrame(table.columns).to_numpy(), wide, rtol=1e-12)


@given(st.lists(st.lists(st.one_of(st.just("?"), st.integers(-9999, 9999)), min_size=3, max_size=3), min_size=1))
def test_names_are_told_from_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[list[object]]) -> None:
    body = "".join(",".join(map(str, row)) + "\n" for row in [[7.5, 1, 2], *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("a,b,c\n" + body)
    named = read(path)
    assert list(named.columns) == ["a", "b", "c"] and named.rows == len(rows) + 1 and not named.warnings
    path.write_text(body)
    bare = read(path)
    numeric = any("?" not in row for row in rows) or any(row != ["?"] * 3 for row in rows)
    assert bare.rows == len(rows) + numeric


@pytest.mark.parametrize("compression", ["lz4", "uncompressed"])
def test_arrow_and_feather(tmp_path: Path, compression: str) -> None:
    expected = prepare(frame(), "y").train.x
    frame().to_feather(tmp_path / "t.feather", compression=compression)
    table = pa.Table.from_pandas(frame())
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), table.schema) as file:
        file.write_table(table)
    with pa.ipc.new_stream(str(tmp_path / "t.ipc"), table.schema) as stream:
        stream.write_table(table)
    (tmp_path / "t.arrow.gz").write_bytes(gzip.compress((tmp_path / "t.arrow").read_bytes()))
    for name in ("t.feather", "t.arrow", "t.ipc", "t.arrow.gz"):
        assert np.array_equal(prepare(tmp_path / name, "y").train.x, expected), name


def test_arrow_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_feather(tmp_path / "t.feather")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'reading Arrow needs pyarrow: pip install "nnlab\[data\]"'):
        read(tmp_path / "t.feather")


@pytest.mark.parametrize("name", ["t.jsonl", "bom.ndjson", "t.jsonl.gz", "t.ndjson.zst"])
def test_json_lines_give_the_same_numbers(tmp_path: Path, name: str) -> None:
    text = frame().to_json(orient="records", lines=True, date_format="iso", double_precision=15)
    data, expected = prepare(packed(tmp_path, name, text), "y"), prepare(frame(), "y")
    assert data.feature_names == expected.feature_names
    np.testing.assert_allclose(data.train.x, expected.train.x, atol=1e-6)


def test_a_key_that_a_line_lacks_is_missing(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x"}, {"b": None}, {"a": 2.5, "c": True}]
    table = read(packed(tmp_path, "t.jsonl", "\n\n".join(map(json.dumps, rows))))
    columns = {name: column_of(name, series) for name, series in table.columns.items()}
    np.testing.assert_array_equal(columns["a"].data, [1, np.nan, 2.5])
    assert columns["b"].missing().tolist() == [False, True, True]
    assert columns["c"].missing().tolist() == [True, True, False]


def test_excel_gives_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    frame().to_excel(tmp_path / "t.xlsx", index=False)
    (tmp_path / "t.xlsx.gz").write_bytes(gzip.compress((tmp_path / "t.xlsx").read_bytes()))
    expected = prepare(frame(), "y")
    for name in ("t.xlsx", "t.xlsx.gz"):
        data = prepare(tmp_path / name, "y")
        assert data.feature_names == expected.feature_names
        np.testing.assert_allclose(data.train.x, expected.train.x, atol=1e-6)
        assert read(tmp_path / name).warnings == ()


def test_excel_reads_the_first_sheet_and_says_so(tmp_path: Path) -> None:
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.title = "2024"
    for row in (
        [" when ", "n", "job"],
        [datetime.date(2024, 1, 2), "?", "N/A"],
        [datetime.date(2024, 1, 3), 5, "smith"],
    ):
        book.active.append(row)
    book.create_sheet("2023")
    book.save(tmp_path / "t.xlsx")
    table = read(tmp_path / "t.xlsx")
    assert table.warnings == ("t.xlsx: sheet '2024' was read, and not '2023'; t.xlsx::SHEET reads another",)
    columns = {name: column_of(name, series) for name, series in table.columns.items()}
    assert [column.kind for column in columns.values()] == ["date", "number", "text"]
    assert [column.missing().tolist() for column in columns.values()] == [[False] * 2, [True, False], [True, False]]


def workbook(path: Path) -> None:
    """Sheets 'north', 'far south' (with other columns) and 'notes', which is empty."""
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.title = "north"
    for sheet, names in ((book.active, ["a", "y"]), (book.create_sheet("far south"), ["b", "y"])):
        for row in (names, *([i, i % 2] for i in range(30))):
            sheet.append(row)
    book.create_sheet("notes")
    book.save(path)


def test_a_sheet_of_a_workbook_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    workbook(path)
    (tmp_path / "t.xlsx.gz").write_bytes(gzip.compress(path.read_bytes()))
    for name in (path, tmp_path / "t.xlsx.gz"):
        for frame in (f"{name}::far south", Path(f"{name}::far south")):
            table = read(frame)
            assert list(table.columns) == ["b", "y"] and table.warnings == ()
    data = prepare(f"{path}::far south", "y", numeric="b")
    assert data.name == f"{path}::far south" and list(read(data.source).columns) == ["b", "y"]
    assert data.transform(f"{path}::far south").shape == (30, 1)
    with pytest.raises(DataError, match="lacks columns: 'b'"):
        data.transform(path)


def test_a_sheet_that_is_not_there_is_named(tmp_path: Path) -> None:
    workbook(tmp_path / "t.xlsx")
    sheets = "its sheets are 'north', 'far south', 'notes'"
    for sheet, message in {
        "North": f"'t.xlsx' has no sheet 'North'; did you mean 'north'?; {sheets}",
        "east asia": f"'t.xlsx' has no sheet 'east asia'; {sheets}",
        "": f"'t.xlsx' is followed by '::' and no sheet; {sheets}",
        "notes": f"sheet 'notes' of '{tmp_path / 't.xlsx'}' is empty; {sheets}",
    }.items():
        with pytest.raises(DataError) as caught:
            read(f"{tmp_path / 't.xlsx'}::{sheet}")
        assert str(caught.value) == message
    with pytest.raises(DataError, match=r"no file .*u\.xlsx'; did you mean 't\.xlsx'"):
        read(tmp_path / "u.xlsx::north")


def test_excel_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (tmp_path / "broken.xlsx").write_bytes(b"PK")
    book = openpyxl.Workbook()
    book.save(tmp_path / "empty.xlsx")
    book.active.append(["a", "b", "a"])
    book.active.append([1, 2, 3])
    book.save(tmp_path / "twice.xlsx")
    for name, message in {"broken": "cannot be read", "empty": "is empty", "twice": "same name: 'a'"}.items():
        with pytest.raises(DataError, match=message) as caught:
            read(tmp_path / f"{name}.xlsx")
        assert len(str(caught.value).splitlines()) == 1


def test_excel_without_openpyxl_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r'reading .xlsx needs openpyxl: pip install "nnlab\[excel\]"'):
        read(tmp_path / "t.xlsx")


def test_a_lazy_frame_that_cannot_be_collected_is_named(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    lazy = pl.scan_csv(tmp_path / "t.csv")
    assert read(lazy.select("x", "y")).rows == 60
    with pytest.raises(DataError, match=r"the LazyFrame cannot be collected: .*nope") as caught:
        read(lazy.select("nope"))
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "t.csv").unlink()
    with pytest.raises(DataError, match="the LazyFrame cannot be collected"):
        read(lazy)


def test_an_arrow_array_is_no_table() -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(pa.array([1, 2]))


FOLDER = Path(__file__).parents[4] / "shared" / "data"
REAL = {  # rows, columns, by the README beside the tables
    "titanic/titanic": (891, 12),
    "adult/adult_train": (32561, 15),
    "bank_marketing/bank": (45211, 17),
    "bank_marketing/bank-additional": (4119, 21),
    "california_housing/housing": (20640, 10),
    "california_housing/california_benchmark": (20640, 9),
    "telco_churn/Telco-Customer-Churn": (7043, 21),
    "wine_quality/wine": (6497, 13),
    "abalone/abalone": (4177, 9),
    "pima_diabetes/diabetes": (768, 9),
    "horse_colic/horse-colic": (300, 28),
    "house_prices/house": (1460, 81),
    "vehicle_claim_fraud/claims": (15419, 33),
    "penguins/penguins": (344, 7),
}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real tables are not in {FOLDER}")
@pytest.mark.parametrize("name", REAL)
def test_real_tables_are_read_whole(name: str) -> None:
    table = read(FOLDER / f"{name}.csv.gz")
    assert (table.rows, len(table.columns)) == REAL[name]
    bare = "horse-colic.csv.gz has no line of column names; they are column_1 to column_28"
    assert table.warnings == ((bare,) if "horse" in name else ())
    if "horse" in name:  # 60 temperatures are missing, says horse-colic.names
        assert column_of("column_4", table.columns["column_4"]).missing().sum() == 60
