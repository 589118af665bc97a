"""The calls that count against the limits: noted in the journal, and remembered from it by the next process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import ceil

from worker.cloud.ims import CloudConfig, Ims
from worker.core.calls import CallGroup, CallRecord
from worker.core.clock import age_of
from worker.core.fleet.shards import Shard, shard_of
from worker.errors import JournalError
from worker.journal.store import Journal
from worker.wiring.site import Site

_FLUSH_EVERY = 1.0
_UNRECORDED = 2 * _FLUSH_EVERY


@asynccontextmanager
async def calls_recorded(journal: Journal) -> AsyncIterator[None]:
    """Have the calls that count written each second, so that a crash leaves few of them unrecorded, and at the end."""

    async def flush() -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY)
            with suppress(JournalError):
                await journal.calls.flush()

    flushing = asyncio.create_task(flush())
    try:
        yield
    finally:
        flushing.cancel()
        with suppress(JournalError):
            await journal.calls.flush()


def counted(journal: Journal, calls: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """Have the journal note each call, besides who watches them; a PUT has its intent there already."""

    def note(record: CallRecord) -> None:
        if record.group is not CallGroup.MEMBERS_PUT:
            journal.calls.note(record.account, record.group, time.time())
        calls(record)

    return note


async def remember_calls(site: Site, config: CloudConfig, journal: Journal, ims: Ims, of: Shard) -> None:
    """Count the calls that earlier processes made, as far as the shard does not leave them to others to count.

    A shard counts its own calls, and each PUT for a project that is its own now, whoever sent it.
    """
    now = time.time()
    since = now - max(rate.window for rate in config.limits.values())
    ages: dict[tuple[str, CallGroup], dict[int | None, list[float]]] = {}

    def add(account: str, group: CallGroup, shard: int | None, made: list[float]) -> None:
        ages.setdefault((account, group), {}).setdefault(shard, []).extend(made)

    for made in await journal.calls.since(since):
        shard = made.shard.index if made.shard.count == of.count else None
        # More than the limit lets through make no difference, however many a row tells of.
        count = min(made.count, config.limits.get(made.group, config.burst).count)
        add(made.account, made.group, shard, [age_of(made.at, now)] * count)
    accounts = {keys.account for keys in config.credentials.values()}
    for project_id, at in await journal.calls.puts_since(since):
        shard = shard_of(project_id, of.count)
        # Nobody knows the account of a project that has left the manifest.
        for account in {site.account_of(project_id)} if project_id in site.manifest.projects else accounts:
            add(account, CallGroup.MEMBERS_PUT, shard, [0.0 if at is None else age_of(at, now)])
    for (account, group), of_shards in ages.items():
        rate = config.limits.get(group, config.burst)
        ims.remember(account, group, config.split(account).counting(rate, of_shards))


def assume_unrecorded_calls(config: CloudConfig, ims: Ims) -> None:
    """Count what a crash may have left unrecorded as made now."""
    for account in {keys.account for keys in config.credentials.values()}:
        part = config.split(account).part
        burst = part(config.burst)
        unrecorded = ceil(burst.count * _UNRECORDED / burst.window)
        for group, rate in config.limits.items():
            if group is not CallGroup.MEMBERS_PUT:
                ims.remember(account, group, [0.0] * min(part(rate).count, unrecorded))
