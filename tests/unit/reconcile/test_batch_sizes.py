"""Who may try how large a batch may be: one at a time, and nobody holds up the others for ever. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from doubles import FakeCloud, FakeJournal, Fate
from passes import ACCEPT, assert_adds_up, context, images, request

from worker.core.batch import Batch
from worker.core.batch_size import BatchSize
from worker.core.manifest.model import Project
from worker.core.status import Status
from worker.errors import BadRequest, Scope, TransientCloudError
from worker.reconcile.batch_sizes import PATIENCE
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime
TOO_MANY = BadRequest("too many", status=413, scope=Scope.SIZE)
UNKNOWN = BatchSize()
BUSY = TransientCloudError("busy", nothing_done=True, status=400, code="IMG.0061")


def cloud_of(projects: str, fate: Callable[[Batch], Fate], count: int = 100) -> FakeCloud:
    """Return a cloud with that many images offered to each project."""
    cloud = FakeCloud(fate)
    for project in projects:
        cloud.offer(project, images(count))
    return cloud


def limited(maximum: int) -> Callable[[Batch], Fate]:
    """Return a cloud's way with PUTs that have too many images."""
    return lambda batch: Fate(TOO_MANY, begun=False) if len(batch.images) > maximum else Fate()


async def counted(cloud: FakeCloud, known: BatchSize = UNKNOWN) -> dict[Status, int]:
    """Make a pass in all of the cloud's projects; return how many shares ended each way, without the zeros."""
    wishes = {project: dict.fromkeys(offers, ACCEPT) for project, offers in cloud.offers.items()}
    report = await run_once(request(wishes), context(cloud, FakeJournal(), known=known))
    assert_adds_up(report)
    return {status: count for status, count in report.counts().items() if count}


def times(cloud: FakeCloud, project: str) -> list[float]:
    """Return when the PUTs of a project left, in seconds."""
    return [at for batch, at in zip(cloud.puts, cloud.put_times, strict=True) if batch.project_id == project]


async def test_the_first_of_its_size_goes_alone_until_it_is_answered() -> None:
    """The others leave when it was taken, side by side."""
    cloud = cloud_of("abc", lambda batch: Fate())
    assert await counted(cloud) == {Status.CHANGED: 300}
    first, *others = sorted(cloud.put_times)
    assert others == pytest.approx([first + 0.05] * 2, abs=0.001)


class Hanging(FakeCloud):
    """A cloud that never answers the PUTs of some projects, until the worker has waited for a minute."""

    def __init__(self, *projects: str) -> None:
        super().__init__()
        self.hanging = projects

    async def update_members(self, project: Project, batch: Batch, on_slot: Callable[[], Awaitable[None]]) -> str:
        """Take one PUT, or nothing of it."""
        if project.id not in self.hanging:
            return await super().update_members(project, batch, on_slot)
        await on_slot()
        self.puts.append(batch)
        self.put_times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(60)
        raise TransientCloudError("no answer", nothing_done=False)


async def test_puts_that_hang_hold_up_the_others_for_seconds() -> None:
    """Each that has no answer gives way, the later ones sooner: twenty of them cost less than half a minute."""
    hanging = "abcdefghijklmnopqrst"
    cloud = Hanging(*hanging)
    for project in [*hanging, "z"]:
        cloud.offer(project, images(100))
    ends = await counted(cloud)
    assert ends[Status.CHANGED] >= 100
    assert times(cloud, "z")[0] - times(cloud, "a")[0] < 3 * PATIENCE


async def test_a_service_that_is_busy_for_one_project_holds_up_nobody() -> None:
    """What is tried again later lets the others go meanwhile."""
    cloud = cloud_of("ab", lambda batch: Fate(BUSY, begun=False) if batch.project_id == "a" else Fate())
    assert (await counted(cloud))[Status.CHANGED] == 100
    assert times(cloud, "b")[0] < times(cloud, "a")[1]


async def test_batches_refused_alike_wait_for_one_verdict() -> None:
    """Where the cloud takes less than it took before, one batch finds out how much, and the others follow it."""
    cloud = cloud_of("abcdefgh", limited(20))
    assert await counted(cloud, BatchSize(taken=100)) == {Status.CHANGED: 800}
    refused = [batch for batch in cloud.puts if len(batch.images) > 20]
    assert len([batch for batch in refused if len(batch.images) == 100]) == 8
    assert len(refused) <= 8 + 8


async def test_a_batch_that_is_refused_after_its_size_was_taken_is_divided_at_once() -> None:
    """No verdict on its size is needed, so that batches with bad images do not wait for each other."""
    refusal = BadRequest("no", status=400, scope=Scope.UNSAID)
    spoiled = images(100)[40]
    cloud = cloud_of(
        "abc",
        lambda batch: Fate(refusal, begun=False) if batch.project_id != "a" and spoiled in batch.images else Fate(),
    )
    assert await counted(cloud) == {Status.CHANGED: 298, Status.FAILED: 2}
    assert times(cloud, "b") == pytest.approx(times(cloud, "c"), abs=0.05)
    assert {batch.is_part for batch in cloud.puts if len(batch.images) < 100} == {True}
    assert {batch.is_part for batch in cloud.puts if len(batch.images) == 100} == {False}
