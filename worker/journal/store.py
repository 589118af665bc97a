"""The journal: what it remembers, each in an object of its own, and how it is opened beside its holder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

from sqlalchemy import Connection

from worker.core.fleet.shards import WHOLE, Shard
from worker.errors import JournalError, JournalMissing, JournalUnreachable
from worker.journal import sqlite_file
from worker.journal.approvals import ApprovalLog
from worker.journal.batch_sizes import BatchSizeLog
from worker.journal.batches import BatchLog
from worker.journal.call_log import CallLog
from worker.journal.database import MEMORY, open_database, warning_of
from worker.journal.durations import DurationLog
from worker.journal.engine import Database
from worker.journal.fence import Fence
from worker.journal.instructions import InstructionLog
from worker.journal.learned_limits import LearnedLimitLog
from worker.journal.memory import MemoryReader
from worker.journal.passes import PassLog
from worker.journal.project_lists import ProjectListLog
from worker.journal.pruning import Retention, prune
from worker.journal.quarantine import QuarantineLog
from worker.journal.readings import ReadingLog
from worker.journal.rejections import RejectionLog
from worker.journal.releases import ReleaseLog
from worker.journal.schema import VERSION
from worker.journal.sqlite_file import path_of
from worker.journal.stamps import Stamps
from worker.journal.thread import Thread
from worker.journal.version import create, version_of
from worker.journal.writer import Writer

T = TypeVar("T")


class Journal:
    """The memory of one worker: an object for each thing that is remembered. All raise JournalError.

    `shard` is the part of the fleet whose passes and calls are written, and `calls` are those that count against the
    limits. `notes` are for people: what is odd about the journal, or that there is none yet, which `exists` tells too.
    """

    def __init__(self, database: Database, thread: Thread, shard: Shard = WHOLE) -> None:
        self.shard = shard
        self.notes: tuple[str, ...] = ()
        self.exists = True
        self._where = database.where
        self._writer = writer = Writer(database, thread)
        self._fence = fence = Fence(writer)
        self.batches = BatchLog(writer, fence)
        self.quarantine = QuarantineLog(writer)
        self.rejections = RejectionLog(writer, fence, shard)
        self.approvals = ApprovalLog(writer)
        self.releases = ReleaseLog(writer)
        self.passes = PassLog(writer, shard)
        self.readings = ReadingLog(writer)
        self.calls = CallLog(writer, shard)
        self.batch_sizes = BatchSizeLog(writer)
        self.learned_limits = LearnedLimitLog(writer)
        self.project_lists = ProjectListLog(writer)
        self.durations = DurationLog(writer)
        self.instructions = InstructionLog(writer)
        self.stamps = Stamps(writer, shard)
        self.memory = MemoryReader(writer, shard)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query; raise JournalError."""
        return await self._writer.read(query)

    async def answers(self) -> None:
        """Return if the journal can be read; raise JournalError."""
        await self._writer.read(version_of)

    async def flush(self) -> None:
        """Write the calls that were noted, and what was learned of limits; raise JournalError."""
        await self.calls.flush()
        await self.learned_limits.flush()

    async def prune(self, retention: Retention) -> None:
        """Forget what is of no more use; raise JournalError."""
        await self._writer.write(lambda connection: prune(connection, retention))

    async def prepare(self) -> None:
        """Create the tables where there are none; raise JournalError for a schema of a newer worker."""
        if await self._writer.read(version_of) is None:
            await self._writer.write(create)
        await self.verify_schema()

    async def verify_schema(self) -> None:
        """Raise JournalMissing where no pass has made the tables yet, JournalError where a newer worker did.

        Tables of an older worker are read as they are.
        """
        found = await self._writer.read(version_of)
        if found is None:
            raise JournalMissing(f"there is no journal {self._where} yet: `run` or `serve` makes it")
        if found > VERSION:
            raise JournalError(
                f"the journal {self._where} was written by a newer worker (schema {found}, this one knows "
                f"{VERSION}): update this worker, or give it a journal of its own"
            )
        self._writer.version = found

    async def close(self) -> None:
        """Write what was noted, wait for what is being written, and let go of the database."""
        with suppress(JournalError):
            await self.flush()
        await self._writer.close()


@asynccontextmanager
async def open_journal(url: str, *, makes: bool = False) -> AsyncIterator[Journal]:
    """Open the journal at `sqlite:///PATH` or `postgresql://...` for one row that is written beside its holder.

    Where there is none it is made only if that `makes` it, and if its folder is of the user who makes it: it would be
    of no use to another who works there. Raises JournalMissing where there is none, since nobody would look for what is
    written elsewhere; JournalError.
    """
    if makes and (path := path_of(url)) is not None:
        await asyncio.to_thread(sqlite_file.make_in_own_folder, path)
    async with _opened(url, to_read=False) as journal:
        await (journal.prepare() if makes else journal.verify_schema())
        yield journal


@asynccontextmanager
async def read_journal(url: str) -> AsyncIterator[Journal]:
    """Open the journal for who only reads it, whichever released worker has made it, and without the right to write it.

    Where there is none yet it is empty, and a note says so. Calls that are noted are written where that is allowed.
    Raises JournalError.
    """
    async with AsyncExitStack() as opened:
        try:
            journal = await opened.enter_async_context(_opened(url, to_read=True))
            await (journal.prepare() if url == MEMORY else journal.verify_schema())
        except JournalMissing as missing:
            journal = await opened.enter_async_context(_opened(MEMORY, to_read=True))
            await journal.prepare()
            journal.notes, journal.exists = (str(missing),), False
        yield journal


@asynccontextmanager
async def _opened(url: str, *, to_read: bool) -> AsyncIterator[Journal]:
    thread = Thread()
    try:
        journal = Journal(await in_time(thread.do(lambda: open_database(url, to_read=to_read))), thread)
        try:
            journal.notes = await in_time(thread.do(lambda: warning_of(url)))
            yield journal
        finally:
            await journal.close()
    finally:
        thread.end()


async def in_time(opening: Awaitable[T]) -> T:
    """Await a step of opening a journal; raise JournalUnreachable where its disk does not answer."""
    try:
        return await opening
    except TimeoutError as error:
        raise JournalUnreachable("the journal's disk does not answer in time; try again") from error
