"""Databases are read and never written; bundled sets and sparse matrices give the numbers that their libraries give."""

import sqlite3
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import datasets

from nnlab.core.data import sources
from nnlab.core.data.columns import column_of
from nnlab.core.data.prepare import prepare
from nnlab.core.data.read import read
from nnlab.core.data.sources import free_memory, without_password
from nnlab.core.errors import DataError

ROWS = [(1, 22.0, "male", "no"), (2, None, "female", "yes"), (3, 35.5, None, "yes")]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE passengers (id INTEGER, age REAL, sex TEXT, survived TEXT)")
    connection.executemany("INSERT INTO passengers VALUES (?, ?, ?, ?)", ROWS)
    connection.execute('CREATE TABLE "my ""odd; table" (a)')
    connection.execute("CREATE VIEW adults AS SELECT * FROM passengers WHERE age > 30")
    connection.commit()
    connection.close()
    return path


READ = {
    "passengers": 3,
    " passengers ; ": 3,
    "adults": 1,
    'my "odd; table': 0,
    "SELECT * FROM passengers;": 3,
    "select id, age from passengers where age is not null": 2,
    "-- the old ones\nSELECT * FROM passengers WHERE sex != 'a;b'": 2,
    "WITH old AS (SELECT * FROM passengers WHERE age > 30) SELECT * FROM old": 1,
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n": 5,
    "SELECT upper(sex) AS sex, count(*) AS n FROM passengers GROUP BY 1 ORDER BY 1": 3,
    "SELECT 'drop' AS \"update\"": 1,
}


@pytest.mark.parametrize("query", READ)
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_query_gives_the_rows_that_sqlite_gives(shop: Path, query: str, scheme: str) -> None:
    assert read(f"{scheme}:///{shop}::{query}").rows == READ[query]


def test_values_of_a_database(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.parent)
    table = read("sqlite:///shop.db::passengers")
    assert (table.name, table.target) == ("sqlite:///shop.db::passengers", None)
    assert list(table.columns) == ["id", "age", "sex", "survived"]
    columns = {name: column_of(name, series) for name, series in table.columns.items()}
    np.testing.assert_array_equal(columns["age"].data, [22.0, np.nan, 35.5])
    assert columns["sex"].missing().tolist() == [False, False, True]
    assert table.columns["id"].dtype == np.int64
    monkeypatch.setenv("HOME", str(shop.parent))
    assert read("sqlite:///~/shop.db::passengers").rows == 3


def test_a_database_can_be_prepared_and_predicted(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=80), "c": draw.choice(["a", "b"], 80), "y": draw.choice([0, 1], 80)})
    connection = sqlite3.connect(tmp_path / "t.db")
    frame.to_sql("t", connection, index=False)
    connection.close()
    text, expected = f"sqlite:///{tmp_path}/t.db::t", prepare(frame, "y")
    data = prepare(text, "y")
    assert data.feature_names == expected.feature_names
    np.testing.assert_array_equal(data.train.x, expected.train.x)
    np.testing.assert_array_equal(data.transform(text), expected.transform(frame))


WRITES = [
    "DELETE FROM passengers",
    "DROP TABLE passengers",
    "SELECT 1; DROP TABLE passengers",
    "WITH x AS (SELECT 1) DELETE FROM passengers",
    "WITH x AS (SELECT 1) INSERT INTO passengers SELECT 1, 2, 3, 4",
    "ATTACH 'new.db' AS fresh",
    "PRAGMA journal_mode = WAL",
    "SELECT load_extension('evil')",
    "VACUUM INTO 'copy.db'",
    "/* SELECT */ UPDATE passengers SET age = 1",
]


@pytest.mark.parametrize("query", WRITES)
def test_a_database_is_never_written(shop: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.parent)
    before = shop.read_bytes()
    with pytest.raises(
        DataError, match="only one SELECT or WITH statement, or the name of a table, is taken"
    ) as caught:
        read(f"sqlite:///shop.db::{query}")
    assert len(str(caught.value).splitlines()) == 1
    assert shop.read_bytes() == before
    assert [path.name for path in shop.parent.iterdir()] == ["shop.db"]


REFUSED = {
    "passenger": "the sqlite database has no table 'passenger'; did you mean 'passengers'",
    "zzz": "has no table 'zzz'; there are adults, my \"odd; table, passengers",
    "SELECT * FROM passenger": "it has no table 'passenger'; did you mean 'passengers'",
    "SELECT * FROM main.passenger": "it has no table 'passenger'; did you mean 'passengers'",
    "SELECT nope FROM passengers": "no such column: nope",
    "SELECT * FROM (": "cannot be read: incomplete input",
    "SELECT * FROM passengers WHERE age > ?": "Incorrect number of bindings",
    "SELECT * FROM passengers p,\n passengers q": "several columns of the same name: 'id'",
    " ; ": "names no table; write a table or a SELECT after it",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_a_database_lacks_is_named(shop: Path, query: str) -> None:
    with pytest.raises(DataError) as caught:
        read(f"sqlite:///{shop}::{query}")
    assert REFUSED[query] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_address_that_leads_nowhere_is_named(shop: Path) -> None:
    (shop.parent / "text.db").write_text("no database at all, but some text that is long enough to be looked at" * 20)
    cases = {
        f"sqlite:///{shop}": "names no table",
        f"sqlite:///{shop.parent}/shap.db::t": "no file .*; did you mean 'shop.db'",
        f"sqlite:///{shop.parent}/text.db::t": "cannot be read: file is not a database",
        "sqlite:///:memory:::t": "names no file",
        "sqlite://::t": "names no file",
        "https://ann:secret@host/t.csv": r"'https://ann:\*\*\*@host/t.csv' is an address, not a file",
    }
    for text, message in cases.items():
        with pytest.raises(DataError, match=message):
            read(text)
    assert not (shop.parent / "shap.db").exists()


def test_a_password_is_not_shown() -> None:
    assert without_password("postgresql://ann:se:cr@et@host:5432/d::t") == "postgresql://ann:***@host:5432/d::t"
    assert without_password("postgresql://host:5432/d::SELECT 'a@b'") == "postgresql://host:5432/d::SELECT 'a@b'"
    assert without_password("mysql://h/d?user=a&password=secret&x=1::t") == "mysql://h/d?user=a&password=***&x=1::t"
    assert without_password("mysql://h/d?password=secret::t") == "mysql://h/d?password=***::t"


@pytest.fixture
def server(shop: Path) -> str:
    """A database that SQLAlchemy reads: SQLite under a name of its own."""
    dialects = pytest.importorskip("sqlalchemy.dialects")
    dialects.registry.register("elsewhere", "sqlalchemy.dialects.sqlite.pysqlite", "SQLiteDialect_pysqlite")
    return f"elsewhere:///{shop}"


@pytest.mark.parametrize("query", READ)
def test_sqlalchemy_gives_the_same_rows(server: str, shop: Path, query: str) -> None:
    expected, found = read(f"sqlite:///{shop}::{query}"), read(f"{server}::{query}")
    pd.testing.assert_frame_equal(pd.DataFrame(found.columns), pd.DataFrame(expected.columns))


def test_percent_and_colon_are_text_for_sqlalchemy(server: str) -> None:
    table = read(f"{server}::SELECT '100%' AS a, ':b' AS b, '%s' AS c")
    assert [series.iloc[0] for series in table.columns.values()] == ["100%", ":b", "%s"]


def test_sqlalchemy_is_never_asked_to_write(server: str, shop: Path) -> None:
    before = shop.read_bytes()
    for query in (
        "DROP TABLE passengers",
        "SELECT 1; DROP TABLE passengers",
        "SELECT 1 DROP TABLE passengers",
        "WITH x AS (SELECT 1) DELETE FROM passengers",
        "SELECT * INTO fresh FROM passengers",
        "SELECT 1 /*! INTO OUTFILE 'x' */",
    ):
        with pytest.raises(DataError, match="is taken"):
            read(f"{server}::{query}")
    assert shop.read_bytes() == before
    with pytest.raises(DataError, match="has no table 'passenger'; did you mean 'passengers'"):
        read(f"{server}::passenger")
    with pytest.raises(DataError, match=r"cannot be read: .*no such column: nope") as caught:
        read(f"{server}::SELECT nope FROM passengers")
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(DataError, match="SQLAlchemy knows no database 'nodb'"):
        read("nodb://host/d::t")
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(DataError, match=r"'postgresql\+psycopg2://ann:\*\*\*@\[::1\]/d' needs the driver 'psycopg2'"):
        read("postgresql+psycopg2://ann:secret@[::1]/d::t")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(DataError, match=r'needs sqlalchemy: pip install "nnlab\[sql\]"'):
        read("postgresql://host/d::t")


@pytest.mark.parametrize("name", ["iris", "wine", "digits", "diabetes", "breast_cancer"])
def test_bundled_sets_are_those_of_sklearn(name: str) -> None:
    bunch = getattr(datasets, f"load_{name}")()
    table = read(f"sklearn:{name}")
    assert (table.name, table.target, table.rows) == (f"sklearn:{name}", "target", len(bunch.data))
    features = pd.DataFrame(table.columns).drop(columns="target")
    assert list(features.columns) == list(bunch.feature_names)
    np.testing.assert_array_equal(features.to_numpy(), bunch.data)
    labels = bunch.target_names[bunch.target] if "target_names" in bunch else bunch.target
    assert table.columns["target"].tolist() == labels.tolist()


def test_a_bundled_set_is_prepared_by_its_name() -> None:
    data = prepare("sklearn:breast_cancer")
    assert (data.target.name, data.task, data.target.classes) == ("target", "binary", ("benign", "malignant"))
    assert prepare("sklearn:diabetes").task == "regression"
    assert len(prepare("sklearn:digits").feature_names) == 64  # pixels that are always black keep their places


def test_a_set_that_is_not_bundled_is_named() -> None:
    with pytest.raises(DataError, match="no set 'irish'; did you mean 'iris'"):
        read("sklearn:irish")
    with pytest.raises(DataError, match="no set ''; there are iris, wine, digits, diabetes, breast_cancer"):
        read("sklearn:")
    with pytest.raises(DataError, match="linnerud has three targets"):
        read("sklearn:linnerud")


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.dok_matrix])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "int64", "bool"])
def test_sparse_is_read_as_dense_floats(kind: type, dtype: str) -> None:
    wanted = (np.random.default_rng(0).random((30, 4)) < 0.3).astype(dtype)
    table = read(kind(wanted))
    assert list(table.columns) == ["x0", "x1", "x2", "x3"]
    found = pd.DataFrame(table.columns).to_numpy()
    assert found.dtype == (np.float64 if dtype in ("float64", "int64") else np.float32)
    np.testing.assert_array_equal(found, wanted)


def test_a_sparse_pair_gives_the_numbers_of_a_dense_pair() -> None:
    draw = np.random.default_rng(0)
    x, y = sparse.random(60, 5, 0.4, random_state=0, format="csr"), draw.integers(0, 2, 60)
    expected = prepare((x.toarray(), y), scale="none")
    for target in (y, sparse.csr_matrix(y[:, None]), sparse.csc_array(y[:, None])):
        data = prepare((x, target), scale="none")
        assert data.feature_names == expected.feature_names
        np.testing.assert_array_equal(data.train.x, expected.train.x)
        assert data.task == "binary"
    np.testing.assert_array_equal(data.transform(x), expected.transform(x.toarray()))


def test_sparse_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = sparse.csr_matrix((10**9, 10**6), dtype="float64")
    with pytest.raises(DataError, match=r"csr_matrix of 1,000,000,000 x 1,000,000 would take 7,450,580\.6 GiB"):
        read(huge)
    monkeypatch.setattr(sources, "free_memory", lambda: 1600)
    assert read(sparse.csr_matrix((10, 10))).rows == 10  # 800 bytes: half
    with pytest.raises(DataError, match=r"X of 11 x 10 would take .* more than half of the .* of free memory"):
        read((sparse.csr_matrix((11, 10)), np.zeros(11)))
    monkeypatch.setattr(sources, "free_memory", lambda: None)
    assert read(sparse.csr_matrix((11, 10))).rows == 11


def test_free_memory_is_within_the_limit_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 9999 kB\nMemAvailable:    4000 kB\n",
        "/sys/fs/cgroup/memory.max": "3000000\n",
        "/sys/fs/cgroup/memory.current": "1000000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 250000\n",
    }
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(sources, "_text_of", lambda path: files.get(path, ""))
    assert free_memory() == 2_250_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert free_memory() == 4_096_000
    files.clear()
    assert free_memory() is None


def test_free_memory_of_this_machine() -> None:
    free = free_memory()
    assert free is None or 0 <= free < 2**50
