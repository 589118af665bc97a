"""Which database the journal is in: an SQLite file, PostgreSQL, or memory."""

from __future__ import annotations

from worker.errors import JournalError
from worker.journal import postgresql, sqlite_file
from worker.journal.engine import Database
from worker.journal.file_reader import FileReader
from worker.journal.sqlite_file import path_of

MEMORY = "memory:"


def is_postgresql(url: str) -> bool:
    """Tell whether a journal is on a PostgreSQL server."""
    return url.partition("://")[0] == postgresql.SCHEME


def is_same(url: str, other: str) -> bool:
    """Tell whether two URLs name one journal: a file has many names."""
    path = path_of(url)
    return url == other or (path is not None and path == path_of(other))


def open_database(url: str, *, to_read: bool = False) -> Database:
    """Return the database at `sqlite:///PATH`, `postgresql://...` or `memory:`; raise JournalError.

    A file that is opened `to_read` is read without the right to write it. None is made: JournalMissing is raised where
    there is none.
    """
    if is_postgresql(url):
        return postgresql.open_server(url)
    if url == MEMORY:
        return sqlite_file.open_memory()
    path = path_of(url)
    if path is None:
        raise JournalError("a journal is at sqlite:///PATH, postgresql://... or memory:")
    sqlite_file.find(path)
    written = sqlite_file.open_file(path)
    if not to_read:
        return written
    return FileReader(
        written.engine, written.where, written.passes, written.waits, written.begin, written.explained, path
    )


def warning_of(url: str) -> tuple[str, ...]:
    """Return what is odd about where a journal is."""
    path = path_of(url)
    warning = sqlite_file.links_of(path) if path is not None else ""
    return (warning,) if warning else ()
