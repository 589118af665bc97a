"""A journal in an SQLite file: where it really is, how it is made, and how it is opened to be written.

A file is one journal however it is named. Its path is never part of a URL that somebody parses; where SQLite itself
wants a URI, each byte that is not plain is percent-encoded.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from worker.errors import JournalError, JournalMissing
from worker.journal.engine import Database, system_error, with_way_out

PREFIX = "sqlite:///"
_BUSY_FOR = 0.1
"""Seconds that SQLite itself waits for a busy file; who needs it waits longer, and may be told to give up."""
_LONGEST_NAME = 255 - len(".0-of-1.lock")
"""Bytes of a file's name that leave room for what lies beside it, on every system."""
_WAYS_OUT = {
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
_MOMENTARY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_PROTOCOL")


def path_of(url: str) -> Path | None:
    """Return the file of an SQLite journal, free of links; None for one that has no file.

    What stands behind `sqlite:///` is a path as it is: no character has a meaning of its own.
    """
    return Path(os.path.realpath(url.removeprefix(PREFIX))) if url.startswith(PREFIX) else None


def find(path: Path) -> os.stat_result:
    """Return what the system knows of a journal's file; raise JournalMissing where there is none, or JournalError."""
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise JournalError(f"the journal {path} cannot be used: its name is too long for the locks that lie beside it")
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            raise JournalMissing(f"there is no journal {path} yet: `run` or `serve` makes it") from None
        raise JournalError(f"the journal {path} cannot be made: there is no folder {path.parent}") from None
    except OSError as error:
        raise system_error(f"the journal {path} cannot be reached", error, "see to its path") from error
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(f"the journal {path} cannot be opened: it must be a file")
    return found


def make(path: Path) -> None:
    """Make the file of a journal, for its owner alone, where there is none; raise JournalError.

    SQLite gives what lies beside it, the write-ahead log, the same rights.
    """
    try:
        find(path)
    except JournalMissing:
        make_private(path)


def make_in_own_folder(path: Path) -> None:
    """Make the file of a journal as above, where its folder is this user's; raise JournalMissing where it is not."""
    try:
        find(path)
    except JournalMissing:
        if path.parent.stat().st_uid != os.geteuid():
            raise
        make_private(path)


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may use, whatever the umask; leave alone one that is there."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        way_out = "its folder must exist, be writable and have room"
        raise system_error(f"{path} cannot be made", error, way_out) from error
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def links_of(path: Path) -> str:
    """Return a warning for a file that has other names too: SQLite and the locks take each for a file of its own."""
    try:
        found = path.stat()
    except OSError:
        return ""
    if found.st_nlink == 1:
        return ""
    return (
        f"the journal {path} has {found.st_nlink} names (hard links): under each it is locked as a file of its own, "
        "so that two workers could use it at once; give it one name"
    )


def open_file(path: Path) -> Database:
    """Return a journal's file to be written; it is not made by that."""
    return Database(_engine(lambda: _durable(path)), str(path), _passes, _is_busy, "BEGIN IMMEDIATE", explained)


def open_memory() -> Database:
    """Return a journal that is gone when it is closed."""
    memory = _engine(lambda: sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
    return Database(memory, "in memory", _passes, _is_busy, "BEGIN IMMEDIATE", explained)


def engine_to_read(path: Path, options: str) -> Engine:
    """Return an engine whose connections only read, with these options of SQLite's URI."""
    return create_engine("sqlite://", poolclass=NullPool, creator=lambda: _connect(path, options))


def explained(error: SQLAlchemyError) -> str:
    """Put an error of SQLite into one line with the way out."""
    cause = getattr(error, "orig", None) or error
    return with_way_out(str(cause) or type(cause).__name__, _kind(error), _WAYS_OUT)


def name_of(error: SQLAlchemyError) -> str:
    """Return SQLite's own name for an error, or nothing."""
    return str(getattr(getattr(error, "orig", None), "sqlite_errorname", ""))


def _engine(creator: Any) -> Engine:
    return create_engine("sqlite://", poolclass=StaticPool, creator=creator)


def _connect(path: Path, options: str) -> sqlite3.Connection:
    # The driver begins no transaction by itself: one that writes begins at once for writing, so that what it reads
    # first cannot change before it writes.
    uri = f"file://{quote(os.fsencode(path))}?{options}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_FOR, check_same_thread=False, isolation_level=None)
    connection.text_factory = _text
    return connection


def _text(stored: bytes) -> str | bytes:
    """Return a text of the file; what is none is told like binary data, by who reads its row."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _durable(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # In KiB: rows are read once, so a cache that grows with the history would only take memory.
        connection.execute("PRAGMA cache_size = -256")
    except BaseException:
        connection.close()
        raise
    return connection


def _kind(error: SQLAlchemyError) -> str:
    return "_".join(name_of(error).split("_")[:2])


def _is_busy(error: SQLAlchemyError) -> bool:
    return name_of(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _passes(error: SQLAlchemyError) -> bool:
    return name_of(error).startswith(_MOMENTARY)
