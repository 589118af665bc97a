"""Releases: a share is freed from quarantine, and from what may be in flight for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, update

from worker.core.instruction import Verb
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.journal import advisory_lock, memory
from worker.journal.instructions import wake
from worker.journal.schema import Life, batches, quarantine

_TURN = 4_947_535
"""The turn to release: of two who do so at once, the later one finds free what the earlier has freed."""


def release(connection: Connection, share: Share, by: str, at: float) -> tuple[str, ...]:
    """Free a share: out of quarantine, and out of every batch in flight, which may well be alive still.

    Return what it was freed from, in words.
    """
    advisory_lock.take_turn(connection, _TURN)
    freed = []
    is_it = (quarantine.c.project_id == share.project_id) & (quarantine.c.image_id == share.image_id)
    if connection.execute(delete(quarantine).where(is_it)).rowcount:
        freed.append("quarantine")
    for flight in memory.in_flight(connection, batches.c.project_id == share.project_id).needed():
        if share.image_id not in flight.batch.images:
            continue
        images = [image for image in flight.batch.images if image != share.image_id]
        left: dict[str, Any] = {"images": images}
        if not images:
            left |= {"state": Life.ABANDONED.value, "reason": f"released by {by}", "ended_at": at}
        connection.execute(update(batches).where(batches.c.key == flight.key).values(left))
        freed.append(f"job {flight.job_id}" if flight.job_id else "a PUT whose answer is not known")
    if freed:
        wake(connection, Verb.RELEASE, by, at)
    return tuple(freed)


def release_quarantined(
    connection: Connection, is_meant: Callable[[Quarantined], bool], by: str, at: float
) -> tuple[Share, ...]:
    """Free the quarantined shares that are meant, and nothing that is in flight; return them in their order."""
    advisory_lock.take_turn(connection, _TURN)
    shares = tuple(held.share for held in memory.quarantined(connection).needed() if is_meant(held))
    for project_id, image_id in shares:
        is_it = (quarantine.c.project_id == project_id) & (quarantine.c.image_id == image_id)
        connection.execute(delete(quarantine).where(is_it))
    if shares:
        wake(connection, Verb.RELEASE, by, at)
    return shares
