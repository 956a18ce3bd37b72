"""Every kind of file and source: its columns are offered, and %nn_preprocess reads it."""

import gzip
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from scipy import sparse

from nnlab.core.data.read import read
from nnlab.magics.complete import complete
from nnlab.magics.subjects import SUFFIXES
from tests.magics.conftest import Session

Writer = Callable[[pd.DataFrame, Path], object]


def text_of(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def write_zip(table: pd.DataFrame, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside/table.csv", text_of(table))


def write_zst(table: pd.DataFrame, path: Path) -> None:
    with pyarrow.output_stream(str(path), compression="zstd") as stream:
        stream.write(text_of(table))


def write_sqlite(table: pd.DataFrame, path: Path) -> None:
    connection = sqlite3.connect(path)
    table.to_sql("shop", connection, index=False)
    connection.close()


KINDS: dict[str, Writer] = {
    "a.csv": lambda table, path: path.write_bytes(text_of(table)),
    "a.txt": lambda table, path: table.to_csv(path, index=False, sep="|"),
    "a.tsv.xz": lambda table, path: path.write_bytes(lzma.compress(table.to_csv(index=False, sep="\t").encode())),
    "a.csv.zip": write_zip,
    "a.csv.zst": write_zst,
    "a.jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    "a.ndjson.gz": lambda table, path: path.write_bytes(
        gzip.compress(table.to_json(orient="records", lines=True).encode())
    ),
    "a.parquet": lambda table, path: table.to_parquet(path),
    "a.feather": lambda table, path: table.to_feather(path),
    "a.xlsx": lambda table, path: table.to_excel(path, index=False),
}


def offered(line: str) -> list[str]:
    found = complete(line, "", {}, lambda kind: [])
    assert found is not None
    return [candidate.text for candidate in found.candidates]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file(session: Session, table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    KINDS[name](table, tmp_path / name)
    assert name in offered("%nn_preprocess a.")
    assert offered(f"%nn_preprocess {name} --target ") == ["age", "height", "'my col'", "label"]
    assert name.endswith(SUFFIXES)
    data = session.value(f"%nn_preprocess {name} --target label")
    assert data.feature_names == ("age", "height", "my col")


def test_packed_binaries_are_files_too(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "a.parquet")
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert list(read(packed).columns) == list(table.columns)
    assert packed.name.endswith(SUFFIXES)
    assert offered(f"%nn_preprocess {packed} --target ") == [], "not unpacked for Tab"


def test_sheets_of_a_workbook(session: Session, table: pd.DataFrame, tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        table.to_excel(book, sheet_name="north", index=False)
        table.rename(columns={"age": "years"}).to_excel(book, sheet_name="far south", index=False)
    assert offered("%nn_preprocess a.x") == ["a.xlsx"]
    assert offered("%nn_preprocess a.xlsx") == ["a.xlsx", "a.xlsx::north", "'a.xlsx::far south'"]
    assert offered("%nn_preprocess a.xlsx::n") == ["a.xlsx::north"]
    assert offered("%nn_preprocess 'a.xlsx::f") == ["'a.xlsx::far south'"]
    assert offered("%nn_preprocess 'a.xlsx::far south' --target ") == ["years", "height", "'my col'", "label"]
    assert offered("%nn_preprocess a.xlsx::x --target ") == []
    session.names["a"] = table
    data = session.value("%nn_preprocess a.xlsx::north --target label")
    assert data.feature_names == ("age", "height", "my col")
    data = session.value("%nn_preprocess 'a.xlsx::far south' --target label")
    assert data.feature_names == ("years", "height", "my col")
    told = session.value("%nn_preprocess a.xlsx --target label").warnings[0]
    assert told == "a.xlsx: sheet 'north' was read, and not 'far south'; a.xlsx::SHEET reads another"


def test_tables_of_a_database(session: Session, table: pd.DataFrame, tmp_path: Path) -> None:
    write_sqlite(table, tmp_path / "a.db")
    assert offered("%nn_preprocess sqlite:///a.db::shop --target ") == ["age", "height", "'my col'", "label"]
    assert offered("%nn_preprocess sqlite:///a.db::shopp --target ") == []
    assert offered("%nn_preprocess 'sqlite:///a.db::select * from shop' --target ") == [], "a query could take long"
    assert offered("%nn_preprocess postgresql://host/shop::orders --target ") == []
    assert session.value("%nn_preprocess sqlite:///a.db::shop --target label").target.name == "label"


def test_broken_files_are_silent_for_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in KINDS:
        (tmp_path / name).write_bytes(b"PK\x03\x04 \xff\x00 broken")
        offered(f"%nn_preprocess {name} --target ")
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a,b")
        archive.writestr("b.csv", "a,b")
    assert offered("%nn_preprocess two.csv.zip --target ") == []


def test_bundled_sets_know_their_target_and_sparse_matrices_are_arrays(session: Session) -> None:
    data = session.value("%nn_preprocess sklearn:breast_cancer")
    assert (data.target.name, data.task, len(data.feature_names)) == ("target", "binary", 30)
    assert "'mean radius'" in offered("%nn_preprocess sklearn:breast_cancer --drop ")
    session.names["X"] = sparse.csr_matrix(session.names["df"][["age", "height"]].to_numpy())
    session.names["y"] = session.names["df"]["label"].to_numpy()
    assert session.value("%nn_preprocess X,y").feature_names == ("x0", "x1")


def test_steps_of_columns_are_offered(session: Session, table: pd.DataFrame) -> None:
    found = complete("%nn_preprocess df --impute.a", "", {"df": table}, lambda kind: [])
    assert found is not None and [candidate.text for candidate in found.candidates] == ["--impute.age"]
    parts = complete("%nn_preprocess df --impute.age k", "", {"df": table}, lambda kind: [])
    assert parts is not None and [candidate.text for candidate in parts.candidates] == ["knn"]


def test_what_is_unfamiliar_and_each_look_at_the_test_part_show_below_the_cell(session: Session) -> None:
    session.run("data = %nn_preprocess df --target label;")
    session.run("run = %nn_train data --epochs 1 --hidden 4;")
    with pytest.warns(UserWarning, match="of 120 rows 'age' has 120 outside of training's"):
        session.run("labels = run.predict(df.assign(age=99.0))")
    for words in ("scored once by this run", "scored 2 times by this run: choosing by it makes it optimistic"):
        assert words in session.run("run.score(data.test)").stdout
