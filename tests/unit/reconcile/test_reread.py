"""One reading for all batches of a project that end together, and never one that began before it was asked for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from doubles import FakeCloud, FakeJournal
from passes import context, images

from worker.core.batch import Batch, End
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.outcome import BatchEnd, Unreadable
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus
from worker.errors import TransientCloudError
from worker.reconcile.reread import LINGER, Rereader, read_until_known

pytestmark = pytest.mark.looptime
ACCEPTED, PENDING = MemberStatus.ACCEPTED, MemberStatus.PENDING
PROJECT = Project("p", "payments")
A, B = {"a": ACCEPTED}, {"b": ACCEPTED}


class Slow(FakeCloud):
    """A cloud whose accepted images are one list that takes ten seconds; `begun` has when each reading began."""

    def __init__(self) -> None:
        super().__init__()
        self.offer("p", ["a", "b"], ACCEPTED)
        self.begun: list[float] = []
        self.bug: Exception | None = None

    async def list_shared(
        self,
        project: Project,
        status: MemberStatus,
        *,
        full_ecs: bool | None = None,
        facts: frozenset[str] = frozenset(),
    ) -> AsyncIterator[tuple[ObservedImage, ...]]:
        """Yield the list as it was when the reading began."""
        if status is ACCEPTED:
            self.begun.append(now())
        page = tuple(ObservedImage(each, each, "") for each, is_now in self.offers["p"].items() if is_now is status)
        await asyncio.sleep(10.0)
        if self.bug:
            raise self.bug
        if project.id in self.unreadable:
            raise self.unreadable[project.id]
        yield page


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


def reader(cloud: FakeCloud) -> Rereader:
    """Return a reader of the project."""
    return Rereader(context(cloud, FakeJournal()), PROJECT)


async def test_requests_that_come_together_share_one_reading() -> None:
    """Each is told what it asked for, and nothing else."""
    cloud = Slow()
    rereader = reader(cloud)
    assert await asyncio.gather(rereader.read(A), rereader.read(B), rereader.read(A | B)) == [A, B, A | B]
    assert len(cloud.begun) == 1


async def test_a_request_during_a_reading_gets_the_next_one() -> None:
    """A reading that began before may not show what has happened since."""
    cloud = Slow()
    rereader = reader(cloud)
    cloud.offers["p"]["b"] = PENDING
    first = asyncio.create_task(rereader.read(B))
    await asyncio.sleep(25.0)
    cloud.offers["p"]["b"] = ACCEPTED
    second = asyncio.create_task(rereader.read(B))
    assert await first == {"b": PENDING}
    assert await second == B
    assert cloud.begun == pytest.approx([0.0, 30.0])


async def test_a_reading_waits_a_moment_for_what_is_about_to_end() -> None:
    """A batch that ends within the moment is served by the same reading, which begins as soon as all are here."""
    cloud = Slow()
    rereader = reader(cloud)

    async def batch(seconds: float) -> None:
        with rereader.expecting():
            await asyncio.sleep(seconds)
        await rereader.read(A)

    await asyncio.gather(batch(0.5), batch(1.5))
    assert cloud.begun == pytest.approx([1.5])


async def test_a_reading_does_not_wait_for_ever() -> None:
    """A batch that is stuck holds the others up for the moment, and no longer."""
    cloud = Slow()
    rereader = reader(cloud)
    with rereader.expecting():
        assert await rereader.read(A) == A
    assert cloud.begun == pytest.approx([LINGER])


async def test_an_image_in_no_list_is_none() -> None:
    """It is no longer offered."""
    cloud = Slow()
    del cloud.offers["p"]["a"]
    assert await reader(cloud).read(A | B) == {"a": None, "b": ACCEPTED}


async def test_what_cannot_be_read_is_unreadable_for_each_that_asked() -> None:
    """And the next request tries again."""
    cloud = Slow()
    rereader = reader(cloud)
    cloud.unreadable["p"] = TransientCloudError("down", status=503)
    down = Unreadable("HTTP 503: down")
    assert await asyncio.gather(rereader.read(A), rereader.read(B)) == [{"a": down}, {"b": down}]
    cloud.unreadable.clear()
    assert await rereader.read(A) == A


@pytest.mark.parametrize("unreadable", [{}, {"p": TransientCloudError("down", status=503)}])
async def test_a_caller_that_is_cancelled_leaves_the_reading_to_the_others(
    unreadable: dict[str, TransientCloudError],
) -> None:
    """The reading goes on, whether it succeeds or fails, and answers who is still there."""
    cloud = Slow()
    cloud.unreadable.update(unreadable)
    rereader = reader(cloud)
    gone, stays = asyncio.create_task(rereader.read(A)), asyncio.create_task(rereader.read(B))
    await asyncio.sleep(1.0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stays == ({"b": Unreadable("HTTP 503: down")} if unreadable else B)
    assert len(cloud.begun) == 1


async def test_a_bug_reaches_everybody_who_waits() -> None:
    """Nobody waits for ever for a reading that died: the project could not be read, and no other reading is of use."""
    cloud = Slow()
    rereader = reader(cloud)
    cloud.bug = KeyError("a bug")
    results = await asyncio.gather(*(rereader.read(each) for each in (A, B)), rereader.read(A))
    seen = [status for result in results for status in result.values()]
    assert {(type(status), getattr(status, "is_final", False)) for status in seen} == {(Unreadable, True)}


async def test_a_reading_that_nobody_waits_for_any_more_ends() -> None:
    """When the only caller gives up, no call is made for it any more; a later caller gets a reading of its own."""
    cloud = FakeCloud()
    cloud.offer("p", images(500))
    reader = Rereader(context(cloud, FakeJournal()), PROJECT)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.015):
            await reader.read({"image-0499": MemberStatus.PENDING})
    made = cloud.made.total()
    await asyncio.sleep(1.0)
    assert cloud.made.total() == made
    assert await reader.read({"image-0499": MemberStatus.PENDING}) == {"image-0499": MemberStatus.PENDING}


async def test_a_rest_that_is_too_short_for_the_clock_is_not_slept_for_ever() -> None:
    """What is left of the time to read again may be less than the clock can tell from now."""
    cloud = FakeCloud()
    cloud.unreadable["p"] = TransientCloudError("down", status=503)
    pass_context = context(cloud, FakeJournal())
    await asyncio.sleep(1e6)
    batch = Batch("p", Operation.ACCEPT, None, ("a",))
    end = BatchEnd(batch, End.SUCCEEDED, until=math.nextafter(now(), math.inf), key=1, job_id="job-1")
    seen, read_at = await read_until_known(pass_context, Rereader(pass_context, PROJECT), end)
    assert seen == {"a": Unreadable("HTTP 503: down")}
    assert read_at >= end.until
