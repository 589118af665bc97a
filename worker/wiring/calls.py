"""The calls that count against the limits: noted in the journal, and remembered from it by the next process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import ceil

from worker.cloud.ims import CloudConfig, Ims
from worker.core.calls import CallGroup, CallRecord
from worker.errors import JournalError
from worker.journal.store import Journal
from worker.wiring.site import Site

_FLUSH_EVERY = 1.0
_UNRECORDED = 2 * _FLUSH_EVERY


@asynccontextmanager
async def calls_recorded(journal: Journal) -> AsyncIterator[None]:
    """Have the calls that count written at least every second, so that a crash leaves few of them unrecorded."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY)
            with suppress(JournalError):
                await journal.flush_calls()

    flushing = asyncio.create_task(flush())
    try:
        yield
    finally:
        flushing.cancel()


def counted(journal: Journal, calls: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Have the journal note each call, besides who watches them; a PUT has its intent there already."""

    def note(record: CallRecord) -> None:
        if record.group is not CallGroup.MEMBERS_PUT:
            journal.note_call(record.account, record.group, time.time())
        calls(record)

    return note


async def remember_calls(site: Site, config: CloudConfig, journal: Journal, ims: Ims) -> None:
    """Count the calls that earlier processes made."""
    now = time.time()
    since = now - max(rate.window for rate in config.limits.values())
    for made in await journal.calls_since(since):
        ims.remember(made.account, made.group, [now - made.at] * made.count)
    projects, credentials = site.manifest.projects, site.settings.credentials
    for project_id, at in await journal.intents_since(since):
        if project_id in projects:
            account = credentials[projects[project_id].credential].account
            ims.remember(account, CallGroup.MEMBERS_PUT, [now - at])


def assume_unrecorded_calls(config: CloudConfig, ims: Ims) -> None:
    """Count what a crash may have left unrecorded as made now."""
    unrecorded = ceil(config.burst.count * _UNRECORDED / config.burst.window)
    for account in {keys.account for keys in config.credentials.values()}:
        for group, rate in config.limits.items():
            if group is not CallGroup.MEMBERS_PUT:
                ims.remember(account, group, [0.0] * min(rate.count, unrecorded))
