"""Who would obey a row that a command writes into the journal, and when."""

from __future__ import annotations

import time
from typing import Any

from worker.core.instruction import Presence
from worker.errors import JournalError
from worker.journal.presence import at_work
from worker.journal.schema import has_instructions
from worker.journal.store import Journal
from worker.render.status import pause_json


async def presence_at(url: str, journal: Journal) -> Presence:
    """Return who is at work on a journal and what stands there; raise JournalError."""
    holders = await at_work(url, journal)
    return Presence(
        tuple(str(each) for each in holders if each.is_daemon),
        tuple(str(each) for each in holders if not each.is_daemon),
        (await journal.instructions.standing(time.time())).pause,
        await journal.read(has_instructions),
    )


async def presence_after(url: str, journal: Journal) -> Presence:
    """Return the same after something was written; what cannot be told of them is nobody, for the row is there."""
    try:
        return await presence_at(url, journal)
    except JournalError:
        return Presence()


def presence_json(presence: Presence) -> dict[str, Any]:
    """Return who is at work, and whether a pause holds, as JSON."""
    return {
        "daemons": list(presence.daemons),
        "others": list(presence.others),
        "paused": pause_json(presence.pause),
    }
