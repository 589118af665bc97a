"""The life of each batch: its intent, the job that it became, and how it ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from worker.core.batch import Batch, End, InFlight
from worker.core.operation import Operation
from worker.journal.fence import Fence
from worker.journal.rows import Cells, Found, as_text, read
from worker.journal.schema import ENDED, Life, batches, is_in_flight
from worker.journal.writer import Writer


class BatchLog:
    """The batches of a journal. Methods return once what they wrote would survive a crash; they raise JournalError.

    Cancelled, a write may or may not have been made; the next reader sees one or the other, whole.
    """

    def __init__(self, writer: Writer, fence: Fence) -> None:
        self._writer = writer
        self._fence = fence

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Record that a batch, which rejects `rejects` accepted images, is about to be sent; return its key."""
        row = {
            "run_id": run_id,
            "project_id": batch.project_id,
            "status": batch.operation.value,
            "vault_id": batch.vault_id,
            "images": list(batch.images),
            "image_count": len(batch.images),
            "rejects": rejects,
            "state": Life.INTENT.value,
            "intent_at": at,
        }

        def write(connection: Connection) -> int:
            key = connection.execute(insert(batches).values(row)).inserted_primary_key
            return int(key[0]) if key else 0

        return await self._fence.write(write)

    async def refuse(self, key: int, reason: str, at: float) -> None:
        """Record that the cloud did nothing about a batch."""
        await self._end(key, Life.REFUSED, None, reason, at)

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Record the job that a batch became."""
        await self._set(key, {"state": Life.JOB.value, "job_id": job_id, "submitted_at": at})

    async def settle(self, key: int, end: End, reason: str, at: float) -> None:
        """Record how a batch ended."""
        await self._end(key, Life.SETTLED, end, reason, at)

    async def abandon(self, key: int, reason: str, at: float) -> None:
        """Record that a batch is given up."""
        await self._end(key, Life.ABANDONED, None, reason, at)

    async def is_in_flight(self, key: int) -> bool:
        """Tell whether a batch was, or may have been, sent and is not settled."""
        query = select(batches.c.state).where(batches.c.key == key, is_in_flight())
        state = await self._writer.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return state is not None and state not in ENDED

    async def in_flight(self) -> tuple[InFlight, ...]:
        """Return the batches that were, or may have been, sent and are not settled; oldest first."""
        return await self._writer.read(lambda connection: in_flight(connection).needed())

    async def _end(self, key: int, life: Life, end: End | None, reason: str, at: float) -> None:
        values: dict[str, Any] = {
            "state": life.value,
            "outcome": end.value if end is not None else None,
            "reason": reason,
            "ended_at": at,
            # Which images they were matters while they are in flight; history is kept small.
            "images": [],
        }
        await self._set(key, values)

    async def _set(self, key: int, values: dict[str, Any]) -> None:
        change = update(batches).where(batches.c.key == key).values(values)
        await self._writer.write(lambda connection: connection.execute(change))


def in_flight(connection: Connection, *where: ColumnElement[bool]) -> Found[InFlight]:
    """Return the batches that were, or may have been, sent and are not settled; oldest first."""
    columns = [column for column in batches.c if column is not batches.c.images]
    query = select(*columns, as_text(batches.c.images)).where(is_in_flight(), *where)
    rows = connection.execute(query.order_by(batches.c.intent_at, batches.c.key)).mappings()
    return read((row for row in rows if row["state"] not in ENDED), batches, _in_flight)


def forget(connection: Connection, before: float) -> None:
    """Forget the batches that ended before then (seconds since the epoch)."""
    connection.execute(delete(batches).where(batches.c.ended_at < before))


def _in_flight(cells: Cells) -> InFlight:
    cells.word("state", Life)
    status, vault_id = cells.word("status", Operation), cells.optional(cells.text, "vault_id")
    return InFlight(
        key=cells.count("key"),
        batch=Batch(cells.text("project_id"), status, vault_id, cells.texts("images")),
        intent_at=cells.stamp("intent_at"),
        job_id=cells.optional(cells.text, "job_id"),
        submitted_at=cells.optional(cells.stamp, "submitted_at"),
        run_id=cells.text("run_id"),
    )
