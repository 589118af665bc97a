"""The largest batches that the cloud was found to take, by account and region; the next process begins with them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from worker.core.batch_size import BatchSize, SizeKey
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import batch_sizes, has_readings
from worker.journal.writer import Writer


class BatchSizeLog:
    """What was learned of batch sizes, durable: `learn` has returned only when it would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def known(self) -> Found[tuple[SizeKey, BatchSize]]:
        """Return what is known, as far as it can be read; raise JournalError."""
        return await self._writer.read(_known)

    async def learn(self, key: SizeKey, size: BatchSize) -> None:
        """Keep what is known of an account in a region from now on; raise JournalError."""

        def write(connection: Connection) -> None:
            is_it = (batch_sizes.c.account == key.account) & (batch_sizes.c.region == key.region)
            connection.execute(delete(batch_sizes).where(is_it))
            connection.execute(
                insert(batch_sizes).values(
                    account=key.account,
                    region=key.region,
                    taken=size.taken,
                    refused=size.refused,
                    learned_at=size.learned_at,
                )
            )

        await self._writer.write(write)


def _known(connection: Connection) -> Found[tuple[SizeKey, BatchSize]]:
    if not has_readings(connection):
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


def by_key(found: Found[tuple[SizeKey, BatchSize]]) -> Mapping[SizeKey, BatchSize]:
    """Return what is known by account and region."""
    return dict(found.values)
