"""A study's trials in a database that several machines share: any URL that SQLAlchemy knows (SQLite, PostgreSQL, ...).

Imports Optuna and SQLAlchemy; import this module only where a study is opened.
"""

import contextlib
import importlib.util
import time
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from nnlab.core.errors import SpecError, StoreError
from nnlab.core.store.locks import file_lock

if TYPE_CHECKING:
    from sqlalchemy import Engine

HIDDEN = "***"  # what stands for a password where the URL is written down
TRIES = 3
SPARED = ("postgresql", "postgresql+psycopg2")


def open_shared(address: str) -> RDBStorage:
    """Optuna's storage at a URL; SpecError for one that is none, StoreError where the database cannot be reached."""
    url = _url(address)
    if url.password == HIDDEN:
        raise SpecError(f"the password of {address} is not written down with the study; give --storage with it again")
    options = {"connect_args": {"timeout": 60}} if url.drivername == "sqlite" else {"pool_pre_ping": True}
    for tries_left in reversed(range(TRIES)):
        try:
            with _alone(url):
                storage = RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
            weakref.finalize(storage, storage.engine.dispose)
            return storage
        except (ImportError, NoSuchModuleError) as error:
            raise SpecError(f"--storage {without_password(address)} needs a driver: {_first_line(error)}") from error
        except (SQLAlchemyError, OSError, RuntimeError) as error:
            if not tries_left or isinstance(error, OperationalError):
                where = without_password(address)
                raise StoreError(f"the database {where} cannot be used: {_first_line(error)}") from error
            time.sleep(0.5)  # two processes make the tables at once, and one of them fails
    raise AssertionError


def without_password(address: str) -> str:
    """The URL as it may be shown."""
    return _url(address).render_as_string(hide_password=True)


@contextlib.contextmanager
def shared_lock(storage: RDBStorage, name: str) -> Iterator[None]:
    """No other process on any machine claims or settles a trial of the study meanwhile.

    The database frees it when the holder dies. SQLite: a lock file beside the database's.
    """
    engine: Engine = storage.engine
    key = zlib.crc32(name.encode("utf-8", "surrogatepass"))
    if engine.dialect.name == "sqlite":
        with _alone(engine.url):
            yield
        return
    take, give = {
        "postgresql": (f"SELECT pg_advisory_lock({key})", f"SELECT pg_advisory_unlock({key})"),
        "mysql": (f"SELECT GET_LOCK('nnlab{key}', -1)", f"SELECT RELEASE_LOCK('nnlab{key}')"),
    }.get(engine.dialect.name, ("SELECT 1", "SELECT 1"))
    try:
        with engine.connect() as connection:
            connection.execute(text(take))
            try:
                yield
            finally:
                connection.execute(text(give))
    except SQLAlchemyError as error:
        raise optuna.exceptions.StorageInternalError(_first_line(error)) from error


def _alone(url: URL) -> contextlib.AbstractContextManager[None]:
    """No other process uses the database file of an SQLite URL meanwhile; other databases have locks of their own."""
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return file_lock(Path(f"{url.database}.flock")) if in_file else contextlib.nullcontext()


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise SpecError(f"--storage {address}: no URL of a database; as in sqlite:///study.db") from error
    if url.drivername in SPARED and importlib.util.find_spec("psycopg2") is None:
        return url.set(drivername="postgresql+psycopg")
    return url


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().partition("\n")[0][:200] or type(error).__name__
