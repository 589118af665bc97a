"""Each row of the journal has an end: what is of no more use is forgotten after a pass, and nothing else is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import rehearse
import released
from opening import open_journal
from sqlalchemy import func, select
from virtual import wall

from worker.core.batch import Batch, End
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts, CallGroup, LimitKey
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.instruction import InstructionKind
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.core.manifest.listed import Listed, ProjectList
from worker.core.operation import Operation
from worker.core.polling.durations import Durations, Kind
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.journal import schema
from worker.journal.lease import hold_journal
from worker.journal.pruning import Retention
from worker.journal.store import Journal
from worker.simulator.naming import project_id
from worker.simulator.server import Simulator

DAY = 86400.0
NOW = 1_800_000_000.0
RETENTION = Retention.at(NOW, 30 * DAY, 300.0, {"here"}, {"here"})
BATCH = Batch("here", Operation.ACCEPT, None, ("a",))
NOTHING = QuarantineUpdate((), ())


def a_pass(run_id: str, ended_at: float) -> RunReport:
    """Return the report of a pass."""
    return RunReport(run_id, ended_at - 1, ended_at, Result.CONVERGED, 0, 0, 0, (), (), CallCounts(), "")


def an_absent(project: str) -> ShareStatus:
    """Return how a share is that is not as desired."""
    return ShareStatus(Share(project, "a"), Status.ABSENT, Operation.ACCEPT, reason="why", source="who")


async def count(journal: Journal, table: str) -> int:
    """Return how many rows a table has."""
    query = select(func.count()).select_from(schema.metadata.tables[table])
    return await journal.read(lambda connection: connection.execute(query).scalar_one())


def test_the_end_of_the_rows_of_each_table_is_written_down() -> None:
    """Of a table that is added, too."""
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", schema.__doc__ or "", re.MULTILINE))))
    assert named == schema.metadata.tables.keys()


@pytest.mark.parametrize(
    ("keep", "window", "oldest"), [(30 * DAY, 300.0, 30 * DAY), (3600.0, 300.0, DAY), (3600.0, 2 * DAY, 2 * DAY)]
)
async def test_an_ended_batch_is_kept_as_long_as_anybody_counts_it(
    journal_url: str, keep: float, window: float, oldest: float
) -> None:
    """People, the guards of a day, the longest limit: a short history makes neither of the others forget."""
    async with open_journal(journal_url) as journal:
        keys = [await journal.batches.intend(BATCH, "run", NOW - 99 * DAY, 1) for _ in range(3)]
        await journal.batches.settle(keys[0], End.SUCCEEDED, "", NOW - oldest - 1)
        await journal.batches.settle(keys[1], End.SUCCEEDED, "", NOW - oldest + 1)
        await journal.prune(Retention.at(NOW, keep, window, (), ()))
        left = await journal.read(lambda connection: connection.execute(select(schema.batches.c.key)).scalars().all())
        assert sorted(left) == keys[1:]


async def test_history_is_kept_as_long_as_people_want_it(journal_url: str) -> None:
    """Passes and approvals, used or not; the counts of the calls only as long as a limit counts them."""
    async with open_journal(journal_url) as journal:
        for name, at in (("old", NOW - 31 * DAY), ("young", NOW - 29 * DAY)):
            await journal.passes.record(a_pass(name, at), NOTHING, {})
            await journal.approvals.give(f"sha256:{name}", "ann", at)
            await journal.approvals.give(f"sha256:{name} and used", "ann", at)
            assert await journal.approvals.use(f"sha256:{name} and used", "run", NOW)
        for age in (301, 299):
            journal.calls.note("here", CallGroup.JOB_GET, NOW - age)
            await journal.calls.flush()
        await journal.prune(RETENTION)
        assert [each.run_id for each in (await journal.passes.last(9)).needed()] == ["young"]
        assert [await journal.approvals.is_given(f"sha256:{name}") for name in ("old", "young")] == [False, True]
        assert await count(journal, "approvals") == 2
        assert [made.at for made in await journal.calls.since(0)] == [NOW - 299]


async def test_of_what_people_asked_long_ago_only_what_stands_is_kept(journal_url: str) -> None:
    """A pause holds until it is ended, however old; the last key stays, or another instruction would get it again."""
    async with open_journal(journal_url) as journal:
        asked = journal.instructions
        for verb in (
            InstructionKind.RECONCILE,
            InstructionKind.PAUSE,
            InstructionKind.RECONCILE,
            InstructionKind.RECONCILE,
        ):
            last = await asked.ask(verb, "ann", NOW - 31 * DAY)
        await journal.prune(RETENTION)
        standing = await asked.standing(NOW)
        assert (standing.pause is not None, standing.last_key) == (True, last.key)
        assert await count(journal, "instructions") == 2
        assert (await asked.ask(InstructionKind.RECONCILE, "ann", NOW)).key == last.key + 1


async def test_a_reading_stays_while_its_project_is_wished_or_young(journal_url: str) -> None:
    """What a project that cannot be read was last stands for it, for however long; one that has gone is forgotten."""
    async with open_journal(journal_url) as journal:
        for project, at in (("here", NOW - 99 * DAY), ("gone", NOW - 31 * DAY), ("lately gone", NOW - 29 * DAY)):
            reading = LastReading(at, 3, (an_absent(project),))
            await journal.passes.record(a_pass(project, NOW), NOTHING, {project: reading})
        await journal.prune(RETENTION)
        assert set(await journal.readings.last()) == {"here", "lately gone"}
        assert await count(journal, "readings_amiss") == 2


async def test_what_was_learned_of_an_account_stays_while_it_is_used_or_young(journal_url: str) -> None:
    """Of one that has gone the size of a batch and its limits are forgotten with the history."""
    async with open_journal(journal_url) as journal:
        for account, at in (("here", NOW - 99 * DAY), ("gone", NOW - 31 * DAY), ("lately gone", NOW - 29 * DAY)):
            await journal.batch_sizes.learn(SizeKey(account, "eu"), BatchSize(50, 100, at))
            journal.learned_limits.note(
                LimitKey(account, CallGroup.JOB_GET), LearnedLimit(Rate(1, 60), at, is_stated=True)
            )
        await journal.batch_sizes.learn(SizeKey("gone without a time", "eu"), BatchSize(50))
        await journal.flush()
        await journal.prune(RETENTION)
        known = (await journal.learned_limits.known()).needed()
        assert {key.account for key, _ in known} == {"here", "lately gone"}
        assert {key.account for key, _ in (await journal.batch_sizes.known()).needed()} == {"here", "lately gone"}


async def test_a_list_of_projects_that_was_not_read_for_long_is_forgotten(journal_url: str) -> None:
    """What is in it may have gone since; of each credential there is one."""
    async with open_journal(journal_url) as journal:
        project = Listed("0" * 32, "eu-west-101")
        await journal.project_lists.keep({"young": ProjectList(NOW - 40 * DAY), "old": ProjectList(NOW - 31 * DAY)})
        await journal.project_lists.keep({"young": ProjectList(NOW - 29 * DAY, (project,))})
        await journal.project_lists.keep({})
        await journal.prune(RETENTION)
        known = (await journal.project_lists.known()).needed()
        assert known == (("young", ProjectList(NOW - 29 * DAY, (project,))),)


async def test_how_long_jobs_last_is_forgotten_with_the_history(journal_url: str) -> None:
    """Of a kind of which none has ended for that long."""
    async with open_journal(journal_url) as journal:
        kinds = {age: Kind(f"{age} days ago", takes_vault=False, size=100) for age in (31, 29)}
        await journal.durations.keep({kind: Durations({50: 1.0}, NOW - age * DAY) for age, kind in kinds.items()})
        await journal.prune(RETENTION)
        assert [kind for kind, _ in (await journal.durations.known()).needed()] == [kinds[29]]


async def test_what_a_crashed_pass_has_reserved_is_forgotten_after_a_day(journal_url: str) -> None:
    """Also where its shard never comes back, nor any guard that could count it."""
    async with hold_journal(journal_url, "run", WHOLE):
        pass
    async with (
        hold_journal(journal_url, "run", Shard(1, 2)) as sibling,
        hold_journal(journal_url, "run", Shard(0, 2)) as journal,
    ):
        await sibling.rejections.reserve({"old": 1}, "old", NOW - DAY - 1, NOW - DAY, lambda _: ())
        await journal.prune(RETENTION)
        assert await count(journal, "reservations") == 0
        await sibling.rejections.reserve({"young": 1}, "young", NOW - DAY + 1, NOW - DAY, lambda _: ())
        await journal.prune(RETENTION)
        assert await count(journal, "reservations") == 1


async def test_a_pass_forgets_what_its_settings_and_manifest_say(journal_url: str) -> None:
    """The windows of the limits, the history of the journal, the projects and accounts that there are."""
    world = rehearse.fleet({"payments": 1})
    async with Simulator(world) as cloud:
        settings = rehearse.quick(cloud, journal={"url": journal_url, "keep": "2d"}, limits={"job_get": "100/1h"})
        async with rehearse.working(cloud, rehearse.manifest_of(world), settings) as worker:
            journal, now = worker.journal, wall()
            for age in (3500, 3700):
                journal.calls.note("default", CallGroup.JOB_GET, now - age)
                await journal.calls.flush()
            for project in (project_id("payments"), "gone"):
                reading = LastReading(now - 3 * DAY, 1, ())
                await journal.passes.record(a_pass(project, now - 3 * DAY), NOTHING, {project: reading})
            for account in ("default", "gone"):
                await journal.batch_sizes.learn(SizeKey(account, "eu"), BatchSize(50, 100, now - 3 * DAY))
            held = Quarantined(Share("gone", "a"), Operation.ACCEPT, 1, "bad", "bad", now + DAY)
            await journal.quarantine.change(QuarantineUpdate((held, replace(held, share=Share("gone", "b"))), ()))
            await worker.run()
            assert [made.at for made in await journal.calls.since(now - DAY)][:1] == [now - 3500]
            assert list(await journal.readings.last()) == [project_id("payments")]
            assert {key.account for key, _ in (await journal.batch_sizes.known()).needed()} == {"default"}
            assert await count(journal, "passes") == 1
            assert await journal.quarantine.held() == {}
    assert released.version_of(journal_url) == schema.VERSION
