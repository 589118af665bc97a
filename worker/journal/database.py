"""Which database the journal is in: an SQLite file, PostgreSQL, or memory; with the errors of each in words."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from worker.errors import JournalError

MEMORY = "memory:"
_SQLITE = "sqlite:///"
_POSTGRESQL = "postgresql"
_DRIVER = "postgresql+psycopg"
_BUSY_FOR = 10.0
"""Seconds that a busy SQLite file is waited for."""
_SQLITE_WAYS_OUT = {
    "SQLITE_BUSY": "another process is writing to it: try again",
    "SQLITE_CANTOPEN": "it must be a file, in a folder that may be written to",
    "SQLITE_ERROR": "its tables are not those that this worker knows: move it away, and the next pass makes a new one",
    "SQLITE_CORRUPT": "move it away: the next pass makes a new one, and the cloud tells what is true",
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "see to its disk, which may be full",
    "SQLITE_NOTADB": "move it away, or name another file in the config",
    "SQLITE_READONLY": "the file and its folder must be writable",
}
"""What to do about an error of SQLite, by the first two words of its name."""
_POSTGRESQL_WAYS_OUT = {
    "": "see that journal.url names a server, a database and a user that are there",
    "42": "let its user create tables there",
    "53": "make room on its disk, or let it take more connections",
}
"""What to do about an error of PostgreSQL, by the class of its SQLSTATE; a connection that fails has none."""
_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}
"""A server that is gone must be noticed within seconds, or a stand-by would wait for minutes."""


@dataclass(frozen=True, slots=True)
class Database:
    """An engine with one connection, which is opened at its first use.

    `where` is what people call it, without a password; `passes` tells of an error whether what it says may pass by
    itself. `begin` is the statement that begins a transaction that writes, where the driver does not. `explained` puts
    an error into one line with the way out.
    """

    engine: Engine
    where: str
    passes: Callable[[SQLAlchemyError], bool]
    begin: str
    explained: Callable[[SQLAlchemyError], str]


def path_of(url: str) -> Path | None:
    """Return the file of an SQLite journal; None for one that has no file."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def is_postgresql(url: str) -> bool:
    """Tell whether a journal is on a PostgreSQL server."""
    return url.partition("://")[0] == _POSTGRESQL


def open_database(url: str) -> Database:
    """Return the database at `sqlite:///PATH`, `postgresql://...` or `memory:`; raise JournalError."""
    if is_postgresql(url):
        return _postgresql(url)
    path = path_of(url)
    if path is None and url != MEMORY:
        raise JournalError("a journal is at sqlite:///PATH, postgresql://... or memory:")
    if path is not None and not path.parent.is_dir():
        raise JournalError(f"the journal {path} cannot be made: there is no folder {path.parent}")
    return _sqlite(path)


def _sqlite(path: Path | None) -> Database:
    engine = create_engine(
        f"{_SQLITE}{path}" if path else "sqlite://",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": _BUSY_FOR},
    )

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        # The driver begins no transaction by itself: one that writes begins at once for writing, so that what it
        # reads first cannot change before it writes.
        connection.isolation_level = None
        connection.text_factory = _text
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        # In KiB: rows are read once, so a cache that grows with the history would only take memory.
        connection.execute("PRAGMA cache_size = -256")

    return Database(engine, str(path) if path else "in memory", _sqlite_passes, "BEGIN IMMEDIATE", _sqlite_explained)


def _text(stored: bytes) -> str | bytes:
    """Return a text of the file; what is none is told like binary data, by who reads its row."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite's own time-out does not hold for this while others open the file too."""
    patience = time.monotonic() + _BUSY_FOR
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.02)
        else:
            return


def _postgresql(url: str) -> Database:
    try:
        parsed = make_url(url).set(drivername=_DRIVER)
        engine = create_engine(parsed, poolclass=StaticPool, connect_args={"connect_timeout": 10, **_KEEPALIVES})
    except ModuleNotFoundError as error:
        raise JournalError(
            f"a journal on PostgreSQL needs the driver: pip install 'ims-share-worker[postgres]' ({error})"
        ) from error
    except (ArgumentError, ValueError):
        # The error may repeat the URL, and with it the password.
        raise JournalError("journal.url is not a URL of PostgreSQL") from None
    where = f"{_POSTGRESQL}://{parsed.host or 'localhost'}{f':{parsed.port}' if parsed.port else ''}/{parsed.database}"
    return Database(engine, where, _postgresql_passes, "", _postgresql_explained)


def _sqlite_passes(error: SQLAlchemyError) -> bool:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR"))


def _postgresql_passes(error: SQLAlchemyError) -> bool:
    return isinstance(error, OperationalError)


def _sqlite_explained(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return _with_way_out(cause, "_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2]), _SQLITE_WAYS_OUT)


def _postgresql_explained(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return _with_way_out(cause, (getattr(cause, "sqlstate", None) or "")[:2], _POSTGRESQL_WAYS_OUT)


def _with_way_out(cause: BaseException, kind: str, ways_out: dict[str, str]) -> str:
    text = next(iter(str(cause).splitlines()), type(cause).__name__)
    return f"{text}; {ways_out[kind]}" if kind in ways_out else text
