"""The passes that have ended: one row for each, and the last ones of the whole fleet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from worker.core.report import PassRecord, RunReport
from worker.core.target import Shard
from worker.journal.schema import as_known, passes, values_of_shard

_PASS = (passes.c.run_id, passes.c.started_at, passes.c.finished_at, passes.c.result, passes.c.counts)
_SHARD = (passes.c.shard_index, passes.c.shard_count)
_NEWEST_FIRST = (passes.c.finished_at.desc(), passes.c.run_id)


def add(connection: Connection, shard: Shard, report: RunReport) -> None:
    """Record a pass of a shard."""
    row = {
        "run_id": report.run_id,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "result": report.result.value,
        "counts": {
            "desired": report.desired,
            "converged": report.converged,
            **{kind.value: count for kind, count in report.counts().items()},
        },
        **values_of_shard(shard),
    }
    connection.execute(insert(passes).values(row))


def last(connection: Connection, count: int) -> tuple[PassRecord, ...]:
    """Return the last passes, newest first."""
    found = select(*_PASS, *as_known(connection, *_SHARD)).order_by(*_NEWEST_FIRST).limit(count)
    return _records(connection.execute(found))


def of_fleet(connection: Connection) -> tuple[PassRecord, ...]:
    """Return the last pass of each shard, in their order; of the shards that the newest pass is one of."""
    index, count = as_known(connection, *_SHARD)
    newest = select(count).select_from(passes).order_by(*_NEWEST_FIRST).limit(1).scalar_subquery()
    place = func.row_number().over(partition_by=index, order_by=_NEWEST_FIRST).label("place")
    candidates = select(*_PASS, index, count, place).where(count == newest).subquery()
    *found, at_place = candidates.c
    return _records(connection.execute(select(*found).where(at_place == 1).order_by(found[-2])))


def _records(rows: Iterable[Row[Any]]) -> tuple[PassRecord, ...]:
    return tuple(
        PassRecord(
            row.run_id,
            row.started_at,
            row.finished_at,
            row.result,
            row.counts,
            Shard(row.shard_index, row.shard_count),
        )
        for row in rows
    )
