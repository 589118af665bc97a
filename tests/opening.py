"""Journals for tests that need one to be there, and no lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.core.fleet.shards import WHOLE
from worker.errors import JournalMissing
from worker.journal import store
from worker.journal.database import MEMORY
from worker.journal.lease import hold_journal
from worker.journal.store import Journal


@asynccontextmanager
async def open_journal(url: str) -> AsyncIterator[Journal]:
    """Open a journal as who writes a row does; where there is none it is made first, as by a pass."""
    if url == MEMORY:
        async with store.read_journal(url) as journal:
            yield journal
        return
    try:
        async with store.open_journal(url):
            pass
    except JournalMissing:
        async with hold_journal(url, "run", WHOLE):
            pass
    async with store.open_journal(url) as journal:
        yield journal
