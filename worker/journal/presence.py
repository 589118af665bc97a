"""Who is at work on a journal now: those whose lock is held, whatever a crash has left written down."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, select

from worker.journal import advisory_lock, file_lock
from worker.journal.holder import Holder, read_introduction
from worker.journal.rows import read
from worker.journal.schema import leases
from worker.journal.sqlite_file import path_of
from worker.journal.store import Journal


async def at_work(url: str, journal: Journal) -> tuple[Holder, ...]:
    """Return who holds the journal or parts of it now, as they have written it down; one who did not is left out.

    Raises JournalError.
    """
    path = path_of(url)
    written = await (journal.read(_leases) if path is None else asyncio.to_thread(file_lock.holders, path))
    return tuple(holder for each in written if (holder := read_introduction(each)) is not None)


def _leases(connection: Connection) -> tuple[str, ...]:
    rows = connection.execute(select(leases).where(leases.c.is_open)).mappings()
    found = read(rows, leases, lambda cells: (cells.shard(), cells.text("holder")))
    return tuple(holder for shard, holder in found.values if advisory_lock.is_held(connection, shard))
