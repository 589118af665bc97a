"""A wall clock that was set: what was written down before counts at most its own span from now, and no less."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import fleet, manifest, share, stage
from journals import make_odd, write_journal
from opening import open_journal

from worker.core.batch import Batch
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import Shard, shard_of
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.share import Share
from worker.errors import JournalError
from worker.journal.lease import hold_journal
from worker.journal.store import Journal
from worker.simulator.naming import image_id, project_id

NOW = 1_800_000_000.0
AHEAD = NOW + 7200.0
FIRST, SECOND = (next(name for name in map(str, range(99)) if shard_of(name, 2) == index) for index in (0, 1))
STAMPS = (
    *(("batches", column) for column in ("intent_at", "submitted_at", "ended_at")),
    *(("passes", column) for column in ("started_at", "finished_at")),
    ("quarantine", "next_try"),
    ("calls", "at"),
    ("approvals", "approved_at"),
)


def reject(project: str) -> Batch:
    """Return a batch that rejects an image of a project."""
    return Batch(project, Operation.REJECT, None, ("i",))


async def fill(journal: Journal, at: float, run_id: str, project: str) -> int:
    """Write one of each kind of row, of this time; return the key of the batch."""
    await journal.rejections.reserve({project: 1}, run_id, at, at - 3600, lambda _: ())
    key = await journal.batches.intend(reject(project), run_id, at, 1)
    await journal.batches.accept(key, "job", at + 1)
    journal.calls.note("default", CallGroup.IMAGES_LIST, at + 1)
    await journal.calls.flush()
    report = RunReport(run_id, at, at + 2, Result.CONVERGED, 1, 1, 0, (), (), CallCounts(), "")
    held = Quarantined(Share(project, "i"), Operation.REJECT, 1, "a", "b", at + 900)
    await journal.passes.record(report, QuarantineUpdate((held,), ()), {})
    return key


async def test_what_lies_ahead_is_of_now_once_that_is_put_right(journal_url: str) -> None:
    """Sent, answered, called and recorded two hours ahead: all of it ages from now on; and it is told by how much."""
    async with open_journal(journal_url) as journal:
        assert await journal.stamps.ahead(NOW) == 0.0
        await fill(journal, NOW - 60, "run-0", FIRST)
        assert await journal.stamps.ahead(NOW) == 0.0
        await fill(journal, AHEAD, "run-1", SECOND)
        await fill(journal, AHEAD - 10, "run-2", FIRST)
        assert await journal.stamps.ahead(NOW) == pytest.approx(7202.0)
        await journal.stamps.clamp(NOW)
        assert await journal.stamps.ahead(NOW) == 0.0
        assert [(each.intent_at, each.submitted_at) for each in await journal.batches.in_flight()] == [
            (NOW - 60, NOW - 59),
            (NOW, NOW),
            (NOW, NOW),
        ]
        assert [made.at for made in await journal.calls.since(NOW - 3600)] == [NOW - 59, NOW, NOW]
        passes = (await journal.passes.last(9)).needed()
        assert [(each.run_id, each.finished_at) for each in passes] == [
            ("run-2", NOW),
            ("run-1", NOW),
            ("run-0", NOW - 58),
        ]
        assert await journal.rejections.since(NOW + 1) == {}
        assert await journal.rejections.since(NOW) == {FIRST: 1, SECOND: 1}


async def test_of_a_shard_only_its_own_part_is_put_right(journal_url: str) -> None:
    """Which of two clocks is wrong nobody knows: what another worker writes is left to it."""
    async with (
        hold_journal(journal_url, "run", Shard(0, 2)) as mine,
        hold_journal(journal_url, "run", Shard(1, 2)) as beside,
    ):
        await fill(mine, AHEAD, "run-0", FIRST)
        await fill(beside, AHEAD, "run-1", SECOND)
        await mine.stamps.clamp(NOW)
        await mine.stamps.shift(5.0, NOW)
        at = {flight.batch.project_id: flight.intent_at for flight in await mine.batches.in_flight()}
        assert at == {FIRST: NOW + 5, SECOND: AHEAD}
        assert {made.shard.index: made.at for made in await mine.calls.since(NOW)} == {0: NOW + 5, 1: AHEAD + 1}
        assert {share.project_id: held.next_try for share, held in (await mine.quarantine.held()).items()} == {
            FIRST: AHEAD + 905,
            SECOND: AHEAD + 900,
        }
        assert {each.shard.index: each.finished_at for each in (await mine.passes.last(9)).needed()} == {
            0: NOW,
            1: AHEAD + 2,
        }


async def test_a_clock_that_is_put_forward_makes_nothing_older(journal_url: str) -> None:
    """What may be alive stays in flight for its time, a day's rejections count for a day; the history is as it was."""
    async with open_journal(journal_url) as journal:
        key = await fill(journal, NOW - 60, "run-0", FIRST)
        ended = await journal.batches.intend(reject(SECOND), "run-0", NOW - 50, 1)
        await journal.batches.refuse(await journal.batches.intend(reject(SECOND), "run-0", NOW - 40, 0), "no", NOW - 30)
        await journal.batches.abandon(ended, "old", NOW - 20)
        later = await journal.batches.intend(reject(SECOND), "run-1", AHEAD, 1)
        await journal.stamps.shift(7200.0, NOW)
        in_flight = {flight.key: flight for flight in await journal.batches.in_flight()}
        assert (in_flight[key].intent_at, in_flight[key].submitted_at) == (AHEAD - 60, AHEAD - 59)
        assert in_flight[later].intent_at == AHEAD
        assert await journal.rejections.since(AHEAD - 61) == {FIRST: 1, SECOND: 2}
        assert [made.at for made in await journal.calls.since(NOW)] == [AHEAD - 59]
        assert (await journal.quarantine.held())[Share(FIRST, "i")].next_try == AHEAD + 840
        assert [each.finished_at for each in (await journal.passes.last(9)).needed()] == [NOW - 58]


async def test_a_time_that_cannot_be_read_is_not_made_one_that_can(tmp_path: Path) -> None:
    """It is named, as before: to make it up would be worse."""
    path = tmp_path / "journal.db"
    await write_journal(path, NOW, (FIRST, SECOND), ("i", "j"))
    make_odd(path, "batches", "intent_at", "later")
    async with open_journal(f"sqlite:///{path}") as journal:
        assert await journal.stamps.ahead(NOW) == 0.0
        await journal.stamps.clamp(NOW - 7200)
        await journal.stamps.shift(7200.0, NOW)
        with pytest.raises(JournalError, match='intent_at is "later"'):
            await journal.batches.in_flight()


async def test_calls_are_noted_by_the_clock_as_it_is(journal_url: str) -> None:
    """One that was put back is not ahead for as long as the process lives."""
    async with open_journal(journal_url) as journal:
        journal.calls.note("default", CallGroup.JOB_GET, AHEAD)
        await journal.calls.flush()
        journal.calls.note("default", CallGroup.JOB_GET, NOW)
        await journal.calls.flush()
        assert sorted(made.at for made in await journal.calls.since(NOW - 1)) == [NOW, AHEAD]


def put_back(path: Path, by: float) -> None:
    """Have the journal be of a time that lies ahead, as if the clock had been put back since."""
    with closing(sqlite3.connect(path)) as journal:
        for table, column in STAMPS:
            journal.execute(f"UPDATE {table} SET {column} = {column} + ?", (by,))  # noqa: S608 - of our own
        journal.commit()


@pytest.mark.waits
async def test_a_pass_goes_on_although_the_clock_was_put_back(tmp_path: Path) -> None:
    """Its calls are not held up for two hours, nor is a share; an intent without an answer ends in its time.

    All that is said: in the log of `run` and of `plan`, and by `status`, which does not take it for the present.
    """
    world = fleet(3)
    settings = {"limits.members_put": "2/2s"}
    async with stage(tmp_path, world) as here:
        here.write("manifest.toml", manifest(world, share(world, "accepted", images=["golden-001", "golden-002"])))
        assert (await here.run("run", settings=settings)).status == 0
        lost = Batch(project_id("ledger"), Operation.ACCEPT, None, (image_id("golden-003"),))
        held = Quarantined(
            Share(project_id("payments"), image_id("golden-003")), Operation.ACCEPT, 1, "a", "b", world.now() + 900
        )
        async with open_journal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
            await journal.batches.intend(lost, "run-0", world.now(), 0)
            await journal.quarantine.change(QuarantineUpdate((held,), ()))
        put_back(tmp_path / "journal.db", 7300.0)
        here.write("manifest.toml", manifest(world))

        told = await here.run("status")
        assert "The clock was put back by 2h 1m" in told.out
        assert "sent before the clock was put back" in told.out
        assert (await here.run("status", "--json")).document["clock_put_back_seconds"] > 7000
        assert "clock.put_back" in (await here.run("plan", settings=settings)).err
        settings |= {"quarantine.first": "1s"}
        first = await here.run("run", settings=settings)
        assert "clock.put_back" in first.err
        for _ in range(20):
            again = await here.run("run", settings=settings)
            assert "clock.put_back" not in again.err
            if again.status == 0:
                break
        assert all(status == "accepted" for images in here.read().values() for status in images.values())
