"""What earlier passes left in flight is followed beside the passes, in virtual time: to its end, sending nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from doubles import FakeCloud, FakeJournal, Fate, wall
from passes import ACCEPT, TIMINGS, context, images, manifest, request

from worker.core.batch import End
from worker.core.events import Event, JobSettled, ShareJudged, TakenUp
from worker.core.manifest.model import empty_manifest
from worker.core.share import MemberStatus, Share
from worker.core.status import Status
from worker.errors import TransientCloudError
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.follow import Follower
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime
ACCEPTED, PENDING = MemberStatus.ACCEPTED, MemberStatus.PENDING
WISHES = {"p": dict.fromkeys(images(3), ACCEPT)}
MANIFEST = manifest(WISHES)


@dataclass
class Scene:
    """A follower at a cloud, with what it told; `due` counts how often it asked for a pass."""

    cloud: FakeCloud
    journal: FakeJournal
    deadlines: Deadlines
    follower: Follower
    events: list[Event]
    due: list[bool] = field(default_factory=list)

    async def take_all(self) -> None:
        """Follow all that the journal has in flight."""
        self.follower.take(await self.journal.batches.in_flight(), MANIFEST)

    def kinds(self) -> set[Status]:
        """Return how the shares ended that were judged."""
        return {event.status.status for event in self.events if isinstance(event, ShareJudged)}


@asynccontextmanager
async def scene(fate: Fate, deadlines: Deadlines | None = None) -> AsyncIterator[Scene]:
    """Have a pass send three images and give up at once on what becomes of them; then open a follower."""
    cloud, journal = FakeCloud(lambda batch: fate), FakeJournal()
    cloud.offer("p", images(3))
    hurried = replace(TIMINGS, deadline=0.1, unknown=120.0)
    stopped = Deadlines()
    asyncio.get_running_loop().call_later(1.0, stopped.stop, 0.0)
    await run_once(request(WISHES), context(cloud, journal, deadlines=stopped, timings=hurried))
    assert len(await journal.batches.in_flight()) == 1
    events: list[Event] = []
    deadlines = deadlines or Deadlines()
    due: list[bool] = []
    async with asyncio.TaskGroup() as tasks:

        def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return tasks.create_task(work)

        follower = Follower(
            context(cloud, journal, deadlines=deadlines, emit=events.append), start, lambda: due.append(True)
        )
        yield Scene(cloud, journal, deadlines, follower, events, due)
        follower.take((), MANIFEST)


async def test_a_job_is_followed_past_the_deadline_of_any_pass() -> None:
    """A job that takes three hours is settled when it ends, and its shares are judged by a reading."""
    async with scene(Fate(seconds=3 * 3600.0)) as it:
        await it.take_all()
        await it.follower.drain()
        assert it.journal.batches.lives == {1: ["intent", "job", "settled"]}
        assert it.kinds() == {Status.CHANGED}
        settled = [event.settlement for event in it.events if isinstance(event, JobSettled)]
        assert [each.end for each in settled] == [End.SUCCEEDED]
        assert settled[0].noticed_within is not None
        assert settled[0].noticed_within <= 1.1 * TIMINGS.polling.max + 1
        assert len(it.cloud.puts) == 1
        assert it.due == []


async def test_an_old_job_is_asked_about_at_the_pace_of_its_age() -> None:
    """Taken up after an hour, a job is polled at once and then each half minute, not as if it were new."""
    async with scene(Fate(seconds=2 * 3600.0)) as it:
        await asyncio.sleep(3600.0)
        before = it.cloud.made.total()
        await it.take_all()
        await asyncio.sleep(300.0)
        assert it.cloud.made.total() - before <= 12


async def test_a_late_failure_is_held_in_quarantine() -> None:
    """What fails beside the passes is left alone for a while, as it would be after a pass."""
    async with scene(Fate(seconds=600.0, end=End.FAILED, done=frozenset(), code="IMG.0001")) as it:
        await it.take_all()
        await it.follower.drain()
        assert it.kinds() == {Status.FAILED}
        assert {held.share for held in it.journal.quarantine.values()} == {Share("p", image) for image in images(3)}
        assert {held.next_try - wall() for held in it.journal.quarantine.values()} <= {TIMINGS.quarantine.first}


async def test_a_lost_answer_that_came_to_nothing_asks_for_a_pass() -> None:
    """Only a pass sends: the follower waits until the PUT cannot be alive any more, closes it, and asks for one."""
    lost = TransientCloudError("reset")
    async with scene(Fate(lost, begun=False)) as it:
        await it.take_all()
        await it.follower.drain()
        assert it.journal.batches.lives == {1: ["intent", "abandoned"]}
        assert it.kinds() == {Status.NOT_SENT}
        assert it.due == [True]
        assert len(it.cloud.puts) == 1


async def test_what_is_no_longer_in_flight_is_dropped() -> None:
    """A job that was released, or settled by a pass, is asked about no more; one whose shares changed begins anew."""
    async with scene(Fate(stuck=True)) as it:
        (flight,) = await it.journal.batches.in_flight()
        it.follower.take([flight], MANIFEST)
        await asyncio.sleep(60.0)
        smaller = replace(flight, batch=replace(flight.batch, images=flight.batch.images[:1]))
        it.follower.take([smaller], MANIFEST)
        await asyncio.sleep(60.0)
        assert [event.sent for event in it.events if isinstance(event, TakenUp)] == [flight, smaller]
        it.follower.take([], MANIFEST)
        await asyncio.sleep(0)
        calls = it.cloud.made.total()
        await asyncio.sleep(3600.0)
        assert it.cloud.made.total() == calls


async def test_taking_the_same_again_changes_nothing() -> None:
    """The journal is looked into every few seconds; a job that is followed goes on being followed."""
    async with scene(Fate(stuck=True)) as it:
        for _ in range(20):
            await it.take_all()
            await asyncio.sleep(5.0)
        assert sum(isinstance(event, TakenUp) for event in it.events) == 1


async def test_a_batch_of_a_project_that_the_manifest_no_longer_names_is_left_alone() -> None:
    """Nobody knows its credential any more; the journal keeps it until it is too old to be alive."""
    async with scene(Fate(stuck=True)) as it:
        it.follower.take(await it.journal.batches.in_flight(), empty_manifest())
        await asyncio.sleep(60.0)
        assert it.events == []


async def test_a_stop_ends_the_following_when_its_grace_does() -> None:
    """Asked to stop, it follows for the grace and leaves the rest in the journal."""
    async with scene(Fate(stuck=True)) as it:
        await it.take_all()
        await asyncio.sleep(10.0)
        began = asyncio.get_running_loop().time()
        it.deadlines.stop(25.0)
        await it.follower.drain()
        assert 24.9 <= asyncio.get_running_loop().time() - began <= 25.1
        assert it.journal.batches.lives == {1: ["intent", "job"]}


async def test_a_pass_that_does_not_resume_leaves_earlier_jobs_to_the_follower() -> None:
    """It ends at once, reports their shares as unsettled, and sends what is due otherwise."""
    async with scene(Fate(stuck=True)) as it:
        it.cloud.fate = lambda batch: Fate()
        it.cloud.offer("p", ["fresh"])
        wishes = {"p": {**WISHES["p"], "fresh": ACCEPT}}
        began = asyncio.get_running_loop().time()
        report = await run_once(request(wishes, resumes=False), context(it.cloud, it.journal))
        assert asyncio.get_running_loop().time() - began < 10.0
        assert (report.count(Status.UNSETTLED), report.count(Status.CHANGED)) == (3, 1)
        assert [batch.images for batch in it.cloud.puts[1:]] == [("fresh",)]


async def test_a_late_job_gives_way_to_the_next_pass() -> None:
    """When the next pass is due, a job older than the longest wait between two polls no longer holds this one up."""
    cloud, journal = FakeCloud(lambda batch: Fate(stuck=True)), FakeJournal()
    cloud.offer("p", images(3))
    due = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_later(100.0, due.set)
    report = await run_once(request(WISHES), context(cloud, journal, deadlines=Deadlines(due)))
    assert 100.0 <= loop.time() <= 102.0
    assert report.count(Status.UNSETTLED) == 3
    assert journal.batches.lives == {1: ["intent", "job"]}


async def test_a_young_job_does_not_give_way() -> None:
    """Though the next pass is due from the beginning, a job that ends soon is waited for and proven."""
    cloud, journal = FakeCloud(lambda batch: Fate(seconds=20.0)), FakeJournal()
    cloud.offer("p", images(3))
    due = asyncio.Event()
    due.set()
    report = await run_once(request(WISHES), context(cloud, journal, deadlines=Deadlines(due)))
    assert report.count(Status.CHANGED) == 3
