"""One batch is sent once: what is journalled when, what is tried again, and what a stop or a cancellation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from doubles import EPOCH, FakeBatches, FakeCloud, FakeJournal, Fate
from passes import TIMINGS, context, turn

from worker.core.batch import Batch, End, Failure, InFlight
from worker.core.events import BatchNotAccepted, BatchSubmitted, Event, Incident
from worker.core.job import Job
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.outcome import BatchEnd
from worker.errors import (
    AuthFailed,
    BadRequest,
    CloudError,
    JournalError,
    Scope,
    TransientCloudError,
    UnexpectedReply,
)
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.ports import PassContext
from worker.reconcile.submit import submit

pytestmark = pytest.mark.looptime
PROJECT = Project("p", "payments")
BATCH = Batch("p", Operation.ACCEPT, None, ("a", "b"))
THROTTLED = TransientCloudError("slow down", nothing_done=True, status=429, scope=Scope.THROTTLE)


class Queue(FakeCloud):
    """A cloud in which a PUT waits for its turn until the test gives it; `just_before` is called in that moment."""

    def __init__(self, fate: Callable[[Batch], Fate] = lambda batch: Fate()) -> None:
        super().__init__(fate)
        self.turn = asyncio.Event()
        self.just_before: Callable[[], None] = lambda: None

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Wait for the turn, then send."""
        await self.turn.wait()
        self.just_before()
        return await super().update_members(project, batch, on_slot)


class Turnless(FakeCloud):
    """A cloud whose credential fails before a PUT has its turn, a few times."""

    def __init__(self, *errors: CloudError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Fail while there are errors left."""
        if self.errors:
            raise self.errors.pop(0)
        return await super().update_members(project, batch, on_slot)


class SlowBatches(FakeBatches):
    """Those of a journal that takes a second to write down a job."""

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Record a job, in the end."""
        await asyncio.sleep(1.0)
        await super().accept(key, job_id, at)


class BrokenBatches(FakeBatches):
    """Those of a journal that cannot write any more, either intents or what came of them."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken

    async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
        """Fail, or record."""
        self.fail("intend")
        return await super().intend(batch, run_id, at, rejects)

    async def accept(self, key: int, job_id: str, at: float) -> None:
        """Fail, or record."""
        self.fail("accept")
        await super().accept(key, job_id, at)

    def fail(self, name: str) -> None:
        """Raise if this is broken."""
        if name in self.broken:
            raise JournalError("disk full")


def always(error: CloudError) -> FakeCloud:
    """Return a cloud that raises this for every PUT, having done nothing."""
    return FakeCloud(lambda batch: Fate(error, begun=False))


async def sent(
    cloud: FakeCloud, journal: FakeJournal | None = None, deadlines: Deadlines | None = None
) -> tuple[Job | BatchEnd, list[Event]]:
    """Submit the batch; return what became of it, and the events."""
    events: list[Event] = []
    the_context = context(cloud, journal or FakeJournal(), deadlines=deadlines, emit=events.append)
    ended = await submit(the_context, PROJECT, BATCH, 0, await turn(the_context))
    return ended, events


async def how(cloud: FakeCloud, journal: FakeJournal | None = None, deadlines: Deadlines | None = None) -> BatchEnd:
    """Submit the batch to a cloud that gives no job; return how it ended."""
    ended, _ = await sent(cloud, journal, deadlines)
    assert isinstance(ended, BatchEnd)
    return ended


def cancelled_when(the_context: PassContext) -> asyncio.Task[Job | BatchEnd]:
    """Submit the batch in a task of its own."""

    async def submitted() -> Job | BatchEnd:
        return await submit(the_context, PROJECT, BATCH, 0, await turn(the_context))

    return asyncio.create_task(submitted())


async def test_a_job_is_returned_with_the_journal_knowing_it() -> None:
    """The job has the key of its intent, and the event says the same."""
    journal = FakeJournal()
    job, events = await sent(FakeCloud(), journal)
    assert job == Job(1, "job-1", BATCH, EPOCH + 0.05)
    assert events == [BatchSubmitted(job)]
    assert await journal.batches.in_flight() == (InFlight(1, BATCH, EPOCH, "job-1", EPOCH + 0.05),)


async def test_cancelled_before_its_turn_nothing_was_sent() -> None:
    """Neither the cloud nor the journal knows of it, also when the turn comes later."""
    cloud, journal = Queue(), FakeJournal()
    task = cancelled_when(context(cloud, journal))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cloud.turn.set()
    await asyncio.sleep(1.0)
    assert (cloud.puts, journal.batches.lives) == ([], {})


async def test_cancelled_on_its_way_the_journal_holds_the_intent() -> None:
    """It may be alive, so it is in flight without a job."""
    cloud, journal = FakeCloud(), FakeJournal()
    task = cancelled_when(context(cloud, journal))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(cloud.puts) == 1
    assert await journal.batches.in_flight() == (InFlight(1, BATCH, EPOCH),)


async def test_cancelled_after_the_answer_the_job_is_journalled_all_the_same() -> None:
    """The job id exists in this answer and nowhere else."""
    cloud, journal = FakeCloud(), FakeJournal(batches=SlowBatches())
    task = cancelled_when(context(cloud, journal))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1.0)
    assert await journal.batches.in_flight() == (InFlight(1, BATCH, EPOCH, "job-1", EPOCH + 0.05),)


async def test_told_to_stop_a_batch_does_not_wait_for_its_turn() -> None:
    """It ends at once as not sent, and stays unsent when the turn comes."""
    cloud, journal, deadlines = Queue(), FakeJournal(), Deadlines()
    asyncio.get_running_loop().call_later(3.0, deadlines.stop, 25.0)
    ended, events = await sent(cloud, journal, deadlines)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    assert events == [BatchNotAccepted(BATCH, End.NOT_SENT, "the pass was told to stop before this batch was sent")]
    assert ended == BatchEnd(BATCH, End.NOT_SENT, events[0].reason)
    cloud.turn.set()
    await asyncio.sleep(1.0)
    assert (cloud.puts, journal.batches.lives) == ([], {})


async def test_told_to_stop_in_the_moment_of_its_turn_a_batch_is_not_sent() -> None:
    """The turn itself asks once more, before the intent is written."""
    cloud, journal, deadlines = Queue(), FakeJournal(), Deadlines()
    cloud.turn.set()
    cloud.just_before = lambda: deadlines.stop(25.0)
    assert (await how(cloud, journal, deadlines)).how is End.NOT_SENT
    assert (cloud.puts, journal.batches.lives) == ([], {})


async def test_told_to_stop_before_it_began_a_batch_does_not_ask_for_a_turn() -> None:
    """Not even the queue sees it."""
    deadlines, cloud = Deadlines(), always(BadRequest("not to be asked", status=400))
    deadlines.stop(25.0)
    assert (await how(cloud, FakeJournal(), deadlines)).how is End.NOT_SENT
    assert cloud.puts == []


async def test_told_to_stop_after_its_turn_the_answer_is_waited_for() -> None:
    """A PUT that is on its way becomes a job that is followed."""
    deadlines, journal = Deadlines(), FakeJournal()
    asyncio.get_running_loop().call_later(0.02, deadlines.stop, 5.0)
    job, _ = await sent(FakeCloud(), journal, deadlines)
    assert isinstance(job, Job)
    assert journal.batches.lives == {1: ["intent", "job"]}


@pytest.mark.parametrize(
    "error",
    [
        TransientCloudError("reset"),
        TransientCloudError("down", status=503),
        UnexpectedReply("a 200 without a job id", status=200),
    ],
)
async def test_a_lost_answer_is_not_sent_again_here(error: CloudError) -> None:
    """It ends as unanswered, in flight until its work cannot be alive any more, counted from the intent."""
    cloud, journal = always(error), FakeJournal()
    ended = await how(cloud, journal)
    assert (ended.how, ended.reason, ended.key) == (End.UNANSWERED, f"the answer was lost: {error}", 1)
    assert (ended.until, ended.as_a_whole) == (TIMINGS.unknown, False)
    assert len(cloud.puts) == 1
    assert await journal.batches.in_flight() == (InFlight(1, BATCH, EPOCH),)


async def test_a_definite_refusal_is_final_and_says_what_it_is_about() -> None:
    """One PUT, closed in the journal, with what decides whether halves may fare better."""
    journal = FakeJournal()
    cloud = always(BadRequest("no such image", status=400, code="IMG.0144", scope=Scope.IMAGE))
    ended = await how(cloud, journal)
    reason = "HTTP 400 IMG.0144: no such image"
    assert (ended.how, ended.reason) == (End.REFUSED, reason)
    assert ended.failure == Failure(Scope.IMAGE, "IMG.0144", reason, frozenset("a"))
    assert (len(cloud.puts), journal.batches.lives) == (1, {1: ["intent", "refused"]})


async def test_a_refusal_without_a_code_is_told_by_its_status() -> None:
    """Two halves that both get a bare 403 have failed alike."""
    ended = await how(always(AuthFailed("who are you", status=401)))
    assert ended.failure == Failure(Scope.UNSAID, "401", "HTTP 401: who are you", frozenset("a"))


async def test_a_busy_cloud_is_asked_again_a_few_times() -> None:
    """Each attempt has an intent of its own, the waits grow, and parts of the batch would fare no better."""
    cloud, journal = always(TransientCloudError("busy", nothing_done=True, status=400, code="IMG.0018")), FakeJournal()
    ended = await how(cloud, journal)
    assert (ended.how, ended.as_a_whole) == (End.REFUSED, False)
    assert len(cloud.puts) == TIMINGS.retry.attempts
    assert list(journal.batches.lives.values()) == [["intent", "refused"]] * TIMINGS.retry.attempts
    waits = [later - earlier for earlier, later in zip(cloud.put_times, cloud.put_times[1:], strict=False)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.05 + 0.5 * TIMINGS.retry.base)


async def test_a_busy_cloud_that_recovers_gets_the_batch() -> None:
    """A batch that nothing was done about may be sent again; the cloud's own wait is the least."""
    errors = iter([TransientCloudError("busy", nothing_done=True, status=503, retry_after=40.0)])
    cloud = FakeCloud(lambda batch: Fate(error, begun=False) if (error := next(errors, None)) else Fate())
    job, _ = await sent(cloud)
    assert isinstance(job, Job)
    assert job.key == 2
    assert cloud.put_times[1] - cloud.put_times[0] >= 40.0


async def test_a_cloud_that_cannot_be_reached_was_sent_nothing() -> None:
    """No connection in any attempt: not sent, which is no failure of the share."""
    ended = await how(always(TransientCloudError("no connection", nothing_done=True)))
    assert (ended.how, ended.failure, ended.key) == (End.NOT_SENT, None, None)
    assert ended.reason == "the cloud could not be reached: no connection"


async def test_a_throttle_is_no_attempt() -> None:
    """Many more throttles than attempts are waited out."""
    answers = iter([THROTTLED] * (3 * TIMINGS.retry.attempts))
    cloud = FakeCloud(lambda batch: Fate(error, begun=False) if (error := next(answers, None)) else Fate())
    job, _ = await sent(cloud)
    assert isinstance(job, Job)


async def test_a_throttle_without_end_ends() -> None:
    """After the time that one job may take, the batch is left to the next pass."""
    the_context = context(always(THROTTLED), FakeJournal(), timings=replace(TIMINGS, deadline=20.0))
    ended = await submit(the_context, PROJECT, BATCH, 0, await turn(the_context))
    assert isinstance(ended, BatchEnd)
    assert (ended.how, ended.failure) == (End.NOT_SENT, None)
    assert 20.0 < asyncio.get_running_loop().time() < 21.0


async def test_a_batch_is_not_given_up_for_being_throttled_while_others_get_through() -> None:
    """However long that takes; once nothing of its credential has got through for the time of a job, it is."""
    the_context = context(always(THROTTLED), FakeJournal(), timings=replace(TIMINGS, deadline=20.0))

    async def get_through() -> None:
        for _ in range(30):
            the_context.let_through[PROJECT.credential] = the_context.clock()
            await asyncio.sleep(10.0)

    others = asyncio.create_task(get_through())
    ended = await submit(the_context, PROJECT, BATCH, 0, await turn(the_context))
    await others
    assert isinstance(ended, BatchEnd)
    assert 310.0 < asyncio.get_running_loop().time() < 312.0


@pytest.mark.parametrize("answer", [Fate(), Fate(BadRequest("no", status=400), begun=False)])
async def test_a_put_that_is_let_through_is_noted(answer: Fate) -> None:
    """Taken or refused: the cloud did not throttle it."""
    the_context = context(FakeCloud(lambda batch: answer), FakeJournal())
    await submit(the_context, PROJECT, BATCH, 0, await turn(the_context))
    assert the_context.let_through == {PROJECT.credential: asyncio.get_running_loop().time()}


async def test_a_failure_before_its_turn_is_not_journalled() -> None:
    """A token that could not be had is tried again; nothing was sent, so nothing is in flight."""
    journal = FakeJournal()
    job, _ = await sent(Turnless(TransientCloudError("no token", status=503)), journal)
    assert isinstance(job, Job)
    assert journal.batches.lives == {1: ["intent", "job"]}
    refused = FakeJournal()
    ended = await how(Turnless(AuthFailed("wrong key", status=401)), refused)
    assert (ended.how, ended.reason) == (End.NOT_SENT, "refused before it was sent: HTTP 401: wrong key")
    assert refused.batches.lives == {}


async def test_a_stopped_pass_does_not_try_again() -> None:
    """A batch that waits to be tried again when submissions end is not sent any more."""
    deadlines, cloud = Deadlines(), always(TransientCloudError("busy", nothing_done=True, status=503, retry_after=10.0))
    asyncio.get_running_loop().call_later(1.0, deadlines.stop, 25.0)
    assert (await how(cloud, FakeJournal(), deadlines)).how is End.NOT_SENT
    assert len(cloud.puts) == 1


async def test_what_a_busy_cloud_asks_for_is_not_waited_beyond_the_end_of_submitting() -> None:
    """Nothing may be sent after that, so the batch is given up then, and the pass may end."""
    deadlines, cloud = (
        Deadlines(),
        always(TransientCloudError("busy", nothing_done=True, status=503, retry_after=3600.0)),
    )
    deadlines.finish_within(120.0, 60.0)
    ended = await how(cloud, FakeJournal(), deadlines)
    assert ended.how is End.NOT_SENT
    assert asyncio.get_running_loop().time() == pytest.approx(60.0)
    assert len(cloud.puts) == 1


async def test_a_batch_that_waits_to_be_tried_again_ends_with_the_submissions() -> None:
    """However long the cloud wants to be left alone, a pass that makes way for the next does not wait for that."""
    deadlines, cloud = (
        Deadlines(),
        always(TransientCloudError("busy", nothing_done=True, status=503, retry_after=600.0)),
    )
    asyncio.get_running_loop().call_later(1.0, deadlines.stop_submitting, "newer files were loaded")
    ended = await how(cloud, FakeJournal(), deadlines)
    assert (ended.how, ended.reason) == (End.NOT_SENT, "newer files were loaded before this batch was sent")
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


async def test_without_a_journal_nothing_is_sent() -> None:
    """An intent that cannot be written ends the batch and all submissions, and says so."""
    cloud, deadlines = FakeCloud(), Deadlines()
    ended, events = await sent(cloud, FakeJournal(batches=BrokenBatches("intend")), deadlines)
    assert isinstance(ended, BatchEnd)
    assert (ended.how, ended.reason) == (End.NOT_SENT, "the journal could not be written: disk full")
    assert cloud.puts == []
    assert deadlines.to_submit.is_over
    assert [type(event) for event in events] == [Incident, BatchNotAccepted]


async def test_a_job_that_cannot_be_journalled_is_followed_all_the_same() -> None:
    """It is alive, so it is returned; but nothing more is submitted."""
    deadlines = Deadlines()
    job, events = await sent(FakeCloud(), FakeJournal(batches=BrokenBatches("accept")), deadlines)
    assert isinstance(job, Job)
    assert deadlines.to_submit.is_over
    assert [type(event) for event in events] == [Incident, BatchSubmitted]


async def test_the_journal_is_told_how_many_accepted_images_are_rejected() -> None:
    """The guards of the next day count them."""
    counted: list[int] = []

    class Counting(FakeBatches):
        async def intend(self, batch: Batch, run_id: str, at: float, rejects: int) -> int:
            counted.append(rejects)
            return await super().intend(batch, run_id, at, rejects)

    rejecting = replace(BATCH, operation=Operation.REJECT)
    the_context = context(FakeCloud(), FakeJournal(batches=Counting()))
    await submit(the_context, PROJECT, rejecting, 2, await turn(the_context))
    assert counted == [2]
