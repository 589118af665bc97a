"""What a database is to the journal, whichever it is: an engine, what people call it, and its errors in words."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import JournalError, JournalUnreachable

T = TypeVar("T")
_MOMENTARY = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOLCK,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""Errors of the system that may pass by themselves: a full disk, a server of files that is away, too much open."""


@dataclass(frozen=True)
class Database:
    """An engine with one connection, which is opened at its first use.

    `where` is what people call it, without a password; `passes` tells of an error whether what it says may pass by
    itself, and `waits` whether it may within seconds. `begin` is the statement that begins a transaction that writes,
    where the driver does not. `explained` puts an error into one line with the way out.
    """

    engine: Engine
    where: str
    passes: Callable[[SQLAlchemyError], bool]
    waits: Callable[[SQLAlchemyError], bool]
    begin: str
    explained: Callable[[SQLAlchemyError], str]

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query; raise SQLAlchemyError."""
        with self.engine.connect() as connection:
            return query(connection)


def with_way_out(text: str, kind: str, ways_out: dict[str, str]) -> str:
    """Return the first line of an error's text, and what to do about an error of its kind."""
    line = next(iter(text.splitlines()), "no reason given")
    return f"{line}; {ways_out[kind]}" if kind in ways_out else line


def system_error(what: str, error: OSError, way_out: str) -> JournalError:
    """Return the journal's error for one of the system: unreachable where it may pass by itself."""
    kind = JournalUnreachable if error.errno in _MOMENTARY else JournalError
    return kind(f"{what}: {error.strerror or error}; {way_out}")
