"""The largest batches that the cloud was found to take, by account and region; the next process begins with them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, or_, select

from worker.core.batch_size import BatchSize, SizeKey
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import WITH_READINGS, batch_sizes
from worker.journal.upsert import put
from worker.journal.writer import Writer


class BatchSizeLog:
    """What was learned of batch sizes, durable: `learn` has returned only when it would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def known(self) -> Found[tuple[SizeKey, BatchSize]]:
        """Return what is known, as far as it can be read; raise JournalError."""
        return await self._writer.read(lambda connection: known(connection, self._writer.version))

    async def learn(self, key: SizeKey, size: BatchSize) -> None:
        """Keep what is known of an account in a region from now on; raise JournalError."""
        row = {
            "account": key.account,
            "region": key.region,
            "taken": size.taken,
            "refused": size.refused,
            "learned_at": size.learned_at,
        }
        await self._writer.write(lambda connection: put(connection, batch_sizes, [row]))


def forget(connection: Connection, before: float, accounts: Collection[str]) -> None:
    """Forget what was learned before then (seconds since the epoch) of accounts that are not among these."""
    is_old = or_(batch_sizes.c.learned_at < before, batch_sizes.c.learned_at.is_(None))
    connection.execute(delete(batch_sizes).where(batch_sizes.c.account.not_in(accounts), is_old))


def known(connection: Connection, version: int) -> Found[tuple[SizeKey, BatchSize]]:
    """Return what is known, as far as it can be read."""
    if version < WITH_READINGS:
        return Found(())
    return read(connection.execute(select(batch_sizes)).mappings(), batch_sizes, _size)


def _size(cells: Cells) -> tuple[SizeKey, BatchSize]:
    return (
        SizeKey(cells.text("account"), cells.text("region")),
        BatchSize(
            cells.count("taken"),
            cells.optional(lambda column: cells.count(column, 1), "refused"),
            cells.optional(cells.stamp, "learned_at"),
        ),
    )
