"""Files read in pieces give what they give in memory, to the bit; what cannot be read in pieces is named in a line."""

import datetime
import decimal
import errno
import gzip
import json
import os
import tempfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnlab
from nnlab.core.data import spool, streaming
from nnlab.core.data.columns import Column, column_of
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.data.read import read
from nnlab.core.data.spool import Spool
from nnlab.core.data.streaming import read_in_pieces
from nnlab.core.errors import DataError, SpecError

ROWS = 400


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FEWEST", 37)
    monkeypatch.setattr(streaming, "MOST", 37)


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def plain(column: Column) -> tuple[Any, ...]:
    """All that a column is, to the bit."""
    return column.name, column.kind, str(column.data.dtype), column.data.tobytes(), list(column.levels), column.aware


def check_columns(path: Path) -> list[str]:
    """The kinds of the columns, which are the same whole and in pieces."""
    table = read(path)
    whole = [plain(column_of(name, series)) for name, series in table.columns.items()]
    with Spool() as place:
        pieces = read_in_pieces(path, place, told=True)
        assert pieces.rows == table.rows and pieces.warnings == table.warnings and pieces.name == table.name
        assert [plain(column_of(name, column)) for name, column in pieces.columns.items()] == whole
    return [kind for _, kind, *_ in whole]


def check_same(whole: Prepared, pieces: Prepared, more_warnings: int = 0, close: bool = False) -> None:
    """close: singular vectors of text differ by rounding from one call to the next, also in memory."""
    if close:
        for a, b in ((whole.train, pieces.train), (whole.test, pieces.test)):
            np.testing.assert_allclose(a.x, b.x, rtol=0, atol=1e-6)
        assert whole.fingerprint == pieces.fingerprint
        return
    for part in ("train", "valid", "test"):
        a, b = getattr(whole, part), getattr(pieces, part)
        assert isinstance(b.x, np.ndarray) and a.x.dtype == b.x.dtype and a.x.tobytes() == b.x.tobytes(), part
        assert a.x.shape == b.x.shape and np.array_equal(a.y, b.y) and np.array_equal(a.index, b.index)
        assert (a.weight is None) == (b.weight is None) and (a.weight is None or np.array_equal(a.weight, b.weight))
        assert a.source == b.source
    (plain_a, arrays_a), (plain_b, arrays_b) = whole.pipeline.state(), pieces.pipeline.state()
    assert json.dumps(plain_a) == json.dumps(plain_b) and arrays_a.keys() == arrays_b.keys()
    assert all(arrays_a[name].tobytes() == arrays_b[name].tobytes() for name in arrays_a)
    assert whole.columns == pieces.columns and whole.audit == pieces.audit and whole.fingerprint == pieces.fingerprint
    assert whole.target_counts == pieces.target_counts and whole.target_histogram == pieces.target_histogram
    own = [warning for warning in pieces.warnings if warning not in whole.warnings]
    assert len(own) == more_warnings and [w for w in pieces.warnings if w not in own] == list(whole.warnings)


def frame(rows: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x = draw.normal(size=rows)
    late = np.arange(rows) > 0.8 * rows
    return pd.DataFrame(
        {
            "x": np.where(draw.random(rows) < 0.1, np.nan, x),
            "whole": draw.integers(-9, 9, rows),
            "gap in the end": pd.array(np.where(late, 3, draw.integers(0, 9, rows)), "Int64"),
            "text in the end": np.where(late, "x1", "01"),
            "colour": draw.choice(["red", " red", "green", "?", "blue"], rows),
            "id": [f"k{i}" for i in range(rows)],
            "price": draw.choice(["1,200 EUR", "3 EUR", "7.5 EUR", "12 EUR"], rows),
            "on": draw.random(rows) < 0.5,
            "when": pd.date_range("2024-01-30", periods=rows, freq="7h"),
            "shop": draw.choice(["a", "b", "c", "d", "e", "f", "g", "h"], rows),
            "review": [f"{draw.choice(['good', 'bad'])} thing number {i} of the lot" for i in range(rows)],
            "weight": draw.random(rows) + 0.5,
            "y": np.where(x + draw.normal(size=rows) > 0, "yes", "no"),
        }
    ).assign(**{"gap in the end": lambda f: f["gap in the end"].mask(f.index == rows - 3)})


def write(folder: Path, name: str, table: pd.DataFrame) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        table.to_parquet(path, row_group_size=53)
    elif name.endswith(".feather"):
        table.to_feather(path)
    elif name.endswith(".arrows"):
        path = path.with_suffix(".arrow")
        found = pa.Table.from_pandas(table)
        with pa.ipc.new_stream(str(path), found.schema) as writer:
            writer.write_table(found, max_chunksize=90)
    elif name.endswith(".zst"):
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(table.to_csv(index=False).encode())
    else:
        table.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return path


FILES = ["t.csv", "t.tsv", "t.txt", "t.csv.gz", "t.csv.zst", "t.csv.bz2", "t.parquet", "t.feather", "t.arrows"]


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_in_pieces(name: str, tmp_path: Path, spool_folder: Path) -> None:
    path = write(tmp_path, name, frame())
    pieces = prepare(path, "y", stream=True)
    assert isinstance(pieces.train.x, np.memmap) and pieces.train.x.flags.writeable
    check_same(prepare(path, "y"), pieces)
    assert not list(spool_folder.iterdir())


OPTIONS: list[dict[str, Any]] = [
    {"drop_rows": 0.05},
    {"drop": "id,x", "numeric": "gap in the end", "categorical": "whole", "date": "when"},
    {"coerce": "text in the end", "scale": "standard"},
    {"folds": 3, "encode": "target"},
    {"split": "group", "group": "shop", "encode": "codes"},
    {"split": "time", "time": "when", "gap": 0.5, "encode": "hash", "drop": "text in the end"},
    {"weight": "weight", "encode": "ordinal"},
    {"balance": "weights", "indicators": False},
    {"target": "x", "drop_rows": 1.0, "scale_target": "quantile"},
]
WHOLE: list[dict[str, Any]] = [
    {"impute": "knn"},
    {"impute.x": "iterative"},
    {"impute": "ffill", "time": "when", "split": "random"},
    {"cross": "ratios"},
    {"flag": "isolation_forest"},
    {"select": "variance"},
    {"select": "mutual_info", "keep": 3},
    {"reduce": "pca"},
    {"balance": "oversample"},
    {"synthesis": "copula", "drop": "review,id"},
    {"text": "tfidf", "components": 4},
    {"text.review": "tfidf"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_give_the_same_in_pieces(options: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet", frame())
    own = {"target": "y"} | options
    whole, pieces = prepare(path, **own), prepare(path, stream=True, **own)
    check_same(whole, pieces)
    assert isinstance(pieces.valid.x, np.memmap)
    for a, b in zip(whole.folds, pieces.folds, strict=True):
        check_same(a, b)


@pytest.mark.parametrize("options", WHOLE, ids=str)
def test_steps_on_the_whole_table_give_the_same_and_say_what_they_hold(options: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", frame())
    pieces = prepare(path, "y", stream=True, **options)
    check_same(prepare(path, "y", **options), pieces, more_warnings=1, close="text" in str(options))
    assert sum("held in memory whole" in warning for warning in pieces.warnings) == 1


def test_matrices_of_many_blocks_are_the_same(tmp_path: Path) -> None:
    """More rows than the pipeline works on at a time, with steps on the whole matrix."""
    path = write(tmp_path, "t.parquet", frame(60_000)[["x", "whole", "colour", "y"]])
    options: dict[str, Any] = {"reduce": "pca", "components": 3, "encode": "target"}
    check_same(prepare(path, "y", **options), prepare(path, "y", stream=True, **options), more_warnings=1)


CELLS = [
    "1",
    "0",
    "-0",
    "01",
    "7",
    "1.5",
    "1e3",
    "True",
    "false",
    "TRUE",
    "x",
    "",
    "NA",
    "?",
    "nUlL",
    "-",
    " 5 ",
    "inf",
]
CELLS += ["9007199254740993", "9223372036854775808", "18446744073709551615", "-1", "123456789012345678901234567890"]
CELLS += ['"a,b"', '"two\nlines"', "nan", "1_0", "0x10", "2024-01-31", "é", "1,5", " a", "a "]


def stretches(draw: Any) -> list[str]:
    """Cells of a few kinds, in stretches, as files have them: a kind may come late."""
    found: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        pool = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3))
        found += draw(st.lists(st.sampled_from(pool), min_size=1, max_size=7))
    return found


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=100,
    deadline=None,
)
@given(st.data())
def test_any_text_file_gives_the_same_columns(tmp_path: Path, data: st.DataObject) -> None:
    columns = [stretches(data.draw) for _ in range(data.draw(st.integers(1, 3)))]
    rows = max(map(len, columns))
    cells = [[column[row % len(column)] for column in columns] for row in range(rows)]
    quoted = [[f'"{cell}"' if "," in cell and '"' not in cell else cell for cell in row] for row in cells]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(["k", *row]) for row in [["a", " b", "c"][: len(columns)], *quoted]) + "\n")
    streaming.FEWEST = streaming.MOST = data.draw(st.integers(1, 9))
    check_columns(path)


TEXTS = {
    "numbers, then text, keep their spelling": ("a\n" + "01\n1.0\n" * 40 + "x\n", ["text"]),
    "whole numbers, then a gap": ("a,b\n" + "-0,9007199254740993\n" * 60 + ",\n", ["number", "number"]),
    "whole numbers, gaps, then a fraction": ("a\n" + "-0\n9007199254740993\nNA\n" * 40 + "1.5\n", ["number"]),
    "a fraction that ends in .0": ("a\n" + '-0\n3\n""\n' * 40 + "1.0\n", ["number"]),
    "whole numbers with many gaps": ("a,b\n" + "-0,0\n3,\n,1\n" * 40 + ",\n", ["number", "number"]),
    "numbers that need 64 bits without a sign": ("a\n" + "1\n" * 50 + "18446744073709551615\n", ["number"]),
    "such numbers and a minus": ("a\n" + "-1\n" * 50 + "18446744073709551615\n", ["text"]),
    "such numbers and a gap": ("a,b\n" + ",1\n" * 50 + "18446744073709551615,1\n", ["text", "number"]),
    "a fraction, then more digits than 64 bits hold": ("a\n" + "1.5\n" * 50 + "9" * 30 + "\n", ["number"]),
    "more digits than 64 bits hold, and a sign": (
        "a\n" + "-0\n7\n" * 50 + "123456789012345678901234567890\n",
        ["text"],
    ),
    "more digits than 64 bits hold, then infinity": ("a\n" + "9" * 30 + "\n" + "inf\n" * 50, ["text"]),
    "only such": ("a\n" + ("9" * 30 + "\n") * 90, ["text"]),
    "large fractions": ("a,b\n" + "1e300,0\n2.5e20,7\n" * 50 + ",1e25\n", ["number", "number"]),
    "truth, then numbers": ("a\n" + "True\n" * 50 + "1\n", ["text"]),
    "truth with gaps": ("a,b\n" + "True,1\n" * 50 + ",1\nfalse,1\n", ["bool", "number"]),
    "nothing, then text": ("a,b\n" + ",1\n" * 50 + "x,1\n", ["text", "number"]),
    "nothing at all": ("a,b\n" + ",1\n" * 50, ["number", "number"]),
    "words for missing that pandas does not know": ("a\n" + "1\n" * 50 + "nUlL\n", ["text"]),
    "a decimal comma": ("a;b\n" + "1,5;x\n" * 50 + ";x\n", ["number", "text"]),
    "no line of names": ("1,2,3\n4,5,6\n" * 50 + "7,,x\n", ["number", "number", "text"]),
    "short rows": ("a,b,c\n" + "1,2,3\n" * 50 + "1\n", ["number", "number", "number"]),
    "a column without a name": (",b\n" + "0,1\n1,2\n" * 50, ["number", "number"]),
    "blank lines and line breaks in cells": ('a,b\n\n1,"x\n y"\n' * 1 + '\n2,"z\n\n"\n' * 50, ["number", "text"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_batch_cannot_know_of_the_others(name: str, tmp_path: Path) -> None:
    text, kinds = TEXTS[name]
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert check_columns(path) == kinds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    """What shows that a file is not UTF-8 may stand far behind its head."""
    path = tmp_path / "t.csv"
    path.write_bytes(("name,b\n" + "cafe,1\n" * 30_000 + "café,x\n").encode(encoding))
    assert check_columns(path) == ["text", "text"]


def arrow() -> pa.Table:
    late = [None] * 70
    days = [datetime.date(2024, 1, 1 + i) for i in range(20)]
    times = [datetime.datetime(2024, 1, 1, i) for i in range(20)]
    columns = {
        "int8": pa.array([*range(100), *late[:10]], pa.int8()),
        "int64": pa.array([*late, 2**53 + 1, *range(39)], pa.int64()),
        "uint16": pa.array(range(110), pa.uint16()),
        "float32": pa.array([*late, *np.linspace(0, 1, 40)], pa.float32()),
        "nan": pa.array([float("nan")] * 110),
        "bool": pa.array([*late, *[True, False] * 20]),
        "full bool": pa.array([True, False] * 55),
        "decimal": pa.array([*late, *[decimal.Decimal("1.25"), None] * 20]),
        "string": pa.array([*late, *["a", " a", "?", None] * 10]),
        "missing words": pa.array(["?", None] * 55),
        "large string": pa.array(["b", "a"] * 55, pa.large_string()),
        "dictionary": pa.array([*late, *["b", "a", "b", None] * 10]).dictionary_encode(),
        "binary": pa.array([b"x", b"y"] * 55),
        "date32": pa.array([*late, *days, *days]),
        "timestamp": pa.array([*times, *late, *times], pa.timestamp("ns")),
        "zone": pa.array([*times, *late, *times], pa.timestamp("ms", "Asia/Tokyo")),
        "duration": pa.array([*late, *range(40)], pa.duration("s")),
        "time": pa.array([datetime.time(1), *late, *[datetime.time(2)] * 39]),
        "null": pa.nulls(110),
    }
    return pa.table(columns)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_every_type_of_arrow(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(arrow(), path, row_group_size=25)
    else:
        with pa.ipc.new_file(str(path), arrow().schema) as writer:
            writer.write_table(arrow(), max_chunksize=41)
    check_columns(path)


def test_pandas_types_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    kinds = pd.CategoricalDtype(["unused", "red", " red", "green", "?", "blue"])
    found = frame().assign(colour=lambda f: f["colour"].astype(kinds))
    found.set_index("id").to_parquet(path, row_group_size=53)
    check_columns(path)


def test_training_reads_the_map_and_gives_the_same_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet", frame(1500))
    whole, pieces = prepare(path, "y"), prepare(path, "y", stream=True)
    runs = [nnlab.fit(data, epochs=3, store=False, seed=1, device="cpu") for data in (whole, pieces)]
    first, second = ([done.train | done.valid for done in run.record.epochs] for run in runs)
    assert first == second and len(first) == 3
    assert runs[0].score(whole) == runs[1].score(pieces)
    assert np.array_equal(runs[0].predict(frame(50)), runs[1].predict(frame(50)))
    from nnlab.core.learners.module import ModuleLearner

    learner = ModuleLearner(runs[0].spec, pieces, "cpu")
    assert np.shares_memory(learner._x.numpy(), pieces.train.x)


def test_the_matrix_lives_as_long_as_the_array(tmp_path: Path, spool_folder: Path) -> None:
    path = write(tmp_path, "t.csv", frame())
    expected = prepare(path, "y").train.x
    x = prepare(path, "y", stream=True).train.x
    assert not list(spool_folder.iterdir())
    assert np.array_equal(x, expected)
    x[0] = 5
    assert (x[0] == 5).all()


@pytest.mark.parametrize(
    "source", [frame(), {"a": [1]}, "sklearn:iris", "t.xlsx", "t.jsonl", "t.parquet.gz", "t"], ids=str
)
def test_what_is_not_read_in_pieces(source: Any) -> None:
    with pytest.raises(
        SpecError, match=r"stream=on reads CSV.* is none of them: write it to such a file, or stream=off"
    ):
        prepare(source, "y", stream=True)


def test_by_itself_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("t.csv", "t.parquet", "t.feather"):
        path = write(tmp_path, name, frame())
        monkeypatch.setattr(streaming, "free_memory", lambda: 60_000)
        pieces = prepare(path, "y")
        assert isinstance(pieces.train.x, np.memmap)
        whole = prepare(path, "y", stream=False)
        assert not isinstance(whole.train.x, np.memmap)
        check_same(whole, pieces, more_warnings=1)
        assert any(
            f"{name} (about " in warning and "--stream off reads it whole" in warning for warning in pieces.warnings
        )
        for plenty in (10**12, None):
            monkeypatch.setattr(streaming, "free_memory", lambda plenty=plenty: plenty)
            assert not isinstance(prepare(path, "y").train.x, np.memmap)
    small = frame(10).drop(columns=["when", "gap in the end"])
    monkeypatch.setattr(streaming, "free_memory", lambda: 10)
    with pytest.raises(DataError, match="no target column"):
        prepare(small, "nothing")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.feather"])
def test_a_file_to_predict_on_is_read_in_pieces_where_memory_is_short(
    name: str, tmp_path: Path, spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"impute.x": "ffill", "text": "tfidf", "inf": "missing", "encode.colour": "target"}
    data = prepare(frame(), "y", split="random", time="when", **options)
    far = frame(60).assign(x=[1e9, np.inf, *range(58)], colour=["mauve"] * 2 + ["red"] * 58)
    path = write(tmp_path, name, pd.concat([frame(), far]))
    monkeypatch.setattr(streaming, "free_memory", lambda: 10**12)
    with pytest.warns(nnlab.core.errors.DataWarning, match="2 with a level that training did not see") as told:
        whole, count, target = data.transform(path), data.check(path), data.pipeline.transform_target(path)
    monkeypatch.setattr(streaming, "free_memory", lambda: 1000)
    with pytest.warns(nnlab.core.errors.DataWarning) as told_again:
        pieces = data.transform(path)
    assert isinstance(pieces, np.memmap) and not isinstance(whole, np.memmap) and not list(spool_folder.iterdir())
    assert pieces.tobytes() == whole.tobytes() and pieces.shape == (ROWS + 60, len(data.feature_names))
    assert str(told[0].message) == str(told_again[0].message) and data.check(path) == count
    with pytest.warns(nnlab.core.errors.DataWarning):
        x, y = data.pipeline.labelled(path)
    assert x.tobytes() == whole.tobytes() and np.array_equal(y, target)


def test_runs_predict_and_score_files_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "t.csv", frame())
    run = nnlab.fit(prepare(path, "y"), epochs=1, store=False, seed=1, device="cpu")
    whole = run.predict_proba(path), run.predict(path), run.score(path)
    monkeypatch.setattr(streaming, "free_memory", lambda: 1000)
    assert np.array_equal(run.predict_proba(path), whole[0]) and np.array_equal(run.predict(path), whole[1])
    assert run.score(path) == whole[2]
    with pytest.raises(DataError, match="lacks columns: 'x'"):
        run.predict(write(tmp_path, "u.csv", frame().drop(columns="x")))


def test_a_lack_of_memory_at_prediction_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(frame(), "y")

    def none_left(*given: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(nnlab.core.data.pipeline.Pipeline, "raw_matrix", none_left)
    with pytest.raises(DataError, match="memory is short for the DataFrame; give some rows at a time, or a file"):
        data.transform(frame())
    monkeypatch.setattr(streaming, "free_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"memory is short for '.*t.csv'; take fewer rows at a time"):
        data.transform(write(tmp_path, "t.csv", frame()))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the addresses that a process has")
def test_a_limit_on_addresses_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from nnlab.core.data import sources

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (taken + 2**20, -1))
    free = sources.free_memory()
    assert free is not None and free < 2**25
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, -1))
    assert (sources.free_memory() or 0) > 2**25


def test_short_rows_are_told_as_in_memory(tmp_path: Path, spool_folder: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("y,a,b\n" + "1,2,x\n2,4,z\n" * 45 + "1,2\n" + "2\n")
    pieces, whole = (prepare(path, "y", stream=stream) for stream in (True, False))
    said = "t.csv: 2 rows have fewer cells than the first line (lines 92, 93); their last cells count as missing"
    assert said in pieces.warnings and said in whole.warnings


BROKEN = {
    "too wide": (
        "a,y\n" + "1,2\n" * 90 + "1,2,3\n" * 4,
        "4 rows have more cells than the first line .lines 92, 93, 94, ...",
    ),
    "a quote that is not closed": ("a,y\n" + "1,2\n" * 90 + '1,"2\n', "a quoted cell is never closed"),
    "equal names": ("a,a,y\n" + "1,2,3\n" * 90, "several columns of the same name: 'a'"),
    "empty": ("", "is empty; expected a line of column names"),
    "names only": ("a,y\n", "is empty: 0 rows, 2 columns"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_as_in_memory(name: str, tmp_path: Path, spool_folder: Path) -> None:
    text, said = BROKEN[name]
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as pieces:
        prepare(path, "y", stream=True)
    with pytest.raises(DataError) as whole:
        prepare(path, "y", stream=False)
    assert str(pieces.value) == str(whole.value)
    assert not list(spool_folder.iterdir())


def test_other_broken_files(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "old.feather").write_bytes(b"FEA1")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 9000)[:-30])
    for name, said in {
        "t.parquet": "cannot be read",
        "old.feather": "version 1",
        "cut.csv.gz": "cannot be read",
        "lost.csv": "no file",
    }.items():
        with pytest.raises(DataError, match=said):
            prepare(tmp_path / name, "y", stream=True)
    empty = tmp_path / "empty.parquet"
    frame().iloc[:0].to_parquet(empty)
    with pytest.raises(DataError, match="is empty: 0 rows, 13 columns"):
        prepare(empty, "y", stream=True)


def test_a_full_disk_is_told_with_folder_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "t.parquet", frame())
    said = r"the disk of '.*temporary' is full: [\d.]+ MiB are needed and [\d.]+ .iB are free; make room, or set TMPDIR"
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(spool.shutil, "disk_usage", lambda folder: usage(100, 100, 100))
        with pytest.raises(DataError, match=said):
            prepare(path, "y", stream=True)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DataError, match=said):
            prepare(path, "y", stream=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_columns_are_written(tmp_path: Path) -> None:
    with Spool() as place, pytest.raises(DataError, match="is full"):
        place.append(Path("/dev/full"), np.zeros(1 << 20))


def test_without_a_way_to_reserve_room_the_file_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(spool, "ZEROS", 1000)
    with Spool() as place:
        x = place.zeros((333, 7), np.dtype(np.float32))
        x[-1, -1] = 3
    assert x.sum() == 3 and x.shape == (333, 7)
