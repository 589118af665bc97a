"""The wall clock is set while a pass is under way: nothing ends earlier or later for it, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from doubles import FakeCloud, FakeJournal, Fate, wall
from passes import ACCEPT, TIMINGS, context, images, request

from worker.core.batch import Batch, End
from worker.core.fleet.report import RunReport
from worker.core.operation import Operation
from worker.core.status import Status
from worker.errors import TransientCloudError
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime

STEPS = pytest.mark.parametrize("step", [-7200.0, 7200.0, -1e9, 1e8])


async def run_with_a_step(cloud: FakeCloud, journal: FakeJournal, step: float, at: float) -> RunReport:
    """Make a pass over two images, and set the wall clock by `step` when the pass has lasted for `at` seconds."""
    moved_by = 0.0

    def move() -> None:
        nonlocal moved_by
        moved_by = step

    asyncio.get_running_loop().call_later(at, move)
    pass_context = replace(context(cloud, journal), now=lambda: wall() + moved_by)
    return await run_once(request({"p": dict.fromkeys(images(2), ACCEPT)}), pass_context)


@STEPS
async def test_a_put_whose_answer_was_lost_stays_in_flight_for_its_time(step: float) -> None:
    """Its work may be alive for two minutes, whatever the wall says: it is not sent again before, nor much later."""
    fates = iter([Fate(TransientCloudError("reset"), seconds=100.0, done=frozenset()), Fate()])
    cloud, journal = FakeCloud(lambda _: next(fates)), FakeJournal()
    cloud.offer("p", images(2))
    report = await run_with_a_step(cloud, journal, step, 20.0)
    assert report.count(Status.CHANGED) == 2
    assert cloud.sent_while_alive == []
    first, second = cloud.put_times
    assert TIMINGS.unknown <= second - first < TIMINGS.unknown + 60


@STEPS
async def test_a_job_that_never_ends_is_waited_for_until_its_deadline(step: float) -> None:
    """Neither given up at once nor for hours more."""
    cloud, journal = FakeCloud(lambda _: Fate(stuck=True)), FakeJournal()
    cloud.offer("p", images(2))
    began = asyncio.get_running_loop().time()
    report = await run_with_a_step(cloud, journal, step, 20.0)
    assert report.count(Status.UNSETTLED) == 2
    assert TIMINGS.deadline - 5 <= asyncio.get_running_loop().time() - began < TIMINGS.deadline + 60


@STEPS
async def test_a_success_that_lists_show_late_is_waited_for(step: float) -> None:
    """It is called untrue after its ten seconds and not before."""
    cloud, journal = FakeCloud(lambda _: Fate(seconds=5.0, lag=7.0)), FakeJournal()
    cloud.offer("p", images(2))
    report = await run_with_a_step(cloud, journal, step, 8.0)
    assert report.count(Status.CHANGED) == 2


@STEPS
async def test_a_job_of_an_earlier_process_is_followed_from_now_on(step: float) -> None:
    """Its stamp may lie ahead, or far behind once the clock is set: its end is noticed all the same."""
    cloud, journal = FakeCloud(lambda _: Fate(seconds=40.0)), FakeJournal()
    cloud.offer("p", images(2))

    async def nothing() -> None:
        return

    project = request({"p": {}}).manifest.projects["p"]
    batch = Batch("p", Operation.ACCEPT, None, tuple(images(2)))
    job_id = await cloud.update_members(project, batch, nothing)
    key = await journal.batches.intend(batch, "run-0", wall() + 7200.0, 0)
    await journal.batches.accept(key, job_id, wall() + 7200.0)
    report = await run_with_a_step(cloud, journal, step, 20.0)
    assert report.count(Status.CHANGED) == 2
    assert [(job.end, len(cloud.puts)) for job in report.jobs] == [(End.SUCCEEDED, 1)]
    assert asyncio.get_running_loop().time() < 120.0
