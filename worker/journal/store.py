"""Read and write the journal, off the event loop, in durable transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, insert, update

from worker.core.batch import Batch, End, InFlight
from worker.core.fleet.guard import Judge
from worker.core.fleet.history import PassRecord
from worker.core.fleet.refusal import Refusal
from worker.core.fleet.report import RunReport
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.errors import JournalError, JournalMissing, JournalUnreachable
from worker.journal import (
    advisory_lock,
    approvals,
    history,
    instructions,
    memory,
    readings,
    rejections,
    releases,
    sqlite_file,
    stamps,
)
from worker.journal.batch_sizes import BatchSizeLog
from worker.journal.call_log import CallLog
from worker.journal.database import MEMORY, open_database, warning_of
from worker.journal.engine import Database
from worker.journal.instructions import InstructionLog
from worker.journal.rows import Found
from worker.journal.schema import (
    VERSION,
    Life,
    batches,
    calls,
    create,
    passes,
    quarantine,
    reservations,
    version_of,
)
from worker.journal.sqlite_file import path_of
from worker.journal.thread import Thread
from worker.journal.writer import Writer

T = TypeVar("T")


class Journal:
    """The memory of one worker. Methods return once what they wrote would survive a crash; they raise JournalError.

    Cancelled, a write may or may not have been made; the next reader sees one or the other, whole. `still_held` is run
    in the transaction of each intent, and raises when the lease is lost. `shard` is the part of the fleet whose passes
    and calls are written, and `calls` are those that count against the limits. `notes` are for people: what is odd
    about the journal, or that there is none yet, which `exists` tells too.
    """

    def __init__(self, database: Database, thread: Thread, shard: Shard = WHOLE) -> None:
        self.shard = shard
        self.notes: tuple[str, ...] = ()
        self.exists = True
        self._where = database.where
        self._writer = Writer(database, thread)
        self._still_held: Callable[[Connection], None] = _nobody_asks
        self.calls = CallLog(self._writer, shard)
        self.sizes = BatchSizeLog(self._writer)
        self.instructions = InstructionLog(self._writer)

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Record that a batch, which rejects `rejects` accepted images, is about to be sent; return its key."""
        row = {
            "run_id": run_id,
            "project_id": batch.project_id,
            "status": batch.operation.value,
            "vault_id": batch.vault_id,
            "images": list(batch.images),
            "image_count": len(batch.images),
            "rejects": rejects,
            "state": Life.INTENT.value,
            "intent_at": at,
        }

        def write(connection: Connection) -> int:
            self._still_held(connection)
            key = connection.execute(insert(batches).values(row)).inserted_primary_key
            return int(key[0]) if key else 0

        return await self._writer.write(write)

    async def refuse(self, key: int, reason: str, at: float) -> None:
        """Record that the cloud did nothing about a batch."""
        await self._end(key, Life.REFUSED, None, reason, at)

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Record the job that a batch became."""
        values = {"state": Life.JOB.value, "job_id": job_id, "submitted_at": at}
        await self._writer.write(lambda connection: connection.execute(_of(key).values(values)))

    async def settle(self, key: int, state: End, reason: str, at: float) -> None:
        """Record how a batch ended."""
        await self._end(key, Life.SETTLED, state, reason, at)

    async def abandon(self, key: int, reason: str, at: float) -> None:
        """Record that a batch is given up."""
        await self._end(key, Life.ABANDONED, None, reason, at)

    async def in_flight(self) -> tuple[InFlight, ...]:
        """Return the batches that were, or may have been, sent and are not settled; oldest first."""
        return await self._writer.read(lambda connection: memory.in_flight(connection).needed())

    async def quarantined(self) -> Mapping[Share, Quarantined]:
        """Return the shares that kept failing."""
        rows = await self._writer.read(lambda connection: memory.quarantined(connection).needed())
        return {each.share: each for each in rows}

    async def memory(self, count: int) -> memory.Memory:
        """Return what is remembered, with the last `count` passes, as far as it can be read: for people to see."""
        return await self._writer.read(
            lambda connection: memory.Memory(
                memory.in_flight(connection),
                memory.quarantined(connection),
                history.last(connection, count),
                history.of_fleet(connection),
            )
        )

    async def rejected_since(self, moment: float) -> Mapping[str, int]:
        """Return, by project id, how many accepted images were sent to be rejected since then.

        What passes of other shards have reserved, and not yet sent, counts too.
        """
        return await self._writer.read(lambda connection: rejections.since(connection, self.shard, moment))

    async def reserve(
        self, planned: Mapping[str, int], run_id: str, at: float, since: float, judge: Judge
    ) -> tuple[Refusal, ...]:
        """Reserve what a pass would reject, by project id, unless `judge` refuses it; return why it does.

        It counts for the passes of other shards until this pass is recorded, or the next one of this shard reserves.
        """

        def write(connection: Connection) -> tuple[Refusal, ...]:
            self._still_held(connection)
            advisory_lock.take_turn(connection, rejections.TURN)
            rejections.free(connection, self.shard)
            refusals = judge(rejections.since(connection, self.shard, since))
            if not refusals:
                rejections.reserve(connection, self.shard, planned, run_id, at)
            return refusals

        return await self._writer.write(write)

    async def refusals(self, digest: str) -> approvals.Refusals:
        """Tell whether a refused pass has this digest, and which was the last refused."""
        return await self._writer.read(lambda connection: approvals.refusals(connection, digest))

    async def approve(self, digest: str, who: str, at: float) -> tuple[str, float] | None:
        """Let the plan of this digest pass the guards once; who said so, and when, is kept.

        Return who approved it before and when, where that was not used yet: then nothing is added to it.
        """
        return await self._writer.write(lambda connection: approvals.approve(connection, digest, who, at))

    async def is_approved(self, digest: str) -> bool:
        """Tell whether there is an approval of this digest that was not used yet."""
        return await self._writer.read(lambda connection: approvals.is_approved(connection, digest))

    async def use_approval(self, digest: str, run_id: str, at: float) -> bool:
        """Use up one approval of this digest; tell whether there was one."""
        return await self._writer.write(lambda connection: approvals.use(connection, digest, run_id, at))

    async def release(self, share: Share, who: str, at: float) -> tuple[str, ...]:
        """Free a share: out of quarantine, and out of every batch in flight; return from what, in words."""
        return await self._writer.write(lambda connection: releases.release(connection, share, who, at))

    async def release_quarantined(
        self, is_meant: Callable[[Quarantined], bool], who: str, at: float
    ) -> tuple[Share, ...]:
        """Free the quarantined shares that are meant, and nothing that is in flight; return them."""
        return await self._writer.write(lambda connection: releases.release_quarantined(connection, is_meant, who, at))

    async def last_readings(self) -> Mapping[str, LastReading]:
        """Return, by project id, what each project was when it could last be read, as far as that can be told."""
        found = await self._writer.read(readings.last)
        return dict(found.values)

    async def record(
        self, report: RunReport, update_of_quarantine: QuarantineUpdate, found: Mapping[str, LastReading]
    ) -> None:
        """Record a pass that has ended, what it changes about the quarantine, and what was read, in one go.

        What it reserved is free again.
        """

        def write(connection: Connection) -> None:
            history.add(connection, self.shard, report)
            connection.execute(delete(reservations).where(reservations.c.run_id == report.run_id))
            _change_quarantine(connection, update_of_quarantine)
            readings.keep(connection, found)

        await self._writer.write(write)

    async def change_quarantine(self, change: QuarantineUpdate) -> None:
        """Record what was learned, beside the passes, of shares that kept failing."""
        await self._writer.write(lambda connection: _change_quarantine(connection, change))

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query; raise JournalError."""
        return await self._writer.read(query)

    async def answers(self) -> None:
        """Return if the journal can be read; raise JournalError."""
        await self._writer.read(version_of)

    async def prune(self, before: float) -> None:
        """Forget the passes and the ended batches older than `before` (seconds since the epoch)."""

        def write(connection: Connection) -> None:
            connection.execute(delete(passes).where(passes.c.finished_at < before))
            connection.execute(delete(batches).where(batches.c.ended_at < before))
            connection.execute(delete(calls).where(calls.c.at < before))
            readings.forget(connection, before)
            instructions.forget(connection, before)

        await self._writer.write(write)

    async def ahead(self, now: float) -> float:
        """Return by how many seconds the newest time lies ahead of the wall clock `now`: so far it was put back."""
        return await self._writer.read(lambda connection: stamps.ahead(connection, now))

    async def clamp_times(self, now: float) -> None:
        """Have what lies ahead of `now`, of this journal's shard, be of now: it ends its own span from now."""
        await self._writer.write(lambda connection: stamps.clamp(connection, self.shard, now))

    async def shift_times(self, by: float, until: float) -> None:
        """Keep what counts of this journal's shard as old as it was, after the clock was put forward by `by` seconds.

        It is what was written up to `until`, by the clock as it was.
        """
        await self._writer.write(lambda connection: stamps.shift(connection, self.shard, by, until))

    async def last_passes(self, count: int) -> Found[PassRecord]:
        """Return the last passes, newest first, as far as they can be read."""
        return await self._writer.read(lambda connection: history.last(connection, count))

    async def prepare(self) -> None:
        """Create the tables where there are none; raise JournalError for a schema of a newer worker."""
        if await self._writer.read(version_of) is None:
            await self._writer.write(create)
        await self.see_that_it_is_known()

    async def see_that_it_is_known(self) -> None:
        """Raise JournalMissing where no pass has made the tables yet, JournalError where a newer worker did.

        Tables of an older worker are read as they are.
        """
        found = await self._writer.read(version_of)
        if found is None:
            raise JournalMissing(f"there is no journal {self._where} yet: `run` or `serve` makes it")
        if found > VERSION:
            raise JournalError(
                f"the journal {self._where} was written by a newer worker (schema {found}, this one knows "
                f"{VERSION}): update this worker, or give it a journal of its own"
            )

    async def close(self) -> None:
        """Write the calls that were noted, wait for what is being written, and let go of the database."""
        with suppress(JournalError):
            await self.calls.flush()
        await self._writer.close()

    async def _end(self, key: int, life: Life, state: End | None, reason: str, at: float) -> None:
        values: dict[str, Any] = {
            "state": life.value,
            "outcome": state.value if state is not None else None,
            "reason": reason,
            "ended_at": at,
            # Which images they were matters while they are in flight; history is kept small.
            "images": [],
        }
        await self._writer.write(lambda connection: connection.execute(_of(key).values(values)))


@asynccontextmanager
async def open_journal(url: str, *, makes: bool = False) -> AsyncIterator[Journal]:
    """Open the journal at `sqlite:///PATH` or `postgresql://...` for one row that is written beside its holder.

    Where there is none it is made only if that `makes` it, and if its folder is of the user who makes it: it would be
    of no use to another who works there. Raises JournalMissing where there is none, since nobody would look for what is
    written elsewhere; JournalError.
    """
    if makes and (path := path_of(url)) is not None:
        await asyncio.to_thread(sqlite_file.make_in_own_folder, path)
    async with _opened(url, to_read=False) as journal:
        await (journal.prepare() if makes else journal.see_that_it_is_known())
        yield journal


@asynccontextmanager
async def read_journal(url: str) -> AsyncIterator[Journal]:
    """Open the journal for who only reads it, whichever released worker has made it, and without the right to write it.

    Where there is none yet it is empty, and a note says so. Calls that are noted are written where that is allowed.
    Raises JournalError.
    """
    async with AsyncExitStack() as opened:
        try:
            journal = await opened.enter_async_context(_opened(url, to_read=True))
            await (journal.prepare() if url == MEMORY else journal.see_that_it_is_known())
        except JournalMissing as missing:
            journal = await opened.enter_async_context(_opened(MEMORY, to_read=True))
            await journal.prepare()
            journal.notes, journal.exists = (str(missing),), False
        yield journal


@asynccontextmanager
async def _opened(url: str, *, to_read: bool) -> AsyncIterator[Journal]:
    thread = Thread()
    try:
        journal = Journal(await in_time(thread.do(lambda: open_database(url, to_read=to_read))), thread)
        try:
            journal.notes = await in_time(thread.do(lambda: warning_of(url)))
            yield journal
        finally:
            await journal.close()
    finally:
        thread.end()


async def in_time(opening: Awaitable[T]) -> T:
    """Await a step of opening a journal; raise JournalUnreachable where its disk does not answer."""
    try:
        return await opening
    except TimeoutError as error:
        raise JournalUnreachable("the journal's disk does not answer in time; try again") from error


def _nobody_asks(_connection: Connection) -> None:
    """Stand where no lease is held: in memory, or for a command that writes one row."""


def _of(key: int) -> Any:
    return update(batches).where(batches.c.key == key)


def _is(share: Share) -> Any:
    return (quarantine.c.project_id == share.project_id) & (quarantine.c.image_id == share.image_id)


def _change_quarantine(connection: Connection, change: QuarantineUpdate) -> None:
    for share in (*change.freed, *(each.share for each in change.held)):
        connection.execute(delete(quarantine).where(_is(share)))
    if change.held:
        connection.execute(insert(quarantine), [_quarantine_row(each) for each in change.held])


def _quarantine_row(each: Quarantined) -> dict[str, Any]:
    return {
        "project_id": each.share.project_id,
        "image_id": each.share.image_id,
        "status": each.operation.value,
        "attempts": each.attempts,
        "first_reason": each.first_reason,
        "last_reason": each.last_reason,
        "next_try": each.next_try,
        "together": each.failed_batch_size,
    }
