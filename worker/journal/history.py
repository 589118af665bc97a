"""The passes that have ended: one row for each, and the last ones of the whole fleet."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import Shard
from worker.journal.rows import Cells, Found, as_text, read
from worker.journal.schema import as_known, passes, values_of_shard

_PASS = (passes.c.run_id, passes.c.started_at, passes.c.finished_at, passes.c.result, as_text(passes.c.counts))
_SHARD = (passes.c.shard_index, passes.c.shard_count)
_NEWEST_FIRST = (passes.c.finished_at.desc(), passes.c.run_id.desc())
"""Run ids begin with a time: what a clock that was put back left at one moment keeps its order."""


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
        "digest": report.digest if report.result is Result.REFUSED else None,
        **values_of_shard(shard),
    }
    connection.execute(insert(passes).values(row))


def last(connection: Connection, count: int) -> Found[PassRecord]:
    """Return the last passes, newest first."""
    found = select(*_PASS, *as_known(connection, *_SHARD)).order_by(*_NEWEST_FIRST).limit(count)
    return read(connection.execute(found).mappings(), passes, _record)


def of_fleet(connection: Connection) -> Found[PassRecord]:
    """Return the last pass of each shard, in their order; of the shards that the newest pass is one of."""
    index, count = as_known(connection, *_SHARD)
    newest = select(count).select_from(passes).order_by(*_NEWEST_FIRST).limit(1).scalar_subquery()
    place = func.row_number().over(partition_by=index, order_by=_NEWEST_FIRST).label("place")
    candidates = select(*_PASS, index, count, place).where(count == newest).subquery()
    *found, at_place = candidates.c
    last_of_each = select(*found).where(at_place == 1).order_by(found[-2])
    return read(connection.execute(last_of_each).mappings(), passes, _record)


def _record(cells: Cells) -> PassRecord:
    return PassRecord(
        cells.text("run_id"),
        cells.stamp("started_at"),
        cells.stamp("finished_at"),
        cells.text("result"),
        cells.counts("counts"),
        cells.shard(),
    )
