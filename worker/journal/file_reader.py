"""Read a journal's SQLite file without the right to write it, or its folder, and without disturbing who does.

With a write-ahead log beside it a file must be read through it, or its newest rows are missed; SQLite can do so without
the right to write as long as the log's index is there. Without a log nobody writes, and SQLite reads the file as one
that does not change. A log that cannot be used so, after a crash, is read in a copy. A writer may come or go between
the look and the reading, so what no lock of SQLite protects counts only if the files are still as they were.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import JournalError, JournalUnreachable
from worker.journal import sqlite_file
from worker.journal.engine import Database, system_error

T = TypeVar("T")
_TRIES, _BETWEEN_TRIES = 100, 0.02
_LOGS = ("-wal", "-journal")
"""What lies beside a file while it is written, and after its writer crashed."""

_UNUSABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
_WAY_OUT = "let its owner grant the right to read it, and what lies beside it"
_Seen = tuple[tuple[int, ...], ...]
"""What tells a state of the file, and of each of its logs, from another one; of a log that is not there, nothing."""


@dataclass(frozen=True)
class FileReader(Database):
    """A journal's file whose readings need no right to write; a write is still tried, as by any other."""

    path: Path

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on one state of the file; raise SQLAlchemyError or JournalError."""
        for _ in range(_TRIES):
            sqlite_file.find(self.path)
            seen = self._look()
            try:
                is_protected, result = self._read(query, seen)
            except (SQLAlchemyError, OSError, JournalError) as error:
                if self._look() == seen:
                    if isinstance(error, OSError):
                        raise system_error(f"the journal {self.where} cannot be read", error, _WAY_OUT) from error
                    raise
            else:
                if is_protected or self._look() == seen:
                    return result
            time.sleep(_BETWEEN_TRIES)
        raise JournalUnreachable(f"the journal {self.where} is being changed all the time; try again")

    def _read(self, query: Callable[[Connection], T], seen: _Seen) -> tuple[bool, T]:
        """Run a query on the files as they were seen; tell whether a lock of SQLite saw to it that they stayed so."""
        if not any(seen[1:]):
            return False, _ask(sqlite_file.engine_to_read(self.path, "mode=ro&immutable=1"), query)
        if self._beside("-shm").exists():
            try:
                return True, _ask(sqlite_file.engine_to_read(self.path, "mode=ro"), query)
            except SQLAlchemyError as error:
                if not sqlite_file.name_of(error).startswith(_UNUSABLE):
                    raise
        with tempfile.TemporaryDirectory(prefix="ims-share-worker-") as folder:
            copy = Path(folder) / "journal.db"
            for suffix in ("", *_LOGS):
                if suffix == "" or self._beside(suffix).exists():
                    _copy(self._beside(suffix), copy.with_name(copy.name + suffix))
            return False, _ask(sqlite_file.engine_to_read(copy, "mode=rw"), query)

    def _look(self) -> _Seen:
        return tuple(_state(self._beside(suffix)) for suffix in ("", *_LOGS))

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _ask(engine: Engine, query: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        return query(connection)


def _copy(source: Path, target: Path) -> None:
    sqlite_file.make_private(target)
    shutil.copyfile(source, target)


def _state(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
