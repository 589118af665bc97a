"""The lease: one writer per journal and shard, whatever database the journal is in.

A lock says who may write now, and goes with its process or connection. A number says who could have: it grows with
each lease, and every intent checks it, so that a holder who lost the lock without noticing sends nothing more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from worker.core.target import Shard
from worker.errors import JournalError, JournalLocked
from worker.journal import advisory_lock, file_lock, rejections
from worker.journal.database import is_postgresql, open_database, path_of
from worker.journal.holder import described, introduction
from worker.journal.rows import read
from worker.journal.schema import leases, upgrade
from worker.journal.store import Journal


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
            return lambda later: _see_that_it_is_held(later, shard, fence, backend), unclean

        self._still_held, self.unclean = await self._writer.write(write)

    async def see_that_it_is_held(self) -> None:
        """Raise JournalError if the lease is lost, or the file: who opens it anew gets another one, and other locks."""
        if self.file is not None and _identity(self.file) != self.identity:
            raise JournalError(f"the journal {self._where} was removed or replaced while it was in use")
        await self._writer.read(self._still_held)

    async def give_back(self) -> None:
        """Give the lease back in order: all calls that count are recorded."""

        def write(connection: Connection) -> None:
            self._still_held(connection)
            connection.execute(update(leases).where(_own(self.shard)).values(is_open=False))

        await self._writer.write(write)


@asynccontextmanager
async def hold_journal(url: str, verb: str, shard: Shard) -> AsyncIterator[HeldJournal]:
    """Open the journal as its only writer for a shard; raise JournalLocked with who holds it, or JournalError.

    The lease is given back at the end, also after an error; it is not after a crash, and the next holder knows.
    """
    async with AsyncExitStack() as held:
        path = path_of(url)
        if path is not None:
            held.enter_context(file_lock.hold(path, verb, shard))
        journal = HeldJournal(open_database(url), shard)
        held.push_async_callback(journal.close)
        await journal.prepare()
        await journal.acquire(verb, on_server=is_postgresql(url))
        if path is not None:
            journal.file, journal.identity = path, _identity(path)
        try:
            yield journal
        finally:
            # If it is lost, or cannot be written, the next holder takes it for an unclean end, as it should.
            with suppress(JournalError):
                await journal.give_back()


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _see_that_it_is_held(connection: Connection, shard: Shard, fence: int, backend: int | None) -> None:
    if backend is not None and advisory_lock.backend(connection) != backend:
        raise JournalError("the connection to the journal was lost, and the lease with it")
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
