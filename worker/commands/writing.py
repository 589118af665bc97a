"""A journal that a command writes a row into, beside the worker that holds it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from worker.errors import JournalError
from worker.journal.database import MEMORY
from worker.journal.store import Journal, open_journal


def journal_to_write(url: str, *, makes: bool = False) -> AbstractAsyncContextManager[Journal]:
    """Open the journal for one short write beside the worker that holds it; none is made, unless that `makes` it.

    Raises JournalError, also for a journal in memory: nobody else would see what is written there.
    """
    if url == MEMORY:
        raise JournalError("a journal in memory is gone when the command ends, so there is nothing to write to")
    return open_journal(url, makes=makes)
