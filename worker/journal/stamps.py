"""Times of the journal against a wall clock that was set: who holds a part of it puts the times of that part right.

Only times are touched, and only those of rows that no worker beside this one writes: whose clock is wrong is not known.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, func, or_, select, true, update
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from worker.core.clock import TOLERANCE
from worker.core.fleet.shards import WHOLE, Shard, shard_of
from worker.journal.rows import YEAR_10000
from worker.journal.schema import batches, calls, is_in_flight, metadata, passes, quarantine, reservations
from worker.journal.writer import Writer

_LOOKED_AT = (batches.c.intent_at, batches.c.ended_at, calls.c.at, passes.c.finished_at)
"""Each has an index, and hardly a moment of work goes by without one of them."""
_CLAMPED = (
    batches.c.intent_at,
    batches.c.submitted_at,
    batches.c.ended_at,
    calls.c.at,
    passes.c.started_at,
    passes.c.finished_at,
    reservations.c.at,
)


class Stamps:
    """The times of a journal's shard. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer, shard: Shard) -> None:
        self._writer = writer
        self._shard = shard

    async def ahead(self, now: float) -> float:
        """Return by how many seconds the newest time lies ahead of the wall clock `now`: so far it was put back."""
        return await self._writer.read(lambda connection: ahead(connection, now))

    async def clamp(self, now: float) -> None:
        """Have what lies ahead of `now` be of now, so that it counts its own span from now."""

        def write(connection: Connection) -> None:
            for column in _CLAMPED:
                _set(connection, self._shard, column, now, _is_ahead(column, now))

        await self._writer.write(write)

    async def shift(self, by: float, until: float) -> None:
        """Move what counts and was written up to `until` by the seconds that the clock was put forward then.

        So it stays as old as it was: what was sent is not taken for dead, nor a day's rejections for those of another
        day.
        """
        await self._writer.write(lambda connection: _shift(connection, self._shard, by, until))


def ahead(connection: Connection, now: float) -> float:
    """Return by how many seconds the newest time lies ahead of `now`: so far, at least, the clock was put back."""
    newest = [select(func.max(column)).where(_is_ahead(column, now)).scalar_subquery() for column in _LOOKED_AT]
    found = connection.execute(select(*newest)).one()
    return max((at - now for at in found if at is not None), default=0.0)


def _shift(connection: Connection, shard: Shard, by: float, until: float) -> None:
    counts = or_(is_in_flight(), batches.c.rejects > 0)
    for column, where in (
        (batches.c.intent_at, counts),
        (batches.c.submitted_at, counts),
        (calls.c.at, true()),
        (reservations.c.at, true()),
        (quarantine.c.next_try, true()),
    ):
        written_before = column <= until if column is not quarantine.c.next_try else column < YEAR_10000
        # A time that cannot be read is not made one that can.
        _set(connection, shard, column, column + by, and_(column >= 0, written_before, where))


def _is_ahead(column: Column[float], now: float) -> ColumnElement[bool]:
    return and_(column > now + TOLERANCE, column < YEAR_10000)


def _set(
    connection: Connection,
    shard: Shard,
    column: Column[float],
    value: float | ColumnElement[float],
    where: ColumnElement[bool],
) -> None:
    own = and_(where, _own(connection, shard, column.table.c, where))
    connection.execute(update(metadata.tables[column.table.name]).where(own).values({column.name: value}))


def _own(
    connection: Connection,
    shard: Shard,
    columns: ReadOnlyColumnCollection[str, Column[Any]],
    where: ColumnElement[bool],
) -> ColumnElement[bool]:
    """Tell the rows of a shard: as they say, or by their project."""
    if shard == WHOLE:
        return true()
    if "shard_index" in columns:
        return and_(columns.shard_index == shard.index, columns.shard_count == shard.count)
    projects = connection.execute(select(columns.project_id).distinct().where(where)).scalars()
    return columns.project_id.in_([each for each in projects if _is_in(shard, each)])


def _is_in(shard: Shard, project_id: object) -> bool:
    return isinstance(project_id, str) and shard_of(project_id, shard.count) == shard.index
