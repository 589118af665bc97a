"""One pass of a command, or its plan: put together from journal, cloud and settings, and made."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime

from worker.cloud.ims import Ims
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.events import BatchSizeLearned, BatchSizesRemembered, BugFound, ClockSet, Event, Incident, Listener
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.report import RunReport
from worker.core.manifest.model import Project
from worker.core.quarantine import put_right
from worker.errors import JournalError
from worker.journal.pruning import Retention
from worker.journal.store import Journal
from worker.reconcile.batch_sizes import BatchSizes
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.memory import with_journal_error
from worker.reconcile.polls import Polls
from worker.reconcile.ports import PassContext
from worker.reconcile.request import PassRequest
from worker.reconcile.run import Prepared, prepare, run_once
from worker.session.forecasts import of_run
from worker.settings.inputs import Inputs
from worker.wiring import rates, timings

RESERVE = 60.0


async def plan_pass(
    inputs: Inputs, request: PassRequest, ims: Ims, journal: Journal, events: Listener
) -> tuple[Prepared, Forecast]:
    """Observe and plan, writing nothing; foretell what a run would cost."""
    context = await pass_context(inputs, ims, journal, events, Deadlines())
    if by := await journal.stamps.ahead(context.now()):
        events(ClockSet(-by))
    prepared = await prepare(request, context)
    return prepared, of_run(prepared, inputs, ims, context.now())


async def run_pass(inputs: Inputs, request: PassRequest, context: PassContext, journal: Journal) -> RunReport:
    """Put right what lies ahead of the clock, make one pass, and forget what is older than the history is kept."""
    await put_times_right(context, journal)
    report = await run_once(request, context)
    await context.record_or_stop_sending(journal.durations.keep(context.polls.found()))
    await context.record_or_stop_sending(journal.prune(retention_at(context.now(), inputs)))
    return with_journal_error(report, context)


def retention_at(now: float, inputs: Inputs) -> Retention:
    """Return which rows of the journal are of use at `now`."""
    return Retention.at(
        now,
        inputs.settings.journal.keep,
        max(rate.window for rate in rates(inputs.settings).values()),
        inputs.manifest.projects,
        {credential.account for credential in inputs.settings.credentials.values()},
    )


async def put_times_right(context: PassContext, journal: Journal) -> None:
    """Have nothing in the journal count for longer from now than its own span, although the clock was put back.

    Raises JournalError.
    """
    now = context.now()
    if by := await journal.stamps.ahead(now):
        await journal.stamps.clamp(now)
        context.emit(ClockSet(-by))
    quarantined = (await journal.quarantine.held()).values()
    if (change := put_right(quarantined, context.timings.quarantine, now)).held:
        await journal.quarantine.change(change)


async def batch_sizes(inputs: Inputs, journal: Journal, events: Listener) -> BatchSizes:
    """Return what is known of the largest batch that each account may send in each region; what is learned is kept.

    Raises JournalError.
    """
    found = await journal.batch_sizes.known()
    for each in found.odd:
        events(Incident("what was learned of a batch's size cannot be read", each))
    known = dict(found.values)
    events(BatchSizesRemembered(known))
    region = inputs.settings.cloud.region

    def key_of(project: Project) -> SizeKey:
        # By its credential: the daemon may have found it since.
        return SizeKey(inputs.settings.credentials[project.credential].account, project.region or region)

    async def record(key: SizeKey, size: BatchSize) -> None:
        try:
            await journal.batch_sizes.learn(key, size)
        except JournalError as error:
            events(Incident("how large a batch may be could not be journalled", str(error)))
        if size.maximum is not None and not size.is_sought:
            events(BatchSizeLearned(key, size))

    return BatchSizes(known, key_of, record, time.time)


async def polls(inputs: Inputs, journal: Journal, events: Listener) -> Polls:
    """Return when jobs are asked about, by what is known of how long they last; raise JournalError."""
    if not inputs.settings.polling.learn:
        return Polls({}, time.time)
    found = await journal.durations.known()
    for each in found.odd:
        events(Incident("what was found of how long jobs last cannot be read", each))
    return Polls(dict(found.values), time.time)


async def pass_context(
    inputs: Inputs, ims: Ims, journal: Journal, events: Listener, deadlines: Deadlines
) -> PassContext:
    """Return what one pass works with; no traceback that `events` is told of has a key in it. Raises JournalError."""

    def tell(event: Event) -> None:
        events(replace(event, trace=ims.clients.without_secrets(event.trace)) if isinstance(event, BugFound) else event)

    return PassContext(
        run_id=_run_id(),
        cloud=ims,
        journal=journal,
        now=time.time,
        chance=random.random,
        emit=tell,
        deadlines=deadlines,
        timings=timings(inputs.settings),
        sizes=await batch_sizes(inputs, journal, events),
        polls=await polls(inputs, journal, events),
    )


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
