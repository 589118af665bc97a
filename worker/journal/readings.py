"""What each project was when it could last be read, in short: a row for it, and one for each share that was amiss.

And one for each pending share that a rule waits for, which tells since when; it stays until the share is not pending.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select

from worker.core.operation import Operation
from worker.core.reading import LastReading
from worker.core.share import MemberStatus, Share
from worker.core.source import source_of
from worker.core.status import ShareStatus, Status
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import WITH_PENDING, WITH_READINGS, readings, readings_amiss, readings_pending
from worker.journal.writer import Writer


class ReadingLog:
    """The last good readings of a journal."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def last(self) -> Mapping[str, LastReading]:
        """Return, by project id, what each project was when it could last be read, as far as that can be told.

        Raises JournalError.
        """
        return dict((await self._writer.read(lambda connection: last(connection, self._writer.version))).values)


def last(connection: Connection, version: int) -> Found[tuple[str, LastReading]]:
    """Return the last good reading of each project, by its id; of a journal that is too old for them, none."""
    if version < WITH_READINGS:
        return Found(())
    found = read(connection.execute(select(readings)).mappings(), readings, _reading)
    amiss = read(
        connection.execute(select(readings_amiss).order_by(*readings_amiss.primary_key)).mappings(),
        readings_amiss,
        _status,
    )
    of_project: dict[str, list[ShareStatus]] = {}
    for status in amiss.values:
        of_project.setdefault(status.share.project_id, []).append(status)
    pending = _pending(connection) if version >= WITH_PENDING else Found(())
    since: dict[str, dict[str, float]] = {}
    for (project_id, image_id), at in pending.values:
        since.setdefault(project_id, {})[image_id] = at
    values = tuple(
        (project_id, LastReading(at, desired, tuple(of_project.get(project_id, ())), since.get(project_id, {})))
        for project_id, at, desired in found.values
    )
    return Found(values, (*found.odd, *amiss.odd, *pending.odd))


def keep(connection: Connection, found: Mapping[str, LastReading]) -> None:
    """Keep these readings in the place of the earlier ones of their projects."""
    if not found:
        return
    _forget(connection, found)
    connection.execute(
        insert(readings),
        [{"project_id": project_id, "at": each.at, "desired": each.desired} for project_id, each in found.items()],
    )
    rows = [_row(status) for each in found.values() for status in each.statuses]
    if rows:
        connection.execute(insert(readings_amiss), rows)
    _keep_pending(connection, found)


def _keep_pending(connection: Connection, found: Mapping[str, LastReading]) -> None:
    """Keep since when shares are pending: what has not changed since the last reading is not written again."""
    known = {share: since for share, since in _pending(connection).values if share.project_id in found}
    now = {
        Share(project_id, image_id): since
        for project_id, each in found.items()
        for image_id, since in each.pending_since.items()
    }
    fresh = [share for share, since in now.items() if known.get(share) != since]
    # A row that cannot be read gives way too.
    old = [*(known.keys() - now.keys()), *fresh]
    if old:
        of_share = (
            readings_pending.c.project_id == bindparam("of_project"),
            readings_pending.c.image_id == bindparam("of_image"),
        )
        keys = [{"of_project": share.project_id, "of_image": share.image_id} for share in old]
        connection.execute(delete(readings_pending).where(*of_share), keys)
    if fresh:
        rows = [{"project_id": share.project_id, "image_id": share.image_id, "since": now[share]} for share in fresh]
        connection.execute(insert(readings_pending), rows)


def _pending(connection: Connection) -> Found[tuple[Share, float]]:
    rows = connection.execute(select(readings_pending)).mappings()
    return read(rows, readings_pending, _since)


def forget(connection: Connection, before: float, projects: Collection[str]) -> None:
    """Forget the readings older than `before` (seconds since the epoch) of projects that are not among these."""
    old = connection.execute(select(readings.c.project_id).where(readings.c.at < before)).scalars()
    gone = [project_id for project_id in old if project_id not in projects]
    if gone:
        _forget(connection, gone)
        keys = [{"of_project": project_id} for project_id in gone]
        connection.execute(
            delete(readings_pending).where(readings_pending.c.project_id == bindparam("of_project")), keys
        )


def _forget(connection: Connection, projects: Collection[str]) -> None:
    keys = [{"of_project": project_id} for project_id in projects]
    for table in (readings, readings_amiss):
        connection.execute(delete(table).where(table.c.project_id == bindparam("of_project")), keys)


def _reading(cells: Cells) -> tuple[str, float, int]:
    return cells.text("project_id"), cells.stamp("at"), cells.count("desired")


def _since(cells: Cells) -> tuple[Share, float]:
    return Share(cells.text("project_id"), cells.text("image_id")), cells.stamp("since")


def _status(cells: Cells) -> ShareStatus:
    def member(column: str) -> MemberStatus:
        return cells.word(column, MemberStatus)

    read_as = cells.optional(member, "observed")
    return ShareStatus(
        share=Share(cells.text("project_id"), cells.text("image_id")),
        status=cells.word("status", Status),
        desired=cells.word("operation", Operation),
        before=read_as,
        after=read_as,
        reason=cells.text("reason"),
        source=source_of(cells.text("source")),
    )


def _row(status: ShareStatus) -> dict[str, object]:
    return {
        "project_id": status.share.project_id,
        "image_id": status.share.image_id,
        "status": status.status.value,
        "operation": status.desired.value,
        "observed": status.after.value if status.after else None,
        "reason": status.reason,
        "source": str(status.source or ""),
    }
