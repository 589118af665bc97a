"""A journal of any released version: brought up to date by the next worker that holds it, and read by all as it is.

Each is made as its workers made it, table by table, on every database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rehearse
import released
from commands import ENDLESS
from released import HELD, NOW, VERSIONS, version_of
from sqlalchemy import Engine, inspect
from virtual import wall

from worker.core.batch import Batch, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts, CallGroup, LimitKey
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.instruction import InstructionKind
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.core.manifest.listed import Listed, ProjectList
from worker.core.operation import Operation
from worker.core.polling.durations import Durations, Kind, bin_of
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.status import Status
from worker.errors import JournalError
from worker.journal.approvals import Refusals, RefusedPass
from worker.journal.call_log import CallsMade
from worker.journal.database import open_database
from worker.journal.instructions import Standing
from worker.journal.lease import hold_journal
from worker.journal.schema import VERSION, reservations
from worker.journal.store import Journal, open_journal, read_journal
from worker.simulator.jobs import JobRules
from worker.simulator.options import Group
from worker.simulator.server import Simulator

SENT = InFlight(1, Batch("p1", Operation.ACCEPT, "v1", ("a", "b")), NOW, "job-1", NOW + 1, "old")
UNANSWERED = InFlight(2, Batch("p2", Operation.REJECT, None, ("a",)), NOW + 2, run_id="old")
QUARANTINED = Quarantined(HELD, Operation.ACCEPT, 2, "was poisoned", "still is", NOW + 900)
PASS = PassRecord("old", NOW - 10, NOW, "partial", {"desired": 3}, WHOLE)
CALLS = CallsMade("default", CallGroup.IMAGES_LIST, NOW, 7, WHOLE)
READINGS = {"p1": LastReading(NOW, 3, ())}
SIZE = (SizeKey("default", "eu"), BatchSize(50, 100, NOW))
LIMIT = (LimitKey("default", CallGroup.IMAGES_LIST), LearnedLimit(Rate(700, 60), NOW, is_stated=True))
LISTS = {"default": ProjectList(NOW, (Listed("0" * 32, "eu-west-101"),))}
DURATIONS = (
    Kind("default", takes_vault=False, size=100),
    Durations({bin_of(0.85): 3.0, bin_of(20.0): 1.5}, NOW),
)
NOTHING = QuarantineUpdate((), ())
OLDER = VERSIONS[:-1]


@pytest.fixture(params=OLDER)
def version(request: pytest.FixtureRequest) -> int:
    """Return each version that a worker of today may find, but its own."""
    return int(request.param)


@pytest.fixture
def old_url(journal_url: str, version: int) -> str:
    """Return the URL of a journal as a worker of this version left it, with a job and an unanswered PUT in flight."""
    released.make(journal_url, version, SENT, UNANSWERED)
    return journal_url


@pytest.fixture
async def open_fleet() -> AsyncIterator[Simulator]:
    """Run a cloud with a fleet whose jobs end when the test says so."""
    async with Simulator(rehearse.fleet({"payments": 3}, jobs=JobRules(ENDLESS))) as cloud:
        yield cloud


async def all_is_there(journal: Journal, version: int) -> None:
    """See that everything that a version wrote is read."""
    found = await journal.memory.overview(9, NOW)
    assert found.in_flight.needed() == (SENT, UNANSWERED)
    assert found.quarantined.needed() == (QUARANTINED,)
    assert found.passes.needed() == found.fleet.needed() == (PASS,)
    assert await journal.calls.since(NOW) == (CALLS,)
    assert await journal.calls.puts_since(NOW) == (("p1", NOW + 1), ("p2", None))
    assert await journal.approvals.is_given("sha256:0")
    assert await journal.rejections.since(NOW) == {}
    pending = {"b": NOW - 60} if version >= 9 else {}
    assert dict(found.readings.needed()) == ({"p1": LastReading(NOW, 3, (), pending)} if version >= 4 else {})
    assert found.batch_sizes.needed() == ((SIZE,) if version >= 4 else ())
    assert dict((await journal.project_lists.known()).needed()) == (LISTS if version >= 8 else {})
    assert found.project_lists == await journal.project_lists.known()
    assert found.learned_limits.needed() == ((LIMIT,) if version >= 10 else ())
    assert found.durations.needed() == ((DURATIONS,) if version >= 11 else ())
    assert (found.standing.pause is not None) is (version >= 5)
    assert journal.instructions.are_known is (version >= 5)
    known = (await journal.memory.of_pass(), await journal.memory.open_work(9))
    assert [each.in_flight for each in known] == [(SENT, UNANSWERED)] * 2


def test_the_tables_of_each_version_are_written_down() -> None:
    """Those of today too: what they were is needed when they have changed."""
    assert tuple(range(1, VERSION + 1)) == VERSIONS


async def test_who_only_reads_finds_all_there_is_and_leaves_it_as_it_is(old_url: str, version: int) -> None:
    """Workers of the version before can go on with it."""
    async with read_journal(old_url) as journal:
        await all_is_there(journal, version)
    assert version_of(old_url) == version


async def test_the_next_holder_brings_it_up_to_date_and_nothing_is_lost(old_url: str) -> None:
    """Jobs in flight, quarantine, history, calls, approvals and what people asked: all are there, and all can be kept.

    Only what crashed passes have reserved is free, since none of them can be at work.
    """
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert version_of(old_url) == VERSION
        found = await journal.memory.overview(9, NOW)
        assert (found.in_flight.needed(), found.quarantined.needed()) == ((SENT, UNANSWERED), (QUARANTINED,))
        assert (found.passes.needed(), found.fleet.needed()) == ((PASS,), (PASS,))
        assert await journal.calls.since(NOW) == (CALLS,)
        assert await journal.approvals.is_given("sha256:0")
        anew = replace(QUARANTINED, failed_batch_size=25)
        report = RunReport("new", NOW, NOW, Result.REFUSED, 0, 0, 0, (), (), CallCounts({}, 0, 0), "sha256:1")
        await journal.passes.record(report, QuarantineUpdate((anew,), ()), READINGS)
        await journal.batch_sizes.learn(*SIZE)
        journal.learned_limits.note(*LIMIT)
        await journal.learned_limits.flush()
        await journal.project_lists.keep(LISTS)
        await journal.durations.keep(dict([DURATIONS]))
        await journal.instructions.ask(InstructionKind.PAUSE, "ann", NOW)
        assert await journal.batches.intend(SENT.batch, "new", NOW, 0) > UNANSWERED.key
    async with read_journal(old_url) as journal:
        found = await journal.memory.overview(9, NOW)
        assert found.quarantined.needed() == (anew,)
        assert dict(found.readings.needed()) == READINGS
        assert found.batch_sizes.needed() == (SIZE,)
        assert found.learned_limits.needed() == (LIMIT,)
        assert dict(found.project_lists.needed()) == LISTS
        assert found.durations.needed() == (DURATIONS,)
        assert found.standing.pause is not None
        assert await journal.approvals.refusals("sha256:1") == Refusals(NOW, RefusedPass("sha256:1", "new", NOW))


async def test_a_job_in_flight_is_followed_to_its_end_and_not_sent_again(
    journal_url: str, version: int, open_fleet: Simulator
) -> None:
    """What an older worker has sent to a real cloud is settled by the first pass of a newer one."""
    manifest = rehearse.manifest_of(open_fleet.world)
    async with rehearse.working(open_fleet, manifest, rehearse.quick(open_fleet)) as older:
        await older.run()
        (sent,) = await older.journal.batches.in_flight()
    assert sent.job_id
    released.make(journal_url, version, sent)
    patient = rehearse.quick(open_fleet, journal={"url": journal_url}, polling={"deadline": "60s"})
    async with rehearse.working(open_fleet, manifest, patient) as worker:
        assert await worker.journal.batches.in_flight() == (sent,)
        asked = open_fleet.ledger.count(Group.JOB_GET)
        open_fleet.world.now = lambda: wall() + 2 * ENDLESS[1] * (open_fleet.ledger.count(Group.JOB_GET) > asked)
        report = await worker.run()
        assert await worker.journal.batches.in_flight() == ()
    assert (report.result, report.counts()[Status.CHANGED]) == (Result.CONVERGED, 3)
    assert [len(put.images) for put in rehearse.arrivals(open_fleet, Group.MEMBERS_PUT)] == [3]
    assert rehearse.accepted(open_fleet, "payments") == 3
    assert released.scalar(journal_url, "SELECT state FROM batches") == "settled"


async def test_what_is_brought_up_to_date_is_as_what_is_new(old_url: str, tmp_path: Path) -> None:
    """Columns, defaults, keys and indexes: so that no statement meets a table that only some journals have."""
    async with hold_journal(old_url, "run", WHOLE):
        pass
    upgraded = shape_of(open_database(old_url).engine)
    assert upgraded == shape_of(made_anew(old_url, tmp_path))


async def test_a_short_write_leaves_an_old_journal_as_it_is(old_url: str, version: int) -> None:
    """An approval and a release are obeyed as ever; what its daemon does not know is said, with what to do."""
    async with open_journal(old_url) as journal:
        assert await journal.approvals.give("sha256:9", "ann@host", NOW) is None
        assert await journal.releases.free(HELD, "ann@host", NOW) == ("quarantine", "job job-1")
        assert (await journal.approvals.refusals("sha256:0")).are_told is (version >= 5)
        journal.calls.note("default", CallGroup.JOB_GET, NOW + 6)
        if version < 5:
            assert await journal.instructions.standing(NOW) == Standing()
            for asking in (
                journal.instructions.ask(InstructionKind.PAUSE, "ann", NOW),
                journal.instructions.resume("ann", NOW),
            ):
                with pytest.raises(JournalError, match="older worker"):
                    await asking
    assert version_of(old_url) == version
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert [made.count for made in await journal.calls.since(NOW)] == [7, 1]
        assert await journal.approvals.is_given("sha256:9")


async def test_the_shards_of_a_fleet_may_come_to_it_at_once(old_url: str) -> None:
    """Four that find an old journal bring it up to date together: once, and all of them then hold their part."""
    async with AsyncExitStack() as held:
        holders = [hold_journal(old_url, "run", Shard(index, 4)) for index in range(4)]
        journals = await asyncio.gather(*map(held.enter_async_context, holders))
        for journal in journals:
            assert (await journal.passes.last(9)).needed() == (PASS,)
    assert version_of(old_url) == VERSION


@pytest.mark.parametrize("version", [1])
async def test_old_rows_are_of_the_whole_fleet_and_new_ones_tell_their_shard(old_url: str) -> None:
    """Passes, calls and reservations of a shard that comes to a journal from before there were shards."""
    shard = Shard(1, 4)
    async with hold_journal(old_url, "run", shard) as journal:
        report = RunReport("new", NOW + 5, NOW + 6, Result.CONVERGED, 1, 1, 0, (), (), CallCounts({}, 0, 0), "")
        await journal.passes.record(report, NOTHING, {})
        journal.calls.note("default", CallGroup.JOB_GET, NOW + 6)
        assert await journal.rejections.reserve({"p1": 2}, "next", NOW + 7, NOW, lambda _: ()) == ()
        assert [each.run_id for each in (await journal.memory.open_work(9)).passes.needed()] == ["new"]
        async with hold_journal(old_url, "run", Shard(2, 4)) as sibling:
            assert await sibling.rejections.since(NOW) == {"p1": 2}
    async with read_journal(old_url) as journal:
        assert [each.shard for each in (await journal.passes.last(9)).needed()] == [shard, WHOLE]
        assert [each.shard for each in await journal.calls.since(NOW)] == [WHOLE, shard]


@pytest.mark.parametrize("version", [1])
async def test_an_upgrade_that_breaks_off_has_changed_nothing(old_url: str) -> None:
    """All of it is one transaction: after a statement that fails the journal is what it was, and the next try works."""
    run(old_url, "ALTER TABLE calls ADD COLUMN shard_index INTEGER")
    with pytest.raises(JournalError, match="shard_index"):
        async with hold_journal(old_url, "run", WHOLE):
            pass
    assert version_of(old_url) == 1
    engine = open_database(old_url).engine
    assert not inspect(engine).has_table("reservations")
    assert "shard_index" not in {column["name"] for column in inspect(engine).get_columns("passes")}
    engine.dispose()
    run(old_url, "ALTER TABLE calls DROP COLUMN shard_index")
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert await journal.batches.in_flight() == (SENT, UNANSWERED)


@pytest.mark.parametrize("version", [1])
async def test_tables_that_two_versions_made_at_once_are_brought_up_to_date(old_url: str) -> None:
    """The newer one may have made a table of its own before it saw that the older one was quicker with the rest."""
    engine = open_database(old_url).engine
    reservations.create(engine)
    engine.dispose()
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert await journal.batches.in_flight() == (SENT, UNANSWERED)
    assert version_of(old_url) == VERSION


def run(url: str, statement: str) -> None:
    """Change a journal from outside."""
    engine = open_database(url).engine
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def made_anew(url: str, folder: Path) -> Engine:
    """Return a database of the same kind, where today's tables are as they were written down."""
    other = f"sqlite:///{folder / 'anew.db'}"
    if not url.startswith("sqlite:"):
        run(url, "DROP SCHEMA public CASCADE")
        run(url, "CREATE SCHEMA public")
        other = url
    released.make(other, VERSION)
    return open_database(other).engine


def shape_of(engine: Engine) -> dict[str, Any]:
    """Return what matters of each table: its columns without their order, its key and its indexes."""
    found = inspect(engine)
    shape = {
        table: (
            sorted(
                (
                    column["name"],
                    str(column["type"]),
                    column["nullable"],
                    str(column["default"]).split("::")[0].strip("'"),
                )
                for column in found.get_columns(table)
            ),
            found.get_pk_constraint(table)["constrained_columns"],
            sorted((index["name"] or "", *index["column_names"]) for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
    }
    engine.dispose()
    return shape
