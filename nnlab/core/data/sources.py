"""Tables that are no file of cells: queries of a database, scikit-learn's bundled sets, sparse matrices made dense.

Databases are only read. SQLite opens its file read-only and refuses every act but reading; of any other database one
SELECT or WITH statement or one table is taken, and the transaction is rolled back.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.data.files import first_line, sibling
from nnlab.core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SKLEARN = "sklearn:"
BUNDLED = ("iris", "wine", "digits", "diabetes", "breast_cancer")
IN_PLACES = ("digits",)  # columns that are the pixels of an image, of which none may be left out
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
# The first '::' outside brackets, which hold the address of a host: postgresql://[::1]/shop::orders
PARTS = re.compile(r"((?:\[[^\[\]]*\]|(?!::).)*+)::(.*)", re.DOTALL)
SECRETS = re.compile(r"(?<=://)([^:/@]*):[^/]*@|([?&](?:password|passwd|pwd)=).*?(?=&|::|$)", re.IGNORECASE)
# Strings, quoted names and comments of SQL: what stands in them is no statement.
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
READS = re.compile(r"\s*\(*\s*(select|with)\b", re.IGNORECASE)
WRITES = re.compile(
    r"\b(insert|update|delete|merge|into|create|alter|drop|truncate|grant|revoke|exec|execute)\b", re.IGNORECASE
)
TAKEN = "only one SELECT or WITH statement, or the name of a table, is taken"
SHOWN = 8  # table names that a message lists
MEMORY_SHARE = 0.5  # of the free memory that a sparse matrix may take as dense columns


@dataclass(frozen=True, eq=False)
class Source:
    """A frame, what it is called in texts, its target where that is known, and whether code counts its places."""

    name: str
    frame: "pd.DataFrame"
    target: str | None = None
    positional: bool = False


def is_source(text: str) -> bool:
    """Whether text names a database or a bundled set rather than a file.

    >>> is_source("sqlite:///shop.db::orders"), is_source("sklearn:iris"), is_source("C:/shop.csv")
    (True, True, False)
    """
    return text.lower().startswith(SKLEARN) or bool(SCHEME.match(text))


def without_password(text: str) -> str:
    """The address of a database as it may be shown.

    >>> without_password("postgresql://ann:secret@host/shop::orders")
    'postgresql://ann:***@host/shop::orders'
    """
    return SECRETS.sub(lambda found: f"{found[2]}***" if found[2] else f"{found[1]}:***@", text)


def readable_again(frame: Any) -> str:
    """The whole path of a file, the SQLite address or the bundled set that frame names; "" for anything else, and for
    databases on servers, whose addresses may hold passwords.

    >>> readable_again("sklearn:iris"), readable_again("postgresql://ann@host/shop::orders")
    ('sklearn:iris', '')
    """
    if isinstance(frame, str) and is_source(frame):
        known = frame.lower().startswith((SKLEARN, "sqlite:")) and without_password(frame) == frame
        return frame if known else ""
    return str(Path(os.path.expanduser(frame)).absolute()) if isinstance(frame, str | Path) else ""


def read_source(text: str, most: int | None = None) -> Source:
    """The table of 'sklearn:name' or 'url::query'; DataError where it cannot be read.

    most: rows that are taken of a SQLite file, None: all.
    """
    if text.lower().startswith(SKLEARN):
        return _bundled(text[len(SKLEARN) :].strip())
    url, query = _parts(text)
    name = " ".join(without_password(text).split())
    sqlite = url.lower().startswith("sqlite")
    return Source(name, _from_sqlite(url, query, most) if sqlite else _from_server(url, query))


def _parts(text: str) -> tuple[str, str]:
    """The address of a database and what to read of it."""
    shown = without_password(text)
    if re.match(r"(https?|ftp|s3|gs|file)://", text, re.IGNORECASE):
        raise DataError(f"{shown!r} is an address, not a file; download it and give its path")
    parts = PARTS.fullmatch(text)
    if parts is None or not parts[2].strip("; \t\r\n"):
        raise DataError(f"{shown!r} names no table; write a table or a SELECT after it: sqlite:///file.db::table")
    return parts[1], parts[2].strip("; \t\r\n")


def _bundled(name: str) -> Source:
    """One of scikit-learn's bundled sets, its classes by name. Source: sklearn.datasets.load_*."""
    if name == "linnerud":
        raise DataError("sklearn:linnerud has three targets, and one is learnt at a time; load it and choose a column")
    if name not in BUNDLED:
        known = ", ".join(BUNDLED)
        raise DataError(f"scikit-learn bundles no set {name!r}{did_you_mean(name, BUNDLED) or f'; there are {known}'}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    target = bunch.target.to_numpy()
    labels = np.asarray(bunch.target_names)[target] if "target_names" in bunch else target
    return Source(SKLEARN + name, bunch.data.assign(target=labels), "target", name in IN_PLACES)


def _from_sqlite(url: str, query: str, most: int | None) -> "pd.DataFrame":
    """Rows of a SQLite file, which must be there. Source: sqlite3 of the standard library, sqlite.org/uri.html."""
    import sqlite3

    address = re.fullmatch(r"sqlite(?:\+\w+)?:///(.+)", url, re.IGNORECASE)
    if address is None or address[1].startswith(":memory"):
        raise DataError(f"{url!r} names no file; write sqlite:///file.db::table, or sqlite:////folder/file.db::table")
    path = Path(os.path.expanduser(address[1]))
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}{sibling(path)}")
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
    tables: list[str] = []
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            connection.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
            )
            named = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
            tables += [name for (name,) in named if not name.startswith("sqlite_")]
            found = connection.execute(_statement(query, tables, "sqlite") or _whole(query))
            return _frame([column[0] for column in found.description], islice(found, most))
        finally:
            connection.close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise DataError(f"{str(path)!r} cannot be read: {_reason(first_line(error), tables)}") from None


def _whole(table: str) -> str:
    quoted = table.replace('"', '""')
    return f'SELECT * FROM "{quoted}"'


def _frame(names: list[str], rows: Iterable[Sequence[Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)


def _reason(reason: str, tables: list[str]) -> str:
    """What the database said, with the nearest table where one is missing."""
    if "not authorized" in reason or "prohibited" in reason:
        return f"it is opened for reading; {TAKEN}"
    missing = re.fullmatch(r"no such table: (?:\w+\.)?(.+)", reason)
    return f"it has {_no_table(missing[1], tables)}" if missing else reason


def _no_table(name: str, tables: list[str]) -> str:
    listed = ", ".join(tables[:SHOWN]) + (", ..." if len(tables) > SHOWN else "")
    return f"no table {name!r}{did_you_mean(name, tables) or f'; there are {listed}' * bool(tables)}"


def _statement(query: str, tables: list[str], database: str) -> str | None:
    """The query if it is one statement that reads, None if it is the name of a table; DataError for anything else."""
    if query in tables:
        return None
    bare = QUOTED.sub(" ", query).strip()
    if not READS.match(bare):
        if re.search(r"[\s;]", bare):
            raise DataError(f"{query[:60]!r} is no SELECT; {TAKEN}")
        raise DataError(f"the {database} database has {_no_table(query, tables)}")
    if ";" in bare.rstrip("; \t\r\n"):
        raise DataError(f"several statements were given; {TAKEN}")
    return query


def _check_reads(statement: str) -> None:
    """DataError for a word that could write, in a statement whose database does not tell before it is done."""
    if word := WRITES.search(QUOTED.sub(" ", statement)):
        raise DataError(f"the statement holds {word[0].upper()!r}, and data are only read; {TAKEN}")
    if "/*!" in statement:  # MySQL runs what stands in such a comment
        raise DataError(f"a comment of the kind /*! */ is not taken; {TAKEN}")


def _from_server(url: str, query: str) -> "pd.DataFrame":
    """Rows of any database that SQLAlchemy knows. Source: SQLAlchemy 2, whose URL this is."""
    try:
        import sqlalchemy
    except ImportError:
        raise DataError('reading a database needs sqlalchemy: pip install "nnlab[sql]"') from None
    shown = without_password(url)
    options = {"no_parameters": True, "postgresql_readonly": True}  # a % stays a %; other databases skip the second
    try:
        engine = sqlalchemy.create_engine(url, execution_options=options, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            about = sqlalchemy.inspect(connection)
            tables = sorted([*about.get_table_names(), *about.get_view_names()])
            statement = _statement(query, tables, engine.dialect.name)
            _check_reads(statement or "")
            whole = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(query))
            found = connection.exec_driver_sql(statement) if statement else connection.execute(whole)
            return _frame(list(found.keys()), found)
    except DataError:
        raise
    except ModuleNotFoundError as error:
        raise DataError(f"{shown!r} needs the driver {error.name!r}; install it with pip") from None
    except sqlalchemy.exc.NoSuchModuleError:
        kind = url.partition(":")[0]
        raise DataError(f"SQLAlchemy knows no database {kind!r}; expected sqlite, postgresql, mysql, ...") from None
    except Exception as error:  # drivers have errors of their own
        raise DataError(f"{shown!r} cannot be read: {without_password(first_line(error))}") from None


def is_sparse(values: Any) -> bool:
    """Whether values are a scipy sparse matrix or array."""
    return hasattr(values, "toarray") and hasattr(values, "nnz")


def dense(values: Any, what: str) -> np.ndarray:
    """A sparse matrix as an array of floats of its shape; DataError where that takes too much of the free memory."""
    kind = np.result_type(values.dtype, np.float32)
    size, free = int(np.prod(values.shape, dtype=object)) * kind.itemsize, free_memory()
    if free is not None and size > MEMORY_SHARE * free:
        shape = " x ".join(f"{length:,}" for length in values.shape)
        raise DataError(
            f"{what} of {shape} would take {size_text(size)} as dense columns, more than half of the "
            f"{size_text(free)} of free memory; keep fewer columns (sklearn.feature_selection or "
            "TruncatedSVD) or fewer rows"
        )
    return np.asarray(values.astype(kind).toarray())


def size_text(size: int) -> str:
    """Bytes as GiB or MiB.

    >>> size_text(3 << 29), size_text(1 << 20)
    ('1.5 GiB', '1.0 MiB')
    """
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.1f} MiB"


def free_memory() -> int | None:
    """Bytes that can be had without swapping, within the limits of the container and of the process's addresses; None
    where the system does not tell."""
    known = [room for room in (_free_of_machine(), _free_addresses()) if room is not None]
    return min(known, default=None)


def _free_addresses() -> int | None:
    """Bytes of addresses that the process may still take; None without a limit (ulimit -v sets one)."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _text_of("/proc/self/statm").partition(" ")[0]
    if limit == resource.RLIM_INFINITY or not taken.isdigit():
        return None
    return max(0, limit - int(taken) * resource.getpagesize())


def _free_of_machine() -> int | None:
    try:
        import psutil
    except ImportError:
        found = re.search(r"MemAvailable:\s*(\d+)", _text_of("/proc/meminfo"))
        free = int(found[1]) * 1024 if found else None
    else:
        free = int(psutil.virtual_memory().available)
    limit, used = _text_of("/sys/fs/cgroup/memory.max").strip(), _text_of("/sys/fs/cgroup/memory.current").strip()
    if free is None or not (limit.isdigit() and used.isdigit()):
        return free
    cache = re.search(r"^inactive_file (\d+)", _text_of("/sys/fs/cgroup/memory.stat"), re.MULTILINE)
    return max(0, min(free, int(limit) - int(used) + (int(cache[1]) if cache else 0)))


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
