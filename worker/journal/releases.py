"""Releases: a share is freed from quarantine, and from what may be in flight for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, update

from worker.core.instruction import InstructionKind
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.journal import advisory_lock, quarantine
from worker.journal.batches import in_flight
from worker.journal.instructions import wake
from worker.journal.schema import Life, batches
from worker.journal.writer import Writer

_LOCK = 4_947_535
"""The lock to release under: of two who do so at once, the later one finds free what the earlier has freed."""


class ReleaseLog:
    """What people free. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def free(self, share: Share, by: str, at: float) -> tuple[str, ...]:
        """Free a share: out of quarantine, and out of every batch in flight, which may well be alive still.

        Return what it was freed from, in words.
        """

        def write(connection: Connection) -> tuple[str, ...]:
            advisory_lock.lock(connection, _LOCK)
            freed = (
                *(("quarantine",) if quarantine.free(connection, [share]) else ()),
                *_free_from_batches(connection, share, by, at),
            )
            if freed:
                wake(connection, self._writer.version, InstructionKind.RELEASE, by, at)
            return freed

        return await self._writer.write(write)

    async def free_quarantined(self, is_meant: Callable[[Quarantined], bool], by: str, at: float) -> tuple[Share, ...]:
        """Free the quarantined shares that are meant, and nothing that is in flight; return them in their order."""

        def write(connection: Connection) -> tuple[Share, ...]:
            advisory_lock.lock(connection, _LOCK)
            held = quarantine.held(connection, self._writer.version).needed()
            shares = tuple(each.share for each in held if is_meant(each))
            quarantine.free(connection, shares)
            if shares:
                wake(connection, self._writer.version, InstructionKind.RELEASE, by, at)
            return shares

        return await self._writer.write(write)


def _free_from_batches(connection: Connection, share: Share, by: str, at: float) -> tuple[str, ...]:
    freed = []
    for sent in in_flight(connection, batches.c.project_id == share.project_id).needed():
        if share.image_id not in sent.batch.images:
            continue
        images = [image for image in sent.batch.images if image != share.image_id]
        left: dict[str, Any] = {"images": images}
        if not images:
            left |= {"state": Life.ABANDONED.value, "reason": f"released by {by}", "ended_at": at}
        connection.execute(update(batches).where(batches.c.key == sent.key).values(left))
        freed.append(f"job {sent.job_id}" if sent.job_id else "a PUT whose answer is not known")
    return tuple(freed)
