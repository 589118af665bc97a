"""The passes that have ended: one row for each, and the last ones of the whole fleet."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, and_, delete, insert, select

from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import Shard
from worker.core.fleet.unread import told_unread
from worker.core.quarantine import QuarantineUpdate
from worker.core.reading import LastReading
from worker.journal import quarantine, readings, rejections
from worker.journal.rows import Cells, Found, as_text, read
from worker.journal.schema import WITH_SHARDS, passes, values_of_shard
from worker.journal.version import as_known
from worker.journal.writer import Writer

_PASS = (passes.c.run_id, passes.c.started_at, passes.c.finished_at, passes.c.result, as_text(passes.c.counts))
_SHARD = (passes.c.shard_index, passes.c.shard_count)
_UNREAD = as_text(passes.c.unread)
_LINES_KEPT = 10
_LINE_AT_MOST = 1_000
"""How much of what a pass could not read is kept: it has a line for each reason."""
_NEWEST_FIRST = (passes.c.finished_at.desc(), passes.c.run_id.desc())
"""Run ids begin with a time: what a clock that was put back left at one moment keeps its order."""


class PassLog:
    """The passes of a journal. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer, shard: Shard) -> None:
        self._writer = writer
        self._shard = shard

    async def last(self, count: int) -> Found[PassRecord]:
        """Return the last passes, newest first, as far as they can be read."""
        return await self._writer.read(lambda connection: last(connection, self._writer.version, count))

    async def record(self, report: RunReport, update: QuarantineUpdate, found: Mapping[str, LastReading]) -> None:
        """Record a pass that has ended, what it changes about the quarantine, and what was read, in one go.

        What it reserved is free again.
        """

        def write(connection: Connection) -> None:
            _add(connection, self._shard, report)
            rejections.free_of_pass(connection, report.run_id)
            quarantine.change(connection, update)
            readings.keep(connection, found)

        await self._writer.write(write)


def _add(connection: Connection, shard: Shard, report: RunReport) -> None:
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
        "unread": [line[:_LINE_AT_MOST] for line in told_unread(report.unread, report.projects)[:_LINES_KEPT]] or None,
        **values_of_shard(shard),
    }
    connection.execute(insert(passes).values(row))


def last(connection: Connection, version: int, count: int, shard: Shard | None = None) -> Found[PassRecord]:
    """Return the last passes, newest first: of the fleet and all its parts, or of one shard alone."""
    unread, of_index, of_count = as_known(version, _UNREAD, *_SHARD)
    found = select(*_PASS, unread, of_index, of_count).order_by(*_NEWEST_FIRST).limit(count)
    if shard is not None:
        found = found.where(of_count == shard.count, of_index == shard.index)
    return read(connection.execute(found).mappings(), passes, _record)


def forget(connection: Connection, before: float) -> None:
    """Forget the passes that ended before then (seconds since the epoch)."""
    connection.execute(delete(passes).where(passes.c.finished_at < before))


def of_fleet(connection: Connection, version: int) -> Found[PassRecord]:
    """Return the last pass of each shard, in their order; of the shards that the newest pass is one of."""
    if version < WITH_SHARDS:
        return last(connection, version, 1)
    newest = select(passes.c.shard_count).order_by(*_NEWEST_FIRST).limit(1).scalar_subquery()
    shards = select(passes.c.shard_index).where(passes.c.shard_count == newest).distinct().subquery()
    each = passes.alias()
    is_of_shard = and_(each.c.shard_count == newest, each.c.shard_index == shards.c.shard_index)
    last_of_shard = select(each.c.run_id).where(is_of_shard).order_by(each.c.finished_at.desc(), each.c.run_id.desc())
    last_of_each = select(last_of_shard.limit(1).correlate(shards).scalar_subquery()).select_from(shards)
    columns = (*_PASS, *as_known(version, _UNREAD), *_SHARD)
    found = select(*columns).where(passes.c.run_id.in_(last_of_each)).order_by(passes.c.shard_index)
    return read(connection.execute(found).mappings(), passes, _record)


def _record(cells: Cells) -> PassRecord:
    return PassRecord(
        cells.text("run_id"),
        cells.stamp("started_at"),
        cells.stamp("finished_at"),
        cells.text("result"),
        cells.counts("counts"),
        cells.shard(),
        cells.optional(cells.texts, "unread") or (),
    )
