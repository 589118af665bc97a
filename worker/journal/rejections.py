"""Count the accepted images that were, or are about to be, rejected; passes of several shards keep one allowance.

A pass reserves its rejections before it sends the first, so that passes which begin at the same moment see each
other's. A reservation counts as far as its pass has not sent it, until that pass is recorded; one that a crash has left
behind counts for the other shards, for a day at most, until the next pass of its shard that rejects something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    insert,
    literal,
    or_,
    select,
    union_all,
)

from worker.core.fleet.guard import Judge
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.shards import WHOLE, Shard
from worker.journal import advisory_lock
from worker.journal.fence import Fence
from worker.journal.rows import Cells, is_missing, read
from worker.journal.schema import Life, batches, reservations, values_of_shard
from worker.journal.writer import Writer

_LOCK = 4_947_532
"""The lock to reserve under: each must see what the one before has reserved."""
_COUNTS = and_(
    or_(batches.c.rejects != 0, batches.c.rejects.is_(None)), batches.c.state.is_distinct_from(Life.REFUSED.value)
)


@dataclass(frozen=True, slots=True)
class _Rejects:
    """How many accepted images one batch rejects, or one reservation is for."""

    project_id: str
    run_id: str
    at: float
    count: int


class RejectionLog:
    """What was sent to be rejected, and what is reserved for that. Methods raise JournalError.

    Cancelled, a reservation may or may not have been made.
    """

    def __init__(self, writer: Writer, fence: Fence, shard: Shard) -> None:
        self._writer = writer
        self._fence = fence
        self._shard = shard

    async def since(self, moment: float) -> Mapping[str, int]:
        """Return, by project id, how many accepted images were sent to be rejected since then.

        What passes of other shards have reserved, and not yet sent, counts too.
        """
        return await self._writer.read(lambda connection: _since(connection, self._shard, moment))

    async def reserve(
        self, planned: Mapping[str, int], run_id: str, at: float, since: float, judge: Judge
    ) -> tuple[Refusal, ...]:
        """Reserve what a pass would reject, by project id, unless `judge` refuses it; return why it does.

        It counts for the passes of other shards until this pass is recorded, or the next one of this shard reserves.
        """

        def write(connection: Connection) -> tuple[Refusal, ...]:
            advisory_lock.lock(connection, _LOCK)
            free(connection, self._shard)
            refusals = judge(_since(connection, self._shard, since))
            if not refusals:
                _reserve(connection, self._shard, planned, run_id, at)
            return refusals

        return await self._fence.write(write)


def free(connection: Connection, shard: Shard) -> None:
    """Forget the reservations of all passes that cannot be at work any more while this shard's lease is held."""
    index, count = reservations.c.shard_index, reservations.c.shard_count
    own = and_(count == shard.count, index == shard.index)
    # All but those beside, each by the index: a negation would read the whole table.
    connection.execute(delete(reservations).where(or_(count < shard.count, count > shard.count, own)))


def free_of_pass(connection: Connection, run_id: str) -> None:
    """Forget what a pass has reserved: it has ended."""
    connection.execute(delete(reservations).where(reservations.c.run_id == run_id))


def forget(connection: Connection, before: float) -> None:
    """Forget what was reserved before then (seconds since the epoch): no guard counts it any more."""
    connection.execute(delete(reservations).where(reservations.c.at < before))


def _since(connection: Connection, shard: Shard, moment: float) -> Mapping[str, int]:
    """Return, by project id, what was sent to be rejected since then, and what other shards are about to send.

    Raises OddRowsError where that cannot be told.
    """
    sent = _columns(batches, batches.c.intent_at).where(
        or_(batches.c.intent_at >= moment, is_missing(batches.c.intent_at)), _COUNTS
    )
    to_be_sent = _columns(reservations, reservations.c.at).where(reservations.c.at >= moment, _is_beside(shard))
    # Nobody sends beside a worker of the whole fleet, and who only looks may meet a journal without reservations. Else
    # it is one query, because between two of them what is reserved could become sent, and be in neither.
    query = sent if shard == WHOLE else union_all(sent, to_be_sent)
    rows = connection.execute(query).mappings().all()
    of_batches = read((row for row in rows if row["table"] == batches.name), batches, _rejects).needed()
    reserved = read((row for row in rows if row["table"] != batches.name), reservations, _rejects).needed()
    counts: Counter[str] = Counter()
    for batch in of_batches:
        counts[batch.project_id] += batch.count
    for each in reserved:
        counts[each.project_id] += max(0, each.count - sum(batch.count for batch in of_batches if _is_of(batch, each)))
    return counts


def _columns(table: Table, at: ColumnElement[float]) -> Select[Any]:
    """Select the same of batches and reservations; a reservation has no key of its own, and a batch has."""
    key = table.c.key if table is batches else literal(0)
    return select(
        literal(table.name).label("table"),
        key.label("key"),
        table.c.project_id,
        table.c.run_id,
        at.label("at"),
        table.c.rejects,
    )


def _rejects(cells: Cells) -> _Rejects:
    return _Rejects(cells.text("project_id"), cells.text("run_id"), cells.stamp("at"), cells.count("rejects"))


def _is_of(batch: _Rejects, reserved: _Rejects) -> bool:
    of_pass = (batch.run_id, batch.project_id) == (reserved.run_id, reserved.project_id)
    return of_pass and batch.at >= reserved.at


def _reserve(connection: Connection, shard: Shard, planned: Mapping[str, int], run_id: str, at: float) -> None:
    """Reserve for a pass what it would reject, by project id."""
    rows = [
        {"run_id": run_id, "project_id": project_id, "rejects": count, "at": at} | values_of_shard(shard)
        for project_id, count in planned.items()
    ]
    if rows:
        connection.execute(insert(reservations), rows)


def _is_beside(shard: Shard) -> ColumnElement[bool]:
    """Those that may be at work beside this shard: of the same count, and another index."""
    return and_(reservations.c.shard_count == shard.count, reservations.c.shard_index != shard.index)
