"""A command at work: its journal and its cloud opened, its pass made."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from worker.cloud.ims import CloudConfig, Ims
from worker.core.calls import CallGroup, CallRecord
from worker.core.events import BugFound, ClockSet, Event, Listener
from worker.core.forecast import Forecast, forecast
from worker.core.quarantine import put_right
from worker.core.report import RunReport
from worker.core.target import Shard
from worker.errors import JournalError
from worker.journal.database import MEMORY
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.store import Journal, open_journal, read_journal
from worker.journal.thread import never
from worker.reconcile.halt import Halt
from worker.reconcile.ports import Pass
from worker.reconcile.run import Order, Prepared, prepare, run_once, with_journal_error
from worker.settings import Settings
from worker.wiring.calls import assume_unrecorded_calls, calls_recorded, counted, remember_calls
from worker.wiring.policies import shared_out, speed, tempo
from worker.wiring.site import Site, journal_url

RESERVE = 60.0


@asynccontextmanager
async def open_cloud(config: CloudConfig, calls: Callable[[CallRecord], None]) -> AsyncIterator[Ims]:
    """Open the connections to the cloud; `calls` is told of each call. Raises SettingsError for an unusable CA file."""
    async with Ims.open(replace(config, observer=calls)) as ims:
        yield ims


def journal_to_write(url: str) -> AbstractAsyncContextManager[Journal]:
    """Open the journal for one short write beside the worker that holds it; none is made.

    Raises JournalError, also for a journal in memory: nobody else would see what is written there.
    """
    if url == MEMORY:
        raise JournalError("a journal in memory is gone when the command ends, so there is nothing to write to")
    return open_journal(url)


@asynccontextmanager
async def at_look(
    site: Site, config: CloudConfig, calls: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[Journal, Ims]]:
    """Open journal and cloud for a command that changes neither; its calls count all the same.

    Raises JournalError, and SettingsError for an unusable CA file.
    """
    async with (
        read_journal(journal_url(site.settings)) as journal,
        open_cloud(config, counted(journal, calls)) as ims,
    ):
        await remember_calls(site, config, journal, ims)
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
        await remember_calls(site, config, journal, ims)
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


async def plan(site: Site, order: Order, ims: Ims, journal: Journal, events: Listener) -> tuple[Prepared, Forecast]:
    """Observe and plan, writing nothing; foretell what a run would cost."""
    the_pass = make_pass(site.settings, ims, journal, events, Halt())
    if by := await journal.ahead(the_pass.now()):
        events(ClockSet(-by))
    prepared = await prepare(order, the_pass)
    lists = ims.counts().made.get(CallGroup.IMAGES_LIST, 0)
    accounts = {project_id: site.account_of(project_id) for project_id in site.manifest.projects}
    bounds = speed(site, order.target.shard)
    return prepared, forecast(prepared.batches, prepared.observed, lists, accounts, bounds)


async def run(site: Site, order: Order, the_pass: Pass, journal: Journal) -> RunReport:
    """Put right what lies ahead of the clock, make one pass, and forget what is older than the history is kept."""
    await put_times_right(the_pass, journal)
    report = await run_once(order, the_pass)
    await the_pass.keep(journal.prune(the_pass.now() - site.settings.journal.keep))
    return with_journal_error(report, the_pass)


async def put_times_right(the_pass: Pass, journal: Journal) -> None:
    """Have nothing in the journal count for longer from now than its own span, although the clock was put back.

    Raises JournalError.
    """
    now = the_pass.now()
    if by := await journal.ahead(now):
        await journal.clamp_times(now)
        the_pass.emit(ClockSet(-by))
    wards = (await journal.quarantined()).values()
    if (change := put_right(wards, the_pass.tempo.quarantine, now)).held:
        await journal.change_quarantine(change)


def make_pass(settings: Settings, ims: Ims, journal: Journal, events: Listener, halt: Halt) -> Pass:
    """Return what the verbs of one pass work with; no traceback that `events` is told of has a key in it."""

    def tell(event: Event) -> None:
        events(replace(event, trace=ims.without_secrets(event.trace)) if isinstance(event, BugFound) else event)

    return Pass(
        run_id=_run_id(),
        cloud=ims,
        journal=journal,
        now=time.time,
        chance=random.random,
        emit=tell,
        halt=halt,
        tempo=tempo(settings),
    )


def calls_left(ims: Ims) -> dict[CallGroup, int]:
    """Return how many calls of each group the limits still let through now, over all accounts."""
    accounts = ims.standing().values()
    return {group: sum(groups[group].left for groups in accounts) for group in CallGroup}


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
