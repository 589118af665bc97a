"""Journal and cloud, opened for one command: to look, or to work as the only writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from worker.cloud.config import CloudConfig
from worker.cloud.ims import Ims
from worker.core.calls import CallRecord
from worker.core.fleet.shards import Shard
from worker.errors import JournalError
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.store import Journal, read_journal
from worker.journal.thread import never
from worker.session.finding import with_last_found
from worker.session.limits import (
    assume_unrecorded_calls,
    calls_recorded,
    counted,
    remember_calls,
    remember_limits,
    shared_out,
)
from worker.settings.inputs import Inputs
from worker.wiring import journal_url


@asynccontextmanager
async def open_for_reading(
    inputs: Inputs, config: CloudConfig, shard: Shard, on_call: Callable[[CallRecord], None]
) -> AsyncIterator[tuple[Journal, Ims]]:
    """Open journal and cloud for a command that changes neither; its calls count all the same, as those of a shard.

    `on_call` is told of each call. Raises JournalError, and SettingsError for an unusable CA file, and for limits that
    the shards cannot divide.
    """
    config = shared_out(config, inputs, shard, "plan")
    async with (
        read_journal(journal_url(inputs.settings)) as journal,
        Ims.open(replace(config, observer=counted(journal, on_call))) as ims,
    ):
        await remember_calls(await with_last_found(inputs, journal), config, journal, ims, shard)
        await remember_limits(journal, ims)
        yield journal, ims


@asynccontextmanager
async def open_as_writer(
    inputs: Inputs,
    config: CloudConfig,
    verb: str,
    shard: Shard,
    on_call: Callable[[CallRecord], None],
    give_up_at: Callable[[], float] = never,
) -> AsyncIterator[tuple[HeldJournal, Ims]]:
    """Hold the journal as its only writer for a shard, and open the cloud; the calls of earlier processes count.

    `give_up_at` tells until when (`time.monotonic`) there is time to wait for a journal that is locked, or silent.
    Raises JournalLocked with who holds the journal, JournalError, and SettingsError for an unusable CA file, and for
    limits that the shards cannot divide.
    """
    config = shared_out(config, inputs, shard, verb)
    async with (
        hold_journal(journal_url(inputs.settings), verb, shard, give_up_at) as journal,
        open_cloud_as_writer(inputs, config, journal, on_call) as ims,
    ):
        if journal.unclean:
            assume_unrecorded_calls(config, ims)
        yield journal, ims


@asynccontextmanager
async def open_cloud_as_writer(
    inputs: Inputs, config: CloudConfig, journal: Journal, on_call: Callable[[CallRecord], None]
) -> AsyncIterator[Ims]:
    """Open the cloud for who holds the journal: earlier calls count, and those made now are recorded.

    Raises JournalError, and SettingsError for an unusable CA file.
    """
    config = replace(config, observer=counted(journal, on_call))
    async with Ims.open(config) as ims, calls_recorded(journal, ims):
        await remember_calls(await with_last_found(inputs, journal), config, journal, ims, journal.shard)
        await remember_limits(journal, ims)
        yield ims


async def record_calls(journal: Journal) -> tuple[str, ...]:
    """Record the calls that were made for a look; return a note where that is not allowed."""
    if not journal.exists:
        return ()
    try:
        await journal.flush()
    except JournalError as error:
        return (f"the calls that this took are not recorded, so that the next worker may make too many: {error}",)
    return ()
