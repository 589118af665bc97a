"""Passes at work: on the journal and the cloud, once or for ever, until they are done or asked to stop."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.cloud.ims import CloudConfig, Ims
from worker.core.calls import CallGroup, CallRecord
from worker.core.events import AtWork, Listener, StandingBy, Trouble
from worker.core.forecast import Forecast, forecast
from worker.core.report import RunReport
from worker.core.schedule import next_wait
from worker.core.target import Shard
from worker.errors import JournalError, JournalLocked, ManifestError, SettingsError
from worker.journal.database import MEMORY, path_of
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.store import Journal, open_journal
from worker.reconcile.halt import Halt
from worker.reconcile.ports import Pass
from worker.reconcile.run import Order, Prepared, prepare, run_once
from worker.reconcile.schedule import run_forever, sleep_until
from worker.settings import Settings
from worker.wiring.calls import assume_unrecorded_calls, calls_recorded, counted, remember_calls
from worker.wiring.policies import schedule_of, speed, tempo
from worker.wiring.site import Site, journal_url
from worker.wiring.stop import Stopper

RESERVE = 60.0
_STAND_BY = 2.0
_BLOCKED_FOR = 300.0
"""Seconds for which the cloud blocks a key after a handful of failures. Source: questions on its API gateway."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a command: listeners to its events, and to the calls it makes."""

    events: Listener
    calls: Callable[[CallRecord], None]


@asynccontextmanager
async def open_cloud(config: CloudConfig, calls: Callable[[CallRecord], None]) -> AsyncIterator[Ims]:
    """Open the connections to the cloud; `calls` is told of each call. Raises SettingsError for an unusable CA file."""
    async with Ims.open(replace(config, observer=calls)) as ims:
        yield ims


def journal_to_write(url: str) -> AbstractAsyncContextManager[Journal]:
    """Open the journal, and make it if there is none, for one short write beside the worker that holds it.

    Raises JournalError, also for a journal in memory: nobody else would see what is written there.
    """
    if url == MEMORY:
        raise JournalError("a journal in memory is gone when the command ends, so there is nothing to write to")
    return open_journal(url)


@asynccontextmanager
async def journal_to_read(url: str) -> AsyncIterator[Journal]:
    """Open the journal for a command that only reads it: one that does not exist yet is empty, and is not made.

    Raises JournalError, also where there is no folder that it could be in.
    """
    path = path_of(url)
    is_to_come = path is not None and not path.exists() and path.parent.is_dir()
    async with open_journal(MEMORY if is_to_come else url) as journal:
        yield journal


@asynccontextmanager
async def at_look(
    site: Site, config: CloudConfig, calls: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[Journal, Ims]]:
    """Open journal and cloud for a command that changes neither; its calls count all the same.

    Raises JournalError, and SettingsError for an unusable CA file.
    """
    async with (
        journal_to_read(journal_url(site.settings)) as journal,
        open_cloud(config, counted(journal, calls)) as ims,
    ):
        await remember_calls(site, config, journal, ims)
        yield journal, ims


@asynccontextmanager
async def at_work(
    site: Site, config: CloudConfig, verb: str, shard: Shard, calls: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[HeldJournal, Ims]]:
    """Hold the journal as its only writer for a shard, and open the cloud; the calls of earlier processes count.

    Raises JournalLocked with who holds the journal, JournalError, and SettingsError for an unusable CA file.
    """
    async with (
        hold_journal(journal_url(site.settings), verb, shard) as journal,
        open_cloud(config, counted(journal, calls)) as ims,
        calls_recorded(journal),
    ):
        await remember_calls(site, config, journal, ims)
        if journal.unclean:
            assume_unrecorded_calls(config, ims)
        yield journal, ims


async def plan(site: Site, order: Order, ims: Ims, journal: Journal, events: Listener) -> tuple[Prepared, Forecast]:
    """Observe and plan, writing nothing; foretell what a run would cost."""
    prepared = await prepare(order, make_pass(site.settings, ims, journal, events, Halt()))
    lists = ims.counts().made.get(CallGroup.IMAGES_LIST, 0)
    accounts = {
        project_id: site.settings.credentials[project.credential].account
        for project_id, project in site.manifest.projects.items()
    }
    return prepared, forecast(prepared.batches, prepared.observed, lists, accounts, speed(site.settings))


async def run(site: Site, order: Order, the_pass: Pass, journal: Journal) -> RunReport:
    """Make one pass, and forget what is older than the history is kept."""
    report = await run_once(order, the_pass)
    await the_pass.keep(journal.prune(the_pass.now() - site.settings.journal.keep))
    return report


async def serve(
    site: Site, read_order: Callable[[], Order], stopper: Stopper, config: CloudConfig, watch: Watch
) -> None:
    """Make passes on the schedule until the process is asked to stop, standing by while another holds the journal.

    `read_order` is asked before each pass, and raises SettingsError or ManifestError for a manifest that cannot be
    used: then the last good one stays. Losing the journal means
    to stand by again; one that cannot be had at first is a JournalError.
    """
    loop = asyncio.get_running_loop()
    order = read_order()
    last_reason = ""
    has_begun = False
    while not stopper.asked.is_set():
        try:
            async with at_work(site, config, "serve", order.target.shard, watch.calls) as (journal, ims):
                watch.events(AtWork(journal.unclean))
                last_reason = ""
                duty = _Duty(site, order, read_order, watch.events)
                await duty.work_on(journal, ims, stopper)
        except JournalLocked as error:
            if str(error) != last_reason:
                watch.events(StandingBy(str(error)))
            last_reason = str(error)
        except JournalError as error:
            if not has_begun:
                raise
            watch.events(Trouble("the journal is lost, and is tried again", str(error)))
        has_begun = True
        await sleep_until(loop.time() + _STAND_BY, stopper.asked)


@dataclass(slots=True)
class _Duty:
    """The passes of a daemon that holds the journal: what the next one is asked to do."""

    site: Site
    order: Order
    read_order: Callable[[], Order]
    events: Listener
    retry_stopped_at: float = 0.0

    async def work_on(self, journal: HeldJournal, ims: Ims, stopper: Stopper) -> None:
        """Make passes until the process is asked to stop; raise JournalError when the lease is lost."""
        settings = self.site.settings
        schedule, jitter = schedule_of(settings), settings.schedule.jitter

        async def make_one_pass() -> None:
            await journal.see_that_it_is_held()
            self._read_again()
            self._retry_stopped(ims)
            await run(self.site, self.order, make_pass(settings, ims, journal, self.events, stopper.halt()), journal)

        def wait(elapsed: float) -> float:
            return next_wait(schedule, elapsed, time.time(), jitter * random.random())  # noqa: S311 - it guards nothing

        await run_forever(make_one_pass, wait, stopper.asked, self.events)

    def _read_again(self) -> None:
        try:
            self.order = self.read_order()
        except (SettingsError, ManifestError) as error:
            self.events(Trouble("the manifest cannot be used, so the last good one stays", str(error)))

    def _retry_stopped(self, ims: Ims) -> None:
        """Try refused credentials anew, but not so often that the cloud blocks their keys."""
        now = asyncio.get_running_loop().time()
        if now >= self.retry_stopped_at:
            self.retry_stopped_at = now + _BLOCKED_FOR
            ims.retry_stopped()


def make_pass(settings: Settings, ims: Ims, journal: Journal, events: Listener, halt: Halt) -> Pass:
    """Return what the verbs of one pass work with."""
    return Pass(
        run_id=_run_id(),
        cloud=ims,
        journal=journal,
        now=time.time,
        chance=random.random,
        emit=events,
        halt=halt,
        tempo=tempo(settings),
    )


def calls_left(ims: Ims) -> dict[CallGroup, int]:
    """Return how many calls of each group the limits still let through now, over all accounts."""
    accounts = ims.standing().values()
    return {group: sum(groups[group].left for groups in accounts) for group in CallGroup}


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
