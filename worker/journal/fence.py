"""What only the holder of a journal may write: in its own transaction it checks that the lease is still held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from worker.errors import JournalUnreachable
from worker.journal.advisory_lock import SILENT_FOR
from worker.journal.writer import Writer

T = TypeVar("T")


def _nobody_asks(_connection: Connection) -> None:
    """Stand where no lease is held: in memory, or for a command that writes one row."""


class Fence:
    """Lets writes through while the lease is held. `verify` runs in their transaction and raises once it is lost."""

    def __init__(self, writer: Writer) -> None:
        self.verify: Callable[[Connection], None] = _nobody_asks
        self._writer = writer

    async def write(self, write: Callable[[Connection], T]) -> T:
        """Make a write durable that only the holder may make; raise JournalError once the lease is lost.

        Raises JournalUnreachable where the process stood still meanwhile: another may hold the journal by now.
        """
        begun = time.monotonic()

        def verified(connection: Connection) -> T:
            self.verify(connection)
            return write(connection)

        written = await self._writer.write(verified)
        if time.monotonic() - begun > SILENT_FOR:
            where = self._writer.where
            raise JournalUnreachable(f"the journal {where} took so long that another worker may have taken it")
        return written
