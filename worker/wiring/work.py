"""A command at work: its journal and its cloud opened, its pass made."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from worker.cloud.ims import CloudConfig, Ims
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallGroup, CallRecord
from worker.core.events import BatchSizeLearned, BatchSizesRemembered, BugFound, ClockSet, Event, Incident, Listener
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.report import RunReport
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Project
from worker.core.quarantine import put_right
from worker.errors import JournalError
from worker.journal.batch_sizes import by_key
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.store import Journal, read_journal
from worker.journal.thread import never
from worker.reconcile.batch_sizes import BatchSizes
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.memory import with_journal_error
from worker.reconcile.ports import PassContext
from worker.reconcile.request import PassRequest
from worker.reconcile.run import Prepared, prepare, run_once
from worker.wiring.calls import assume_unrecorded_calls, calls_recorded, counted, remember_calls
from worker.wiring.forecasts import of_run
from worker.wiring.policies import shared_out
from worker.wiring.site import Site, journal_url
from worker.wiring.times import timings

RESERVE = 60.0


@asynccontextmanager
async def open_cloud(config: CloudConfig, calls: Callable[[CallRecord], None]) -> AsyncIterator[Ims]:
    """Open the connections to the cloud; `calls` is told of each call. Raises SettingsError for an unusable CA file."""
    async with Ims.open(replace(config, observer=calls)) as ims:
        yield ims


@asynccontextmanager
async def at_look(
    site: Site, config: CloudConfig, shard: Shard, calls: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[Journal, Ims]]:
    """Open journal and cloud for a command that changes neither; its calls count all the same, as those of a shard.

    Raises JournalError, and SettingsError for an unusable CA file, and for limits that the shards cannot divide.
    """
    config = shared_out(config, site, shard, "plan")
    async with (
        read_journal(journal_url(site.settings)) as journal,
        open_cloud(config, counted(journal, calls)) as ims,
    ):
        await remember_calls(site, config, journal, ims, shard)
        yield journal, ims


@asynccontextmanager
async def at_work(
    site: Site,
    config: CloudConfig,
    verb: str,
    shard: Shard,
    calls: Callable[[CallRecord], None],
    give_up_at: Callable[[], float] = never,
) -> AsyncIterator[tuple[HeldJournal, Ims]]:
    """Hold the journal as its only writer for a shard, and open the cloud; the calls of earlier processes count.

    `give_up_at` tells until when (`time.monotonic`) there is time to wait for a journal that is locked, or silent.
    Raises JournalLocked with who holds the journal, JournalError, and SettingsError for an unusable CA file, and for
    limits that the shards cannot divide.
    """
    config = shared_out(config, site, shard, verb)
    async with (
        hold_journal(journal_url(site.settings), verb, shard, give_up_at) as journal,
        cloud_at_work(site, config, journal, calls) as ims,
    ):
        if journal.unclean:
            assume_unrecorded_calls(config, ims)
        yield journal, ims


@asynccontextmanager
async def cloud_at_work(
    site: Site, config: CloudConfig, journal: Journal, calls: Callable[[CallRecord], None]
) -> AsyncIterator[Ims]:
    """Open the cloud for who holds the journal: earlier calls count, and those made now are recorded.

    Raises JournalError, and SettingsError for an unusable CA file.
    """
    async with open_cloud(config, counted(journal, calls)) as ims, calls_recorded(journal):
        await remember_calls(site, config, journal, ims, journal.shard)
        yield ims


async def record_calls(journal: Journal) -> tuple[str, ...]:
    """Record the calls that were made for a look; return a note where that is not allowed."""
    if not journal.exists:
        return ()
    try:
        await journal.calls.flush()
    except JournalError as error:
        return (f"the calls that this took are not recorded, so that the next worker may make too many: {error}",)
    return ()


async def plan(
    site: Site, order: PassRequest, ims: Ims, journal: Journal, events: Listener
) -> tuple[Prepared, Forecast]:
    """Observe and plan, writing nothing; foretell what a run would cost."""
    context = await make_pass(site, ims, journal, events, Deadlines())
    if by := await journal.ahead(context.now()):
        events(ClockSet(-by))
    prepared = await prepare(order, context)
    return prepared, of_run(prepared, site, ims, context.now())


async def run(site: Site, order: PassRequest, context: PassContext, journal: Journal) -> RunReport:
    """Put right what lies ahead of the clock, make one pass, and forget what is older than the history is kept."""
    await put_times_right(context, journal)
    report = await run_once(order, context)
    await context.record_or_stop_sending(journal.prune(context.now() - site.settings.journal.keep))
    return with_journal_error(report, context)


async def put_times_right(context: PassContext, journal: Journal) -> None:
    """Have nothing in the journal count for longer from now than its own span, although the clock was put back.

    Raises JournalError.
    """
    now = context.now()
    if by := await journal.ahead(now):
        await journal.clamp_times(now)
        context.emit(ClockSet(-by))
    quarantined = (await journal.quarantined()).values()
    if (change := put_right(quarantined, context.timings.quarantine, now)).held:
        await journal.change_quarantine(change)


async def batch_sizes(site: Site, journal: Journal, events: Listener) -> BatchSizes:
    """Return what is known of the largest batch that each account may send in each region; what is learned is kept.

    Raises JournalError.
    """
    found = await journal.sizes.known()
    for each in found.odd:
        events(Incident("what was learned of a batch's size cannot be read", each))
    known = by_key(found)
    events(BatchSizesRemembered(known))
    region = site.settings.cloud.region

    def key_of(project: Project) -> SizeKey:
        return SizeKey(site.account_of(project.id), project.region or region)

    async def record(key: SizeKey, size: BatchSize) -> None:
        try:
            await journal.sizes.learn(key, size)
        except JournalError as error:
            events(Incident("how large a batch may be could not be journalled", str(error)))
        if size.maximum is not None and not size.is_sought:
            events(BatchSizeLearned(key, size))

    return BatchSizes(known, key_of, record, time.time)


async def make_pass(site: Site, ims: Ims, journal: Journal, events: Listener, deadlines: Deadlines) -> PassContext:
    """Return what one pass works with; no traceback that `events` is told of has a key in it. Raises JournalError."""

    def tell(event: Event) -> None:
        events(replace(event, trace=ims.without_secrets(event.trace)) if isinstance(event, BugFound) else event)

    return PassContext(
        run_id=_run_id(),
        cloud=ims,
        journal=journal,
        now=time.time,
        chance=random.random,
        emit=tell,
        deadlines=deadlines,
        timings=timings(site.settings),
        sizes=await batch_sizes(site, journal, events),
    )


def calls_left(ims: Ims) -> dict[CallGroup, int]:
    """Return how many calls of each group the limits still let through now, over all accounts."""
    accounts = ims.standing().values()
    return {group: sum(groups[group].left for groups in accounts) for group in CallGroup}


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
