"""The shares that kept failing, and when each is tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select

from worker.core.operation import Operation
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.share import Share
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import quarantine
from worker.journal.version import as_known
from worker.journal.writer import Writer


class QuarantineLog:
    """The quarantine of a journal. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def held(self) -> Mapping[Share, Quarantined]:
        """Return the shares that kept failing."""
        rows = await self._writer.read(lambda connection: held(connection, self._writer.version).needed())
        return {each.share: each for each in rows}

    async def revise(self, project_id: str, decide: Callable[[Mapping[Share, Quarantined]], QuarantineUpdate]) -> None:
        """Change what is held of a project as `decide` makes of what is held now: no release in between is undone."""

        def write(connection: Connection) -> None:
            is_of_project = quarantine.c.project_id == project_id
            rows = held(connection, self._writer.version, is_of_project).needed()
            change(connection, decide({each.share: each for each in rows}))

        await self._writer.write(write)

    async def change(self, update: QuarantineUpdate) -> None:
        """Hold and free shares."""
        await self._writer.write(lambda connection: change(connection, update))


def held(connection: Connection, version: int, *where: ColumnElement[bool]) -> Found[Quarantined]:
    """Return the shares that kept failing, ordered by project and image."""
    query = select(*as_known(version, *quarantine.c)).where(*where)
    rows = connection.execute(query.order_by(quarantine.c.project_id, quarantine.c.image_id)).mappings()
    return read(rows, quarantine, _quarantined)


def change(connection: Connection, update: QuarantineUpdate) -> None:
    """Hold and free shares."""
    free(connection, (*update.freed, *(each.share for each in update.held)))
    if update.held:
        connection.execute(insert(quarantine), [_row(each) for each in update.held])


def free(connection: Connection, shares: Sequence[Share]) -> bool:
    """Free shares; tell whether any was held."""
    if not shares:
        return False
    is_it = (quarantine.c.project_id == bindparam("of_project")) & (quarantine.c.image_id == bindparam("of_image"))
    keys = [{"of_project": each.project_id, "of_image": each.image_id} for each in shares]
    return bool(connection.execute(delete(quarantine).where(is_it), keys).rowcount)


def _quarantined(cells: Cells) -> Quarantined:
    return Quarantined(
        share=Share(cells.text("project_id"), cells.text("image_id")),
        operation=cells.word("status", Operation),
        attempts=cells.count("attempts", 1),
        first_reason=cells.text("first_reason"),
        last_reason=cells.text("last_reason"),
        next_try=cells.stamp("next_try"),
        failed_batch_size=cells.count("together", 1),
    )


def _row(each: Quarantined) -> dict[str, Any]:
    return {
        "project_id": each.share.project_id,
        "image_id": each.share.image_id,
        "status": each.operation.value,
        "attempts": each.attempts,
        "first_reason": each.first_reason,
        "last_reason": each.last_reason,
        "next_try": each.next_try,
        "together": each.failed_batch_size,
    }
