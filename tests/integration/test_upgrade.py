"""A journal of an older worker: brought up to date by the next one that holds it, and only read by all others."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from opening import open_journal
from sqlalchemy import Connection, inspect

from worker.core.batch import Batch, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.instruction import Verb
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.errors import JournalError
from worker.journal import migrations, schema
from worker.journal.approvals import Refusals, RefusedPass
from worker.journal.call_log import CallsMade
from worker.journal.database import open_database
from worker.journal.instructions import Standing
from worker.journal.lease import hold_journal
from worker.journal.schema import VERSION

NOW = 1_800_000_000.0
BATCH = Batch("p1", Operation.ACCEPT, "v1", ("a", "b"))
HELD = Quarantined(Share("p1", "a"), Operation.ACCEPT, 2, "was poisoned", "still is", NOW + 900)
OLD_PASS = PassRecord("old", NOW - 10, NOW, "partial", {"desired": 3, "converged": 2}, WHOLE)
OLD_CALLS = CallsMade("default", CallGroup.IMAGES_LIST, NOW, 7, WHOLE)
FLIGHT = InFlight(1, BATCH, NOW, "job-1", NOW + 1, "old")
VERSION_1 = """
DROP TABLE passes;
DROP TABLE calls;
DROP TABLE reservations;
DROP TABLE readings;
DROP TABLE readings_amiss;
DROP TABLE batch_sizes;
DROP TABLE instructions;
ALTER TABLE quarantine DROP COLUMN together;
CREATE TABLE passes (
    run_id VARCHAR(64) NOT NULL PRIMARY KEY, started_at FLOAT NOT NULL, finished_at FLOAT NOT NULL,
    result VARCHAR(16) NOT NULL, counts JSON NOT NULL
);
CREATE INDEX passes_by_end ON passes (finished_at);
CREATE TABLE calls (
    key INTEGER PRIMARY KEY, account VARCHAR(256) NOT NULL, call_group VARCHAR(32) NOT NULL, at FLOAT NOT NULL,
    made INTEGER NOT NULL
);
CREATE INDEX calls_by_time ON calls (at);
INSERT INTO passes VALUES ('old', 1799999990, 1800000000, 'partial', '{"desired": 3, "converged": 2}');
INSERT INTO calls (account, call_group, at, made) VALUES ('default', 'images_list', 1800000000, 7);
UPDATE about SET schema_version = 1
"""
"""What differs in the tables of the first version, in the words of SQLite."""


@pytest.fixture
async def old_url(journal_url: str) -> str:
    """Return the URL of a journal as the first version left it: a pass, its calls, a job, a share in quarantine."""
    async with open_journal(journal_url) as journal:
        await journal.accept(await journal.intend(BATCH, "old", NOW, 0), "job-1", NOW + 1)
        await journal.change_quarantine(QuarantineUpdate((HELD,), ()))
    database = open_database(journal_url)
    key = "SERIAL" if database.engine.dialect.name == "postgresql" else "INTEGER"
    with database.engine.begin() as connection:
        for statement in VERSION_1.replace("key INTEGER", f"key {key}").split(";"):
            connection.exec_driver_sql(statement)
    database.engine.dispose()
    return journal_url


async def test_nothing_is_lost_and_the_shards_are_told_apart_from_then_on(old_url: str) -> None:
    """Jobs in flight, quarantine, passes and calls are all there; old rows are of the whole fleet, new ones tell."""
    shard = Shard(1, 4)
    async with hold_journal(old_url, "run", shard) as journal:
        assert await journal.in_flight() == (FLIGHT,)
        assert await journal.quarantined() == {HELD.share: HELD}
        assert (await journal.last_passes(9)).needed() == (OLD_PASS,)
        assert await journal.calls.since(NOW) == (OLD_CALLS,)
        calls = CallCounts({}, 0, 0)
        report = RunReport("new", NOW + 5, NOW + 6, Result.CONVERGED, 1, 1, 0, (), (), calls, "")
        await journal.record(report, QuarantineUpdate((), ()), {})
        journal.calls.note("default", CallGroup.JOB_GET, NOW + 6)
        assert await journal.reserve({"p1": 2}, "next", NOW + 7, NOW, lambda _: ()) == ()
        async with hold_journal(old_url, "run", Shard(2, 4)) as sibling:
            assert await sibling.rejected_since(NOW) == {"p1": 2}
    async with open_journal(old_url) as journal:
        assert [each.shard for each in (await journal.last_passes(9)).needed()] == [shard, WHOLE]
        assert [each.shard for each in await journal.calls.since(NOW)] == [WHOLE, shard]
    assert version(old_url) == VERSION


async def test_the_shards_of_a_fleet_may_come_to_it_at_once(old_url: str) -> None:
    """Four that find an old journal bring it up to date together: once, and all of them then hold their part."""
    async with AsyncExitStack() as held:
        holders = [hold_journal(old_url, "run", Shard(index, 4)) for index in range(4)]
        journals = await asyncio.gather(*map(held.enter_async_context, holders))
        for journal in journals:
            assert (await journal.last_passes(9)).needed() == (OLD_PASS,)
    assert version(old_url) == VERSION


async def test_who_only_looks_or_writes_a_row_leaves_an_old_journal_as_it_is(old_url: str) -> None:
    """Workers of the version before can go on with it: nothing that they would not know is put there."""
    async with open_journal(old_url) as journal:
        assert (await journal.last_passes(9)).needed() == (await journal.memory(9)).fleet.needed() == (OLD_PASS,)
        assert await journal.rejected_since(NOW) == {}
        assert await journal.calls.since(NOW) == (OLD_CALLS,)
        assert await journal.quarantined() == {HELD.share: HELD}
        assert await journal.release(HELD.share, "ann@host", NOW) == ("quarantine", "job job-1")
        journal.calls.note("default", CallGroup.JOB_GET, NOW + 6)
    assert version(old_url) == 1
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert [made.count for made in await journal.calls.since(NOW)] == [7, 1]


async def test_a_journal_of_the_second_version_learns_what_failed_together(journal_url: str) -> None:
    """Who only looks takes each share for one that failed by itself, and so does the next holder, who can tell anew."""
    async with open_journal(journal_url) as journal:
        await journal.change_quarantine(QuarantineUpdate((HELD,), ()))
    engine = open_database(journal_url).engine
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE quarantine DROP COLUMN together")
        before_version_5(connection)
        connection.exec_driver_sql("UPDATE about SET schema_version = 2")
    engine.dispose()
    async with open_journal(journal_url) as journal:
        assert await journal.quarantined() == {HELD.share: HELD}
    assert version(journal_url) == 2
    anew = replace(HELD, failed_batch_size=25)
    async with hold_journal(journal_url, "run", WHOLE) as journal:
        assert await journal.quarantined() == {HELD.share: HELD}
        await journal.change_quarantine(QuarantineUpdate((anew,), ()))
        assert await journal.quarantined() == {HELD.share: anew}
    assert version(journal_url) == VERSION


async def test_a_journal_of_the_third_version_learns_what_was_read_and_how_large_batches_may_be(
    journal_url: str,
) -> None:
    """Who only looks finds neither, and nothing is changed; the next holder has the tables, and keeps both."""
    async with open_journal(journal_url) as journal:
        await journal.change_quarantine(QuarantineUpdate((HELD,), ()))
    engine = open_database(journal_url).engine
    with engine.begin() as connection:
        for table in ("readings", "readings_amiss", "batch_sizes"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        before_version_5(connection)
        connection.exec_driver_sql("UPDATE about SET schema_version = 3")
    engine.dispose()
    async with open_journal(journal_url) as journal:
        assert (await journal.last_readings(), (await journal.sizes.known()).needed()) == ({}, ())
    assert version(journal_url) == 3
    absent = ShareStatus(Share("p1", "a"), Status.ABSENT, Operation.ACCEPT, reason="why", source="who")
    readings = {"p1": LastReading(NOW, 3, (absent,)), "p2": LastReading(NOW, 4)}
    report = RunReport("new", NOW, NOW, Result.CONVERGED, 0, 0, 0, (), (), CallCounts({}, 0, 0), "")
    key, size = SizeKey("default", "eu-west-0"), BatchSize(100, 200, NOW)
    async with hold_journal(journal_url, "run", WHOLE) as journal:
        assert await journal.quarantined() == {HELD.share: HELD}
        await journal.record(report, QuarantineUpdate((), ()), readings)
        await journal.sizes.learn(key, size)
    async with open_journal(journal_url) as journal:
        assert await journal.last_readings() == readings
        assert (await journal.sizes.known()).needed() == ((key, size),)
    assert version(journal_url) == VERSION


async def test_a_journal_of_the_fourth_version_learns_what_people_ask_and_what_was_refused(journal_url: str) -> None:
    """Beside an older worker approvals and releases are written as ever, and what it does not know is said."""
    async with open_journal(journal_url) as journal:
        await journal.change_quarantine(QuarantineUpdate((HELD,), ()))
    engine = open_database(journal_url).engine
    with engine.begin() as connection:
        before_version_5(connection)
        connection.exec_driver_sql("UPDATE about SET schema_version = 4")
        connection.exec_driver_sql(
            "INSERT INTO passes (run_id, started_at, finished_at, result, counts, shard_index, shard_count) "
            "VALUES ('old', 1799999990, 1800000000, 'refused', '{}', 0, 1)"
        )
    engine.dispose()
    async with open_journal(journal_url) as journal:
        assert await journal.instructions.standing(NOW) == Standing()
        assert not (await journal.refusals("sha256:0")).are_told
        for asking in (
            journal.instructions.ask(Verb.PAUSE, "ann", NOW),
            journal.instructions.resume("ann", NOW),
        ):
            with pytest.raises(JournalError, match="older worker"):
                await asking
        assert await journal.approve("sha256:0", "ann@host", NOW) is None
        assert await journal.release(HELD.share, "ann@host", NOW) == ("quarantine",)
        assert [each.result for each in (await journal.last_passes(9)).needed()] == ["refused"]
    assert version(journal_url) == 4
    report = RunReport("new", NOW, NOW, Result.REFUSED, 0, 0, 0, (), (), CallCounts({}, 0, 0), "sha256:1")
    async with hold_journal(journal_url, "serve", WHOLE) as journal:
        assert await journal.is_approved("sha256:0")
        assert await journal.refusals("sha256:0") == Refusals(is_known=False)
        await journal.record(report, QuarantineUpdate((), ()), {})
        last = RefusedPass("sha256:1", "new", NOW)
        assert await journal.refusals("sha256:1") == Refusals(is_known=True, last=last)
        pause = await journal.instructions.ask(Verb.PAUSE, "ann", NOW)
        assert await journal.instructions.standing(NOW) == Standing(pause, pause.key)
    assert version(journal_url) == VERSION


async def test_an_upgrade_that_breaks_off_has_changed_nothing(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction: after a statement that fails the journal is what it was, and the next try works."""
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "STEPS", ((*migrations.STEPS[0], "ALTER TABLE nowhere ADD COLUMN x INTEGER"),))
        with pytest.raises(JournalError, match="nowhere"):
            async with hold_journal(old_url, "run", WHOLE):
                pass
    assert version(old_url) == 1
    engine = open_database(old_url).engine
    assert not inspect(engine).has_table("reservations")
    assert "shard_index" not in {column["name"] for column in inspect(engine).get_columns("passes")}
    engine.dispose()
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert await journal.in_flight() == (FLIGHT,)


async def test_tables_that_two_versions_made_at_once_are_brought_up_to_date(old_url: str) -> None:
    """The newer one may have made a table of its own before it saw that the older one was quicker with the rest."""
    engine = open_database(old_url).engine
    schema.reservations.create(engine)
    engine.dispose()
    async with hold_journal(old_url, "run", WHOLE) as journal:
        assert await journal.in_flight() == (FLIGHT,)
    assert version(old_url) == VERSION


def before_version_5(connection: Connection) -> None:
    """Take away what the fifth version has brought."""
    connection.exec_driver_sql("DROP TABLE instructions")
    connection.exec_driver_sql("ALTER TABLE passes DROP COLUMN digest")


def version(url: str) -> int:
    """Return the version that is written in a journal."""
    engine = open_database(url).engine
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT schema_version FROM about").scalar_one()
    engine.dispose()
    return int(found)
