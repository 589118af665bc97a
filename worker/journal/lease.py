"""The lease: one writer per journal and shard, whatever database the journal is in.

A lock says who may write now, and goes with its process or connection. A number says who could have: it grows with
each lease, and every intent checks it, so that a holder who lost the lock without noticing sends nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from worker.core.fleet.shards import Shard
from worker.errors import JournalError, JournalLocked, JournalMissing, JournalUnreachable
from worker.journal import advisory_lock, file_lock, rejections, sqlite_file
from worker.journal.database import is_postgresql, open_database, warning_of
from worker.journal.holder import described, introduction
from worker.journal.migrations import upgrade
from worker.journal.rows import read
from worker.journal.schema import VERSION, leases
from worker.journal.store import Journal, in_time
from worker.journal.thread import Thread, never

_SHOWN_EVERY = 5.0
"""Seconds between two signs of life that a holder gives the server: well within what it allows to be silent."""


class HeldJournal(Journal):
    """A journal whose lease this process holds, for `shard`. `unclean`: the last holder did not give it back."""

    unclean = False
    file: Path | None = None
    identity: tuple[int, int] | None = None

    async def acquire(self, verb: str, *, on_server: bool) -> None:
        """Take the lease and bring the tables up to date, or raise JournalLocked with who holds it."""
        shard = self.shard

        def write(connection: Connection) -> tuple[Callable[[Connection], None], bool]:
            if on_server and not advisory_lock.take(connection, shard):
                raise JournalLocked(f"another worker holds the journal {self._where}: {_holders(connection, shard)}")
            upgrade(connection)
            unclean = bool(connection.execute(select(leases.c.fence).where(_rivals(shard), leases.c.is_open)).all())
            fence = _take_over(connection, verb, shard)
            rejections.free(connection, shard)
            backend = advisory_lock.backend(connection) if on_server else None
            if on_server:
                advisory_lock.end_when_silent(connection)
            return lambda later: _verify_lease(later, shard, fence, backend), unclean

        self._fence.verify, self.unclean = await self._writer.write(write)
        self._writer.version = VERSION

    async def verify_lease(self) -> None:
        """Raise JournalError if the lease is lost, or the file: who opens it anew gets another one, and other locks."""

        def look(connection: Connection) -> None:
            if self.file is not None and _identity(self.file) != self.identity:
                raise JournalError(f"the journal {self._where} was removed or replaced while it was in use")
            self._fence.verify(connection)

        await self._writer.read(look)

    async def give_back(self) -> None:
        """Give the lease back in order: all calls that count are recorded."""

        def write(connection: Connection) -> None:
            connection.execute(update(leases).where(_own(self.shard)).values(is_open=False))

        await self._fence.write(write)


@asynccontextmanager
async def hold_journal(
    url: str, verb: str, shard: Shard, give_up_at: Callable[[], float] = never
) -> AsyncIterator[HeldJournal]:
    """Open the journal as its only writer for a shard, and make it where there is none.

    `give_up_at` tells until when (`time.monotonic`) there is time to wait for a journal that is locked, or silent. The
    lease is given back at the end, also after an error; it is not after a crash, and the next holder knows. Raises
    JournalLocked with who holds it, or JournalError.
    """
    thread, locks = Thread(give_up_at), ExitStack()

    def lock() -> Path | None:
        path = sqlite_file.path_of(url)
        if path is not None:
            with suppress(JournalMissing):
                sqlite_file.find(path)
            locks.enter_context(file_lock.hold(path, verb, shard))
            sqlite_file.make(path)
        return path

    async with AsyncExitStack() as held:
        held.callback(thread.end)
        # What is locked only when nobody waits for it any more is let go of all the same, by the same thread.
        held.push_async_callback(_last, thread, locks.close)
        path = await in_time(thread.do(lock))
        journal = HeldJournal(await in_time(thread.do(lambda: open_database(url))), thread, shard)
        held.push_async_callback(journal.close)
        journal.notes = await in_time(thread.do(lambda: warning_of(url)))
        await journal.prepare()
        await journal.acquire(verb, on_server=is_postgresql(url))
        if path is not None:
            named = Path(url.removeprefix(sqlite_file.PREFIX))
            journal.file, journal.identity = named, await in_time(thread.do(lambda: _identity(named)))
        if is_postgresql(url):
            await held.enter_async_context(_giving_signs_of_life(journal))
        try:
            yield journal
        finally:
            # If it is lost, or cannot be written, the next holder takes it for an unclean end, as it should.
            with suppress(JournalError):
                await journal.give_back()


async def _last(thread: Thread, work: Callable[[], None]) -> None:
    with suppress(TimeoutError):
        await thread.do(work)


@asynccontextmanager
async def _giving_signs_of_life(journal: Journal) -> AsyncIterator[None]:
    """Ask the server something now and then: it takes the lease from a holder who stands still."""

    async def ask() -> None:
        while True:
            await asyncio.sleep(_SHOWN_EVERY)
            # Who wants to write finds out, and says, that the journal cannot be had.
            with suppress(JournalError):
                await journal.answers()

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _verify_lease(connection: Connection, shard: Shard, fence: int, backend: int | None) -> None:
    if backend is not None and advisory_lock.backend(connection) != backend:
        raise JournalUnreachable("the connection to the journal was lost, and the lease with it")
    found = connection.execute(
        select(leases.c.fence).where(_own(shard)).with_for_update(read=True)
    ).scalar_one_or_none()
    if found != fence:
        raise JournalLocked("another worker has taken the journal over")


def _take_over(connection: Connection, verb: str, shard: Shard) -> int:
    """Let the numbers of all rivals grow, so that none of them can send any more; return the own one."""
    connection.execute(update(leases).where(_rivals(shard)).values(fence=leases.c.fence + 1, is_open=False))
    holder = introduction(verb, shard)
    taken = connection.execute(update(leases).where(_own(shard)).values(holder=holder, is_open=True))
    if not taken.rowcount:
        own = {"shard_index": shard.index, "shard_count": shard.count}
        connection.execute(insert(leases).values(fence=1, holder=holder, is_open=True, **own))
    own_row = connection.execute(select(*leases.primary_key, leases.c.fence).where(_own(shard))).mappings()
    return read(own_row, leases, lambda cells: cells.count("fence", 1)).needed()[0]


def _holders(connection: Connection, shard: Shard) -> str:
    rows = connection.execute(select(leases.c.holder).where(_rivals(shard), leases.c.is_open)).scalars().all()
    return " and ".join(described(row) for row in rows) or described("")


def _own(shard: Shard) -> ColumnElement[bool]:
    return and_(leases.c.shard_index == shard.index, leases.c.shard_count == shard.count)


def _rivals(shard: Shard) -> ColumnElement[bool]:
    """Those that must not write beside this shard, itself included: of its index, or of another count."""
    return or_(leases.c.shard_count != shard.count, leases.c.shard_index == shard.index)
