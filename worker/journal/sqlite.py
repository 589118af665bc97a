"""The journal in an SQLite file: durable at each commit, and its errors with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

_PREFIX = "sqlite:///"
_WAYS_OUT = {
    "SQLITE_BUSY": "another process is writing to it: try again",
    "SQLITE_CANTOPEN": "it must be a file, in a folder that may be written to",
    "SQLITE_CORRUPT": "move it away: the next pass makes a new one, and the cloud tells what is true",
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_NOTADB": "move it away, or name another file in the config",
    "SQLITE_READONLY": "the file and its folder must be writable",
}
"""What to do about an error, by the first two words of its name."""


def path_of(url: str) -> Path | None:
    """Return the file of an SQLite journal; None for one that has no file."""
    return Path(url.removeprefix(_PREFIX)) if url.startswith(_PREFIX) else None


def open_engine(path: Path | None) -> Engine:
    """Return an engine with one connection to the file, or to a database in memory; nothing is opened yet."""
    url = f"{_PREFIX}{path}" if path else "sqlite://"
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 10})

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        # The driver begins no transaction by itself: writes begin theirs at once, see `Journal`.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def explained(error: SQLAlchemyError) -> str:
    """Put an error into one line, with what to do about it where that is known."""
    cause = getattr(error, "orig", None) or error
    kind = "_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2])
    way_out = f"; {_WAYS_OUT[kind]}" if kind in _WAYS_OUT else ""
    return str(cause).splitlines()[0] + way_out
