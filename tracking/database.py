"""The MLflow database: created whole or not at all, and checked before it is used."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coterie.tracking.errors import MlflowError, MlflowUnavailableError
from coterie.tracking.files import remove_leftovers, temporary_beside
from coterie.tracking.uris import (
    is_database_server,
    is_server,
    mask_secrets,
    mask_uri,
    secrets_in,
    sqlite_path,
    sqlite_uri,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

BUSY_SECONDS = 20.0  # how long MLflow itself waits for another writer
_MOST_PORT = 65535


def check_uri(uri: str) -> None:
    """Refuse a URI that no store can have. Contacts and creates nothing. Raises `MlflowError`."""
    named = re.match(r"[a-z][\w+.-]*(?=:)", uri, re.IGNORECASE)
    scheme = named[0].lower() if named else ""
    if is_database_server(uri) or scheme.startswith("sqlite"):
        if (port := _engine(uri).url.port) is not None and port > _MOST_PORT:
            raise _wrong_address(uri, f"port {port}")
        if (path := sqlite_path(uri)) is not None and path.is_dir():
            raise MlflowError(
                f"{path}: expected the file of a database, got a folder; fix: {sqlite_uri(path / 'mlflow.db')}"
            )
    elif scheme in ("http", "https"):
        _check_web_address(uri)
    elif not is_server(uri) and scheme not in {entry.name for entry in entry_points(group="mlflow.tracking_store")}:
        _check_folder(uri, scheme)


def _check_web_address(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        _port, host = parts.port, parts.hostname  # reading a wrong port raises
    except ValueError as error:
        raise _wrong_address(uri, mask_secrets(one_line(error), uri)) from None
    if not host:
        raise _wrong_address(uri, "no host")


def _wrong_address(uri: str, got: str) -> MlflowError:
    examples = {"http": "http://localhost:5000", "sqlite": "sqlite:///mlflow.db"}
    server = "postgresql://user:password@localhost:5432/runs"
    example = next((example for name, example in examples.items() if uri.lower().startswith(name)), server)
    return MlflowError(
        f"{mask_uri(uri)}: expected the address of an MLflow store, got: {got}; fix: write it as {example}"
    )


def _check_folder(uri: str, scheme: str) -> None:
    """Refuse a folder, which MLflow accepts only on demand, and a scheme that it does not know."""
    is_folder = scheme in ("", "file")
    if not is_folder or os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        got = "the path of a folder, which MLflow refuses" if is_folder else "an unknown kind of store"
        raise MlflowError(
            f"{mask_uri(uri)}: expected a database or a server, got {got}; fix: sqlite:///mlflow.db or another store with "
            "--tracking-uri"
        )


def prepare_sqlite(path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
    """Check the MLflow database at `path`, or create a missing one.

    Two processes may do so concurrently and may be killed at any moment. Raises `MlflowError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, recursive=False)
        if not path.exists():
            _create(path)
        check_sqlite(path, busy_seconds)
    except (OSError, sqlite3.Error) as error:
        raise MlflowError(
            f"{path}: expected a readable and writable MLflow database, got: {error}; fix: wait until no other program "
            "uses it, check permissions and disk space, or, if it is damaged, move it away (coterie keeps its records "
            "elsewhere and logs them again to a new database)"
        ) from error


def check_sqlite(path: Path, busy_seconds: float) -> None:
    """Open the file before MLflow does, which would retry a damaged one for 100 seconds."""
    with contextlib.closing(sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.execute("BEGIN IMMEDIATE")  # fails for a read-only or locked file, and writes nothing
        connection.execute("ROLLBACK")
    missing = {"alembic_version", "experiments", "runs", "tags"} - tables
    if missing:
        raise sqlite3.DatabaseError(f"a database without MLflow's tables (missing: {', '.join(sorted(missing))})")


def _create(path: Path) -> None:
    """Let MLflow create its tables in a temporary file, then rename that file.

    MLflow migrates a new database in some 330 statements, each in its own transaction. A kill in between, or a second
    process, would leave a database that can never be used; a rename makes the complete file appear in one step.
    Syncing to disk after each statement is also what makes creation slow (5 to 10 s on a busy disk, of which less than
    1 s is computation). The temporary file is synced once, at the end.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    temporary = temporary_beside(path)
    try:
        with _unsynced(temporary):
            store = SqlAlchemyStore(sqlite_uri(temporary), (path.parent / "mlartifacts").as_uri())
        store.engine.dispose()
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        _publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path) -> None:
    """Give the finished file its name, unless another process was faster: either database will do."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        os.replace(temporary, path)


@contextlib.contextmanager
def _unsynced(path: Path) -> Iterator[None]:
    """While active, SQLAlchemy's connections to the sqlite file at `path` do not wait for the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def on_connect(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            files = [row[2] for row in connection.execute("PRAGMA database_list")]
            if any(file and Path(file).name == path.name for file in files):
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(Engine, "connect", on_connect)
    try:
        yield
    finally:
        event.remove(Engine, "connect", on_connect)


def check_database_server(uri: str) -> None:
    """Connect once to PostgreSQL, MySQL or SQL Server, where MLflow would retry for 100 seconds.

    Raises `MlflowUnavailableError` if the server does not answer, and `MlflowError` if address, password or driver is wrong.
    """
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    engine = _engine(uri)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        unavailable = isinstance(error, OperationalError) and "authentication" not in str(error)
        raise _unusable(MlflowUnavailableError if unavailable else MlflowError, uri, error) from cause_without_secrets(
            error, uri
        )


def _engine(uri: str) -> Engine:
    """SQLAlchemy's engine of a database, not connected. Raises `MlflowError` if address or driver is wrong."""
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    try:
        return sqlalchemy.create_engine(uri, poolclass=NullPool)
    except (sqlalchemy.exc.NoSuchModuleError, ImportError) as error:
        raise _unusable(MlflowError, uri, error) from cause_without_secrets(error, uri)
    except sqlalchemy.exc.ArgumentError as error:
        raise _wrong_address(uri, mask_secrets(one_line(error), uri)) from None
    except ValueError:
        raise _wrong_address(uri, "a port that is not a number") from None


def _unusable(kind: type[MlflowError], uri: str, error: Exception) -> MlflowError:
    return kind(
        f"{mask_uri(uri)}: expected a reachable database, got: {mask_secrets(one_line(error), uri)}; "
        "fix: check address, user and password, and that the database's Python driver is installed "
        "(PostgreSQL: pip install 'coterie[postgres]')"
    )


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())


def cause_without_secrets(error: Exception, uri: str) -> Exception | None:
    """The cause to chain an `MlflowError` to: None if its traceback would show a secret that the message masks."""
    return None if secrets_in(uri) else error
