"""A pass whose sending is held: it reads, plans and reports, and sends nothing from then on."""

from __future__ import annotations

import asyncio

import pytest
from doubles import FakeCloud, FakeJournal
from passes import ACCEPT, REJECT, assert_adds_up, context, images, request

from worker.core.allowance import Allowance
from worker.core.events import Event, ProjectObserved
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.report import Result
from worker.core.manifest.model import Wish
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime
WHY = "paused by ann@host"
IMAGES = images(4)


def pending(projects: int = 1) -> tuple[dict[str, dict[str, Wish]], FakeCloud]:
    """Return wishes that four images be accepted in so many projects, and a cloud where all of them are pending."""
    cloud = FakeCloud()
    names = [f"p{number}" for number in range(projects)]
    for name in names:
        cloud.offer(name, list(IMAGES))
    return {name: dict.fromkeys(IMAGES, ACCEPT) for name in names}, cloud


async def test_what_is_due_is_planned_and_reported_and_not_sent() -> None:
    """Each share is not sent, with the reason; those that are as desired count as such."""
    wishes, cloud = pending()
    cloud.offer("p0", list(IMAGES[:1]), MemberStatus.ACCEPTED)
    deadlines = Deadlines()
    deadlines.hold(WHY)
    report = await run_once(request(wishes), context(cloud, FakeJournal(), deadlines=deadlines))
    assert_adds_up(report)
    assert (report.converged, cloud.puts) == (1, [])
    assert [(each.status, each.reason) for each in report.outcomes] == [(Status.NOT_SENT, WHY)] * 3
    assert not report.unreachable


async def test_a_hold_that_comes_while_projects_are_read_ends_no_reading() -> None:
    """Of a project that is read after it nothing is unknown, and nothing of any is sent."""
    wishes, cloud = pending(3)
    deadlines = Deadlines()

    def listen(event: Event) -> None:
        if isinstance(event, ProjectObserved):
            deadlines.hold(WHY)

    report = await run_once(request(wishes), context(cloud, FakeJournal(), deadlines=deadlines, emit=listen))
    assert_adds_up(report)
    assert (report.count(Status.NOT_SENT), report.count(Status.UNKNOWN), cloud.puts) == (12, 0, [])


async def test_a_hold_amid_sending_leaves_what_waits_and_follows_what_was_sent() -> None:
    """The first PUT is seen to its end; the others say why they did not go."""
    wishes, cloud = pending(3)
    deadlines, gate = Deadlines(), asyncio.Semaphore(1)
    send = cloud.update_members

    async def one_by_one(project: object, batch: object, on_slot: object) -> str:
        await gate.acquire()
        job = await send(project, batch, on_slot)  # type: ignore[arg-type]
        deadlines.hold(WHY)
        return job

    cloud.update_members = one_by_one  # type: ignore[assignment, method-assign]
    report = await run_once(request(wishes), context(cloud, FakeJournal(), deadlines=deadlines))
    assert_adds_up(report)
    assert (len(cloud.puts), report.count(Status.CHANGED), report.count(Status.NOT_SENT)) == (1, 4, 8)
    assert all(each.reason.startswith(WHY) for each in report.outcomes if each.status is Status.NOT_SENT)


async def test_a_held_pass_uses_up_no_approval() -> None:
    """Guards are asked all the same; what was approved passes once sending goes on."""
    cloud, journal = FakeCloud(), FakeJournal()
    cloud.offer("p", list(IMAGES), MemberStatus.ACCEPTED)
    strict = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
    asked = request({"p": dict.fromkeys(IMAGES, REJECT)}, guard=strict)
    held = Deadlines()
    held.hold(WHY)
    refused = await run_once(asked, context(cloud, journal, deadlines=held))
    assert refused.result is Result.REFUSED
    journal.approvals.approved.add(refused.digest)
    held = Deadlines()
    held.hold(WHY)
    paused = await run_once(asked, context(cloud, journal, deadlines=held))
    assert {each.reason for each in paused.outcomes} == {WHY}
    assert journal.approvals.approved == {refused.digest}
    done = await run_once(asked, context(cloud, journal))
    assert (done.count(Status.CHANGED), journal.approvals.approved) == (4, set())


async def test_a_hold_ends_with_the_process_like_any_pass() -> None:
    """Told to stop while it reads, a held pass reads no more."""
    deadlines = Deadlines()
    deadlines.hold(WHY)
    assert (not deadlines.to_read.is_over, not deadlines.to_submit.is_over, deadlines.held) == (True, False, WHY)
    deadlines.stop(5.0)
    assert (not deadlines.to_read.is_over, deadlines.held) == (False, WHY)
    later = Deadlines()
    later.stop(5.0)
    later.hold(WHY)
    assert (not later.to_read.is_over, later.held) == (False, "")
