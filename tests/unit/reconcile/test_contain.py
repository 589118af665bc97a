"""A bug in the work of one project stays there, wherever in that work it is: the others converge, and it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from doubles import FakeCloud, FakeJournal, Fate
from passes import ACCEPT, TIMINGS, assert_adds_up, context, images, manifest, request, run

from worker.core.batch import Batch, End
from worker.core.events import BugFound, Event, ShareJudged
from worker.core.exit import Exit
from worker.core.fleet.report import Result, RunReport, exit_of_report
from worker.core.job import JobReply
from worker.core.manifest.model import Project
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.core.status import ShareStatus, Status
from worker.errors import BadRequest, Scope, SettingsError
from worker.reconcile.contain import contained
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.follow import Follower
from worker.reconcile.run import prepare, run_once

pytestmark = pytest.mark.looptime
ACCEPTED, PENDING = MemberStatus.ACCEPTED, MemberStatus.PENDING
WISHES = {name: dict.fromkeys(images(3), ACCEPT) for name in "pq"}
WORDS = "the words of a bug may hold anything"
BUGS = [
    RuntimeError(WORDS),
    KeyError(WORDS),
    AssertionError(WORDS),
    MemoryError(WORDS),
    RecursionError(WORDS),
    TimeoutError(WORDS),
    ConnectionResetError(WORDS),
    SettingsError(()),
    ExceptionGroup("several", [RuntimeError(WORDS), KeyError(WORDS)]),
]


class Buggy(FakeCloud):
    """A cloud whose client has a bug in one call for project p: in a list, a PUT or a job query.

    `list_from` is the first of its lists that fails; `begun` tells whether the PUT had an effect.
    """

    def __init__(
        self,
        bug: Exception,
        *,
        list_from: float = float("inf"),
        put: bool = False,
        job: bool = False,
        begun: bool = True,
    ) -> None:
        super().__init__(lambda batch: Fate(bug if put and batch.project_id == "p" else None, begun=begun))
        self.bug = bug
        self.list_from, self.job = list_from, job
        self.lists_of_p = 0
        for project_id in "pq":
            self.offer(project_id, images(3))

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield a list, or fail."""
        self.lists_of_p += project.id == "p"
        if project.id == "p" and self.lists_of_p >= self.list_from:
            raise self.bug
        async for page in super().list_shared(project, status, full_ecs=full_ecs, facts=facts):
            yield page

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Tell how a job is, or fail."""
        if self.job and project.id == "p":
            raise self.bug
        return await super().get_job(project, job_id)


def of(report: RunReport, project_id: str) -> list[ShareStatus]:
    """Return the outcomes of one project."""
    return [outcome for outcome in report.outcomes if outcome.share.project_id == project_id]


async def make(cloud: FakeCloud, journal: FakeJournal) -> tuple[RunReport, list[BugFound]]:
    """Make a pass for p and q; see that q converged; return the report, and the bugs that were told."""
    told: list[Event] = []
    report = await run_once(request(WISHES), context(cloud, journal, emit=told.append))
    assert_adds_up(report)
    assert {outcome.status for outcome in of(report, "q")} == {Status.CHANGED}
    return report, [event for event in told if isinstance(event, BugFound)]


def assert_told(report: RunReport, bugs: list[BugFound]) -> None:
    """See that one bug was told, with its traceback, and its words in no place that people or machines are shown."""
    (bug,) = bugs
    assert bug.project_id == "p"
    assert "in worker." in bug.what
    assert bug.what.partition(" in ")[0] in bug.trace
    assert report.bugs == (f"project p: {bug.what}",)
    assert exit_of_report(report) is Exit.BUG
    assert all(WORDS not in outcome.reason for outcome in report.outcomes)
    assert WORDS not in bug.what


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
async def test_a_project_whose_reading_meets_a_bug_is_unknown(bug: Exception) -> None:
    """Whatever the exception is, a time-out and an error of the system included; nothing is sent for the project."""
    cloud = Buggy(bug, list_from=1)
    report, bugs = await make(cloud, FakeJournal())
    assert [(each.status, each.reason) for each in of(report, "p")] == [(Status.UNKNOWN, f"a bug: {bugs[0].what}")] * 3
    assert {batch.project_id for batch in cloud.puts} == {"q"}
    assert_told(report, bugs)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
@pytest.mark.parametrize("where", ["put", "job"])
async def test_shares_whose_sending_or_following_meets_a_bug_have_failed(bug: Exception, where: str) -> None:
    """What was sent stays in flight and is not sent twice; the images are not to blame, so none is held."""
    cloud, journal = Buggy(bug, **{where: True}), FakeJournal()  # type: ignore[arg-type]
    report, bugs = await make(cloud, journal)
    assert {(each.status, each.reason) for each in of(report, "p")} == {(Status.FAILED, f"a bug: {bugs[0].what}")}
    assert len(of(report, "p")) == 3
    assert_told(report, bugs)
    assert journal.quarantine == {}
    assert [flight.batch.project_id for flight in await journal.batches.in_flight()] == ["p"]
    again = await run(WISHES, cloud, journal)
    assert (len(cloud.puts), cloud.sent_while_alive, again.result) == (2, [], Result.CONVERGED)


async def test_a_bug_before_a_put_leaves_nothing_in_flight() -> None:
    """Nothing was written and nothing sent, so the next pass sends it at once."""

    class Before(Buggy):
        async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
            if project.id == "p":
                raise self.bug
            return await super().update_members(project, batch, on_slot)

    journal = FakeJournal()
    report, bugs = await make(Before(RuntimeError(WORDS)), journal)
    assert {each.status for each in of(report, "p")} == {Status.FAILED}
    assert_told(report, bugs)
    assert (await journal.batches.in_flight(), journal.quarantine) == ((), {})


async def test_shares_whose_project_cannot_be_read_again_for_a_bug_are_unknown() -> None:
    """The reading is made once, told once though several batches wait for it, and not repeated until verify is over."""
    cloud, told = Buggy(RuntimeError(WORDS), list_from=5), list[Event]()
    report = await run_once(request(WISHES, max_images=1), context(cloud, FakeJournal(), emit=told.append))
    assert_adds_up(report)
    assert {outcome.status for outcome in of(report, "p")} == {Status.UNKNOWN}
    assert {outcome.status for outcome in of(report, "q")} == {Status.CHANGED}
    assert_told(report, [event for event in told if isinstance(event, BugFound)])


async def test_a_bug_in_one_batch_is_not_that_of_the_other_batches_of_its_project() -> None:
    """Of three batches one meets a bug; the two others are followed to their end and proven."""
    bug = RuntimeError(WORDS)
    cloud = FakeCloud(lambda batch: Fate(bug if batch.images == ("image-0001",) else None, seconds=20.0))
    cloud.offer("p", images(3))
    report = await run_once(request({"p": WISHES["p"]}, max_images=1), context(cloud, FakeJournal()))
    assert [each.status for each in report.outcomes] == [Status.CHANGED, Status.FAILED, Status.CHANGED]


async def test_a_bug_while_a_batch_is_divided_ends_with_no_work_left_behind() -> None:
    """The other half is not sent on its own account after the report; what was sent of it stays in flight."""

    def fate(batch: Batch) -> Fate:
        if len(batch.images) == 4:
            return Fate(BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE), begun=False)
        return Fate(RuntimeError(WORDS), begun=False) if "image-0000" in batch.images else Fate(seconds=30.0)

    cloud, journal = FakeCloud(fate), FakeJournal()
    cloud.offer("p", images(4))
    report = await run({"p": dict.fromkeys(images(4), ACCEPT)}, cloud, journal)
    assert {outcome.status for outcome in report.outcomes} == {Status.FAILED}
    sent = len(cloud.puts)
    await asyncio.sleep(3600.0)
    assert (len(cloud.puts), sent) == (2, 2)
    assert len(await journal.batches.in_flight()) == 1


async def test_a_plan_knows_of_a_bug_too() -> None:
    """A plan that could not read one project for a bug has the others' changes, and says so."""
    prepared = await prepare(request(WISHES), context(Buggy(RuntimeError(WORDS), list_from=1), FakeJournal()))
    assert {change.share.project_id for change in prepared.plan.changes} == {"q"}
    assert len(prepared.bugs) == 1


async def test_a_stop_is_no_bug() -> None:
    """Told to stop while it reads or follows, a pass has met no bug."""
    cloud, deadlines, told = FakeCloud(lambda _: Fate(stuck=True)), Deadlines(), list[Event]()
    cloud.offer("p", images(3))
    cloud.silent.add("q")
    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 5.0)
    report = await run_once(request(WISHES), context(cloud, FakeJournal(), deadlines=deadlines, emit=told.append))
    assert report.bugs == ()
    assert not [event for event in told if isinstance(event, BugFound)]


async def test_a_cancelled_pass_is_cancelled() -> None:
    """Whoever cancels a pass means all of it."""
    cloud = FakeCloud(lambda _: Fate(stuck=True))
    cloud.offer("p", images(3))
    making = asyncio.create_task(run_once(request({"p": WISHES["p"]}), context(cloud, FakeJournal())))
    await asyncio.sleep(5.0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making


@pytest.mark.parametrize("bug", [KeyError(WORDS), OSError(WORDS)])
async def test_a_bug_beside_the_passes_fails_its_shares_and_is_met_later_and_later(bug: Exception) -> None:
    """The other jobs are followed to their ends; the journal keeps this one, which is asked about less and less."""
    cloud, journal, told = Buggy(bug, job=True), FakeJournal(), list[Event]()
    cloud.fate = lambda _: Fate(seconds=60.0, end=End.SUCCEEDED)
    stopped = Deadlines()
    asyncio.get_running_loop().call_later(0.6, stopped.stop, 0.0)
    await run_once(request(WISHES), context(cloud, journal, deadlines=stopped))
    assert len(await journal.batches.in_flight()) == 2
    everything = manifest(WISHES)
    deadlines = Deadlines()
    async with asyncio.TaskGroup() as tasks:

        def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return tasks.create_task(work)

        follower = Follower(context(cloud, journal, deadlines=deadlines, emit=told.append), start, lambda: None)
        for _ in range(24 * 12):
            follower.take(await journal.batches.in_flight(), everything)
            await asyncio.sleep(5.0)
        assert [flight.batch.project_id for flight in await journal.batches.in_flight()] == ["p"]
        bugs = [event for event in told if isinstance(event, BugFound)]
        # 24 minutes of looks each 5 seconds: after 30 s, 1, 2, 4, 8 and 15 minutes.
        assert 1 <= len(bugs) <= 6
        judged = {
            event.status.share.project_id: event.status.status for event in told if isinstance(event, ShareJudged)
        }
        assert judged == {"p": Status.FAILED, "q": Status.CHANGED}
        assert journal.quarantine == {}
        cloud.job = False
        await asyncio.sleep(2 * TIMINGS.quarantine.first)
        assert await journal.batches.in_flight() == ()
        deadlines.stop(0.0)
        await follower.drain()


async def test_the_last_bugs_are_kept_and_no_traceback_is_without_bounds() -> None:
    """Bugs without end, or words without end, cost no more memory than a few."""
    pass_context = context(FakeCloud(), FakeJournal())

    async def fail() -> str:
        raise RuntimeError(f"long {'x' * 490}key " * 1000)

    for _ in range(100):
        assert (await contained(pass_context, "p", fail(), lambda reason: reason)).startswith("a bug: RuntimeError")
    assert len(pass_context.bugs) == 20
    assert max(len(bug.trace) for bug in pass_context.bugs) <= 30_000
    assert pass_context.bugs[0].trace.endswith("RuntimeError: long ...\n")
