"""A job is followed to its end, or to the end of the worker's patience."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from doubles import EPOCH, FakeCloud, FakeJournal, wall
from passes import TIMINGS, context

from worker.core.batch import Batch, End
from worker.core.events import Event, Incident, JobSettled
from worker.core.job import Job, JobReply, Settlement
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.timing import PollPolicy
from worker.errors import AuthFailed, CloudError, Forbidden, NotFound, Scope, TransientCloudError, UnexpectedReply
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.track import track

pytestmark = pytest.mark.looptime
PROJECT = Project("p", "payments")
BATCH = Batch("p", Operation.ACCEPT, None, ("a", "b"))
RUNNING, DONE = JobReply(None), JobReply(End.SUCCEEDED)
DENIED = NotFound("no such job", status=404)
DOWN = TransientCloudError("down", status=503)
QUICK = replace(TIMINGS, polling=PollPolicy(1.0, 2.0, 8.0), deadline=60.0)


class Scripted(FakeCloud):
    """A cloud that answers job queries from a script, the last answer again and again; `asked` has the times."""

    def __init__(self, *script: JobReply | CloudError) -> None:
        super().__init__()
        self.script = list(script)
        self.asked: list[float] = []

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Give the next answer."""
        self.asked.append(asyncio.get_running_loop().time())
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, CloudError):
            raise answer
        return answer


async def followed(
    cloud: FakeCloud, *, age: float = 0.0, resumed: bool = False, deadlines: Deadlines | None = None
) -> tuple[Settlement, list[str], list[Event]]:
    """Follow a job of this age; return its settlement, its life in the journal, and the events."""
    journal, events = FakeJournal(), []
    submitted_at = wall() - age
    key = await journal.batches.intend(BATCH, "run-0", submitted_at, 0)
    await journal.batches.accept(key, "job-1", submitted_at)
    pass_context = context(cloud, journal, deadlines=deadlines, timings=QUICK, emit=events.append)
    settlement = await track(pass_context, PROJECT, Job(key, "job-1", BATCH, submitted_at), resumed=resumed)
    return settlement, journal.batches.lives[key], events


async def test_a_job_is_polled_less_and_less_often_until_it_ends() -> None:
    """The first poll waits too; the waits grow to their limit; the end is journalled and told."""
    cloud = Scripted(*[RUNNING] * 5, JobReply(End.SUCCEEDED, {"a": True}, "", "", Scope.UNSAID))
    settlement, life, events = await followed(cloud)
    assert cloud.asked == pytest.approx([1.0, 3.0, 7.0, 15.0, 23.0, 31.0])
    assert (settlement.end, settlement.polls, settlement.results) == (End.SUCCEEDED, 6, {"a": True})
    assert settlement.settled_at == pytest.approx(EPOCH + 31.0)
    assert life == ["intent", "job", "settled"]
    assert events == [JobSettled(settlement)]


async def test_a_failure_keeps_the_words_of_the_cloud() -> None:
    """Reason, code and scope decide whether the batch is split."""
    settlement, life, _ = await followed(Scripted(JobReply(End.FAILED, {}, "no room", "IMG.0182", Scope.VAULT)))
    assert (settlement.end, settlement.reason) == (End.FAILED, "no room")
    assert (settlement.code, settlement.scope) == ("IMG.0182", Scope.VAULT)
    assert life[-1] == "settled"


async def test_a_job_is_partial_when_its_images_fared_differently() -> None:
    """Whatever its own word is."""
    settlement, _, _ = await followed(Scripted(JobReply(End.SUCCEEDED, {"a": True, "b": False})))
    assert settlement.end is End.PARTIAL


async def test_a_job_that_does_not_end_is_left_at_its_deadline_and_stays_in_flight() -> None:
    """The last poll falls on the deadline itself."""
    cloud = Scripted(RUNNING)
    settlement, life, events = await followed(cloud)
    assert cloud.asked[-1] == pytest.approx(60.0)
    assert (settlement.end, settlement.reason) == (End.UNSETTLED, "still running past its deadline")
    assert life == ["intent", "job"]
    assert events == [JobSettled(settlement)]


async def test_a_job_of_an_earlier_pass_is_asked_about_at_once() -> None:
    """It may have ended long ago."""
    cloud = Scripted(DONE)
    settlement, _, _ = await followed(cloud, age=30.0, resumed=True)
    assert (cloud.asked, settlement.end) == ([0.0], End.SUCCEEDED)


async def test_a_job_past_its_deadline_is_asked_about_once() -> None:
    """It costs a pass one call and no time."""
    cloud = Scripted(RUNNING)
    settlement, _, _ = await followed(cloud, age=3600.0, resumed=True)
    assert (cloud.asked, settlement.end) == ([0.0], End.UNSETTLED)


@pytest.mark.parametrize("age", [0.0, 3600.0])
async def test_a_job_that_is_denied_three_times_in_a_row_is_lost(age: float) -> None:
    """Whatever its age, it is denied at intervals; it stays in flight, since only a reading can tell if it is alive."""
    cloud = Scripted(DENIED)
    settlement, life, _ = await followed(cloud, age=age, resumed=age > 0)
    assert (settlement.end, len(cloud.asked)) == (End.LOST, 3)
    assert all(later - earlier >= 1.0 for earlier, later in zip(cloud.asked, cloud.asked[1:], strict=False))
    assert "HTTP 404: no such job" in settlement.reason
    assert life == ["intent", "job"]


@pytest.mark.parametrize("between", [RUNNING, DOWN])
async def test_denials_that_are_not_in_a_row_are_not_believed(between: JobReply | CloudError) -> None:
    """A cloud whose parts do not know of each other yet denies a young job now and then."""
    cloud = Scripted(DENIED, DENIED, between, DENIED, DENIED, DONE)
    settlement, _, _ = await followed(cloud)
    assert (settlement.end, settlement.polls) == (End.SUCCEEDED, 6)


async def test_an_old_job_that_is_denied_once_and_found_is_left_again() -> None:
    """Only denials are worth more time than the deadline gives."""
    cloud = Scripted(DENIED, RUNNING)
    settlement, _, _ = await followed(cloud, age=3600.0, resumed=True)
    assert (settlement.end, settlement.polls) == (End.UNSETTLED, 2)


@pytest.mark.parametrize("error", [DOWN, UnexpectedReply("half an answer", status=200)])
async def test_a_query_that_failed_is_made_again(error: CloudError) -> None:
    """The operator hears of it, and the job is followed on."""
    settlement, _, events = await followed(Scripted(error, error, DONE))
    assert settlement.end is End.SUCCEEDED
    assert events[:2] == [Incident("job job-1 could not be queried", str(error))] * 2


async def test_a_job_that_can_never_be_queried_says_why_at_its_deadline() -> None:
    """What the last query came to is worth more than that the job still runs."""
    settlement, life, _ = await followed(Scripted(DOWN))
    assert settlement.reason == "still running past its deadline; the last query failed: HTTP 503: down"
    assert (settlement.end, life) == (End.UNSETTLED, ["intent", "job"])


@pytest.mark.parametrize("error", [AuthFailed("who are you", status=401), Forbidden("not yours", status=403)])
async def test_a_credential_in_trouble_ends_the_following_at_once(error: CloudError) -> None:
    """Asking again changes nothing; the job stays in flight."""
    cloud = Scripted(error)
    settlement, life, _ = await followed(cloud)
    assert (settlement.end, len(cloud.asked), life) == (End.UNSETTLED, 1, ["intent", "job"])
    assert settlement.reason == f"the job could not be queried: {error}"


async def test_a_pass_that_must_end_leaves_the_job_in_flight() -> None:
    """It asks for the last time a moment before the end of the grace, and leaves what runs by then."""
    cloud, deadlines = Scripted(RUNNING), Deadlines()
    asyncio.get_running_loop().call_later(4.0, deadlines.stop, 2.0)
    settlement, life, _ = await followed(cloud, deadlines=deadlines)
    assert asyncio.get_running_loop().time() == pytest.approx(5.5)
    assert (settlement.end, cloud.asked, life) == (
        End.UNSETTLED,
        pytest.approx([1.0, 3.0, 5.5]),
        ["intent", "job"],
    )


async def test_a_second_signal_has_nobody_asked_again() -> None:
    """Without a grace there is no time for a last look."""
    cloud, deadlines = Scripted(RUNNING), Deadlines()
    asyncio.get_running_loop().call_later(4.0, deadlines.stop, 0.0)
    settlement, _, _ = await followed(cloud, deadlines=deadlines)
    assert asyncio.get_running_loop().time() == pytest.approx(4.0)
    assert (settlement.end, cloud.asked) == (End.UNSETTLED, pytest.approx([1.0, 3.0]))


async def test_a_late_job_is_looked_at_once_more_too() -> None:
    """It has no other poll within the grace, and gives way to no next pass."""
    cloud, deadlines = Scripted(RUNNING, RUNNING, RUNNING, RUNNING, DONE), Deadlines()
    asyncio.get_running_loop().call_later(17.0, deadlines.stop, 4.0)
    settlement, life, _ = await followed(cloud, deadlines=deadlines)
    assert cloud.asked == pytest.approx([1.0, 3.0, 7.0, 15.0, 20.0])
    assert (settlement.end, life) == (End.SUCCEEDED, ["intent", "job", "settled"])


async def test_cancelled_the_journal_holds_the_job() -> None:
    """The next process takes it up."""
    journal = FakeJournal()
    key = await journal.batches.intend(BATCH, "run-0", wall(), 0)
    await journal.batches.accept(key, "job-1", wall())
    task = asyncio.create_task(track(context(Scripted(RUNNING), journal), PROJECT, Job(key, "job-1", BATCH, wall())))
    await asyncio.sleep(5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [flight.job_id for flight in await journal.batches.in_flight()] == ["job-1"]
