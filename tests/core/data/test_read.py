"""Every source gives the same numbers; what cannot be read is named in a line."""

import bz2
import gzip
import lzma
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    data = prepare((x, y.sample(frac=1, random_state=0)), scale="none", scale_target=False)
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
    (folder / "book.xlsx").write_bytes(b"PK")
    x = np.zeros((5, 2))
    return {
        "no file": (folder / "sale.csv", "no file .*; did you mean 'sales.csv'"),
        "no folder": (folder / "none" / "sale.csv", "the folder .* is not there"),
        "folder": (folder, "cannot be read as a table"),
        "excel": (folder / "book.xlsx", "expected .csv, .tsv, .txt or .parquet"),
        "empty": (folder / "empty.csv", "is empty"),
        "twice in a file": (folder / "twice.csv", "several columns of the same name: 'a'"),
        "ragged": (folder / "ragged.csv", "cannot be read"),
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


def test_sparse_arrays_are_named() -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(DataError, match=r"X is a sparse csr_matrix; give X\.toarray\(\)"):
        prepare((csr_matrix(np.eye(5)), np.arange(5)))


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
    with pytest.raises(DataError, match="has more cells than the line of column names") as caught:
        read(path)
    assert "index_col" not in str(caught.value) and "tokeniz" not in str(caught.value)
