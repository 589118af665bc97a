"""Count the accepted images that were, or are about to be, rejected; passes of several shards keep one allowance.

A pass reserves its rejections before it sends the first, so that passes which begin at the same moment see each
other's. A reservation counts as far as its pass has not sent it, until that pass is recorded; one that a crash has left
behind counts for the other shards, for a day at most, until the next pass of its shard that rejects something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, not_, select, union_all

from worker.core.target import WHOLE, Shard
from worker.journal.schema import Life, batches, reservations, values_of_shard

TURN = 4_947_532
"""The turn to reserve: each must see what the one before has reserved."""
_COUNTS = and_(batches.c.rejects > 0, batches.c.state != Life.REFUSED.value)


def since(connection: Connection, shard: Shard, moment: float) -> Mapping[str, int]:
    """Return, by project id, what was sent to be rejected since then, and what other shards are about to send."""
    sent = (
        select(batches.c.project_id, func.sum(batches.c.rejects))
        .where(batches.c.intent_at >= moment, _COUNTS)
        .group_by(batches.c.project_id)
    )
    of_pass = (
        select(func.coalesce(func.sum(batches.c.rejects), 0))
        .where(
            batches.c.intent_at >= reservations.c.at,
            batches.c.run_id == reservations.c.run_id,
            batches.c.project_id == reservations.c.project_id,
            _COUNTS,
        )
        .scalar_subquery()
    )
    to_be_sent = select(reservations.c.project_id, reservations.c.rejects - of_pass).where(
        reservations.c.at >= moment, _is_beside(shard)
    )
    # Nobody sends beside a worker of the whole fleet, and who only looks may meet a journal without reservations. Else
    # it is one query, because between two of them what is reserved could become sent, and be in neither.
    query = sent if shard == WHOLE else union_all(sent, to_be_sent)
    found: Counter[str] = Counter()
    for project_id, count in connection.execute(query).all():
        if count > 0:
            found[project_id] += int(count)
    return found


def reserve(connection: Connection, shard: Shard, planned: Mapping[str, int], run_id: str, at: float) -> None:
    """Reserve for a pass what it would reject, by project id."""
    rows = [
        {"run_id": run_id, "project_id": project_id, "rejects": count, "at": at} | values_of_shard(shard)
        for project_id, count in planned.items()
    ]
    if rows:
        connection.execute(insert(reservations), rows)


def free(connection: Connection, shard: Shard) -> None:
    """Forget the reservations of all passes that cannot be at work any more while this shard's lease is held."""
    connection.execute(delete(reservations).where(not_(_is_beside(shard))))


def _is_beside(shard: Shard) -> ColumnElement[bool]:
    """Those that may be at work beside this shard: of the same count, and another index."""
    return and_(reservations.c.shard_count == shard.count, reservations.c.shard_index != shard.index)
