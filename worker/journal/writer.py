"""One connection in a thread of its own, and transactions that are committed together when they wait together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import JournalError, JournalUnreachable
from worker.journal.engine import Database
from worker.journal.rows import OddRowsError
from worker.journal.schema import VERSION
from worker.journal.thread import Thread

T = TypeVar("T")
_GATHER = 0.005
"""Seconds that a write waits for others: a commit costs the disk as much as that, however much is in it."""

_BUSY_FOR, _BETWEEN_TRIES = 10.0, 0.02
"""Seconds that a busy SQLite file is waited for, and between two tries."""

_Write = tuple[Callable[[Connection], Any], asyncio.Future[Any]]


class Writer:
    """Reads and durable writes, off the event loop; `commits` counts the transactions so far.

    `version` is that of the tables, once it is known.
    """

    def __init__(self, database: Database, thread: Thread) -> None:
        self.commits = 0
        self.version = VERSION
        self._database = database
        self._thread = thread
        self._waiting: list[_Write] = []
        self._flushing: asyncio.Task[None] | None = None

    @property
    def where(self) -> str:
        """What people call the journal."""
        return self._database.where

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query; raise JournalError."""
        return await self._in_thread(lambda: self._database.read(query))

    async def write(self, write: Callable[[Connection], T]) -> T:
        """Make one write durable, together with those that wait; raise JournalError if any of them fails.

        Cancelled, the write may or may not be made, but always whole.
        """
        written: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, written))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await written

    async def close(self) -> None:
        """Wait for what is being written, then let go of the database."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})
        with suppress(TimeoutError):
            await self._thread.do(self._database.engine.dispose)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER)
                writes, self._waiting = self._waiting, []
                await self._commit(writes)
        finally:
            self._flushing = None

    async def _commit(self, writes: list[_Write]) -> None:
        def run() -> list[Any]:
            with self._database.engine.begin() as connection:
                if self._database.begin:
                    connection.exec_driver_sql(self._database.begin)
                return [write(connection) for write, _ in writes]

        try:
            results = await self._in_thread(run)
        except Exception as error:  # noqa: BLE001 - a bug too must reach those who wait, or they wait for ever
            if len(writes) > 1 and isinstance(error.__cause__, OddRowsError):
                # One of them met a row that it cannot read: the others shall not suffer for it.
                for each in writes:
                    await self._commit([each])
                return
            for _, written in writes:
                if not written.done():
                    written.set_exception(error)
            return
        self.commits += 1
        for (_, written), result in zip(writes, results, strict=True):
            if not written.done():
                written.set_result(result)

    async def _in_thread(self, run: Callable[[], T]) -> T:
        where = self._database.where
        try:
            return await self._thread.do(lambda: self._patiently(run))
        except OddRowsError as error:
            raise JournalError(f"the journal {self._database.where} {error}") from error
        except UnicodeDecodeError as error:  # the driver reads what SQLite says of a rotten file as UTF-8
            raise JournalError(f"the journal {self._database.where} is damaged: its names are no text") from error
        except SQLAlchemyError as error:
            kind = JournalUnreachable if self._database.passes(error) else JournalError
            raise kind(f"the journal {where} failed: {self._database.explained(error)}") from error
        except TimeoutError as error:
            raise JournalUnreachable(f"the journal {where} does not answer in time; try again") from error

    def _patiently(self, run: Callable[[], T]) -> T:
        """Run something whole, and again while others have the file locked, as long as there is time."""
        begun = time.monotonic()
        while True:
            try:
                return run()
            except SQLAlchemyError as error:
                give_up_at = min(begun + _BUSY_FOR, self._thread.give_up_at())
                if not self._database.waits(error) or time.monotonic() >= give_up_at:
                    raise
            time.sleep(_BETWEEN_TRIES)
