"""The journal in real SQLite files: what it remembers, that it survives, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from disks import fill
from opening import open_journal
from sqlalchemy import Connection, Engine, event

from worker.core.batch import Batch, End, InFlight
from worker.core.calls import CallCounts
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import Shard
from worker.core.fleet.unread import Unread
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.share import MemberStatus, Share
from worker.core.status import FINAL, ShareStatus, Status
from worker.errors import JournalError
from worker.journal.approvals import Approval
from worker.journal.database import MEMORY
from worker.journal.lease import hold_journal
from worker.journal.pruning import Retention
from worker.journal.schema import VERSION

DAY = 86400.0
NOW = 1_800_000_000.0
ACCEPT = Batch("p1", Operation.ACCEPT, "v1", ("a", "b"))
REJECT = Batch("p2", Operation.REJECT, None, ("a",))
HELD = Quarantined(Share("p1", "a"), Operation.ACCEPT, 2, "was poisoned", "still is", NOW + 900, 25)
NOTHING = QuarantineUpdate((), ())


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Return the URL of a journal that is not there yet, in an SQLite file."""
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture
def untouched_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make an empty folder the current one, and see that it is empty still at the end."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def report(run_id: str, finished_at: float, *outcomes: ShareStatus) -> RunReport:
    """Return the report of a pass of ten seconds over three shares."""
    result = Result.PARTIAL if outcomes else Result.CONVERGED
    calls = CallCounts({}, 0, 0)
    return RunReport(run_id, finished_at - 10, finished_at, result, 3, 3 - len(outcomes), 0, outcomes, (), calls, "")


@contextmanager
def commits() -> Iterator[list[int]]:
    """Collect, for each commit of any journal, how its connection answers to `PRAGMA synchronous`."""
    seen: list[int] = []

    def note(connection: Connection) -> None:
        seen.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    event.listen(Engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", note)


async def test_an_intent_and_a_job_are_in_flight_also_after_reopening(journal_url: str) -> None:
    """What a process has sent is known to the next one, oldest first and in full."""
    async with open_journal(journal_url) as journal:
        later = await journal.batches.intend(ACCEPT, "run-1", NOW + 5, 0)
        earlier = await journal.batches.intend(REJECT, "run-1", NOW, 1)
        await journal.batches.accept(later, "job-1", NOW + 6)
    async with open_journal(journal_url) as journal:
        assert await journal.batches.in_flight() == (
            InFlight(earlier, REJECT, NOW),
            InFlight(later, ACCEPT, NOW + 5, "job-1", NOW + 6),
        )


@pytest.mark.parametrize("end", ["refuse", "settle", "abandon"])
async def test_a_batch_that_has_ended_is_no_longer_in_flight(journal_url: str, end: str) -> None:
    """Each of the three ends takes exactly its own batch out of flight."""
    async with open_journal(journal_url) as journal:
        ended = await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        left = await journal.batches.intend(REJECT, "run-1", NOW, 1)
        if end == "settle":
            await journal.batches.settle(ended, End.PARTIAL, "", NOW)
        else:
            await getattr(journal.batches, end)(ended, "why", NOW)
    async with open_journal(journal_url) as journal:
        assert [flight.key for flight in await journal.batches.in_flight()] == [left]


async def test_keys_are_not_used_again(journal_url: str) -> None:
    """A late word about an old batch cannot hit a new one: keys of one journal are all different."""
    async with open_journal(journal_url) as journal:
        keys = [await journal.batches.intend(ACCEPT, "run-1", NOW, 0) for _ in range(3)]
    async with open_journal(journal_url) as journal:
        keys.append(await journal.batches.intend(ACCEPT, "run-2", NOW, 0))
    assert len(set(keys)) == len(keys)


async def test_a_write_survives_the_process_without_closing(file_url: str, tmp_path: Path) -> None:
    """Once a method has returned, another connection sees what it wrote: nothing waits for the journal's end."""
    async with open_journal(file_url) as journal:
        await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        async with open_journal(file_url) as reader:
            assert [flight.batch for flight in await reader.batches.in_flight()] == [ACCEPT]


async def test_writes_that_wait_together_are_one_transaction(file_url: str) -> None:
    """Two hundred intents at once cost at most two commits, and each of them is in the file."""
    async with open_journal(file_url) as journal:
        with commits() as seen:
            keys = await asyncio.gather(*(journal.batches.intend(ACCEPT, "run-1", NOW + n, 0) for n in range(200)))
        assert len(seen) <= 2
        assert [flight.key for flight in await journal.batches.in_flight()] == keys


async def test_a_commit_is_on_the_disk(file_url: str, tmp_path: Path) -> None:
    """Each commit is made with `synchronous` FULL (2), and the file has a write-ahead log."""
    async with open_journal(file_url) as journal:
        with commits() as seen:
            await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        assert seen == [2]
    with closing_connection(tmp_path / "journal.db") as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_what_a_write_raises_reaches_all_who_wait_for_its_commit(file_url: str) -> None:
    """A value that cannot be stored is an error for its group, not a wait without end; the journal goes on."""
    bad = Batch("p1", Operation.ACCEPT, "lone surrogate \ud800", ("a",))
    async with open_journal(file_url) as journal:
        writes = [journal.batches.intend(batch, "run-1", NOW, 0) for batch in (ACCEPT, bad)]
        async with asyncio.timeout(300):
            results = await asyncio.gather(*writes, return_exceptions=True)
            assert any(isinstance(result, UnicodeEncodeError) for result in results)
            key = await journal.batches.intend(REJECT, "run-1", NOW, 0)
        assert key in [flight.key for flight in await journal.batches.in_flight()]


async def test_quarantine_is_remembered_changed_and_left(journal_url: str) -> None:
    """A quarantined share comes back as it was put in; a later pass replaces or frees it."""
    async with open_journal(journal_url) as journal:
        await journal.passes.record(report("run-1", NOW), QuarantineUpdate((HELD,), ()), {})
    async with open_journal(journal_url) as journal:
        assert await journal.quarantine.held() == {HELD.share: HELD}
        longer = Quarantined(HELD.share, HELD.operation, 3, HELD.first_reason, "yet again", NOW + 1800)
        await journal.passes.record(report("run-2", NOW), QuarantineUpdate((longer,), ()), {})
        assert await journal.quarantine.held() == {HELD.share: longer}
        await journal.passes.record(report("run-3", NOW), QuarantineUpdate((), (HELD.share,)), {})
        assert await journal.quarantine.held() == {}


async def test_an_approval_is_used_once(journal_url: str) -> None:
    """It lets one pass through, however many say so before that pass, and another one when it is given anew."""
    async with open_journal(journal_url) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        assert not await journal.approvals.use("sha256:2", "run-1", NOW)
        assert await journal.approvals.use("sha256:1", "run-1", NOW)
        assert not await journal.approvals.use("sha256:1", "run-2", NOW)
        said = [await journal.approvals.give("sha256:1", who, NOW + 1) for who in ("ann@host", "bob@host")]
        assert said == [None, Approval("ann@host", NOW + 1)]
        used = [await journal.approvals.use("sha256:1", "run-3", NOW + 2) for _ in range(2)]
        assert used == [True, False]


async def test_what_was_approved_and_used_since_it_was_refused_is_not_approved_again(journal_url: str) -> None:
    """Who comes a moment too late learns who was first and what went by it; refused again, it is approved anew."""
    async with open_journal(journal_url) as journal:
        assert await journal.approvals.give("sha256:1", "ann@host", NOW, NOW - 5) is None
        assert await journal.approvals.use("sha256:1", "run-1", NOW + 1)
        again = await journal.approvals.give("sha256:1", "bob@host", NOW + 2, NOW - 5)
        assert again == Approval("ann@host", NOW, "run-1")
        assert not await journal.approvals.is_given("sha256:1")
        assert await journal.approvals.give("sha256:1", "bob@host", NOW + 9, NOW + 8) is None
        unused = await journal.approvals.give("sha256:1", "cyd@host", NOW + 10, NOW - 5)
        assert unused == Approval("bob@host", NOW + 9)


async def test_who_approved_and_what_used_it_are_kept(file_url: str, tmp_path: Path) -> None:
    """The file tells who approved a plan, when, and which pass used the approval."""
    async with open_journal(file_url) as journal:
        await journal.approvals.give("sha256:1", "ann@host", NOW)
        await journal.approvals.use("sha256:1", "run-1", NOW + 60)
    with closing_connection(tmp_path / "journal.db") as raw:
        query = "SELECT digest, approved_by, approved_at, used_by_run, used_at FROM approvals"
        assert raw.execute(query).fetchall() == [("sha256:1", "ann@host", NOW, "run-1", NOW + 60)]


async def test_release_frees_from_quarantine(journal_url: str) -> None:
    """A released share is out of quarantine; its neighbours stay."""
    other = Quarantined(Share("p1", "b"), Operation.ACCEPT, 1, "x", "x", NOW)
    async with open_journal(journal_url) as journal:
        await journal.passes.record(report("run-1", NOW), QuarantineUpdate((HELD, other), ()), {})
        assert await journal.releases.free(HELD.share, "ann@host", NOW) == ("quarantine",)
        assert set(await journal.quarantine.held()) == {other.share}
        assert await journal.releases.free(HELD.share, "ann@host", NOW) == ()


async def test_release_takes_a_share_out_of_a_batch_and_the_last_one_gives_the_batch_up(journal_url: str) -> None:
    """Each released image leaves the batch in flight; without images the batch is given up, others stay."""
    async with open_journal(journal_url) as journal:
        key = await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        await journal.batches.accept(key, "job-1", NOW)
        other = await journal.batches.intend(REJECT, "run-1", NOW, 1)
        assert await journal.releases.free(Share("p1", "a"), "ann@host", NOW) == ("job job-1",)
        left = {flight.key: flight.batch.images for flight in await journal.batches.in_flight()}
        assert left == {key: ("b",), other: ("a",)}
        assert await journal.releases.free(Share("p1", "b"), "ann@host", NOW) == ("job job-1",)
        assert [flight.key for flight in await journal.batches.in_flight()] == [other]
        assert await journal.releases.free(Share("p2", "a"), "ann@host", NOW) == ("a PUT whose answer is not known",)


async def test_rejects_are_counted_by_project_from_a_moment_on(journal_url: str) -> None:
    """What the cloud refused and what is older does not count; what is in flight, settled or given up does."""
    async with open_journal(journal_url) as journal:
        await journal.batches.intend(REJECT, "old", NOW - DAY - 1, 5)
        refused = await journal.batches.intend(REJECT, "run-1", NOW, 7)
        await journal.batches.refuse(refused, "no", NOW)
        settled = await journal.batches.intend(REJECT, "run-1", NOW, 2)
        await journal.batches.settle(settled, End.FAILED, "", NOW)
        abandoned = await journal.batches.intend(REJECT, "run-1", NOW - DAY, 1)
        await journal.batches.abandon(abandoned, "", NOW)
        await journal.batches.intend(Batch("p3", Operation.REJECT, None, ("a",)), "run-1", NOW, 4)
        await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        assert await journal.rejections.since(NOW - DAY) == {"p2": 3, "p3": 4}


async def test_the_last_passes_come_newest_first(journal_url: str) -> None:
    """Of three passes the two that ended last are returned, with their counts as in the report."""
    failed = ShareStatus(HELD.share, Status.FAILED, HELD.operation, None, MemberStatus.PENDING, "poisoned")
    async with open_journal(journal_url) as journal:
        for run_id, at in (("middle", NOW + 1), ("last", NOW + 2), ("first", NOW)):
            await journal.passes.record(report(run_id, at, failed), NOTHING, {})
        found = (await journal.passes.last(2)).needed()
    zeros = dict.fromkeys((kind.value for kind in FINAL), 0)
    counts = {"desired": 3, "converged": 2} | zeros | {"failed": 1}
    assert found == (
        PassRecord("last", NOW - 8, NOW + 2, "partial", counts),
        PassRecord("middle", NOW - 9, NOW + 1, "partial", counts),
    )


async def test_what_a_pass_could_not_read_is_kept_in_bounds(journal_url: str) -> None:
    """A line for each reason, the first ten of them, none of which is endless; nothing where all was read."""
    unread = tuple(Unread(f"p{number:02}", f"team-{number:02}", f"{number:02}" * 900) for number in range(12))
    async with open_journal(journal_url) as journal:
        await journal.passes.record(replace(report("1", NOW), unread=unread, projects=20), NOTHING, {})
        await journal.passes.record(report("2", NOW + 1), NOTHING, {})
        fine, odd = (await journal.passes.last(2)).needed()
        assert (await journal.memory.overview(2, NOW)).passes.needed() == (fine, odd)
    assert fine.unread == ()
    assert [len(line) for line in odd.unread] == [1000] * 10
    assert odd.unread[0].startswith("1 of 20 projects could not be read (team-00): 0000")


async def test_each_word_for_a_pass_is_kept_as_it_was_said(journal_url: str) -> None:
    """Those of earlier versions too, which called a pass that waits failed or partial: they are read as they stand."""
    async with open_journal(journal_url) as journal:
        for number, result in enumerate(Result):
            await journal.passes.record(replace(report(result, NOW + number), result=result), NOTHING, {})
        found = (await journal.passes.last(len(Result))).needed()
    assert [each.result for each in reversed(found)] == ["converged", "incomplete", "partial", "failed", "refused"]


async def test_prune_forgets_what_has_ended_long_ago_and_nothing_else(file_url: str, tmp_path: Path) -> None:
    """Old passes and old ended batches go; young ones, and what is in flight however old, stay."""
    async with open_journal(file_url) as journal:
        old = await journal.batches.intend(ACCEPT, "old", NOW - 40 * DAY, 0)
        await journal.batches.settle(old, End.SUCCEEDED, "", NOW - 40 * DAY)
        stuck = await journal.batches.intend(ACCEPT, "old", NOW - 40 * DAY, 0)
        young = await journal.batches.intend(ACCEPT, "new", NOW, 0)
        await journal.batches.settle(young, End.SUCCEEDED, "", NOW)
        await journal.passes.record(report("old", NOW - 40 * DAY), NOTHING, {})
        await journal.passes.record(report("new", NOW), NOTHING, {})
        await journal.prune(Retention.at(NOW, 30 * DAY, 300.0, (), ()))
        assert [each.run_id for each in (await journal.passes.last(10)).needed()] == ["new"]
        assert [flight.key for flight in await journal.batches.in_flight()] == [stuck]
    with closing_connection(tmp_path / "journal.db") as raw:
        assert raw.execute("SELECT key FROM batches ORDER BY key").fetchall() == [(stuck,), (young,)]


async def test_history_stays_small(file_url: str, tmp_path: Path) -> None:
    """Two hundred thousand settled shares take less than two megabytes: which images they were is not kept."""
    image_ids = tuple(f"d164b5df-1bc3-4c3f-893e-{number:012}" for number in range(100))
    batch = Batch("edc89b490d7d4392898e19b2deb34797", Operation.ACCEPT, None, image_ids)
    async with open_journal(file_url) as journal:
        for _ in range(20):
            keys = await asyncio.gather(*(journal.batches.intend(batch, "run-1", NOW, 0) for _ in range(100)))
            await asyncio.gather(*(journal.batches.accept(key, f"{key:032}", NOW) for key in keys))
            await asyncio.gather(*(journal.batches.settle(key, End.SUCCEEDED, "", NOW) for key in keys))
        assert await journal.batches.in_flight() == ()
    assert (tmp_path / "journal.db").stat().st_size < 2_000_000


async def test_what_is_in_flight_is_found_without_reading_history(file_url: str, tmp_path: Path) -> None:
    """A pass does not slow down as history grows: the query goes by an index."""
    async with open_journal(file_url):
        pass
    with closing_connection(tmp_path / "journal.db") as raw:
        query = "EXPLAIN QUERY PLAN SELECT * FROM batches WHERE state IN ('intent', 'job')"
        assert "USING INDEX batches_by_state" in str(raw.execute(query).fetchall())


async def test_memory_remembers_while_it_lasts_and_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal in memory works like any other, is gone when closed, and leaves nothing behind."""
    async with open_journal(MEMORY) as journal:
        await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        assert len(await journal.batches.in_flight()) == 1
    async with open_journal(MEMORY) as journal:
        assert await journal.batches.in_flight() == ()


async def test_several_at_once_may_make_the_same_journal(file_url: str, tmp_path: Path) -> None:
    """Shards that all find no journal make one together: one set of tables, one version, every write in it."""

    async def approve(index: int) -> None:
        async with hold_journal(file_url, "run", Shard(index, 8)) as journal:
            await journal.approvals.give(f"sha256:{index}", "ann@host", NOW)

    await asyncio.gather(*map(approve, range(8)))
    with closing_connection(tmp_path / "journal.db") as raw:
        assert raw.execute("SELECT schema_version FROM about").fetchall() == [(VERSION,)]
        assert raw.execute("SELECT count(*) FROM approvals").fetchone() == (8,)


async def test_a_file_that_another_writes_to_is_waited_for(file_url: str, tmp_path: Path) -> None:
    """Switching to the write-ahead log fails at once while a write is on, whatever the time-out: it is tried again."""
    with closing_connection(tmp_path / "journal.db") as raw:
        raw.execute("CREATE TABLE somebody_elses (x)")
        raw.execute("INSERT INTO somebody_elses VALUES (1)")
        asyncio.get_running_loop().call_later(0.3, raw.commit)
        async with open_journal(file_url) as journal:
            assert await journal.batches.in_flight() == ()


async def test_a_newer_schema_is_refused(file_url: str, tmp_path: Path) -> None:
    """The journal of a newer worker is not touched; the error names both versions, the file and the ways out."""
    async with open_journal(file_url):
        pass
    with closing_connection(tmp_path / "journal.db") as raw:
        raw.execute("UPDATE about SET schema_version = ?", (VERSION + 1,))
        raw.commit()
    await refused(
        file_url, str(tmp_path / "journal.db"), f"schema {VERSION + 1}", f"knows {VERSION}", "update this worker"
    )


async def test_a_file_that_is_no_journal_is_refused_and_left_alone(file_url: str, tmp_path: Path) -> None:
    """A text file is not overwritten; the error names it and what to do."""
    file = tmp_path / "journal.db"
    file.write_text("This is somebody's letter, and no database at all.\n" * 40)
    before = file.read_bytes()
    await refused(file_url, str(file), "file is not a database", "move it away")
    assert file.read_bytes() == before


async def test_a_damaged_journal_is_refused(file_url: str, tmp_path: Path) -> None:
    """A journal with a torn page is an error with its name and the way out, not a wrong memory."""
    async with open_journal(file_url) as journal:
        for n in range(200):
            await journal.approvals.give(f"sha256:{n:064}", "ann@host", NOW)
    file = tmp_path / "journal.db"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    await refused(file_url, str(file), "malformed", "move it away")


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """No folder is made for a journal whose name may be misspelt; the error names file and folder."""
    file = tmp_path / "nowhere" / "journal.db"
    await refused(f"sqlite:///{file}", str(file), f"there is no folder {file.parent}")
    assert not file.parent.exists()


async def test_a_folder_in_place_of_the_file_is_refused(file_url: str, tmp_path: Path) -> None:
    """A journal that is a folder is an error that says what it must be."""
    (tmp_path / "journal.db").mkdir()
    await refused(file_url, str(tmp_path / "journal.db"), "cannot be opened", "must be a file")


async def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    """A journal on a disk that became read-only is an error with the way out, for readers as well."""
    file = small_disk / "journal.db"
    async with open_journal(f"sqlite:///{file}") as journal:
        await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    await asyncio.to_thread(subprocess.run, remount, check=True, timeout=300)
    await refused(f"sqlite:///{file}", str(file), "writ")


async def test_a_journal_cannot_be_opened_on_a_full_disk(small_disk: Path) -> None:
    """Even to read it needs a little room: the error names the file, and the disk as the place to look at."""
    url = f"sqlite:///{small_disk / 'journal.db'}"
    async with open_journal(url):
        pass
    fill(small_disk / "ballast")
    await refused(url, str(small_disk / "journal.db"), "its disk", "full")


async def test_a_full_disk_is_an_error_and_loses_nothing(small_disk: Path) -> None:
    """When the disk is full a write fails with the way out; what was written stays, and room lets it go on."""
    ballast = small_disk / "ballast"
    url = f"sqlite:///{small_disk / 'journal.db'}"
    async with open_journal(url) as journal:
        key = await journal.batches.intend(ACCEPT, "run-1", NOW, 0)
        fill(ballast)
        big = Batch("p1", Operation.ACCEPT, None, tuple(f"image-{n:060}" for n in range(1000)))
        with pytest.raises(JournalError) as caught:
            await journal.batches.intend(big, "run-1", NOW, 0)
        assert_names(caught.value, str(small_disk / "journal.db"), "full", "make room")
        ballast.unlink()
        assert [flight.key for flight in await journal.batches.in_flight()] == [key]
        await journal.batches.intend(REJECT, "run-1", NOW, 1)
        assert len(await journal.batches.in_flight()) == 2


async def refused(url: str, *words: str) -> None:
    """See that the journal cannot be opened, and that the error has these words."""
    with pytest.raises(JournalError) as caught:
        async with open_journal(url):
            pass
    assert_names(caught.value, *words)


def assert_names(error: Exception, *words: str) -> None:
    """See that an error has all these words in one line."""
    assert "\n" not in str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


@contextmanager
def closing_connection(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a file without any of the journal's own code."""
    connection = sqlite3.connect(file)
    try:
        yield connection
    finally:
        connection.close()
